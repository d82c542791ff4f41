// A session behind COMPRESS (RFC 4978): any octets for compressed ones are answered, up to where they are damaged, in a
// stream that unpacks to responses, in whatever pieces they come.
#include "served.h"

#include <zlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char begin[] = "c COMPRESS DEFLATE\r\n",
                  answer[] = "\r\nc OK DEFLATE active\r\n";
enum { OUT_MAX = 1 << 24 };

struct input {
    struct span in;
    size_t step;
};

static void
unpack(struct span packed, struct buf *out)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)packed.p, .avail_in = (uInt)packed.n};
    must(inflateInit2(&z, -15) == Z_OK);
    z.next_out = (Bytef *)buf_reserve(out, OUT_MAX);
    z.avail_out = OUT_MAX;
    int rc = inflate(&z, Z_SYNC_FLUSH);
    must((rc == Z_OK || rc == Z_BUF_ERROR) && z.avail_in == 0);
    out->n += OUT_MAX - z.avail_out;
    must(inflateEnd(&z) == Z_OK);
}

static void
session(struct served *s)
{
    struct input *i = s->arg;
    struct buf raw, text;
    buf_init(&raw, SIZE_MAX);
    buf_init(&text, SIZE_MAX);
    served_talk(s, served_imap, i->in, i->step, &raw);
    size_t at = span_find(buf_span(&raw), span_str(answer));
    must(at < raw.n);
    unpack(span_skip(buf_span(&raw), at + sizeof answer - 1), &text);
    served_check_imap(buf_span(&text));
    served_check_inbox(s);
    buf_done(&text);
    buf_done(&raw);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf in;
    buf_init(&in, SIZE_MAX);
    buf_put_str(&in, begin);
    buf_put(&in, span_of(data, size));
    served_run(session, &(struct input){buf_span(&in), in.n + 1});
    served_run(session, &(struct input){buf_span(&in), in.n / 7 + 1});
    buf_done(&in);
    return 0;
}
