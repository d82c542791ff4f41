// Whole IMAP sessions after login: any octets are answered in responses that parse, the same in whatever pieces they
// come, and another session finds the mailbox in order afterwards.
#include "served.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    struct span in;
    size_t step;
    struct buf *out;
};

static void
session(struct served *s)
{
    struct input *i = s->arg;
    struct buf raw;
    buf_init(&raw, SIZE_MAX);
    served_deliver(s, 7, "From: a@b.c\r\nSubject: one\r\n\r\nbody\r\n", 1);
    served_deliver(s, 7,
                   "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\n"
                   "\r\n--x\r\nContent-Transfer-Encoding: base64\r\n\r\nYWJj\r\n--x--\r\n",
                   0);
    served_deliver(s, 7, "To: x:;\r\n\r\n", 8);
    served_talk(s, served_imap, i->in, i->step, &raw);
    served_check_imap(buf_span(&raw));
    served_check_inbox(s);
    served_mask(buf_span(&raw), i->out);
    buf_done(&raw);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf whole, cut;
    if (span_ifind(span_of(data, size), SPAN("COMPRESS")) < size)  // compress_fuzz.c
        return 0;
    buf_init(&whole, SIZE_MAX);
    buf_init(&cut, SIZE_MAX);
    served_run(session, &(struct input){span_of(data, size), size + 1, &whole});
    served_run(session, &(struct input){span_of(data, size), size / 7 + 1, &cut});
    must(span_eq(buf_span(&whole), buf_span(&cut)));
    buf_done(&whole);
    buf_done(&cut);
    return 0;
}
