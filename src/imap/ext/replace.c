// RFC 8508: REPLACE and UID REPLACE. The new message comes and the old one goes in one commit. EXPUNGE may be told
// during REPLACE, so it is no VERB_SEQ verb.
#include "imap/append.h"
#include "imap/list.h"
#include "imap/notify.h"
#include "imap/response.h"

// One number or "*"; no set (section 5).
static enum result
parse_number_of(struct imap_command *c, struct fault *f)
{
    struct parse *p = &c->parse;
    parse_sp(p);
    struct span text = parse_seqset(p);
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] != '*' && !ascii_is_digit(text.p[i]))
            parse_fail(p, "one message number expected");
    parse_sp(p);
    c->name = parse_mailbox(p);
    c->spelled = p->spelled;
    if (p->bad)
        return parse_end(p, f);
    c->by_uid = c->uid;
    return imap_set_resolve(c->session, text, &c->by_uid, c->arena, &c->set, f);
}

// Refuses what is not there before the literal is asked for.
static enum result
check_message(struct imap_command *c, struct fault *f)
{
    struct view_cursor cursor;
    struct view_message m;
    size_t n = 0;
    bool none = c->set.count == 0 || c->set.ranges[0].first == 0;
    if (none || (!c->by_uid && c->set.ranges[0].last > view_exists(c->session->view)))
        return fault_set(f, c->by_uid ? FAULT_EXPUNGEISSUED : FAULT_BAD, "no such message");
    if (view_cursor_init(&cursor, c->session->view, &c->set, c->by_uid, f) != R_OK ||
        view_next(&cursor, &m, 1, &n, f) == R_FAIL)
        return R_FAIL;
    return n == 0 || m.expunged ? fault_set(f, FAULT_EXPUNGEISSUED, "no such message")
                                : R_OK;
}

// APPENDUID goes before the EXPUNGE (section 4.3).
static void
tell_uid(const struct imap_append *a, const struct intake_result *done)
{
    struct imap_session *s = a->c->session;
    struct buf *b = imap_line(s);
    if (!(a->c->ref.rights & RIGHT_READ))
        return;
    buf_put_str(b, "* OK ");
    imap_append_put_uids(a, done, b);
    buf_put_str(b, imap_text(s->language, "Replacement message ready"));
    imap_line_send(s);
}

static enum result
replace(struct imap_append *a, struct fault *f)
{
    struct imap_command *c = a->c;
    struct intake_result done;
    if (imap_append_message(a, f) != R_OK || parse_end(&c->parse, f) != R_OK)
        return R_FAIL;
    struct selection old = {c->session->view, &c->set, c->by_uid};
    struct intake_batch batch = {
        .items = a->items, .n = a->count, .replaced = &old, .by_client = true};
    if (intake_commit_all(&batch, &c->ref, &done, f) != R_OK)
        return R_FAIL;
    imap_notify_own(c->session, &c->ref, done.uid, done.uid);
    tell_uid(a, &done);
    imap_append_event(a, &done);
    if (imap_name_changed(c, c->name, c->name) &&
        imap_oldname_send(c, c->name, c->spelled, f) != R_OK)
        return R_FAIL;
    return imap_sync_expunged(c, f);
}

static enum result
run_replace(struct imap_command *c, struct fault *f)
{
    struct imap_append a;
    if (parse_number_of(c, f) != R_OK || check_message(c, f) != R_OK ||
        imap_mailbox_access(c, RIGHT_INSERT, f) != R_OK)
        return R_FAIL;
    imap_append_init(&a, c);
    enum result r = replace(&a, f);
    imap_append_done(&a);
    return r;
}

static const struct imap_verb verbs[] = {
    {"REPLACE", ARGS_OWN, IMAP_SELECTED, VERB_UID | VERB_CHANGES | VERB_TRYCREATE,
     RIGHT_DELETED | RIGHT_EXPUNGE, run_replace},
    {.name = NULL},
};

const struct imap_ext imap_ext_replace = {
    .name = "replace",
    .rfc = "RFC 8508",
    .capability = "REPLACE",
    .verbs = verbs,
};
