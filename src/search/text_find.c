#include "search/text_find.h"

#include "base/budget.h"

// Segment by segment: conditions on the beginning of a term are looked up, the others of all lookups are answered in one pass over
// the pages that may meet them. Each gives the zones of every document; what meets all of a lookup in one zone is found.

// Octets of zones that are held at a time, of lookups and of the conditions of a pass; one of each is held in any case.
enum { HELD = 16 << 20, LOTS = 64 };

struct found_in {
    struct text_segment *segment;
    size_t hint;
    uint64_t **bits;  // of each lookup: one bit a document
};

struct text_found {
    struct text_lookup *lookups;
    bool *exact;
    size_t n, count;
    struct found_in *in;
    size_t charged;
};

// A lookup at work on one segment.
struct seek {
    struct text_needle needle;
    unsigned wanted;
    uint16_t *found;  // zones in which all conditions so far are met
    size_t left;      // documents that have some
    size_t next;      // of its conditions, for passes
};

// Lookups that are answered together.
struct lot {
    struct text_place *at;
    struct seek *seeks;
    size_t n;
};

static void
begin_work(struct text_work *w, const struct lot *l, size_t lookup,
           const struct text_condition *c)
{
    const struct seek *k = &l->seeks[lookup];
    text_work_init(w, c, l->at->s->document_count);
    w->lookup = lookup;
    w->only = k->needle.n == 1;
    w->marks.wanted = k->wanted;
}

// Leaves what was found before and now.
static void
end_work(struct text_work *w, const struct lot *l)
{
    struct seek *k = &l->seeks[w->lookup];
    k->left = 0;
    for (size_t i = 0; i < w->marks.documents; i++) {
        k->found[i] &= w->marks.zones[i];
        k->left += k->found[i] != 0;
    }
    text_work_done(w);
}

static enum result
look_up_all(struct lot *l, struct fault *f)
{
    enum result r = R_OK;
    for (size_t i = 0; i < l->n; i++) {
        struct seek *k = &l->seeks[i];
        for (size_t c = 0; c < k->needle.n && k->left > 0 && r == R_OK; c++) {
            struct text_work w;
            if (text_is_scanned(&k->needle.conditions[c]))
                continue;
            begin_work(&w, l, i, &k->needle.conditions[c]);
            r = text_look_up_pairs(l->at, &w, f);
            if (r == R_OK)
                r = text_look_up(l->at, &w, f);
            end_work(&w, l);
        }
    }
    return r;
}

// The next conditions that take a pass: at most `room` of them.
static size_t
next_works(struct lot *l, struct text_work *works, size_t room)
{
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++) {
        struct seek *k = &l->seeks[i];
        for (; k->next < k->needle.n && k->left > 0 && n < room; k->next++)
            if (text_is_scanned(&k->needle.conditions[k->next]))
                begin_work(&works[n++], l, i, &k->needle.conditions[k->next]);
    }
    return n;
}

// How many arrays of zones may be held.
static size_t
room_for(size_t documents)
{
    size_t n = HELD / 2 / (documents * sizeof(uint16_t) + 1);
    return n == 0 ? 1 : n < LOTS ? n : LOTS;
}

static enum result
pass_over_all(struct lot *l, struct fault *f)
{
    struct text_work *works = calloc(LOTS, sizeof *works);
    size_t room = room_for(l->at->s->document_count), n;
    enum result r = R_OK;
    must(works != NULL);
    while (r == R_OK && (n = next_works(l, works, room)) > 0) {
        for (size_t i = 0; i < n && r == R_OK; i++)
            r = text_look_up_pairs(l->at, &works[i], f);
        if (r == R_OK)
            r = text_pass(l->at, works, n, f);
        for (size_t i = 0; i < n; i++)
            end_work(&works[i], l);
    }
    free(works);
    return r;
}

// ---- a lot of lookups in a segment ----

static void
begin_seek(struct seek *k, const struct text_lookup *l, size_t documents)
{
    *k = (struct seek){.wanted = l->zones, .left = documents};
    k->found = calloc(documents + 1, sizeof *k->found);
    must(k->found != NULL);
    memset(k->found, 0xFF, documents * sizeof *k->found);
    if (l->fuzzy)
        text_needle_read_fuzzy(&k->needle, l->needle);
    else
        text_needle_read(&k->needle, l->needle);
}

static void
end_seek(struct seek *k, uint64_t *bits, size_t documents)
{
    for (size_t i = 0; i < documents; i++)
        bits[i / 64] |= (uint64_t)(k->found[i] != 0) << (i % 64);
    free(k->found);
}

