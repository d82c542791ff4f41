// Submission sessions after login: replies that parse, the same and the same envelopes in whatever pieces the octets come; no more mails
// than ends of one were sent, and none with a header in which another would find a second From, or a Bcc. A first octet beyond
// ASCII says what the server is like: what it tells, what it lets, what it fails at.
#include "mime/header.h"
#include "relay/link.h"
#include "served.h"
#include "submission/inside.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    struct span in;
    size_t step;
    struct buf *out;
    unsigned mails;
    uint8_t how;
};

enum { TELLS = 1, READ_ONLY = 2, NO_RELAY = 4, NO_URLS = 8, FAILS = 16, NO_MORE = 7 };

static struct input *now;

static enum result
may(void *arg, struct span text, struct fault *f)
{
    (void)arg;
    if (text.p[0] == 't')
        return fault_set(f, FAULT_UNAVAILABLE, "later");
    return text.p[0] == 'x' ? R_NONE : R_OK;
}

static enum result
go_on(void *arg, size_t recipients, bool sent, struct fault *f)
{
    (void)arg;
    if (sent && (now->how & 0x7f) / FAILS == NO_MORE)
        return fault_set(f, FAULT_TOOSOON, "later");
    return recipients > 20 ? fault_set(f, FAULT_TOOSOON, "later") : R_OK;
}

static enum result
send_on(void *arg, const struct relay_envelope *e, const struct submission_letter *letter,
        uint64_t *id_out, struct fault *f)
{
    struct mime_header_iter it = mime_header_begin(letter->head);
    struct mime_header h;
    static const enum fault_kind faults[] = {FAULT_TOOBIG, FAULT_CANNOT, FAULT_TOOSOON,
                                             FAULT_BAD,    FAULT_LIMIT,  FAULT_DISK};
    unsigned from = 0, fails = (now->how & 0x7f) / FAILS;
    (void)arg;
    must(span_starts(letter->head, now->how & TELLS ? SPAN("Received: from ")
                                                    : SPAN("Received: by h with ")));
    must(!(now->how & (READ_ONLY | NO_RELAY)));
    must(span_find(letter->head, SPAN("\r\n\r\n")) == letter->head.n - 4);
    must(e->to_count > 0 && letter->at <= intake_size(letter->body));
    while (mime_header_next(&it, &h) == R_OK) {
        from += span_ieq(h.name, SPAN("From"));
        must(!span_ieq(h.name, SPAN("Bcc")));
    }
    must(from == 1);
    for (size_t i = 0; i < e->to_count; i++)
        buf_put(now->out, e->to[i].address);
    if (fails > 0)
        return fault_set(f, faults[fails - 1], "it fails");
    *id_out = ++now->mails;
    return R_OK;
}

static void
not_sent(void *arg, size_t recipients)
{
    (void)arg;
    must(recipients > 0 && now->how >= FAILS);
}

static void
start(struct served *s, struct conn *server)
{
    const bool tells = now->how & TELLS;
    const struct submission_host host = {.mail = s->mail,
                                         .hostname = "h",
                                         .domain = SPAN("d.e"),
                                         .may_send = may,
                                         .is_somebody = may,
                                         .is_local = may,
                                         .may_go_on = go_on,
                                         .was_not_sent = not_sent,
                                         .send = send_on,
                                         .users = &served_url_users,
                                         .own_urls = !(now->how & NO_URLS),
                                         .read_only = now->how & READ_ONLY,
                                         .tells_client = tells,
                                         .arg = s};
    struct mail_user *user;
    struct fault f;
    must(mail_user_open(s->mail, 7, SPAN("alice"), &user, &f) == R_OK);
    const struct handover h = {.client_id = SPAN("c"),
                               .tls.kind = tells ? TLS_IMPLICIT : TLS_NONE,
                               .remote = tells ? SPAN("192.0.2.1") : SPAN("")};
    submission_session_start(server, user, &h, &host);
}

static unsigned
count(struct span text, struct span what)
{
    unsigned n = 0;
    for (size_t at; (at = span_ifind(text, what)) < text.n; n++)
        text = span_skip(text, at + 1);
    return n;
}

// EHLO tells the time.
static void
put_replies(struct span text, struct buf *out)
{
    struct span line;
    must(span_ends(text, SPAN("\r\n")));
    text.n--;
    while (span_next_field(&text, '\n', &line) == R_OK) {
        must(line.n > 4 && line.p[0] >= '2' && line.p[0] <= '5' &&
             (line.p[3] == ' ' || line.p[3] == '-'));
        if (!span_starts(line, SPAN("250-FUTURERELEASE")))
            buf_put(out, line);
    }
}

static void
session(struct served *s)
{
    struct input *i = s->arg;
    struct buf raw;
    now = i;
    relay_set(!(i->how & NO_RELAY));
    buf_init(&raw, SIZE_MAX);
    served_deliver(s, 7, "Subject: one\r\n\r\nbody\r\n", 1);
    served_talk(s, start, i->in, i->step, &raw);
    put_replies(buf_span(&raw), i->out);
    must(i->mails <= count(i->in, SPAN("\n.\r\n")) + count(i->in, SPAN("LAST")));
    served_check_inbox(s);
    buf_done(&raw);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf whole, cut;
    must(!submission_may_be_shown(span_of(data, size)) ||
         !span_istarts(span_of(data, size), SPAN("AUTH ")));
    uint8_t how = size > 0 && data[0] > 0x7f ? data[0] & 0x7f : 0;
    struct span in = span_skip(span_of(data, size), how > 0);
    buf_init(&whole, SIZE_MAX);
    buf_init(&cut, SIZE_MAX);
    served_run(session, &(struct input){in, in.n + 1, &whole, 0, how});
    served_run(session, &(struct input){in, in.n / 7 + 1, &cut, 0, how});
    must(span_eq(buf_span(&whole), buf_span(&cut)));
    buf_done(&whole);
    buf_done(&cut);
    return 0;
}
