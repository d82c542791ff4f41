#include "imap/copy.h"

#include "imap/event.h"
#include "imap/messagelimit.h"
#include "imap/notify.h"
#include "imap/response.h"
#include "mail/change.h"

// RFC 9051 sections 6.4.7 and 6.4.8; COPYUID: RFC 4315 section 3. Nothing copied, or a target that may not be read: no
// COPYUID.

static enum result
parse_target(struct imap_command *c, struct mailbox_ref *ref, struct fault *f)
{
    parse_sp(&c->parse);
    struct span name = parse_mailbox(&c->parse);
    if (parse_end(&c->parse, f) != R_OK)
        return R_FAIL;
    enum result r = mail_access(c->session->user, name, RIGHT_INSERT, ref, f);
    if (r != R_OK && f->kind == FAULT_NONEXISTENT)
        f->kind = FAULT_TRYCREATE;
    return r;
}

static void
put_copyuid(struct buf *b, const struct copy_result *r)
{
    buf_printf(b, "[COPYUID %u ", r->uidvalidity);
    seqset_print(&r->source, b);
    buf_put_char(b, ' ');
    seqset_print(&r->target, b);
    buf_put_char(b, ']');
}

static void
tell_move(struct imap_session *s, const struct copy_result *r)
{
    struct buf *b = imap_line(s);
    buf_put(b, SPAN("* OK "));
    put_copyuid(b, r);
    buf_put_char(b, ' ');
    buf_put_str(b, imap_text(s->language, "Moved"));
    imap_line_send(s);
}

enum result
imap_copy(struct imap_command *c, bool move, struct fault *f)
{
    struct mailbox_ref target;
    struct copy_result r;
    if (parse_target(c, &target, f) != R_OK)
        return R_FAIL;
    if ((move ? imap_limit_newest(c, &c->set, c->by_uid, f) : imap_limit_copy(c, f)) !=
        R_OK)
        return R_FAIL;
    if (change_copy(&(struct selection){c->session->view, &c->set, c->by_uid}, &target,
                    move, c->arena, &r, f) != R_OK)
        return R_FAIL;
    for (uint32_t i = 0; i < r.target.count; i++)
        imap_notify_own(c->session, &target, r.target.ranges[i].first,
                        r.target.ranges[i].last);
    // expunged messages are at the target all the same: what they do there does not wait for their going
    if (r.count > 0)
        imap_event_copied(c, &target, &r.target);
    bool tell = r.count > 0 && (target.rights & RIGHT_READ);
    if (tell && !move) {
        put_copyuid(&c->answer, &r);
        buf_put_char(&c->answer, ' ');
        buf_put_str(&c->answer, imap_text(c->session->language, "Copied"));
    }
    if (!move)
        return R_OK;
    if (tell)  // RFC 6851 section 4.3: COPYUID comes before the EXPUNGEs
        tell_move(c->session, &r);
    return imap_sync_expunged(c, f);
}

static enum result
copy_run(struct imap_command *c, struct fault *f)
{
    return imap_copy(c, false, f);
}

static const struct imap_verb verbs[] = {
    {"COPY", ARGS_SET_MORE, IMAP_SELECTED, VERB_UID, RIGHT_READ, copy_run},
    {0},
};

const struct imap_ext imap_ext_copy = {
    .name = "copy",
    .rfc = "RFC 9051 section 6.4.7",
    .verbs = verbs,
};
