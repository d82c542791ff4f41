#include "search/text_words.h"

#include "base/lane.h"
#include "mime/charset.h"
#include "mime/utf8.h"

enum octet { GAP, LETTER, NO_ASCII };
#define LETTERS 1, 1, 1, 1, 1, 1, 1, 1, 1, 1
static const uint8_t octet_kinds[256] = {
    ['0'] = LETTERS, ['A'] = LETTERS, LETTERS, 1, 1, 1, 1, 1, 1,
    ['a'] = LETTERS, LETTERS,         1,       1, 1, 1, 1, 1, [0x80 ... 0xFF] = NO_ASCII,
};

static uint8_t
octet_of(char c)
{
    return octet_kinds[(unsigned char)c];
}

// Of three octets. Punctuation and symbols (U+2000 to U+2BFF, U+3000 to U+303F), and what stands for nothing
// (U+FE00 and above), are gaps; kana and Han are ideographs.
static enum text_class
class_of_three(unsigned char first, unsigned char second)
{
    if ((first == 0xE2 && second < 0xB0) || (first == 0xE3 && second == 0x80) ||
        (first == 0xEF && second >= 0xB8))
        return TEXT_GAP;
    return first >= 0xE3 && first <= 0xE9 ? TEXT_IDEOGRAPH : TEXT_LETTER;
}

enum text_class
text_class_of(struct span s, size_t *n_out)
{
    unsigned char first = (unsigned char)s.p[0];
    size_t n = first < 0xC2 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    *n_out = n < s.n ? n : s.n;
    switch (n) {
    case 1:
        return octet_kinds[first] == GAP ? TEXT_GAP : TEXT_LETTER;
    case 2:
        return first == 0xC2 ? TEXT_GAP : TEXT_LETTER;
    case 3:
        return class_of_three(first, s.n > 1 ? (unsigned char)s.p[1] : 0);
    default:
        return first == 0xF0 ? TEXT_IDEOGRAPH : TEXT_LETTER;
    }
}

static size_t
ascii_run(struct span s, size_t n, uint8_t octet)
{
    while (n < s.n && octet_of(s.p[n]) == octet)
        n++;
    return n;
}

size_t
text_run(struct span s, enum text_class class)
{
    size_t n = 0, octets;
    for (;;) {
        if (class != TEXT_IDEOGRAPH) {
            n = ascii_run(s, n, class == TEXT_LETTER ? LETTER : GAP);
            if (n < s.n && octet_of(s.p[n]) != NO_ASCII)
                return n;
        }
        if (n == s.n || text_class_of(span_of(s.p + n, s.n - n), &octets) != class)
            return n;
        n += octets;
    }
}

// ---- runs as terms ----

static void
tell_all(struct text_words *w)
{
    if (w->told_n > 0)
        w->to->terms(w->to->arg, w->told, w->told_n);
    w->told_n = 0;
}

static void
tell(struct text_words *w, enum text_kind kind, const char *p, size_t n)
{
    if (w->told_n == TEXT_TERMS)
        tell_all(w);
    w->told[w->told_n++] = (struct text_term){p, (uint8_t)n, (uint8_t)kind, false};
    w->whole = false;
}

// Returns where the window begins that is not told: the last one, unless `end`.
static size_t
tell_windows(struct text_words *w, struct span run, bool end)
{
    size_t at = 0;
    for (; at + WORD_WINDOW + (end ? 0 : WORD_STRIDE) <= run.n; at += WORD_STRIDE) {
        tell(w, TEXT_WORD, run.p + at, WORD_WINDOW);
        if (at + WORD_WINDOW == run.n)
            return at;
    }
    if (end)
        tell(w, TEXT_WORD, run.p + at, run.n - at);
    return at;
}

// Returns where the last characters begin, a junction's octets of them.
static size_t
tell_pairs(struct text_words *w, struct span run)
{
    size_t at = 0, first, second;
    (void)text_class_of(run, &first);
    if (first == run.n)
        tell(w, TEXT_WORD, run.p, first);
    while (at + first < run.n) {
        (void)text_class_of(span_skip(run, at + first), &second);
        tell(w, TEXT_WORD, run.p + at, first + second);
        at += first;
        first = second;
    }
    while (at > 0 && (run.n - at < PAIR_EDGE || ((unsigned char)run.p[at] & 0xC0) == 0x80))
        at--;
    return at;
}

static size_t
tell_word(struct text_words *w, struct span run, enum text_class class, bool end)
{
    if (class == TEXT_IDEOGRAPH)
        return tell_pairs(w, run);
    if (end && run.n <= WORD_WINDOW) {
        tell(w, TEXT_WORD, run.p, run.n);
        return 0;
    }
    return tell_windows(w, run, end);
}

