// The dispatcher: the one place that checks what verb rows say, and that answers for a command.
#include "imap/messagelimit.h"
#include "imap/response.h"

#include "base/limits.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"

static enum result
head_parse(struct imap_command *c, struct fault *f)
{
    struct parse *p = &c->parse;
    struct span tag = parse_tag(p);
    parse_sp(p);
    c->uid = parse_try_word(p, "UID");
    if (c->uid)
        parse_sp(p);
    struct span name = parse_atom(p);
    if (p->bad) {
        *f = p->fault;
        return R_FAIL;
    }
    c->tag = tag;
    c->verb = imap_verb_find(c->session, name, c->uid);
    if (!c->verb)
        return fault_set(f, FAULT_BAD, "unknown command %.*s",
                         SPAN_ARG(span_slice(name, 0, 40)));
    return R_OK;
}

// RFC 9586: a verb that has a UID form is not to be used without it.
static enum result
numbers_allowed(const struct imap_command *c, struct fault *f)
{
    if ((c->verb->flags & VERB_UID) && !c->uid && imap_enabled(c->session, ENABLE_UIDONLY))
        return fault_set(f, FAULT_UIDREQUIRED, "%s without UID", c->verb->name);
    return R_OK;
}

static enum result
state_check(const struct imap_command *c, struct fault *f)
{
    uint8_t state = c->session->view ? IMAP_SELECTED : IMAP_AUTH;
    if (!(c->verb->states & state))
        return fault_set(f, FAULT_CLIENTBUG, "%s in the wrong state", c->verb->name);
    return R_OK;
}

// RFC 9051 section 9, seq-number: a number above EXISTS is BAD, and so is '*' in an empty mailbox.
static enum result
numbers_check(const struct imap_command *c, struct span text, struct fault *f)
{
    const struct seqset *set = &c->set;
    uint32_t exists = view_exists(c->session->view);
    bool has_star = span_find_char(text, '*') < text.n;
    if (c->by_uid)
        return R_OK;
    if ((set->count > 0 && set->ranges[set->count - 1].last > exists) ||
        (has_star && exists == 0))
        return fault_set(f, FAULT_BAD, "no such sequence number");
    return R_OK;
}

// The arguments that the row names. For the *_MORE kinds and ARGS_OWN the verb parses on.
static enum result
args_parse(struct imap_command *c, struct fault *f)
{
    struct parse *p = &c->parse;
    struct span set = SPAN_NONE;
    switch (c->verb->args) {
    case ARGS_OWN:
        return R_OK;
    case ARGS_NONE:
        return parse_end(p, f);
    case ARGS_MAILBOX:
    case ARGS_MAILBOX_MORE:
    case ARGS_NAME:
    case ARGS_NAME_MORE:
        parse_sp(p);
        c->name = parse_mailbox(p);
        c->spelled = p->spelled;
        break;
    case ARGS_SET:
    case ARGS_SET_MORE:
        parse_sp(p);
        set = parse_seqset(p);
        break;
    }
    bool whole = c->verb->args == ARGS_MAILBOX || c->verb->args == ARGS_NAME ||
                 c->verb->args == ARGS_SET;
    if (whole && parse_end(p, f) != R_OK)
        return R_FAIL;
    if (p->bad) {
        *f = p->fault;
        return R_FAIL;
    }
    c->by_uid = c->uid;
    c->set_text = set;
    if (!set.p)
        return R_OK;
    if (imap_set_resolve(c->session, set, &c->by_uid, c->arena, &c->set, f) != R_OK)
        return R_FAIL;
    return numbers_check(c, set, f);
}

// RFC 9051 section 6.3.12: TRYCREATE only for a name that CREATE would take.
static enum result
missing_mailbox(struct imap_command *c, struct fault *f)
{
    struct span clean;
    if (f->kind != FAULT_NONEXISTENT || !(c->verb->flags & VERB_TRYCREATE))
        return R_FAIL;
    if (mail_name_check(c->arena, c->name, &clean, f) == R_OK)
        f->kind = FAULT_TRYCREATE;
    return R_FAIL;
}

