#include "auth/name.h"
#include "base/limits.h"

#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/ustring.h>

enum { UNITS_MAX = LIMIT_password + LIMIT_user_name };

struct units {
    UChar u[UNITS_MAX];
    int32_t n;
};

static enum result
decode(struct span s, struct units *out)
{
    UErrorCode e = U_ZERO_ERROR;
    u_strFromUTF8(out->u, UNITS_MAX, &out->n, s.p, (int32_t)s.n, &e);
    return U_SUCCESS(e) && out->n < UNITS_MAX ? R_OK : R_FAIL;
}

static enum result
nfc(const struct units *in, struct units *out)
{
    UErrorCode e = U_ZERO_ERROR;
    const UNormalizer2 *n = unorm2_getNFCInstance(&e);
    out->n = unorm2_normalize(n, in->u, in->n, out->u, UNITS_MAX, &e);
    return U_SUCCESS(e) ? R_OK : R_FAIL;
}

static bool
is_wide(UChar32 c)
{
    int32_t width = u_getIntPropertyValue(c, UCHAR_EAST_ASIAN_WIDTH);
    return width == U_EA_FULLWIDTH || width == U_EA_HALFWIDTH;
}

// RFC 8265 section 3.3.2, rule 1: full-width and half-width forms become their decompositions.
static enum result
map_width(const struct units *in, struct units *out)
{
    UErrorCode e = U_ZERO_ERROR;
    const UNormalizer2 *nfkc = unorm2_getNFKCInstance(&e);
    out->n = 0;
    for (int32_t i = 0; i < in->n && U_SUCCESS(e);) {
        UChar32 c;
        U16_NEXT(in->u, i, in->n, c);
        UChar *to = out->u + out->n;
        int32_t room = UNITS_MAX - out->n;
        int32_t got = is_wide(c) ? unorm2_getRawDecomposition(nfkc, c, to, room, &e) : -1;
        if (got < 0) {
            UBool over = false;
            got = 0;
            U16_APPEND(to, got, room, c, over);
            if (over)
                return R_FAIL;
        }
        out->n += got;
    }
    return U_SUCCESS(e) ? R_OK : R_FAIL;
}

static enum result
lower(const struct units *in, struct units *out)
{
    UErrorCode e = U_ZERO_ERROR;
    out->n = u_strToLower(out->u, UNITS_MAX, in->u, in->n, "", &e);
    return U_SUCCESS(e) ? R_OK : R_FAIL;
}

static bool
is_allowed(UChar32 c)
{
    // control, format, unassigned; spaces
    const uint32_t refused = U_GC_C_MASK | U_GC_Z_MASK;
    return c != '/' && !(U_GET_GC_MASK(c) & refused);
}

static bool
all_allowed(const struct units *s)
{
    for (int32_t i = 0; i < s->n;) {
        UChar32 c;
        U16_NEXT(s->u, i, s->n, c);
        if (!is_allowed(c))
            return false;
    }
    return s->n > 0;
}

static enum result
map_once(struct span s, struct name *out)
{
    struct units a, b;
    if (decode(s, &a) || map_width(&a, &b) || lower(&b, &a) || nfc(&a, &b) ||
        !all_allowed(&b))
        return R_FAIL;
    UErrorCode e = U_ZERO_ERROR;
    int32_t n = 0;
    u_strToUTF8(out->text, NAME_MAX_SIZE, &n, b.u, b.n, &e);
    if (U_FAILURE(e) || n > LIMIT_user_name)
        return R_FAIL;
    out->n = (size_t)n;
    return R_OK;
}

static bool
is_plain_ascii(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] >= 0x7f || s.p[i] == '/')
            return false;
    return true;
}

static void
ascii_to_name(struct span s, struct name *out)
{
    for (size_t i = 0; i < s.n; i++)
        out->text[i] = ascii_lower(s.p[i]);
    out->text[s.n] = '\0';
    out->n = s.n;
}

enum result
name_of(struct span s, struct name *out, struct fault *f)
{
    struct name once, twice;
    if (s.n == 0 || s.n > LIMIT_user_name)
        return fault_set(f, FAULT_BAD, "user name is empty or longer than %d octets",
                         LIMIT_user_name);
    if (is_plain_ascii(s)) {
        ascii_to_name(s, out);
        return R_OK;
    }
    if (map_once(s, &once) || map_once(name_span(&once), &twice) ||
        !span_eq(name_span(&once), name_span(&twice)))
        return fault_set(f, FAULT_BAD, "user name holds characters that are not allowed");
    *out = once;
    return R_OK;
}

static bool
is_ignored(const struct units *s)
{
    for (int32_t i = 0; i < s->n;) {
        UChar32 c;
        U16_NEXT(s->u, i, s->n, c);
        if (u_hasBinaryProperty(c, UCHAR_DEFAULT_IGNORABLE_CODE_POINT))
            return true;
    }
    return false;
}

bool
name_is_distinct(struct span name)
{
    struct units u;
    UErrorCode e = U_ZERO_ERROR;
    if (is_plain_ascii(name))
        return true;
    if (decode(name, &u))
        return false;
    const UNormalizer2 *nfkc = unorm2_getNFKCInstance(&e);
    return unorm2_isNormalized(nfkc, u.u, u.n, &e) && U_SUCCESS(e) && !is_ignored(&u);
}

static void
map_spaces(struct units *s)
{
    for (int32_t i = 0; i < s->n; i++)
        if (s->u[i] > 0x7f && u_charType(s->u[i]) == U_SPACE_SEPARATOR)
            s->u[i] = ' ';
}

void
name_opaque(struct span password, struct buf *out)
{
    struct units a, b;
    UErrorCode e = U_ZERO_ERROR;
    int32_t n = 0;
    bool mapped = false;
    if (password.n <= LIMIT_password && !decode(password, &a)) {
        map_spaces(&a);
        char *room = nfc(&a, &b) ? NULL : buf_reserve(out, (size_t)b.n * 3 + 1);
        if (room)
            u_strToUTF8(room, b.n * 3 + 1, &n, b.u, b.n, &e);
        mapped = room && U_SUCCESS(e);
    }
    if (mapped)
        out->n += (size_t)n;
    else
        buf_put(out, password);
}

void
name_warm(void)
{
    struct name n;
    struct fault f;
    must(name_of(SPAN("\xef\xbc\xa1\xc3\x9c"), &n, &f) == R_OK);
}