// The same for a gap; what is left has at least GAP_WINDOW octets, unless `end`.
static size_t
tell_gap_windows(struct text_words *w, struct span gap, bool end)
{
    size_t at = 0;
    for (; at + GAP_WINDOW + (end ? 0 : GAP_STRIDE) <= gap.n; at += GAP_STRIDE)
        tell(w, TEXT_JUNCTION, gap.p + at, GAP_WINDOW);
    return at;
}

static size_t
less(size_t a, size_t b)
{
    return a < b ? a : b;
}

// A gap with the word before it (`edge` octets are there) and after it (`head`).
static void
tell_junction(struct text_words *w, size_t edge, struct span gap, size_t head)
{
    size_t most = text_edge(gap);
    edge = less(edge, most);
    head = less(head, most);
    const char *from = gap.p - edge;
    if (edge + gap.n == 0 || gap.n + head == 0)
        return;
    if (gap.n <= GAP_WINDOW) {
        tell(w, TEXT_JUNCTION, from, edge + gap.n + head);
        return;
    }
    tell(w, TEXT_JUNCTION, from, edge + GAP_WINDOW);
    (void)tell_gap_windows(w, gap, true);
    tell(w, TEXT_JUNCTION, gap.p + gap.n - GAP_WINDOW, GAP_WINDOW + head);
}

// ---- what the fuzzy fold makes of them ----

// Small letters are what the fold makes of some signs (the two of U+FB01), and the fuzzy one makes capitals of them.
static lane16
is_beyond(lane16 c)
{
    return (lane16)((c >= 0x80) | (c - 'a' < 26));
}

// ASCII that the fuzzy fold leaves as it is?
static bool
is_settled(struct span s)
{
    size_t n = 0;
    for (; n + sizeof(lane16) <= s.n; n += sizeof(lane16))
        if (lane_any(is_beyond(lane_load(s.p + n))))
            return false;
    while (n < s.n && !(s.p[n] & 0x80) && !(s.p[n] >= 'a' && s.p[n] <= 'z'))
        n++;
    return n == s.n;
}

static bool
is_ascii(const struct text_words *w, struct span s)
{
    return w->ascii || is_settled(s);
}

static void
tell_folded(struct text_words *w, struct span word)
{
    if (word.n == 0 || word.n > TEXT_ROOM) {
        w->loose = true;  // of marks alone: what is on its two sides may be one word
        return;
    }
    tell_all(w);
    memcpy(w->folded, word.p, word.n);
    size_t at = 0;
    for (; at + WORD_WINDOW < word.n; at += WORD_STRIDE)
        tell(w, TEXT_FOLDED, w->folded + at, WORD_WINDOW);
    tell(w, TEXT_FOLDED, w->folded + at, word.n - at);
    tell_all(w);
}

// A whole run of letters or of ideographs; these do not change, but for some that are dropped.
static void
fold_word(struct text_words *w, struct span run, enum text_class class)
{
    struct buf folded;
    if (is_ascii(w, run))
        return;
    buf_init(&folded, (size_t)TEXT_ROOM * 8);
    mime_fold_as(&folded, COLLATION_FUZZY, run);
    if (!span_eq(buf_span(&folded), run) && class == TEXT_IDEOGRAPH)
        w->loose = true;
    else if (!span_eq(buf_span(&folded), run))
        tell_folded(w, buf_span(&folded));
    w->loose = w->loose || folded.over;
    buf_done(&folded);
}

// A gap of which nothing is left makes one word of two.
static void
fold_gap(struct text_words *w, struct span gap)
{
    struct buf folded;
    if (gap.n == 0 || is_ascii(w, gap))
        return;
    buf_init(&folded, (size_t)TEXT_ROOM * 8);
    mime_fold_as(&folded, COLLATION_FUZZY, gap);
    w->loose = w->loose || folded.n == 0;
    buf_done(&folded);
}

// A part of a run that is too long to be folded as a whole.
static void
fold_part(struct text_words *w, struct span part)
{
    w->loose = w->loose || !is_ascii(w, part);
}

// ---- the stream ----

// Is a run that ends at `to` as long as it will be? It is cut before a character of which not all octets are there.
static bool
is_whole(const struct text_words *w, size_t to, bool end)
{
    return end || to + 4 <= w->n;
}

static struct span
text_from(const struct text_words *w, size_t at)
{
    return span_of(w->text + at, w->n - at);
}

