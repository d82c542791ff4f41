#include "mime/charset.h"

#include <pthread.h>
#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/utf16.h>

#include "base/utf8.h"
#include "mime/utf8.h"

// The folded forms of the plane that nearly all text is of, in blocks of 64 characters. Blocks in
// which every character is its own form (ideographs) are not kept; forms that are too long for a
// row, and Korean syllables, are computed.
enum { BMP_END = 0x10000, BLOCK = 64, BLOCKS_MAX = 200, KEPT_NOT = 0, COMPUTED = 255 };
enum { HANGUL = 0xAC00, HANGUL_END = HANGUL + 11172 };

struct form {
    char octets[7];
    uint8_t n;  // COMPUTED: no row
};

struct folds {
    uint8_t block_of[BMP_END / BLOCK];  // KEPT_NOT: all the same; COMPUTED
    struct form blocks[BLOCKS_MAX][BLOCK];
    uint64_t mixed[BMP_END /
                   BLOCK];  // a bit for each character whose form has ASCII, or is empty
    uint8_t used;           // block 0 is never used
};

static struct folds casemap_folds, fuzzy_folds;
static pthread_once_t casemap_once = PTHREAD_ONCE_INIT, fuzzy_once = PTHREAD_ONCE_INIT;

// What people take for one letter, beyond what decomposes.
static const struct {
    uint16_t from;
    const char *to;
} alike[] = {
    {0x00C6, "AE"}, {0x00D0, "D"},  {0x00D8, "O"},  {0x00DE, "TH"}, {0x00DF, "SS"},
    {0x0110, "D"},  {0x0126, "H"},  {0x0138, "K"},  {0x0141, "L"},  {0x014A, "N"},
    {0x0152, "OE"}, {0x0166, "T"},  {0x0197, "I"},  {0x01B5, "Z"},  {0x01E4, "G"},
    {0x0243, "B"},  {0x1E9E, "SS"}, {0x02BC, "'"},  {0x2010, "-"},  {0x2011, "-"},
    {0x2012, "-"},  {0x2013, "-"},  {0x2014, "-"},  {0x2015, "-"},  {0x2018, "'"},
    {0x2019, "'"},  {0x201B, "'"},  {0x201C, "\""}, {0x201D, "\""}, {0x201F, "\""},
    {0x2212, "-"},
};

// RFC 5051 section 2 (2): the titlecase of the character, then its full decomposition.
static void
casemap_point(struct buf *out, UChar32 c)
{
    UErrorCode error = U_ZERO_ERROR;
    const UNormalizer2 *nfkd = unorm2_getNFKDInstance(&error);
    UChar decomposed[32];

    c = u_totitle(c);
    int32_t units = unorm2_getDecomposition(nfkd, c, decomposed, 32, &error);
    must(U_SUCCESS(error));
    if (units < 0)
        utf8_put(out, (uint32_t)c);
    for (int32_t i = 0; i < units;) {
        U16_NEXT_UNSAFE(decomposed, i, c);
        utf8_put(out, (uint32_t)c);
    }
}

// Accents, points and what is never seen. Voicing marks of kana and viramas tell words apart.
static bool
dropped(UChar32 c)
{
    uint8_t class = u_getCombiningClass(c);

    return (class != 0 && class != 8 && class != 9) ||
           u_hasBinaryProperty(c, UCHAR_DEFAULT_IGNORABLE_CODE_POINT);
}

static void
put_alike(struct buf *out, UChar32 c)
{
    for (size_t i = 0; i < sizeof alike / sizeof alike[0]; i++) {
        if (alike[i].from == c) {
            buf_put_str(out, alike[i].to);
            return;
        }
    }
    if (!dropped(c))
        utf8_put(out, (uint32_t)c);
}

// Folds what the first fold made once more, so that text and folded text come to the same.
static void
fuzzy_point(struct buf *out, UChar32 c)
{
    struct buf once, twice;
    uint32_t point;

    buf_init(&once, 128);
    buf_init(&twice, 256);
    casemap_point(&once, c);
    for (struct span rest = buf_span(&once); utf8_next(&rest, &point) == R_OK;)
        casemap_point(&twice, (UChar32)point);
    for (struct span rest = buf_span(&twice); utf8_next(&rest, &point) == R_OK;)
        put_alike(out, (UChar32)point);
    buf_done(&once);
    buf_done(&twice);
}

