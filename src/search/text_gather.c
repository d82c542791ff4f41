#include "search/text_gather.h"

void
text_gather_init(struct text_gather *g, bool straight)
{
    *g = (struct text_gather){.straight = straight};
    buf_init(&g->coded, SIZE_MAX / 2);
}

void
text_gather_done(struct text_gather *g)
{
    free(g->all);
    buf_done(&g->coded);
}

void
text_gather_reset(struct text_gather *g)
{
    g->n = 0;
    g->in_order = true;
    g->coder = text_coder_of();
    buf_reset(&g->coded);
}

static enum result
wrong_list(struct fault *f)
{
    return fault_set(f, FAULT_CORRUPTION, "search index: a list is wrong");
}

// ---- straight ----

// The next posting, and room for more octets behind it.
static void
put_one(struct text_gather *g, struct text_posting p, size_t more)
{
    char *to = buf_reserve(&g->coded, TEXT_POSTING_MAX + more);
    must(to != NULL);
    g->coded.n += text_posting_put(&g->coder, p, (unsigned char *)to);
    if (g->n++ == 0)
        g->first = p;
}

// The documents of the segment are there from `place` on.
static enum result
copy_list(struct text_gather *g, struct span list, uint32_t place, size_t documents,
          struct fault *f)
{
    struct text_coder c = text_coder_of();
    struct text_posting first;
    size_t more;
    if (text_posting_next(&c, &list, &first) != R_OK ||
        text_postings_pass(&c, list, documents, &more) != R_OK)
        return wrong_list(f);
    first.document += place;
    put_one(g, first, list.n);
    memcpy(g->coded.p + g->coded.n, list.p, list.n);
    g->coded.n += list.n;
    g->n += more;
    g->coder = (struct text_coder){c.next + place, c.zones};
    return R_OK;
}

// ---- one by one ----

static void
make_room(struct text_gather *g, size_t more)
{
    if (g->n + more <= g->room)
        return;
    g->room = (g->n + more) * 2;
    g->all = reallocarray(g->all, g->room, sizeof *g->all);
    must(g->all != NULL);
}

static void
take_one(struct text_gather *g, struct text_posting p, const uint32_t *places)
{
    p.document = places[p.document];
    if (p.document == TEXT_GONE)
        return;
    g->in_order = g->in_order && (g->n == 0 || g->all[g->n - 1].document < p.document);
    g->all[g->n++] = p;
}

static enum result
take_list(struct text_gather *g, struct span list, const uint32_t *places, size_t documents,
          struct fault *f)
{
    struct text_coder c = text_coder_of();
    struct text_posting p;
    enum result got;
    make_room(g, list.n);  // each has an octet at least
    while ((got = text_posting_next(&c, &list, &p)) == R_OK) {
        if (p.document >= documents)
            return wrong_list(f);
        take_one(g, p, places);
    }
    return got == R_NONE ? R_OK : wrong_list(f);
}

static int
by_document(const void *left, const void *right)
{
    const struct text_posting *a = left, *b = right;
    return (a->document > b->document) - (a->document < b->document);
}

// A document may come from two segments.
static void
put_in_order(struct text_gather *g)
{
    size_t n = 0;
    qsort(g->all, g->n, sizeof *g->all, by_document);
    for (size_t i = 0; i < g->n; i++) {
        if (n > 0 && g->all[n - 1].document == g->all[i].document)
            g->all[n - 1].zones |= g->all[i].zones;
        else
            g->all[n++] = g->all[i];
    }
    g->n = n;
    g->in_order = true;
}

// ---- all of it ----

enum result
text_gather_take(struct text_gather *g, struct text_list_reader *lists,
                 const struct text_entry *e, const uint32_t *places, struct fault *f)
{
    size_t documents = lists->segment->document_count;
    struct span list;
    if (e->octets > 0) {
        if (text_list_octets(lists, e, &list, f) != R_OK)
            return R_FAIL;
        return g->straight ? copy_list(g, list, places[0], documents, f)
                           : take_list(g, list, places, documents, f);
    }
    struct text_posting p = e->one;
    if (g->straight) {
        p.document = places[p.document];
        put_one(g, p, 0);
    } else {
        make_room(g, 1);
        take_one(g, p, places);
    }
    return R_OK;
}

struct text_postings
text_gather_all(struct text_gather *g)
{
    if (g->straight)
        return (struct text_postings){&g->first, g->n, buf_span(&g->coded)};
    if (!g->in_order)
        put_in_order(g);
    return (struct text_postings){g->all, g->n, SPAN_NONE};
}
