#include "mime/charset.h"

#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/utf8.h>

static void
put_code_point(struct buf *out, UChar32 c)
{
    char octets[4];
    int32_t n = 0;
    UBool error = false;

    U8_APPEND((uint8_t *)octets, n, 4, c, error);
    if (!error)
        buf_put(out, span_of(octets, (size_t)n));
}

// RFC 5051 section 2: the titlecase of the character, then its full (compatibility) decomposition.
static void
put_folded(struct buf *out, const UNormalizer2 *nfkd, UChar32 c)
{
    UChar decomposed[32];
    UErrorCode error = U_ZERO_ERROR;

    c = u_totitle(c);
    int32_t n = nfkd ? unorm2_getDecomposition(nfkd, c, decomposed, 32, &error) : -1;
    if (n < 0 || U_FAILURE(error)) {
        put_code_point(out, c);
        return;
    }
    for (int32_t i = 0; i < n;) {
        U16_NEXT(decomposed, i, n, c);
        put_code_point(out, c);
    }
}

void
mime_fold(struct buf *out, struct span utf8)
{
    UErrorCode error = U_ZERO_ERROR;
    const UNormalizer2 *nfkd = unorm2_getNFKDInstance(&error);

    for (size_t i = 0; i < utf8.n;) {
        if (!(utf8.p[i] & 0x80)) {
            buf_put_char(out, ascii_upper(utf8.p[i++]));
            continue;
        }
        size_t n = utf8.n - i < 4 ? utf8.n - i : 4;
        int32_t at = 0;
        UChar32 c;
        U8_NEXT((const uint8_t *)utf8.p + i, at, (int32_t)n, c);
        put_folded(out, nfkd, c < 0 ? 0xFFFD : c);
        i += (size_t)at;
    }
}