enum result
imap_mailbox_access(struct imap_command *c, uint32_t rights, struct fault *f)
{
    enum result r = mail_access(c->session->user, c->name, rights, &c->ref, f);
    return r == R_OK ? R_OK : missing_mailbox(c, f);
}

static enum result
rights_check(struct imap_command *c, struct fault *f)
{
    const struct imap_verb *v = c->verb;
    if (c->session->host.read_only && !(v->flags & VERB_READS))
        return fault_set(f, FAULT_NOPERM, "the password is for reading only");
    if (v->args == ARGS_MAILBOX || v->args == ARGS_MAILBOX_MORE)
        return imap_mailbox_access(c, v->rights, f);
    struct view_info info;
    if (!c->session->view || (v->rights == 0 && !(v->flags & VERB_CHANGES)))
        return R_OK;
    view_info(c->session->view, &info);
    if ((v->flags & VERB_CHANGES) && info.read_only)
        return fault_set(f, FAULT_NOPERM, "mailbox is open read-only");
    if ((info.rights & v->rights) != v->rights)
        return fault_set(f, FAULT_NOPERM, "missing right");
    return R_OK;
}

static enum result
command_run(struct imap_command *c, struct fault *f)
{
    if (head_parse(c, f) != R_OK || state_check(c, f) != R_OK ||
        numbers_allowed(c, f) != R_OK || args_parse(c, f) != R_OK ||
        rights_check(c, f) != R_OK)
        return R_FAIL;
    return c->verb->run(c, f);
}

// One user's commands cannot take all tasks of a thread.
static enum result
command_take_turn(struct imap_command *c, struct fault *f)
{
    struct account *a = mail_user_account(c->session->user);
    if (account_command_begin(a, f) != R_OK)
        return R_FAIL;
    enum result r = command_run(c, f);
    account_command_end(a);
    return r;
}

static void
fault_log(const struct imap_command *c, const struct fault *f)
{
    struct span user = mail_user_name(c->session->user);
    log_line(fault_info(f->kind)->level, "imap", "command failed",
             field_str("command", "command=%", c->verb ? c->verb->name : "?"),
             log_user(user), log_session(c->session->id), log_fault(f));
}

// Untagged updates before the tagged answer, RFC 9051 sections 5.2 and 7.5.1. What was refused before its verb was known may be a FETCH.
static void
tell_changes(struct imap_command *c)
{
    struct fault f;
    if (c->verb && (c->verb->flags & VERB_QUIET))
        return;
    bool by_number = c->by_number || !c->verb || ((c->verb->flags & VERB_SEQ) && !c->uid);
    if (imap_sync(c->session, by_number ? 0 : VIEW_EXPUNGE, c->arena, &f) != R_OK)
        fault_log(c, &f);
}

static void
bad_count(struct imap_session *s, bool bad)
{
    s->bad_commands = bad ? s->bad_commands + 1 : 0;
    if (s->bad_commands >= LIMIT_bad_commands)
        imap_bye(s, "Too many bad commands");
}

static void
count(const struct imap_command *c, uint64_t since_us, const struct fault *f)
{
    enum metric_result r = f == NULL                    ? METRIC_OK
                           : imap_fault_is_bad(f->kind) ? METRIC_BAD
                                                        : METRIC_NO;
    metric_command(imap_verb_number(c->verb), r, clock_mono_us() - since_us);
}

void
imap_dispatch(struct imap_session *s)
{
    struct imap_command *c = s->command;
    struct fault f = {.kind = FAULT_SERVERBUG};
    uint64_t since_us = clock_mono_us();
    enum result r = command_take_turn(c, &f);
    if (r != R_OK)
        fault_log(c, &f);
    imap_stream_drop(c);
    if (conn_failed(s->conn) || (r != R_OK && f.kind == FAULT_CLOSED)) {
        imap_bye(s, "Connection lost");
        return;
    }
    if (r == R_OK && c->untagged_only)
        return;
    tell_changes(c);
    imap_limit_tell(c, r == R_OK ? NULL : &f);
    if (r == R_OK)
        imap_tagged_ok(c);
    else
        imap_tagged_fault(c, &f);
    count(c, since_us, r == R_OK ? NULL : &f);
    bad_count(s, r != R_OK && imap_fault_is_bad(f.kind));
}
