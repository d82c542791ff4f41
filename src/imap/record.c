// Who looks on at a session (rawlog). Of what the client says only commands that this server knows are shown: after login
// nobody has a password to send, so what looks like one was meant for another place, or comes too early.
#include "imap/response.h"

#include "base/audit.h"
#include "wire/url.h"

static void
put(const struct imap_session *s, bool by_client, struct span text)
{
    s->recorder->put(s->recorder->arg, by_client, text);
}

static void
show(const struct imap_session *s, bool by_client, const char *before, struct span text)
{
    struct buf b;
    buf_init(&b, SIZE_MAX);
    buf_put_str(&b, before);
    url_put_masked(&b, text);
    if (b.n > 0)
        put(s, by_client, buf_span(&b));
    buf_done(&b);
}

// What is not understood may be a secret in the place of a tag: the answer would tell it.
static void
on_output(void *arg, struct span text)
{
    const struct imap_session *s = arg;
    const struct imap_command *c = s->command;
    bool unknown = c && !c->verb && c->tag.n > 0 && span_starts(text, c->tag);
    show(s, false, unknown ? "[hidden]" : "", span_skip(text, unknown ? c->tag.n : 0));
}

void
imap_record(struct imap_session *s, const struct served_recorder *r)
{
    s->recorder = r;
    conn_tap(s->conn, r ? on_output : NULL, s);
}

void
imap_record_refused(struct imap_session *s, size_t octets)
{
    char note[64];
    snprintf(note, sizeof note, "[%zu octets hidden]\r\n", octets);
    put(s, true, span_str(note));
}

void
imap_record_piece(struct imap_session *s, struct span text)
{
    show(s, true, "", text);
}

static bool
is_known(const struct imap_session *s, struct span text)
{
    const struct span uid = SPAN("UID ");
    struct span rest = span_skip(text, span_find_char(text, ' ') + 1);
    bool by_uid = span_istarts(rest, uid);
    size_t n = 0;
    if (by_uid)
        rest = span_skip(rest, uid.n);
    while (n < rest.n && rest.p[n] != ' ' && rest.p[n] != '\r' && rest.p[n] != '\n')
        n++;
    struct span verb = span_slice(rest, 0, n);
    return imap_verb_find(s, verb, by_uid) != NULL && !span_ieq(verb, SPAN("LOGIN")) &&
           !span_ieq(verb, SPAN("AUTHENTICATE"));
}

void
imap_record_command(struct imap_session *s, struct span text)
{
    if (is_known(s, text))
        show(s, true, "", text);
    else
        imap_record_refused(s, text.n);
}

void
imap_audit_expunged(const struct imap_command *c, uint64_t messages)
{
    const struct imap_session *s = c->session;
    if (messages == 0)
        return;
    log_audit(EXPUNGED, "imap", "expunged", log_user(mail_user_name(s->user)),
              log_session(s->id), field_str("command", "command=%", c->verb->name),
              field_number("messages", "messages=%", messages),
              field_text("owner", "owner=<%>", account_user(view_account(s->view))),
              field_str("mailbox", "mailbox=<%>", s->mailbox ? s->mailbox : ""));
}
