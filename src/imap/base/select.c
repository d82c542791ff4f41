// SELECT, EXAMINE, CLOSE, UNSELECT: RFC 9051 sections 6.3.2, 6.3.3, 6.4.1, 6.4.2, RFC 3691.
#include "imap/list.h"
#include "imap/response.h"
#include "mail/change.h"
#include "mail/tree.h"

#include "base/keep.h"

// A session that may change nothing has the mailbox read-only, RFC 4314 section 5.2.
static bool
is_read_only(bool examine, uint32_t rights)
{
    return examine || !(rights & (RIGHT_SEEN | RIGHT_WRITE | RIGHT_INSERT | RIGHT_DELETED |
                                  RIGHT_EXPUNGE));
}

static void
tell_numbers(struct imap_session *s, const struct view_info *v)
{
    bool rev2 = imap_enabled(s, ENABLE_REV2);
    imap_untagged(s, "%u EXISTS", v->exists);
    if (!rev2) {
        imap_untagged(s, "%u RECENT", v->recent);
        if (v->first_unseen > 0 && !imap_enabled(s, ENABLE_UIDONLY))
            imap_untagged(s, "OK [UNSEEN %u] First unseen message", v->first_unseen);
    }
    imap_untagged(s, "OK [UIDVALIDITY %u] UIDs valid", v->uidvalidity);
    imap_untagged(s, "OK [UIDNEXT %u] Predicted next UID", v->uidnext);
}

// RFC 9051 section 6.3.2: LIST is due on rev2 sessions.
static enum result
tell_list(struct imap_command *c, struct fault *f)
{
    struct tree_entry e;
    struct span name;
    if (!imap_enabled(c->session, ENABLE_REV2))
        return R_OK;
    if (mail_name_check(c->arena, c->name, &name, f) != R_OK)
        return R_FAIL;
    tree_find(c->session->user, c->arena, name, &e);
    if (e.nonexistent)
        return fault_set(f, FAULT_NONEXISTENT, "no such mailbox");
    imap_list_send(c->session, &e, c->spelled);
    return R_OK;
}

static enum result
tell_selected(struct imap_command *c, struct fault *f)
{
    struct view_info v;
    view_info(c->session->view, &v);
    if (imap_flags_send(c->session, true, c->arena, f) != R_OK)
        return R_FAIL;
    tell_numbers(c->session, &v);
    if (tell_list(c, f) != R_OK)
        return R_FAIL;
    for (const struct imap_ext *const *e = imap_exts; *e; e++)
        if ((*e)->on_select && (*e)->on_select(c, &v, f) != R_OK)
            return R_FAIL;
    imap_answer(c, "[%s] Selected", v.read_only ? "READ-ONLY" : "READ-WRITE");
    return R_OK;
}

static enum result
open_mailbox(struct imap_command *c, bool examine, struct fault *f)
{
    struct imap_session *s = c->session;
    if (c->parse.bad) {  // a name that no mailbox can have
        *f = c->parse.fault;
        return R_FAIL;
    }
    if (mail_access(s->user, c->name, RIGHT_READ, &c->ref, f) != R_OK ||
        view_open(&c->ref, is_read_only(examine || s->host.read_only, c->ref.rights),
                  imap_session_poke, s, &s->view, f) != R_OK)
        return R_FAIL;
    s->mailbox = keep_cstr(c->name);
    if (tell_selected(c, f) == R_OK)
        return R_OK;
    imap_unselect(s);
    return R_FAIL;
}

// The mailbox selected before is left even when the new one cannot be opened, RFC 9051 section 6.3.2, but not by BAD.
static enum result
select_mailbox(struct imap_command *c, bool examine, struct fault *f)
{
    parse_sp(&c->parse);
    c->name = parse_mailbox(&c->parse);
    c->spelled = c->parse.spelled;
    if (parse_try(&c->parse, ' '))
        imap_params_parse(c, &c->parse, SLOT_SELECT);
    if ((parse_end(&c->parse, f) != R_OK && f->kind == FAULT_BAD) ||
        imap_params_begin(c, f) != R_OK)
        return R_FAIL;
    if (c->session->view) {
        imap_unselect(c->session);
        imap_untagged(c->session, "OK [CLOSED] Previous mailbox is now closed");
    }
    return open_mailbox(c, examine, f);
}

static enum result
run_select(struct imap_command *c, struct fault *f)
{
    return select_mailbox(c, false, f);
}

static enum result
run_examine(struct imap_command *c, struct fault *f)
{
    return select_mailbox(c, true, f);
}

static enum result
run_close(struct imap_command *c, struct fault *f)
{
    struct view_info v;
    view_info(c->session->view, &v);
    bool expunge = !v.read_only && (v.rights & RIGHT_EXPUNGE);
    uint64_t count = 0;
    if (expunge && !view_gone(c->session->view) &&
        change_expunge(c->session->view, NULL, &count, f) != R_OK &&
        f->kind != FAULT_NOPERM && f->kind != FAULT_NONEXISTENT)  // revoked, gone meanwhile
        return R_FAIL;
    imap_audit_expunged(c, count);
    imap_unselect(c->session);
    return R_OK;
}

static enum result
run_unselect(struct imap_command *c, struct fault *f)
{
    (void)f;
    imap_unselect(c->session);
    return R_OK;
}

static const struct imap_verb verbs[] = {
    {"SELECT", ARGS_OWN, IMAP_ANY, VERB_QUIET | VERB_READS, 0, run_select},
    {"EXAMINE", ARGS_OWN, IMAP_ANY, VERB_QUIET | VERB_READS, 0, run_examine},
    {"CLOSE", ARGS_NONE, IMAP_SELECTED, VERB_QUIET | VERB_READS, 0, run_close},
    {"UNSELECT", ARGS_NONE, IMAP_SELECTED, VERB_QUIET | VERB_READS, 0, run_unselect},
    {.name = NULL},
};

const struct imap_ext imap_ext_select = {
    .name = "select",
    .rfc = "RFC 3691",
    .capability = "UNSELECT",
    .verbs = verbs,
};
