// LMTP sessions: replies that parse, the same and the same mail in whatever pieces the octets come, and no more messages
// than ends of one (CRLF.CRLF, BDAT LAST) were sent for each recipient.
#include "lmtp/lmtp.h"
#include "served.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    struct span in;
    size_t step;
    struct buf *out;
};

static enum result
find_user(void *arg, struct span address, uint64_t *account_out, struct buf *user_out,
          struct buf *detail_out, struct fault *f)
{
    (void)arg, (void)detail_out;
    if (address.n == 0 || address.p[0] == 'x')
        return R_NONE;
    if (address.p[0] == 't')
        return fault_set(f, FAULT_UNAVAILABLE, "later");
    *account_out = 7;
    buf_put_str(user_out, "alice");
    return R_OK;
}

static struct lmtp_host host = {.hostname = "h", .find_user = find_user};

static void
start(struct served *s, struct conn *server)
{
    host.mail = s->mail;
    lmtp_session_start(server, &host, SPAN("127.0.0.1"));
}

static unsigned
count(struct span text, struct span what)
{
    unsigned n = 0;
    for (size_t at; (at = span_ifind(text, what)) < text.n; n++)
        text = span_skip(text, at + 1);
    return n;
}

static void
check_replies(struct span text)
{
    struct span line;
    must(text.n > 0 && span_ends(text, SPAN("\r\n")));
    text.n--;
    while (span_next_field(&text, '\n', &line) == R_OK)
        must(line.n > 4 && line.p[0] >= '2' && line.p[0] <= '5' &&
             ascii_is_digit(line.p[1]) && ascii_is_digit(line.p[2]) &&
             (line.p[3] == ' ' || line.p[3] == '-'));
}

static void
session(struct served *s)
{
    struct input *i = s->arg;
    struct buf said, raw;
    buf_init(&said, SIZE_MAX);
    buf_init(&raw, SIZE_MAX);
    served_deliver(s, 7, "\r\n", 0);
    served_talk(s, start, i->in, i->step, &said);
    check_replies(buf_span(&said));
    must(lmtp_session_count() == 0);
    served_talk(s, served_imap,
                SPAN("a EXAMINE INBOX\r\nb FETCH 1:* (RFC822.SIZE BODY[TEXT])\r\n"),
                SIZE_MAX, &raw);
    unsigned ends = count(i->in, SPAN("\r\n.\r\n")) + count(i->in, SPAN("LAST"));
    unsigned saved = count(buf_span(&said), SPAN("> Saved"));
    must(saved <= ends * (count(i->in, SPAN("RCPT")) + 1));
    char exists[64];
    snprintf(exists, sizeof exists, "\r\n* %u EXISTS\r\n", saved + 1);
    must(span_find(buf_span(&raw), span_str(exists)) < raw.n);
    served_mask(buf_span(&said), i->out);
    served_mask(buf_span(&raw), i->out);
    buf_done(&said);
    buf_done(&raw);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf in, whole, cut;
    buf_init(&in, SIZE_MAX);
    buf_init(&whole, SIZE_MAX);
    buf_init(&cut, SIZE_MAX);
    if (size > 0 && data[0] != 'L')  // most inputs begin behind the envelope
        buf_put_str(&in, "LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\n");
    buf_put(&in, span_of(data, size));
    served_run(session, &(struct input){buf_span(&in), in.n + 1, &whole});
    served_run(session, &(struct input){buf_span(&in), in.n / 7 + 1, &cut});
    must(span_eq(buf_span(&whole), buf_span(&cut)));
    buf_done(&in);
    buf_done(&whole);
    buf_done(&cut);
    return 0;
}
