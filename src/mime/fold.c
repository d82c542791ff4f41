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

// The ASCII at the front of `in`, in capitals; returns how many octets that were.
static size_t
put_ascii(struct buf *out, struct span in)
{
    size_t n = 0;

    while (n < in.n && !(in.p[n] & 0x80))
        n++;
    char *room = n > 0 ? buf_reserve(out, n) : NULL;
    if (!room)
        return n;
    for (size_t i = 0; i < n; i++)
        room[i] = ascii_upper(in.p[i]);
    out->n += n;
    return n;
}

void
mime_fold(struct buf *out, struct span utf8)
{
    UErrorCode error = U_ZERO_ERROR;
    const UNormalizer2 *nfkd = unorm2_getNFKDInstance(&error);

    while (utf8.n > 0) {
        size_t ascii = put_ascii(out, utf8);
        utf8 = span_skip(utf8, ascii);
        if (utf8.n == 0)
            break;
        int32_t at = 0;
        UChar32 c;
        U8_NEXT((const uint8_t *)utf8.p, at, (int32_t)(utf8.n < 4 ? utf8.n : 4), c);
        put_folded(out, nfkd, c < 0 ? 0xFFFD : c);
        utf8 = span_skip(utf8, (size_t)at);
    }
}
