#include "base/limits.h"
#include "sieve/glob.h"
#include "base/utf8.h"

enum { FOLDED = 64, FOLD_STEPS = 32 };  // to fold two characters takes as long

struct state {
    size_t p, s;        // where in pattern and value
    size_t star, mark;  // behind the last star; where what it takes ends
    bool starred;
    size_t wildcards;       // passed so far, with the whole at 0
    size_t star_wildcards;  // up to the last star
};

// Octets of the character at `at`.
static size_t
width(const struct sieve_glob *g, struct span s, size_t at)
{
    struct span rest = span_skip(s, at), before = rest;
    uint32_t point;
    if (!g->characters || utf8_next(&rest, &point) != R_OK)
        return 1;
    return before.n - rest.n;
}

static bool
same(const struct sieve_glob *g, struct span a, struct span b)
{
    struct buf x, y;
    if (span_eq(a, b) || !g->characters)
        return span_eq(a, b);
    buf_init(&x, FOLDED);
    buf_init(&y, FOLDED);
    mime_fold_as(&x, g->collation, a);
    mime_fold_as(&y, g->collation, b);
    bool equal = span_eq(buf_span(&x), buf_span(&y));
    buf_done(&x);
    buf_done(&y);
    return equal;
}

static void
take(struct sieve_glob *g, size_t wildcard, size_t from, size_t to)
{
    if (wildcard < LIMIT_sieve_captures)
        g->taken[wildcard] = span_slice(g->value, from, to);
}

static void
open_star(struct sieve_glob *g, struct state *t)
{
    t->starred = true;
    t->star = ++t->p;
    t->mark = t->s;
    t->star_wildcards = ++t->wildcards;
    take(g, t->wildcards, t->s, t->s);
}

// One character of the pattern against one of the value.
static bool
pass(struct sieve_glob *g, struct state *t)
{
    size_t p = t->p, n = width(g, g->value, t->s);
    if (p >= g->pattern.n)
        return false;
    if (g->pattern.p[p] == '?') {
        take(g, ++t->wildcards, t->s, t->s + n);
        t->p = p + 1;
        t->s += n;
        return true;
    }
    if (g->pattern.p[p] == '\\' && p + 1 < g->pattern.n)
        p++;
    size_t m = width(g, g->pattern, p);
    if (!same(g, span_slice(g->pattern, p, p + m), span_slice(g->value, t->s, t->s + n)))
        return false;
    t->p = p + m;
    t->s += n;
    return true;
}

// The last star takes one character more.
static bool
widen(struct sieve_glob *g, struct state *t)
{
    if (!t->starred)
        return false;
    size_t from = (size_t)(g->value.n ? t->mark : 0);
    t->mark = from + width(g, g->value, from);
    t->s = t->mark;
    t->p = t->star;
    t->wildcards = t->star_wildcards;
    if (t->wildcards < LIMIT_sieve_captures)
        g->taken[t->wildcards].n =
            t->mark - (size_t)(g->taken[t->wildcards].p - g->value.p);
    return true;
}

enum result
sieve_glob(struct sieve_glob *g, bool *yes)
{
    struct state t = {0};
    *yes = false;
    while (t.s < g->value.n) {
        if (!sieve_steps_spend(g->steps, g->characters ? FOLD_STEPS : 1))
            return R_FAIL;
        if (t.p < g->pattern.n && g->pattern.p[t.p] == '*')
            open_star(g, &t);
        else if (!pass(g, &t) && !widen(g, &t))
            return R_OK;
    }
    while (t.p < g->pattern.n && g->pattern.p[t.p] == '*')
        open_star(g, &t);
    *yes = t.p == g->pattern.n;
    g->taken[0] = g->value;
    g->n = t.wildcards + 1 < LIMIT_sieve_captures ? t.wildcards + 1 : LIMIT_sieve_captures;
    return R_OK;
}
