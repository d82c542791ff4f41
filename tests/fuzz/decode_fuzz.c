// Transfer encodings and charsets: the same octets in other pieces give the same text, output is bounded, charsets give
// UTF-8. The first octet chooses.
#include "mime/charset.h"
#include "mime/transfer.h"
#include "mime/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum result
decode(struct span in, size_t step, unsigned how, struct buf *out)
{
    enum mime_encoding encoding = (enum mime_encoding)(how % 3);
    struct mime_decoder d = mime_decoder_of(encoding, how & 8);
    struct fault f;
    for (; in.n > 0; in = span_skip(in, step))
        if (mime_decoder_feed(&d, span_slice(in, 0, step), out, &f) != R_OK)
            return R_FAIL;
    return mime_decoder_end(&d, out, &f);
}

static void
convert(struct span name, struct span text)
{
    struct buf out;
    struct fault f;
    buf_init(&out, 1 << 20);
    if (mime_charset_to_utf8(name, text, &out, &f) == R_OK)
        must(out.over || mime_utf8_valid(buf_span(&out)));
    buf_done(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const charsets[] = {"utf-8",       "iso-8859-1", "windows-1252",
                                           "iso-2022-jp", "gb18030",    "utf-7",
                                           "koi8-r",      "utf-16"};
    unsigned how = size > 0 ? data[0] : 0;
    struct span in = span_skip(span_of(data, size), 1);
    struct buf one, all;
    buf_init(&one, SIZE_MAX);
    buf_init(&all, SIZE_MAX);
    enum result r = decode(in, 1, how, &one);
    must(decode(in, in.n + 1, how, &all) == r && (!(how & 8) || r == R_OK));
    if (r == R_OK)
        must(span_eq(buf_span(&one), buf_span(&all)));
    must(all.n <= in.n);
    convert(span_str(charsets[how >> 5]), in);
    size_t cut = span_find_char(in, '\n');
    convert(span_slice(in, 0, cut), span_skip(in, cut));
    buf_done(&one);
    buf_done(&all);
    return 0;
}
