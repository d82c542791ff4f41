#include "search/text_needle.h"

struct run {
    enum text_class class;
    struct span text;
    bool first, last;  // of the needle: what it is part of may be longer there
};

static void
add(struct text_needle *n, enum text_kind kind, enum text_how how, struct span text)
{
    if (n->n == TEXT_CONDITIONS || text.n == 0)
        return;
    must(text.n <= TERM_MAX);
    struct text_condition *c = &n->conditions[n->n++];
    *c = (struct text_condition){.kind = kind, .how = how, .n = (uint8_t)text.n};
    memcpy(c->octets, text.p, text.n);
}

static struct span
last_of(struct span s, size_t n)
{
    return s.n > n ? span_skip(s, s.n - n) : s;
}

// Pieces so short that each lies in a window, wherever windows begin.
static void
add_pieces(struct text_needle *n, enum text_kind kind, struct span text, size_t sure)
{
    size_t at = 0;
    for (; at + sure < text.n; at += sure)
        add(n, kind, TEXT_INFIX, span_slice(text, at, at + sure));
    add(n, kind, TEXT_INFIX, last_of(text, sure));
}

// ---- words ----

// It begins where a word does: so do its windows.
static void
add_windows(struct text_needle *n, struct span text, bool whole)
{
    size_t at = 0;
    if (text.n <= WORD_WINDOW) {
        add(n, TEXT_WORD, whole ? TEXT_WHOLE : TEXT_PREFIX, text);
        return;
    }
    for (; at + WORD_WINDOW <= text.n; at += WORD_STRIDE)
        add(n, TEXT_WORD, TEXT_WHOLE, span_slice(text, at, at + WORD_WINDOW));
    if (text.n - at > WORD_STRIDE)  // else no window begins here
        add(n, TEXT_WORD, whole ? TEXT_WHOLE : TEXT_PREFIX, span_skip(text, at));
}

// `edge`: octets of it that the junction with its neighbour has. The junction says no less when it has all of them; of a word that ends
// there one more would be there if it went on.
static void
add_letters(struct text_needle *n, const struct run *r, size_t edge)
{
    bool alone = r->first && r->last;
    if (!alone && r->text.n + !(r->first || r->last) <= edge)
        return;
    if (!r->first)
        add_windows(n, r->text, !r->last);
    else if (!r->last && r->text.n <= WORD_SURE)
        add(n, TEXT_WORD, TEXT_SUFFIX, r->text);
    else
        add_pieces(n, TEXT_WORD, r->text, WORD_SURE);
}

static void
add_ideographs(struct text_needle *n, const struct run *r)
{
    size_t first, second;
    (void)text_class_of(r->text, &first);
    if (first == r->text.n)
        add(n, TEXT_WORD, r->first || r->last ? TEXT_INFIX : TEXT_WHOLE, r->text);
    for (size_t at = 0; at + first < r->text.n; at += first, first = second) {
        (void)text_class_of(span_skip(r->text, at + first), &second);
        add(n, TEXT_WORD, TEXT_WHOLE, span_slice(r->text, at, at + first + second));
    }
}

// ---- junctions ----

static void
add_joined(struct text_needle *n, enum text_how how, struct span a, struct span b,
           struct span c)
{
    char octets[TERM_MAX];
    must(a.n + b.n + c.n <= sizeof octets);
    if (a.n > 0)
        memcpy(octets, a.p, a.n);
    if (b.n > 0)
        memcpy(octets + a.n, b.p, b.n);
    if (c.n > 0)
        memcpy(octets + a.n + b.n, c.p, c.n);
    add(n, TEXT_JUNCTION, how, span_of(octets, a.n + b.n + c.n));
}

static enum text_how
how_of(bool begins, bool ends)
{
    return begins ? (ends ? TEXT_WHOLE : TEXT_PREFIX) : ends ? TEXT_SUFFIX : TEXT_INFIX;
}

// Does the junction end with these octets of the word? Where the gap is `open` to one side, it may be a blank in the text.
static bool
is_edge(const struct run *r, size_t n, size_t edge, bool open)
{
    bool whole = !r->first && !r->last;
    return open ? whole && r->text.n <= WORD_EDGE : whole || n == edge;
}