static void
put_point(struct buf *out, const struct folds *folds, UChar32 c)
{
    if (folds == &fuzzy_folds)
        fuzzy_point(out, c);
    else
        casemap_point(out, c);
}

static bool
has_ascii(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!(s.p[i] & 0x80))
            return true;
    return false;
}

// Fills a block; true: every character is its own form.
static bool
fill_block(struct folds *folds, UChar32 first, struct form *block)
{
    struct buf made, point;
    bool all_same = true;

    buf_init(&made, 256);
    buf_init(&point, 4);
    for (UChar32 c = first; c < first + BLOCK; c++) {
        struct form *form = &block[c - first];
        buf_reset(&made);
        buf_reset(&point);
        put_point(&made, folds, c);
        utf8_put(&point, (uint32_t)c);
        all_same = all_same && span_eq(buf_span(&made), buf_span(&point));
        if (made.n == 0 || has_ascii(buf_span(&made)))
            folds->mixed[first / BLOCK] |= (uint64_t)1 << (c - first);
        form->n = made.n <= sizeof form->octets ? (uint8_t)made.n : COMPUTED;
        if (form->n != COMPUTED && made.n > 0)
            memcpy(form->octets, made.p, made.n);
    }
    buf_done(&made);
    buf_done(&point);
    return all_same;
}

static void
fill_folds(struct folds *folds)
{
    folds->used = 1;
    for (UChar32 c = 0x80; c < BMP_END; c += BLOCK) {
        uint8_t *block = &folds->block_of[c / BLOCK];
        bool hangul = c >= HANGUL && c < HANGUL_END;
        if (folds->used == BLOCKS_MAX && !hangul)
            folds->mixed[c / BLOCK] = UINT64_MAX;  // not looked at
        if (folds->used == BLOCKS_MAX || hangul)
            *block = COMPUTED;
        else if (!U_IS_SURROGATE(c) && !fill_block(folds, c, folds->blocks[folds->used]))
            *block = folds->used++;
    }
}

static void
fill_casemap(void)
{
    fill_folds(&casemap_folds);
}

static void
fill_fuzzy(void)
{
    fill_folds(&fuzzy_folds);
}

static const struct folds *
folds_of(enum collation collation)
{
    bool fuzzy = collation == COLLATION_FUZZY;

    if (fuzzy)
        pthread_once(&fuzzy_once, fill_fuzzy);
    else
        pthread_once(&casemap_once, fill_casemap);
    return fuzzy ? &fuzzy_folds : &casemap_folds;
}

static void
put_capitals(struct buf *out, struct span in)
{
    char *room = in.n > 0 ? buf_reserve(out, in.n) : NULL;

    if (!room)
        return;
    for (size_t i = 0; i < in.n; i++)
        room[i] = ascii_upper(in.p[i]);
    out->n += in.n;
}

// These take the front of a text as far as it is of their kind, and return its octets.
static size_t
take_ascii(struct buf *out, struct span in)
{
    size_t n = mime_ascii_run(in);

    put_capitals(out, span_slice(in, 0, n));
    return n;
}

// One character of the tables at `to`; returns how much it made, or COMPUTED.
static size_t
known_form(const struct folds *folds, unsigned c, const char *at, size_t size, char *to)
{
    uint8_t block = folds->block_of[c / BLOCK];

    if (block == COMPUTED)
        return COMPUTED;
    if (block == KEPT_NOT) {
        memcpy(to, at, size);
        return size;
    }
    const struct form *form = &folds->blocks[block][c % BLOCK];
    memcpy(to, form->octets, sizeof form->octets);
    return form->n;
}

// The character at p, of two or three octets; their number, or 0.
static size_t
short_point(const unsigned char *p, size_t n, unsigned *c_out)
{
    if (n >= 2 && p[0] >= 0xC2 && p[0] < 0xE0 && (p[1] & 0xC0) == 0x80) {
        *c_out = (p[0] & 0x1Fu) << 6 | (p[1] & 0x3Fu);
        return 2;
    }
    if (n < 3 || (p[0] & 0xF0) != 0xE0 || (p[1] & 0xC0) != 0x80 || (p[2] & 0xC0) != 0x80)
        return 0;
    *c_out = (p[0] & 0xFu) << 12 | (p[1] & 0x3Fu) << 6 | (p[2] & 0x3Fu);
    return *c_out >= 0x800 && !U_IS_SURROGATE(*c_out) ? 3 : 0;
}