static void
end_word(struct text_words *w, size_t *at, size_t to, size_t n)
{
    w->edge = less(PAIR_EDGE, n);
    *at = to - w->edge;
}

// A word of which the text has but the beginning.
static bool
begin_long_word(struct text_words *w, size_t *at, struct span run, enum text_class class)
{
    w->long_word = true;
    w->edge = 0;
    fold_part(w, run);
    *at = (size_t)(run.p - w->text) + tell_word(w, run, class, false);
    return false;
}

static bool
begin_long_gap(struct text_words *w, size_t *at, struct span gap)
{
    size_t edge = less(w->edge, WORD_EDGE);
    tell(w, TEXT_JUNCTION, gap.p - edge, edge + GAP_WINDOW);
    w->long_gap = true;
    w->edge = 0;
    fold_part(w, gap);
    *at = (size_t)(gap.p - w->text) + tell_gap_windows(w, gap, false);
    return true;
}

// ---- words of ASCII ----

// A bit for each octet, which is 0 or 0xFF.
static uint64_t
bits_of(lane16 hit)
{
    static const lane16 places = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    const uint64_t sum = 0x0101010101010101u;
    uint64_t halves[2];
    hit &= places;
    memcpy(halves, &hit, sizeof halves);
    return halves[0] * sum >> 56 | halves[1] * sum >> 56 << 8;
}

static lane16
is_letter(lane16 c)
{
    return (lane16)(((c | 0x20) - 'a' < 26) | (c - '0' < 10));
}

// Of 64 octets; there is room for those behind the n that count.
static uint64_t
those_of(lane16 (*are)(lane16 c), const char *p, size_t n)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < 64 && i < n; i += 16) {
        lane16 c = lane_load(p + i);
        bits |= bits_of(are(c)) << i;
    }
    return n < 64 ? bits & (((uint64_t)1 << n) - 1) : bits;
}

static void
find_beyond(struct text_words *w)
{
    for (size_t at = 0; at < w->n; at += 64)
        w->beyond[at / 64] = those_of(is_beyond, w->text + at, w->n - at);
}

// At most 63 octets.
static bool
is_plain(const struct text_words *w, size_t from, size_t to)
{
    if (w->ascii)
        return true;
    uint64_t beyond = w->beyond[from / 64] >> (from % 64) | w->beyond[from / 64 + 1]
                                                                << 1 << (63 - from % 64);
    return (beyond & (((uint64_t)1 << (to - from)) - 1)) == 0;
}

static void
find_edges(struct text_words *w)
{
    uint16_t *to = w->edges;
    uint64_t before = 0;
    for (size_t at = 0; at < w->n; at += 64) {
        uint64_t letters = those_of(is_letter, w->text + at, w->n - at),
                 edges = letters ^ (letters << 1 | before);
        before = letters >> 63;
        for (; edges != 0; edges &= edges - 1)
            *to++ = (uint16_t)(at + (size_t)__builtin_ctzll(edges));
    }
    for (size_t i = 0; i < 4; i++)
        *to++ = (uint16_t)w->n;
}

// The junction, if it is no pair, and the word of one step, which are put where `t` is; returns behind them. `from`: where the gap begins.
static struct text_term *
put_plain_word(const struct text_words *w, struct text_term *t, size_t edge, size_t from,
               size_t word, size_t n)
{
    size_t gap = word - from, most = text_edge(span_of(w->text + from, gap));
    bool pair = w->whole && most == PAIR_EDGE;
    edge = less(edge, most);
    *t = (struct text_term){w->text + from - edge, (uint8_t)(edge + gap + less(n, most)),
                            TEXT_JUNCTION, false};
    t += !pair && edge + gap > 0;  // at the front of a text there is none
    *t = (struct text_term){w->text + word, (uint8_t)n, TEXT_WORD, pair};
    return t + 1;
}

// The same as next_word for as many words as are of ASCII, short, and there: nearly all. *k: of the edges. `whole`: nothing comes behind the
// text.
static void
take_plain_words(struct text_words *w, size_t *at, size_t *k, bool whole)
{
    size_t edge = w->edge, from = *at + edge, behind = whole ? 0 : 4, word, end;
    struct text_term *t = w->told + w->told_n, *last = w->told + TEXT_TERMS - 2;
    while (w->edges[*k + 1] <= from && w->edges[*k + 1] < w->n)
        *k += 2;
    for (;; *k += 2, from = end) {
        word = w->edges[*k] > from ? w->edges[*k] : from;
        end = w->edges[*k + 1];
        if (word - from > GAP_WINDOW || end - word - 1 >= WORD_WINDOW ||
            end + behind > w->n || !is_plain(w, from, end + 1))
            break;
        if (t > last) {
            w->told_n = (size_t)(t - w->told);
            tell_all(w);
            t = w->told;
        }
        t = put_plain_word(w, t, edge, from, word, end - word);
        edge = less(PAIR_EDGE, end - word);
        w->whole = true;
    }
    w->told_n = (size_t)(t - w->told);
    w->edge = edge;
    *at = from - edge;
}