// The gap between two words, each NULL where the needle ends in the gap.
static void
add_junction(struct text_needle *n, const struct run *before, struct span gap,
             const struct run *after, size_t edge)
{
    struct span tail = before ? last_of(before->text, edge) : SPAN_NONE;
    struct span head = after ? span_slice(after->text, 0, edge) : SPAN_NONE;
    bool open = (!before || !after) && text_edge(gap) == PAIR_EDGE;
    bool begins = before && is_edge(before, tail.n, edge, open);
    bool ends = after && is_edge(after, head.n, edge, open);
    if (gap.n <= GAP_WINDOW) {
        add_joined(n, how_of(begins, ends), tail, gap, head);
        return;
    }
    if (before)
        add_joined(n, how_of(begins, true), tail, span_slice(gap, 0, GAP_WINDOW),
                   SPAN_NONE);
    if (after)
        add_joined(n, how_of(true, ends), SPAN_NONE, last_of(gap, GAP_WINDOW), head);
}

// ---- needles ----

static bool
next_run(struct span *rest, struct run *out)
{
    size_t octets;
    if (rest->n == 0)
        return false;
    bool first = out->text.p == NULL;
    enum text_class class = text_class_of(*rest, &octets);
    out->class = class;
    out->text = span_slice(*rest, 0, text_run(*rest, class));
    *rest = span_skip(*rest, out->text.n);
    out->first = first;
    out->last = rest->n == 0;
    return true;
}

static void
add_word(struct text_needle *n, const struct run *r, size_t edge)
{
    if (r->class == TEXT_IDEOGRAPH)
        add_ideographs(n, r);
    else
        add_letters(n, r, edge);
}

static void
read_alone(struct text_needle *n, const struct run *r)
{
    if (r->class == TEXT_GAP)
        add_pieces(n, TEXT_JUNCTION, r->text, GAP_SURE);
    else
        add_word(n, r, 0);
}

// The first one is told when the gap behind it is known.
static void
read_runs(struct text_needle *n, struct span rest, struct run run)
{
    struct run before = run;
    struct span gap = SPAN_NONE;
    bool have_before = run.class != TEXT_GAP;
    if (!have_before)
        gap = run.text;
    while (next_run(&rest, &run)) {
        if (run.class == TEXT_GAP) {
            gap = run.text;
            continue;
        }
        size_t edge = have_before ? text_edge(gap) : WORD_EDGE;
        if (have_before && before.first)
            add_word(n, &before, edge);
        add_junction(n, have_before ? &before : NULL, gap, &run, edge);
        add_word(n, &run, edge);
        before = run;
        have_before = true;
        gap = SPAN_NONE;
    }
    if (before.first && have_before)
        add_word(n, &before, WORD_EDGE);
    if (gap.n > 0)
        add_junction(n, &before, gap, NULL, WORD_EDGE);
}

// A condition that is the needle itself holds only where it occurs.
static bool
is_exact(const struct text_needle *n, struct span needle)
{
    const struct text_condition *c = n->conditions;
    return n->n == 1 && span_eq(span_of(c->octets, c->n), needle);
}

void
text_needle_read(struct text_needle *out, struct span needle)
{
    struct run run = {.text = SPAN_NONE};
    struct span rest = needle;
    out->n = 0;
    if (next_run(&rest, &run)) {
        if (run.last)
            read_alone(out, &run);
        else
            read_runs(out, rest, run);
    }
    out->exact = is_exact(out, needle);
}

// The text may have marks anywhere, which are dropped: where its words begin is not known.
static void
add_fuzzy(struct text_needle *n, struct run *r)
{
    size_t first = n->n;
    r->first = r->last = true;
    add_word(n, r, 0);
    for (size_t i = first; i < n->n; i++)
        n->conditions[i].folded = r->class == TEXT_LETTER;
}

void
text_needle_read_fuzzy(struct text_needle *out, struct span needle)
{
    struct run run = {.text = SPAN_NONE};
    struct span rest = needle;
    *out = (struct text_needle){.n = 0};
    while (next_run(&rest, &run)) {
        if (run.class != TEXT_GAP)
            add_fuzzy(out, &run);
    }
    out->exact = is_exact(out, needle);
}
