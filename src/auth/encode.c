#include "auth/encode.h"

#include <sodium.h>

void
encode_base64(struct span s, struct buf *out)
{
    size_t room = sodium_base64_encoded_len(s.n, sodium_base64_VARIANT_ORIGINAL);
    char *p = buf_reserve(out, room);
    if (!p)
        return;
    sodium_bin2base64(p, room, (const unsigned char *)s.p, s.n,
                      sodium_base64_VARIANT_ORIGINAL);
    out->n += room - 1;
}

enum result
decode_base64(struct span text, void *out, size_t max, size_t *n_out)
{
    const char *end = NULL;
    if (text.n == 0) {
        *n_out = 0;
        return R_OK;
    }
    bool padded = text.n % 4 == 0;
    int variant =
        padded ? sodium_base64_VARIANT_ORIGINAL : sodium_base64_VARIANT_ORIGINAL_NO_PADDING;
    if (sodium_base642bin(out, max, text.p, text.n, NULL, n_out, &end, variant) != 0)
        return R_FAIL;
    return end == text.p + text.n ? R_OK : R_FAIL;
}

enum result
decode_hex(struct span text, void *out, size_t max, size_t *n_out)
{
    const char *end = NULL;
    if (sodium_hex2bin(out, max, text.p, text.n, NULL, n_out, &end) != 0)
        return R_FAIL;
    return end == text.p + text.n ? R_OK : R_FAIL;
}