// Enough ASCII for put_capitals to be worth a call.
static bool
is_long_ascii(struct span in)
{
    uint64_t words[2];

    if (in.n < sizeof words)
        return false;
    memcpy(words, in.p, sizeof words);
    return ((words[0] | words[1]) & 0x8080808080808080u) == 0;
}

// Some words, as far as the tables know them, up to the next long run of ASCII.
static size_t
take_known(struct buf *out, const struct folds *folds, struct span in)
{
    enum { ENOUGH = 256 };
    char made[ENOUGH + sizeof(struct form)];
    size_t at = 0, n = 0;
    unsigned c;

    while (at < in.n && n < ENOUGH) {
        if (!(in.p[at] & 0x80)) {
            if (at > 0 && (in.p[at - 1] & 0x80) && is_long_ascii(span_skip(in, at)))
                break;
            made[n++] = ascii_upper(in.p[at++]);
            continue;
        }
        size_t size = short_point((const unsigned char *)in.p + at, in.n - at, &c);
        size_t got = size > 0 ? known_form(folds, c, in.p + at, size, made + n) : COMPUTED;
        if (got == COMPUTED)
            break;
        n += got;
        at += size;
    }
    buf_put(out, span_of(made, n));
    return at;
}

static void
put_jamo(char to[3], unsigned c)
{
    to[0] = (char)(0xE0 | c >> 12);
    to[1] = (char)(0x80 | (c >> 6 & 0x3F));
    to[2] = (char)(0x80 | (c & 0x3F));
}

// Korean syllables, which decompose by arithmetic (The Unicode Standard, section 3.12).
static size_t
take_hangul(struct buf *out, struct span in)
{
    size_t at = 0;
    unsigned c;

    while (short_point((const unsigned char *)in.p + at, in.n - at, &c) == 3 &&
           c >= HANGUL && c < HANGUL_END) {
        unsigned tail = (c - HANGUL) % 28;
        char octets[9];
        put_jamo(octets, 0x1100 + (c - HANGUL) / (21 * 28));
        put_jamo(octets + 3, 0x1161 + (c - HANGUL) / 28 % 21);
        put_jamo(octets + 6, 0x11A7 + tail);
        buf_put(out, span_of(octets, tail > 0 ? 9 : 6));
        at += 3;
    }
    return at;
}

// R_FAIL: this is no UTF-8, and `out` is as it was.
static enum result
put_folded(struct buf *out, const struct folds *folds, struct span in)
{
    size_t before = out->n;
    uint32_t c;

    while (in.n > 0) {
        size_t took = take_ascii(out, in);
        took += take_known(out, folds, span_skip(in, took));
        took += take_hangul(out, span_skip(in, took));
        in = span_skip(in, took);
        if (took > 0)
            continue;
        if (utf8_next(&in, &c) != R_OK) {
            out->n = before;
            return R_FAIL;
        }
        put_point(out, folds, (UChar32)c);
    }
    return R_OK;
}

void
mime_fold_as(struct buf *out, enum collation collation, struct span utf8)
{
    if (collation == COLLATION_ASCII)
        put_capitals(out, utf8);
    else if (collation == COLLATION_OCTET ||
             put_folded(out, folds_of(collation), utf8) != R_OK)
        buf_put(out, utf8);
}

bool
mime_fold_is_apart(enum collation collation, struct span utf8)
{
    if (collation == COLLATION_ASCII || collation == COLLATION_OCTET)
        return true;
    const struct folds *folds = folds_of(collation);
    for (size_t at = 0; at < utf8.n;) {
        unsigned c;
        if (!(utf8.p[at] & 0x80)) {
            at++;
            continue;
        }
        size_t size = short_point((const unsigned char *)utf8.p + at, utf8.n - at, &c);
        if (size == 0 || (folds->mixed[c / BLOCK] >> c % BLOCK & 1))
            return false;
        at += size;
    }
    return true;
}

void
mime_fold(struct buf *out, struct span utf8)
{
    mime_fold_as(out, COLLATION_CASEMAP, utf8);
}
