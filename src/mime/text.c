#include "mime/text.h"
#include "base/limits.h"
#include "mime/charset.h"
#include "mime/finder.h"
#include "mime/header.h"
#include "mime/shown.h"
#include "mime/utf8.h"

// Folding makes at most 11 octets of one (U+FDFA).
enum { PIECE = 32768, ENOUGH = 512, FOLD_GROWTH = 16 };
// So many needles are looked for in the source of HTML first.
enum { SHOWN_MAX = 8 };

struct needle {
    struct span text;  // folded
    struct mime_finder finder, core;
    bool ascii;
    bool whole;  // the core is all of it
    bool found;
};

struct mime_text_search {
    enum collation collation;
    struct needle *needles;
    size_t n, missing;
    size_t longest;
    struct buf folded_needles, cores;
    struct mime_finder word;  // the beginning of an encoded word
    bool keeps;

    struct mime_shown *shown;  // one for each needle; NULL: there are too many

    struct mime_streams *streams;
    struct window {
        struct buf text;  // folded: what was searched but its end, and what was not
        size_t searched;  // octets of it that were searched
    } windows[MIME_LANES];
};

// What of a needle stands in a field as it is written, if only in another case: the longest piece of it without white space,
// which may be a line end there, and without the colon behind the name.
static bool
parts_core(char c)
{
    return (unsigned char)c <= ' ' || c == ':';
}

static void
set_cores(struct mime_text_search *s)
{
    mime_fold_as(&s->cores, COLLATION_ASCII, buf_span(&s->folded_needles));
    for (size_t i = 0; i < s->n; i++) {
        struct needle *needle = &s->needles[i];
        size_t at = (size_t)(needle->text.p - s->folded_needles.p);
        needle->finder = mime_finder_of(needle->text);
        needle->ascii = mime_ascii_run(needle->text) == needle->text.n;
        struct span core = span_slice(buf_span(&s->cores), at, at + needle->text.n);
        needle->core = mime_finder_of(mime_longest_piece(core, parts_core));
        // one with small letters (of a ligature) is in no text of ASCII, as it is folded
        needle->whole = needle->core.needle.n == core.n && span_eq(core, needle->text) &&
                        s->collation != COLLATION_OCTET;
    }
}

static void
set_needles(struct mime_text_search *s, const struct span *needles, size_t n,
            enum collation collation)
{
    size_t *ends = calloc(n + 1, sizeof(*ends));

    must(ends != NULL);
    for (size_t i = 0; i < n; i++) {
        mime_fold_as(&s->folded_needles, collation, needles[i]);
        ends[i + 1] = s->folded_needles.n;
    }
    must(!s->folded_needles.over);
    for (size_t i = 0; i < n; i++) {
        s->needles[i].text = span_slice(buf_span(&s->folded_needles), ends[i], ends[i + 1]);
        if (s->needles[i].text.n > s->longest)
            s->longest = s->needles[i].text.n;
    }
    free(ends);
    set_cores(s);
}

static void
shown_new(struct mime_text_search *s, enum collation collation)
{
    if (s->n > SHOWN_MAX)
        return;
    s->shown = calloc(s->n + 1, sizeof *s->shown);
    must(s->shown != NULL);
    for (size_t i = 0; i < s->n; i++)
        mime_shown_init(&s->shown[i], s->needles[i].text, collation);
}

static void
shown_free(struct mime_text_search *s)
{
    for (size_t i = 0; s->shown && i < s->n; i++)
        mime_shown_done(&s->shown[i]);
    free(s->shown);
}

static void on_begin(void *arg, unsigned lane, enum mime_zone zone);
static void on_feed(void *arg, unsigned lane, struct span folded);
static void on_end(void *arg, unsigned lane);
static bool has_enough(void *arg);
static bool shows(void *arg, struct span source);
static bool on_apart(void *arg, unsigned lane, struct span text);