static enum result
find_lot(struct text_found *found, struct found_in *in, size_t from, struct lot *l,
         struct fault *f)
{
    size_t documents = in->segment->document_count;
    for (size_t i = 0; i < l->n; i++) {
        begin_seek(&l->seeks[i], &found->lookups[from + i], documents);
        found->exact[from + i] = l->seeks[i].needle.exact;
    }
    enum result r = look_up_all(l, f);
    if (r == R_OK)
        r = pass_over_all(l, f);
    for (size_t i = 0; i < l->n; i++)
        end_seek(&l->seeks[i], in->bits[from + i], documents);
    return r;
}

static enum result
find_in(struct text_found *found, struct found_in *in, struct text_place *at,
        struct fault *f)
{
    size_t room = room_for(in->segment->document_count);
    size_t held = HELD < found->n * in->segment->document_count * 4
                      ? HELD
                      : found->n * in->segment->document_count * 4;
    struct lot l = {.at = at, .seeks = calloc(LOTS, sizeof *l.seeks)};
    enum result r = R_OK;
    must(l.seeks != NULL);
    at->s = in->segment;
    text_list_reader_init(&at->lists, at->s);
    text_row_reader_init(&at->rows, at->s);
    budget_force(BUDGET_TABLES, held);
    for (size_t from = 0; from < found->n && r == R_OK; from += l.n) {
        l.n = found->n - from < room ? found->n - from : room;
        r = find_lot(found, in, from, &l, f);
    }
    budget_give(BUDGET_TABLES, held);
    text_list_reader_done(&at->lists);
    free(l.seeks);
    return r;
}

// ---- all of it ----

static void
found_in_init(struct text_found *found, struct found_in *in, struct text_segment *s)
{
    size_t words = s->document_count / 64 + 1;
    in->segment = s;
    s->references++;
    in->bits = calloc(found->n + 1, sizeof(uint64_t *));
    must(in->bits != NULL);
    for (size_t i = 0; i < found->n; i++) {
        in->bits[i] = calloc(words, sizeof(uint64_t));
        must(in->bits[i] != NULL);
    }
    found->charged += found->n * words * sizeof(uint64_t);
}

static struct text_found *
found_new(struct text_index *ti, const struct text_lookup *lookups, size_t n)
{
    struct text_found *found = calloc(1, sizeof *found);
    must(found != NULL);
    found->n = n;
    found->count = ti->count;
    found->lookups = calloc(n + 1, sizeof *found->lookups);
    found->exact = calloc(n + 1, sizeof *found->exact);
    found->in = calloc(ti->count + 1, sizeof *found->in);
    must(found->lookups && found->exact && found->in);
    if (n > 0)
        memcpy(found->lookups, lookups, n * sizeof *lookups);
    for (size_t i = 0; i < ti->count; i++)
        found_in_init(found, &found->in[i], ti->segments[i]);
    budget_force(BUDGET_TABLES, found->charged);
    return found;
}

enum result
text_index_find(struct text_index *ti, const struct text_lookup *lookups, size_t n,
                struct text_found **out, struct fault *f)
{
    struct text_found *found = found_new(ti, lookups, n);
    struct text_place *at = calloc(1, sizeof *at);
    must(at != NULL);
    enum result r = R_OK;
    for (size_t i = 0; i < found->count && r == R_OK; i++)
        r = find_in(found, &found->in[i], at, f);
    free(at);
    if (r != R_OK)
        text_found_free(&found);
    else
        *out = found;
    return r;
}

// The document that the hint is at.
static bool
is_found(const struct found_in *in, size_t slot)
{
    return in->bits[slot][in->hint / 64] >> (in->hint % 64) & 1;
}

// Is there text in the zones of the lookup that its segment does not have?
static bool
is_open(const struct found_in *in, const struct text_lookup *l)
{
    const struct text_document *d = &in->segment->documents[in->hint];
    return (d->open | (l->fuzzy ? d->loose : 0u)) & l->zones;
}

enum text_answer
text_found_of(struct text_found *found, size_t slot, uint64_t emailid)
{
    enum text_answer answer = TEXT_NOT_INDEXED;
    must(slot < found->n);
    for (size_t i = 0; i < found->count; i++) {
        struct found_in *in = &found->in[i];
        if (!text_segment_has(in->segment, emailid, &in->hint))
            continue;
        bool bit = is_found(in, slot);
        enum text_answer here = bit && found->exact[slot]                   ? TEXT_YES
                                : bit || is_open(in, &found->lookups[slot]) ? TEXT_MAYBE
                                                                            : TEXT_NO;
        answer = here > answer ? here : answer;
    }
    return answer;
}

void
text_found_free(struct text_found **found)
{
    if (!*found)
        return;
    for (size_t i = 0; i < (*found)->count; i++) {
        struct found_in *in = &(*found)->in[i];
        for (size_t slot = 0; slot < (*found)->n; slot++)
            free(in->bits[slot]);
        free(in->bits);
        text_segment_release(in->segment);
    }
    budget_give(BUDGET_TABLES, (*found)->charged);
    free((*found)->in);
    free((*found)->lookups);
    free((*found)->exact);
    free(*found);
    *found = NULL;
}
