// LMTP sessions: replies that parse, the same and the same mail in whatever pieces the octets come, and no more messages
// than ends of one (CRLF.CRLF, BDAT LAST) were sent.
#include "lmtp/lmtp.h"
#include "mail/filter.h"
#include "served.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Of one session.
static bool has_relay;
static unsigned onward;

struct input {
    struct span in;
    size_t step;
    struct buf *out;
};

static enum result
resolve(void *arg, struct span address, bool arriving, struct arena *a,
        struct lmtp_targets *out, struct fault *f)
{
    (void)arg, (void)arriving;
    if (address.n == 0 || address.p[0] == 'x')
        return R_NONE;
    if (address.p[0] == 't')
        return fault_set(f, FAULT_UNAVAILABLE, "later");
    // Of two mailboxes one is asked for twice, or the other is elsewhere.
    bool both = address.p[0] == 'b', elsewhere = strchr("euc", address.p[0]);
    size_t n = address.p[0] == 'm' || both ? 2 : 1;
    struct lmtp_target *targets = arena_array(a, n, sizeof *targets);
    for (size_t i = 0; i < n; i++)
        targets[i] = elsewhere || (both && i == 1)
                         ? (struct lmtp_target){.name = address}
                         : (struct lmtp_target){.account = 7,
                                                .name = SPAN("alice"),
                                                .detail = SPAN(""),
                                                .size_max = address.p[0] == 's' ? 100 : 0};
    *out = (struct lmtp_targets){targets, n};
    return R_OK;
}

static bool
can_send(void *arg)
{
    (void)arg;
    return has_relay;
}

static enum result
send_on(void *arg, const struct filter_letter *l, struct fault *f)
{
    (void)arg;
    must(has_relay && l->n > 0 && l->head.n + l->text.n > 0);
    if (l->to[0].p[0] == 'u')
        return fault_set(f, FAULT_UNAVAILABLE, "later");
    if (l->to[0].p[0] == 'c')
        return fault_set(f, FAULT_CANNOT, "never");
    onward += !l->is_report;
    return R_OK;
}

static struct lmtp_host host = {
    .hostname = "h", .resolve = resolve, .can_send = can_send, .send = send_on};

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
    onward = 0;
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
    // one mailbox gets a message once, however many recipients lead there
    size_t at = span_find(buf_span(&raw), SPAN(" EXISTS\r\n"));
    struct span before = span_slice(buf_span(&raw), 0, at);
    uint32_t exists = 0;
    must(at < raw.n &&
         span_to_u32(span_skip(before, span_behind_last(before, ' ')), &exists) == R_OK);
    must(exists >= 1 + (saved > 0 && onward == 0) && exists <= 1 + saved &&
         exists <= 1 + ends);
    served_mask(buf_span(&said), i->out);
    // EXAMINE tells a modseq, and what the account remembers of a delivery takes one a moment later (mail/delivered.h).
    served_mask(span_skip(buf_span(&raw), span_find(buf_span(&raw), SPAN("* 1 FETCH"))),
                i->out);
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
    has_relay = size == 0 || data[0] != 'l';
    if (size > 0 && data[0] != 'L' &&
        data[0] != 'l')  // most inputs begin behind the envelope
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