struct mime_text_search *
mime_text_search_new(const struct span *needles, size_t n, enum collation collation)
{
    struct mime_text_search *s = calloc(1, sizeof(*s));

    must(s != NULL && n <= LIMIT_search_keys);
    s->collation = collation;
    s->n = n;
    s->needles = calloc(n + 1, sizeof(*s->needles));
    must(s->needles != NULL);
    buf_init(&s->folded_needles, (size_t)LIMIT_command * FOLD_GROWTH);
    buf_init(&s->cores, (size_t)LIMIT_command * FOLD_GROWTH);
    set_needles(s, needles, n, collation);
    s->word = mime_finder_of(SPAN("=?"));
    for (size_t i = 0; i < MIME_LANES; i++)
        buf_init(&s->windows[i].text, 3 * s->longest + ENOUGH + PIECE);
    shown_new(s, collation);
    struct mime_text_sink sink = {on_begin, on_feed, on_end, s};
    const struct mime_text_asker asker = {has_enough, shows, on_apart};
    s->streams = mime_streams_new(&sink);
    mime_streams_compare(s->streams, collation);
    mime_streams_ask(s->streams, &asker);
    mime_text_reset(s);
    return s;
}

void
mime_text_search_free(struct mime_text_search **s)
{
    if (!*s)
        return;
    mime_streams_free(&(*s)->streams);
    shown_free(*s);
    buf_done(&(*s)->folded_needles);
    buf_done(&(*s)->cores);
    for (size_t i = 0; i < MIME_LANES; i++)
        buf_done(&(*s)->windows[i].text);
    free((*s)->needles);
    free(*s);
    *s = NULL;
}

void
mime_text_reset(struct mime_text_search *s)
{
    s->missing = s->n;
    for (size_t i = 0; i < s->n; i++) {
        s->needles[i].found = s->needles[i].text.n == 0;
        s->missing -= s->needles[i].found;
    }
}

bool
mime_text_found(const struct mime_text_search *s, size_t needle)
{
    return s->needles[needle].found;
}

bool
mime_text_found_all(const struct mime_text_search *s)
{
    return s->missing == 0;
}

// The window

static void
search_in(struct mime_text_search *s, struct span text)
{
    for (size_t i = 0; i < s->n && s->missing > 0; i++) {
        struct needle *needle = &s->needles[i];
        if (needle->found || needle->text.n > text.n)
            continue;
        if (mime_finder_in(&needle->finder, text)) {
            needle->found = true;
            s->missing--;
        }
    }
}

// Searches when enough has come in that each octet is looked at a bounded number of times.
static void
search_window(struct mime_text_search *s, struct window *w, bool end)
{
    size_t fresh = w->text.n - w->searched;
    size_t enough = s->longest > ENOUGH ? s->longest : ENOUGH;

    if (!end && fresh < enough)
        return;
    search_in(s, buf_span(&w->text));
    size_t keep = s->longest > 0 && !end ? s->longest - 1 : 0;
    if (w->text.n > keep)
        buf_consume(&w->text, w->text.n - keep);
    w->searched = w->text.n;
}

static void
on_begin(void *arg, unsigned lane, enum mime_zone zone)
{
    struct mime_text_search *s = arg;
    (void)zone;
    buf_reset(&s->windows[lane].text);
    s->windows[lane].searched = 0;
    for (size_t i = 0; lane > 0 && s->shown && i < s->n; i++)
        mime_shown_begin(&s->shown[i]);
}

static void
on_feed(void *arg, unsigned lane, struct span folded)
{
    struct mime_text_search *s = arg;
    struct window *w = &s->windows[lane];
    while (folded.n > 0 && s->missing > 0) {
        struct span piece = span_slice(folded, 0, PIECE);
        buf_put(&w->text, piece);
        folded = span_skip(folded, piece.n);
        search_window(s, w, false);
    }
}

// A text of ASCII is searched for where it lies: ASCII is its own letters, in another case.
static void
search_apart(struct mime_text_search *s, struct span text)
{
    for (size_t i = 0; i < s->n && s->missing > 0; i++) {
        struct needle *needle = &s->needles[i];
        if (needle->found || !needle->ascii)
            continue;
        needle->found = s->collation == COLLATION_OCTET
                            ? mime_finder_in(&needle->finder, text)
                            : mime_finder_in_any_case(&needle->finder, text);
        s->missing -= needle->found;
    }
}

static bool
wants_only_ascii(const struct mime_text_search *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (!s->needles[i].found && !s->needles[i].ascii)
            return false;
    return true;
}

// The last octets that may begin a text of ASCII: in whole characters.
static struct span
end_of(struct span text, size_t n)
{
    struct span end = span_skip(text, text.n - n);
    while (end.n > 0 && ((unsigned char)*end.p & 0xC0) == 0x80)
        end = span_skip(end, 1);
    return end;
}

