#include "mime/shown.h"

#include <libxml/HTMLparser.h>
#include <limits.h>

#include "base/hex.h"
#include "base/lane.h"
#include "base/utf8.h"
#include "mime/finder.h"
#include "mime/html.h"

// WIDE_MAX: octets folded at once, of which folding makes at most 11 each.
enum { PIECE_MAX = 63, WIDE_MAX = 256, FOLDED_MAX = WIDE_MAX * 11 };
// In a row: the octet is more than itself.
#define SPECIAL ((uint64_t)1 << PIECE_MAX)

static bool
is_control(char c)
{
    return (unsigned char)c < ' ' || c == 0x7F;
}

// Readers pass over control characters, over "<", "</" and the like where no tag follows, over the end of a reference; white
// space may go, too.
static bool
is_passed_over(char c)
{
    return c == ' ' || is_control(c) || c == '<' || c == '/' || c == '!' || c == '?' ||
           c == ';';
}

static bool
is_special(char c)
{
    return is_passed_over(c) || c == '>' || c == '&' || (c & 0x80);
}

void
mime_shown_init(struct mime_shown *m, struct span folded, enum collation collation)
{
    // Between elements readers put line ends of their own, so that no text is asked for across one.
    struct span piece = span_slice(mime_longest_piece(folded, is_control), 0, PIECE_MAX);
    *m = (struct mime_shown){.collation = collation};
    buf_init(&m->folded, FOLDED_MAX);
    m->last = piece.n > 0 ? (uint64_t)1 << (piece.n - 1) : 0;
    for (size_t i = 0; i < piece.n; i++)
        m->rows[(unsigned char)piece.p[i]] |= (uint64_t)1 << i;
    m->first = piece.n > 0 ? piece.p[0] : '\0';
    bool both = m->first >= 'A' && m->first <= 'Z' && collation != COLLATION_OCTET;
    m->first_mask = (char)(both ? 0xDF : 0xFF);
    for (char c = 'a'; collation != COLLATION_OCTET && c <= 'z'; c++)
        m->rows[(unsigned char)c] |= m->rows[(unsigned char)ascii_upper(c)];
    for (int c = CHAR_MIN; c <= CHAR_MAX; c++)
        if (is_special((char)c))
            m->rows[(unsigned char)c] |= SPECIAL;
}

void
mime_shown_done(struct mime_shown *m)
{
    buf_done(&m->folded);
}

void
mime_shown_begin(struct mime_shown *m)
{
    m->here = m->before_tag = m->met = 0;
    m->slice_left = MIME_HTML_SLICE;
    m->reference = (struct mime_reference){0};
}

static uint64_t
step(const struct mime_shown *m, uint64_t from, unsigned char c)
{
    return (from << 1 | 1) & m->rows[c] & ~SPECIAL;
}

// Where a text stands after these characters, which are folded; everywhere when it ends among them.
static uint64_t
step_wide(struct mime_shown *m, uint64_t from, struct span utf8)
{
    uint64_t met = 0;
    buf_reset(&m->folded);
    mime_fold_as(&m->folded, m->collation, utf8);
    for (size_t i = 0; i < m->folded.n; i++) {
        from = step(m, from, (unsigned char)m->folded.p[i]);
        met |= from;
    }
    return met & m->last ? ~SPECIAL : from;
}

// ---- references: what is written stays possible beside what it may stand for ----

// Where a text stands after this character, as it is shown.
static uint64_t
step_point(struct mime_shown *m, uint64_t from, uint32_t point)
{
    char room[8];
    struct buf b = {.p = room, .cap = sizeof room, .max = sizeof room};
    utf8_put(&b, mime_html_character(point));
    return step_wide(m, from, buf_span(&b));
}

static void
stands_for(struct mime_shown *m, uint32_t point)
{
    m->here |= step_point(m, m->reference.before, point);
}

static void
end_name(struct mime_shown *m)
{
    struct mime_reference *r = &m->reference;
    r->name[r->n] = '\0';
    const htmlEntityDesc *entity = htmlEntityLookup((const xmlChar *)r->name);
    if (entity)
        stands_for(m, entity->value);
}

static bool
take_digit(struct mime_reference *r, char c)
{
    int digit = r->kind == REF_HEX || ascii_is_digit(c) ? hex_digit(c) : -1;
    if (digit < 0)
        return false;
    if (r->number < 0x110000)
        r->number = r->number * (r->kind == REF_HEX ? 16 : 10) + (uint32_t)digit;
    return true;
}

// A number may end anywhere, as readers see it; one that is no character stands for nothing.
static void
number(struct mime_shown *m, char c)
{
    struct mime_reference *r = &m->reference;
    m->here |= r->before;
    if (r->kind == REF_NUMBER && ascii_lower(c) == 'x') {
        r->kind = REF_HEX;
        return;
    }
    r->kind = r->kind == REF_NUMBER ? REF_DECIMAL : r->kind;
    if (!take_digit(r, c))
        r->kind = REF_NONE;
    else if (r->number > 0 && r->number < 0x110000 && (r->number & ~0x7FFu) != 0xD800)
        stands_for(m, r->number);
}

