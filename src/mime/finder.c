#include "mime/finder.h"

#include "base/lane.h"

// How often an octet is in mail, roughly: 0 for what is rare.
static unsigned
commonness(char c)
{
    static const char common[] = "QJXZKVBYWGPFMUCDLHRSNIOATE";
    const char *letter = c != '\0' ? strchr(common, ascii_upper(c)) : NULL;
    if (letter)
        return (unsigned)(letter - common) + 4;
    return c == ' ' ? 40 : ascii_is_digit(c) ? 8 : 2;
}

struct span
mime_longest_piece(struct span text, bool (*parts)(char c))
{
    struct span best = SPAN("");
    for (size_t at = 0; at < text.n; at++) {
        size_t from = at;
        while (at < text.n && !parts(text.p[at]))
            at++;
        if (at - from > best.n)
            best = span_slice(text, from, at);
    }
    return best;
}

struct mime_finder
mime_finder_of(struct span needle)
{
    struct mime_finder f = {.needle = needle};
    for (size_t i = 1; i < needle.n; i++)
        if (commonness(needle.p[i]) < commonness(needle.p[f.rare]))
            f.rare = i;
    f.rarer = f.rare == 0 && needle.n > 1 ? 1 : 0;
    for (size_t i = 0; i < needle.n; i++)
        if (i != f.rare && commonness(needle.p[i]) < commonness(needle.p[f.rarer]))
            f.rarer = i;
    if (f.rare > f.rarer) {
        size_t swapped = f.rare;
        f.rare = f.rarer;
        f.rarer = swapped;
    }
    return f;
}

struct finding {
    const struct mime_finder *f;
    struct span text;
    bool any_case;
    size_t work,
        enough;  // octets compared so far; more than that: the text is made to be slow
};

static bool
is_at(struct finding *g, size_t at)
{
    struct span needle = g->f->needle;
    const char *p = g->text.p + at;
    size_t n = 0;
    if (g->any_case)
        while (n < needle.n && ascii_upper(p[n]) == needle.p[n])
            n++;
    else
        while (n < needle.n && p[n] == needle.p[n])
            n++;
    g->work += n;
    return n == needle.n;
}

// By the library, which is linear for any needle.
static bool
find_slowly(const struct finding *g, size_t at)
{
    struct span rest = span_skip(g->text, at);
    char *text = g->any_case ? calloc(rest.n, 1) : NULL;
    if (!g->any_case)
        return span_find(rest, g->f->needle) < rest.n;
    must(text != NULL);
    for (size_t i = 0; i < rest.n; i++)
        text[i] = ascii_upper(rest.p[i]);
    bool found = span_find(span_of(text, rest.n), g->f->needle) < rest.n;
    free(text);
    return found;
}

// A capital letter is looked for in both cases; the mask makes few others like it.
static lane16
mask_of(const struct finding *g, char c)
{
    return lane_of((char)(g->any_case && ascii_is_alpha(c) ? 0xDF : 0xFF));
}

// The two octets in lanes, and where they are in the text.
struct pair {
    const char *rare, *rarer;
    lane16 first, second, first_mask, second_mask;
};

static inline bool
is_in_lane(struct finding *g, const struct pair *p, size_t at)
{
    lane16 hit = (lane16)((lane_load(p->rare + at) & p->first_mask) == p->first) &
                 (lane16)((lane_load(p->rarer + at) & p->second_mask) == p->second);
    while (lane_any(hit)) {
        size_t i = lane_first(hit);
        if (is_at(g, at + i))
            return true;
        hit[i] = 0;
    }
    return false;
}

// Where less than a lane is left, the last lane looks at some places again.
static bool
find(struct finding *g)
{
    const struct mime_finder *f = g->f;
    char first = f->needle.p[f->rare], second = f->needle.p[f->rarer];
    size_t places = g->text.n - f->needle.n + 1, at = 0;
    const struct pair p = {g->text.p + f->rare, g->text.p + f->rarer, lane_of(first),
                           lane_of(second),     mask_of(g, first),    mask_of(g, second)};
    for (; at + sizeof(lane16) <= places; at += sizeof(lane16)) {
        if (is_in_lane(g, &p, at))
            return true;
        if (g->work > g->enough)
            return find_slowly(g, at);
    }
    if (at < places && places >= sizeof(lane16))
        return is_in_lane(g, &p, places - sizeof(lane16));
    for (; at < places; at++)
        if (is_at(g, at))
            return true;
    return false;
}

static bool
finder_in(const struct mime_finder *f, struct span text, bool any_case)
{
    struct finding g = {f, text, any_case, 0, 4096 + 4 * text.n};
    return f->needle.n == 0 || (text.n >= f->needle.n && find(&g));
}

bool
mime_finder_in(const struct mime_finder *f, struct span text)
{
    return finder_in(f, text, false);
}

bool
mime_finder_in_any_case(const struct mime_finder *f, struct span text)
{
    return finder_in(f, text, true);
}
