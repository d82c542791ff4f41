// Whole POP3 sessions after login: any octets are answered in whole lines, the same in whatever pieces they come, and IMAP finds
// the mailbox in order afterwards, as it was where the password may only read. And the same octets as a message: dots and lines, however it is cut.
#include "served.h"
#include "base/hex.h"
#include "pop3/downgrade.h"
#include "pop3/inside.h"
#include "pop3/preauth.h"
#include "pop3/session.h"
#include "pop3/stuff.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LARGE = 140000 };  // more than is read at once

struct input {
    struct span in;
    size_t step;
    struct buf *out;
    bool read_only;
};

static void
start(struct served *s, struct conn *server)
{
    struct mail_user *user;
    struct fault f;
    must(mail_user_open(s->mail, 7, SPAN("alice"), &user, &f) == R_OK);
    bool read_only = ((const struct input *)s->arg)->read_only;
    pop3_session_start(
        server, user,
        &(struct handover){.offered = SPAN("USER\r\n"), .mode = read_only ? POP3_UTF8 : 0},
        &(struct pop3_host){.policy = {.marks_seen = !read_only, .read_only = read_only}});
}

static void
check_lines(struct span out)
{
    struct span line;
    while (span_next_field(&out, '\n', &line) == R_OK)
        must((line.n == 0 && out.n == 0) || span_ends(line, SPAN("\r")));
}

// Unique ids have UIDVALIDITY, which is the time: runs of 16 and more hexadecimal digits become '#'.
static void
mask(struct span in, struct buf *out)
{
    for (size_t i = 0, n; i < in.n; i += n) {
        for (n = 0; i + n < in.n && hex_digit(in.p[i + n]) >= 0; n++)
            ;
        if (n >= 16)
            buf_put_char(out, '#');
        else
            buf_put(out, span_slice(in, i, i + (n = n ? n : 1)));
    }
}

static void
deliver_large(struct served *s)
{
    char *text = calloc(1, LARGE + 1);
    must(text != NULL);
    memset(text, 'x', LARGE);
    memcpy(text, "Subject: \303\274\n\n", 13);
    for (size_t i = 80; i < LARGE; i += 80)
        memcpy(text + i, i % 3 ? "\n." : "\r\n", 2);
    served_deliver(s, 7, text, 0);
    free(text);
}

static void
fetch(struct served *s, struct buf *out)
{
    served_talk(s, served_imap,
                SPAN("a EXAMINE INBOX\r\nb FETCH 1:* (UID FLAGS RFC822.SIZE)\r\n"),
                SIZE_MAX, out);
}

static void
reader(struct served *s)
{
    struct input *i = s->arg;
    struct buf raw, before, after;
    buf_init(&raw, SIZE_MAX);
    buf_init(&before, SIZE_MAX);
    buf_init(&after, SIZE_MAX);
    served_deliver(s, 7, "Subject: gr\303\274n\r\n\r\n.\r\n", 0);
    deliver_large(s);
    fetch(s, &before);
    served_talk(s, start, i->in, i->step, &raw);
    check_lines(buf_span(&raw));
    fetch(s, &after);
    must(span_eq(buf_span(&before), buf_span(&after)));
    buf_done(&raw);
    buf_done(&before);
    buf_done(&after);
}

static void
session(struct served *s)
{
    struct input *i = s->arg;
    struct buf raw;
    buf_init(&raw, SIZE_MAX);
    served_deliver(s, 7, "From: a@b.c\r\nSubject: one\r\n\r\nbody\r\n", 1);
    served_deliver(s, 7, "Subject: gr\303\274n\r\nTo: \303\274@b.c\r\n\r\n.\n.x\r\n", 0);
    served_deliver(s, 7, "To: x:;", 8);
    served_talk(s, start, i->in, i->step, &raw);
    check_lines(buf_span(&raw));
    served_check_inbox(s);
    mask(buf_span(&raw), i->out);
    buf_done(&raw);
}

static void
stuff(struct span in, size_t step, struct buf *out)
{
    struct pop3_stuff s = {0};
    while (in.n > 0) {
        must(!pop3_stuff_feed(&s, span_slice(in, 0, step), out));
        in = span_skip(in, step);
    }
    pop3_stuff_end(&s, out);
}

static void
message(struct span in)
{
    struct buf whole, cut;
    buf_init(&whole, SIZE_MAX);
    buf_init(&cut, SIZE_MAX);
    stuff(in, in.n + 1, &whole);
    stuff(in, 1, &cut);
    must(span_eq(buf_span(&whole), buf_span(&cut)));
    check_lines(buf_span(&whole));
    must(span_ends(buf_span(&whole), SPAN(".\r\n")));
    if (pop3_is_plain(in))
        must(span_eq(span_slice(buf_span(&whole), 0, whole.n - 3), in));
    buf_reset(&cut);
    pop3_downgrade(span_slice(in, 0, pop3_header_size(in)), &cut);
    for (size_t i = 0; i < cut.n; i++)
        must((unsigned char)cut.p[i] < 0x80);
    buf_done(&whole);
    buf_done(&cut);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf whole, cut;
    message(span_of(data, size));
    must(!pop3_is_known(span_of(data, size)) ||
         !span_istarts(span_of(data, size), SPAN("PASS")));
    buf_init(&whole, SIZE_MAX);
    buf_init(&cut, SIZE_MAX);
    served_run(session, &(struct input){span_of(data, size), size + 1, &whole, false});
    served_run(session, &(struct input){span_of(data, size), size / 7 + 1, &cut, false});
    must(span_eq(buf_span(&whole), buf_span(&cut)));
    served_run(reader, &(struct input){span_of(data, size), size + 1, NULL, true});
    buf_done(&whole);
    buf_done(&cut);
    return 0;
}