// The next octet of a reference, or the first one behind it.
static void
refer(struct mime_shown *m, char c)
{
    struct mime_reference *r = &m->reference;
    bool letter = ascii_is_alpha(c) || ascii_is_digit(c);
    if (r->kind >= REF_NUMBER) {
        number(m, c);
    } else if (r->kind == REF_BEGUN && c == '#') {
        r->kind = REF_NUMBER;
        m->here |= r->before;
    } else if (letter && r->n + 1u < sizeof r->name) {
        r->kind = REF_NAME;
        r->name[r->n++] = c;
    } else {
        if (c == ';' && r->kind == REF_NAME)
            end_name(m);
        r->kind = REF_NONE;
    }
}

// ---- text ----

static void
take_special(struct mime_shown *m, char c)
{
    uint64_t before = m->here;
    if (c == '<')
        m->before_tag |= before;
    if (c == '>' || c == '\0')  // a tag ends before it, or behind it
        before |= m->before_tag;
    m->here = step(m, before, (unsigned char)c);
    if (is_passed_over(c) || c == '>')
        m->here |= before;
    if (c == '\0')  // readers may show a space
        m->here |= step(m, before, ' ');
}

// An octet of ASCII that is more than itself, or of a reference.
static void
take_octet(struct mime_shown *m, char c)
{
    uint64_t before = m->here;
    take_special(m, c);
    if (m->reference.kind != REF_NONE)
        refer(m, c);
    if (c == '&')
        m->reference = (struct mime_reference){.before = before, .kind = REF_BEGUN};
}

// Some of EF are no characters to readers, some of C2 (U+0080 to U+00BF) are others.
static bool
is_alone(char lead)
{
    return (unsigned char)lead == 0xEF || (unsigned char)lead == 0xC2;
}

// Characters that are not ASCII, at the front of what is left of a slice; returns their octets, 0 where the first is cut. Some
// come one by one.
static size_t
take_wide(struct mime_shown *m, struct span utf8)
{
    uint64_t before = m->here;
    bool alone = is_alone(*utf8.p);
    size_t n = 0, size;
    while (n < WIDE_MAX - 4 && n < utf8.n && (utf8.p[n] & 0x80) && (n == 0 || !alone) &&
           (n == 0 || !is_alone(utf8.p[n]))) {
        unsigned char c = (unsigned char)utf8.p[n];
        size = c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
        if (size > utf8.n - n)
            break;
        n += size;
    }
    m->here = alone && n == 2 ? step_point(m, before, (unsigned char)utf8.p[1])
                              : step_wide(m, before, span_slice(utf8, 0, n));
    if (alone)
        m->here |= before;
    return n;
}

static bool
may_begin(const struct mime_shown *m, char c)
{
    return (m->rows[(unsigned char)c] & 1) || c == '&' || c == '\0' || (c & 0x80) ||
           (c == '>' && m->before_tag);
}

// Octets at the front that begin nothing, where nothing is begun; returns their number. Sixteen at a time.
static size_t
take_dull(const struct mime_shown *m, struct span utf8)
{
    const lane16 first = lane_of(m->first), mask = lane_of(m->first_mask);
    const lane16 tag = lane_of(m->before_tag ? '>' : '&');
    size_t n = 0;
    for (; n + sizeof(lane16) <= utf8.n; n += sizeof(lane16)) {
        lane16 c = lane_load(utf8.p + n);
        lane16 hit = (lane16)(((c & mask) == first) | (c == '&') | (c == tag) | (c == 0) |
                              (c >= 0x80));
        if (lane_any(hit))
            return n + lane_first(hit);
    }
    while (n < utf8.n && !may_begin(m, utf8.p[n]))
        n++;
    return n;
}

// Octets that stand for themselves, at the front; returns their number.
static size_t
take_plain(struct mime_shown *m, struct span utf8, uint64_t *met)
{
    uint64_t here = m->here, all = 0;
    size_t n = 0;
    for (; n < utf8.n; n++) {
        uint64_t row = m->rows[(unsigned char)utf8.p[n]];
        if (row & SPECIAL)
            break;
        here = (here << 1 | 1) & row;
        all |= here;
    }
    m->here = here;
    *met |= all;
    return n;
}

// What is at the front of what is left of a slice; returns its octets, 0 at a character that is cut.
static size_t
take(struct mime_shown *m, struct span utf8)
{
    uint64_t met = 0;
    size_t n = 0;
    if (m->reference.kind == REF_NONE && m->here == 0)
        n = take_dull(m, utf8);
    if (n == 0 && m->reference.kind == REF_NONE)
        n = take_plain(m, utf8, &met);
    if (n == 0 && (*utf8.p & 0x80)) {
        m->reference.kind = REF_NONE;
        n = take_wide(m, utf8);
    } else if (n == 0) {
        take_octet(m, *utf8.p);
        n = 1;
    }
    m->met |= (met | m->here) & m->last;
    return n;
}

bool
mime_shown_feed(struct mime_shown *m, struct span utf8)
{
    while (utf8.n > 0 && m->met == 0) {
        size_t n = take(m, span_slice(utf8, 0, m->slice_left));
        if (n == 0 && m->slice_left == MIME_HTML_SLICE)
            return true;  // the caller cut a character
        utf8 = span_skip(utf8, n);
        m->slice_left -= n;
        if (n > 0 && m->slice_left > 0)
            continue;
        m->slice_left = MIME_HTML_SLICE;
        m->here |= m->before_tag;
    }
    return m->last == 0 || m->met != 0;
}
