// What a smarthost answers, and the queue's files: first octet even an answer, odd an envelope and notes.
#include "relay/queue_file.h"
#include "relay/reply.h"
#include "relay/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
answer(struct span in)
{
    struct smtp_reply r;
    struct smtp_offer o;
    struct fault f;
    size_t used = 0;
    if (smtp_reply_take(in, &r, &used, &f) != R_OK || used == 0)
        return;
    if (used > in.n || r.code < 200 || r.code > 599 || strlen(r.words) > SMTP_WORDS)
        abort();
    smtp_offer_read(span_slice(in, 0, used), &o);
}

static void
text(struct span in)
{
    struct relay_lines l;
    struct buf out;
    buf_init(&out, 2 * in.n + 16);
    relay_lines_init(&l, true);
    relay_lines_feed(&l, in, &out);
    relay_lines_end(&l, &out);
    for (size_t i = 0; i < out.n; i++)
        if ((out.p[i] == '\r') != (i + 1 < out.n && out.p[i + 1] == '\n') ||
            (out.p[i] == '.' && (i == 0 || out.p[i - 1] == '\n') &&
             (i + 1 == out.n || out.p[i + 1] != '.')))
            abort();  // a bare CR or LF, or a dot alone
    buf_done(&out);
}

static void
file(struct span in)
{
    struct queue_mail m = {0};
    struct fault f;
    struct arena *a = arena_new();
    size_t used = 0, cut = in.n > 0 ? (unsigned char)in.p[0] : 0;
    struct span envelope = span_slice(in, 1, 1 + cut);
    if (queue_head_get(span_slice(in, 0, QUEUE_HEAD), &m.head, &f) == R_OK &&
        m.head.text_n > INT64_MAX / 4)
        abort();
    if (relay_envelope_get(envelope, a, &m.envelope, &f) == R_OK) {
        m.to = arena_array(a, m.envelope.to_count, sizeof *m.to);
        if (queue_notes_fold(span_skip(in, 1 + cut), a, &m, &used, &f) == R_OK &&
            used > in.n)
            abort();
    }
    arena_free(&a);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct span in = span_of((const char *)data, n);
    if (n == 0)
        return 0;
    if (data[0] & 1)
        file(span_skip(in, 1));
    else
        answer(span_skip(in, 1));
    text(in);
    return 0;
}
