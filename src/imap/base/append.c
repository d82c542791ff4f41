#include "imap/append.h"
#include "imap/event.h"
#include "imap/list.h"
#include "imap/notify.h"

// RFC 9051 section 6.3.12; APPENDUID: RFC 4315 section 3; literal8: RFC 3516 section 4.4; several messages: RFC 3502.
// Everything that can refuse a message is checked before its literal is asked for.

static enum result
receive_all(struct imap_append *a, struct fault *f)
{
    struct parse *p = &a->c->parse;
    do {
        if (imap_append_message(a, f) != R_OK)
            return R_FAIL;
    } while (parse_peek(p) == ' ');
    return parse_end(p, f);
}

static enum result
append_all(struct imap_append *a, struct fault *f)
{
    struct imap_command *c = a->c;
    if (receive_all(a, f) != R_OK)
        return R_FAIL;
    struct intake_result *done = arena_array(c->arena, a->count, sizeof *done);
    struct intake_batch batch = {.items = a->items, .n = a->count, .by_client = true};
    if (intake_commit_all(&batch, &c->ref, done, f) != R_OK)
        return R_FAIL;
    imap_notify_own(c->session, &c->ref, done[0].uid, done[a->count - 1].uid);
    imap_append_event(a, done);
    imap_append_put_uids(a, done, &c->answer);
    if (c->answer.n > 0)
        buf_put_str(&c->answer, imap_text(c->session->language, "Appended"));
    if (!imap_name_changed(c, c->name, c->name))
        return R_OK;
    return imap_oldname_send(c, c->name, c->spelled, f);
}

static enum result
append_run(struct imap_command *c, struct fault *f)
{
    struct imap_append a;
    imap_append_init(&a, c);
    enum result r = append_all(&a, f);
    imap_append_done(&a);
    return r;
}

static const struct imap_verb verbs[] = {
    {"APPEND", ARGS_MAILBOX_MORE, IMAP_ANY, VERB_TRYCREATE, RIGHT_INSERT, append_run},
    {0},
};

const struct imap_ext imap_ext_append = {
    .name = "append",
    .rfc = "RFC 9051 section 6.3.12",
    .verbs = verbs,
};