// The junction and the word that begin at *at; false when there must be more text first.
static bool
next_word(struct text_words *w, size_t *at, bool end)
{
    size_t from = *at + w->edge, octets;
    struct span gap = text_from(w, from);
    gap.n = text_run(gap, TEXT_GAP);
    size_t word = from + gap.n;
    if (gap.n >= TEXT_ROOM / 2)
        return begin_long_gap(w, at, gap);
    if (!is_whole(w, word, end))
        return false;
    if (word == w->n) {
        tell_junction(w, w->edge, gap, 0);
        *at = w->n;
        return false;
    }
    struct span run = text_from(w, word);
    enum text_class class = text_class_of(run, &octets);
    run.n = text_run(run, class);
    bool whole = is_whole(w, word + run.n, end);
    if (!whole && run.n < TEXT_ROOM / 4)
        return false;
    tell_junction(w, w->edge, gap, run.n);
    if (w->edge > 0)
        fold_gap(w, gap);
    if (!whole)
        return begin_long_word(w, at, run, class);
    fold_word(w, run, class);
    (void)tell_word(w, run, class, true);
    end_word(w, at, word + run.n, run.n);
    return true;
}

static bool
go_on_word(struct text_words *w, size_t *at, bool end)
{
    size_t octets;
    struct span run = text_from(w, *at);
    enum text_class class = text_class_of(run, &octets);
    run.n = text_run(run, class);
    size_t to = *at + run.n;
    fold_part(w, run);
    w->long_word = !is_whole(w, to, end);
    size_t told = tell_word(w, run, class, !w->long_word);
    if (w->long_word)
        *at += told;
    else
        end_word(w, at, to, run.n);
    return !w->long_word;
}

// It may begin in the middle of a character.
static size_t
rest_of_gap(struct span s)
{
    size_t n = 0;
    while (n < s.n && ((unsigned char)s.p[n] & 0xC0) == 0x80)
        n++;
    return n + text_run(span_skip(s, n), TEXT_GAP);
}

static bool
go_on_gap(struct text_words *w, size_t *at, bool end)
{
    struct span gap = text_from(w, *at);
    gap.n = rest_of_gap(gap);
    fold_part(w, gap);
    size_t to = *at + gap.n, octets;
    struct span rest = text_from(w, to);
    size_t word = rest.n > 0 ? text_run(rest, text_class_of(rest, &octets)) : 0;
    if (!is_whole(w, to, end) || (word < WORD_EDGE && !is_whole(w, to + word, end))) {
        *at += tell_gap_windows(w, gap, false);
        return false;
    }
    (void)tell_gap_windows(w, gap, true);
    size_t last = less(GAP_WINDOW, gap.n);
    tell(w, TEXT_JUNCTION, w->text + to - last, last + less(WORD_EDGE, word));
    w->long_gap = false;
    *at = to;
    return true;
}

static void
take(struct text_words *w, bool end)
{
    size_t at = 0, k = 0;
    bool more = true;
    w->ascii = is_settled(span_of(w->text, w->n));
    find_edges(w);
    if (!w->ascii)
        find_beyond(w);
    while (more) {
        if (!w->long_word && !w->long_gap)
            take_plain_words(w, &at, &k, end);
        more = w->long_word  ? go_on_word(w, &at, end)
               : w->long_gap ? go_on_gap(w, &at, end)
                             : next_word(w, &at, end);
    }
    tell_all(w);
    memmove(w->text, w->text + at, w->n - at);
    w->n -= at;
}

void
text_words_begin(struct text_words *w, const struct text_words_to *to)
{
    w->to = to;
    w->n = w->edge = w->told_n = 0;
    w->long_word = w->long_gap = w->loose = w->whole = false;
}

void
text_words_feed(struct text_words *w, struct span folded)
{
    while (folded.n > 0) {
        struct span piece = span_slice(folded, 0, TEXT_ROOM - w->n);
        memcpy(w->text + w->n, piece.p, piece.n);
        w->n += piece.n;
        folded = span_skip(folded, piece.n);
        if (w->n == TEXT_ROOM)
            take(w, false);
    }
}

void
text_words_end(struct text_words *w)
{
    if (w->n > 0)
        take(w, true);
}