// What begins in the window and ends in the text is looked for in the window; of the text its end stays there.
static bool
on_apart(void *arg, unsigned lane, struct span text)
{
    struct mime_text_search *s = arg;
    struct window *w = &s->windows[lane];
    size_t keep = s->longest > 0 ? s->longest - 1 : 0;
    if (text.n < s->longest || !wants_only_ascii(s))
        return false;
    if (w->text.n > 0) {
        struct span begin = span_slice(text, 0, keep);
        mime_fold_as(&w->text, s->collation, span_slice(begin, 0, mime_ascii_run(begin)));
        search_in(s, buf_span(&w->text));
    }
    search_apart(s, text);
    buf_reset(&w->text);
    if (s->missing > 0)
        mime_fold_as(&w->text, s->collation, end_of(text, keep));
    w->searched = w->text.n;
    return true;
}

static void
on_end(void *arg, unsigned lane)
{
    struct mime_text_search *s = arg;
    if (s->missing > 0)
        search_window(s, &s->windows[lane], true);
    if (!s->keeps)
        buf_done(&s->windows[lane].text);
}

static bool
has_enough(void *arg)
{
    const struct mime_text_search *s = arg;
    return s->missing == 0;
}

static bool
shows(void *arg, struct span source)
{
    struct mime_text_search *s = arg;
    bool any = !s->shown;
    for (size_t i = 0; i < s->n && !any; i++)
        any = !s->needles[i].found && mime_shown_feed(&s->shown[i], source);
    return any;
}

void
mime_text_keep(struct mime_text_search *s, bool keeps)
{
    s->keeps = keeps;
    mime_streams_keep(s->streams, keeps);
    for (size_t i = 0; i < MIME_LANES && !keeps; i++)
        buf_done(&s->windows[i].text);
}

// What comes in

void
mime_text_begin(struct mime_text_search *s, const struct mime_index_part *part)
{
    mime_streams_part_begin(s->streams, part);
}

void
mime_text_feed(struct mime_text_search *s, struct span raw)
{
    if (s->missing > 0)
        mime_streams_part_feed(s->streams, raw);
}

void
mime_text_end(struct mime_text_search *s)
{
    mime_streams_part_end(s->streams);
}

// Headers

// Does a field say something else than what is written? ASCII without encoded words (RFC 2047) does not, but for white space.
static bool
is_coded(const struct mime_text_search *s, struct span raw)
{
    return mime_ascii_run(raw) < raw.n || mime_finder_in(&s->word, raw);
}

// May one of the needles be in fields that are not coded?
static bool
may_be_written(const struct mime_text_search *s, struct span raw)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct needle *needle = &s->needles[i];
        if (!needle->found && needle->ascii && mime_finder_in_any_case(&needle->core, raw))
            return true;
    }
    return false;
}

// A needle without white space and colon that is written in a field that is not coded is found. True: there may be others in it.
static bool
search_written(struct mime_text_search *s, struct span raw)
{
    bool more = false;
    for (size_t i = 0; i < s->n; i++) {
        struct needle *needle = &s->needles[i];
        if (needle->found || !needle->ascii || !mime_finder_in_any_case(&needle->core, raw))
            continue;
        needle->found = needle->whole && raw.n <= LIMIT_mime_header && !is_coded(s, raw);
        s->missing -= needle->found;
        more = more || !needle->found;
    }
    return more;
}

// What is written in many fields is mostly in one of the first: that needs no look at all of the block.
void
mime_text_header(struct mime_text_search *s, struct span block)
{
    struct mime_header_iter it = mime_header_begin(block);
    struct mime_header header;

    if (may_be_written(s, block))
        while (s->missing > 0 && mime_header_next(&it, &header) == R_OK)
            if (search_written(s, header.raw))
                mime_streams_field(s->streams, MIME_ZONE_HEADER, header.name, header.value);
    if (s->missing == 0 || !is_coded(s, block))
        return;
    it = mime_header_begin(block);
    while (s->missing > 0 && mime_header_next(&it, &header) == R_OK)
        if (is_coded(s, header.raw))
            mime_streams_field(s->streams, MIME_ZONE_HEADER, header.name, header.value);
}

bool
mime_text_may_have(const struct mime_text_search *s, struct span block)
{
    return is_coded(s, block) || may_be_written(s, block);
}

void
mime_text_value(struct mime_text_search *s, struct span raw_value)
{
    if (s->missing > 0 && mime_text_may_have(s, raw_value))
        mime_streams_field(s->streams, MIME_ZONE_HEADER, SPAN_NONE, raw_value);
}

struct mime_streams *
mime_text_streams(struct mime_text_search *s)
{
    return s->streams;
}
