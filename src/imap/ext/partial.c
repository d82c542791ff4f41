// RFC 9394: PARTIAL, a page of the result of SEARCH or of the messages of UID FETCH.
#include "imap/fetch.h"
#include "imap/search.h"

void
imap_partial_parse(struct parse *p, struct imap_partial *out)
{
    size_t at = p->at;
    out->backwards = parse_try(p, '-');
    out->first = parse_nz_number(p);
    parse_char(p, ':');
    if (out->backwards)
        parse_char(p, '-');
    out->last = parse_nz_number(p);
    if (p->bad)
        return;
    out->text = span_slice(p->in, at, p->at);
    if (out->first > out->last) {  // 500:400 is 400:500
        uint32_t first = out->last;
        out->last = out->first;
        out->first = first;
    }
}

void
imap_partial_of(const struct imap_partial *range, const struct seqset *all, struct arena *a,
                struct seqset *out)
{
    uint64_t size = seqset_size(all), first = range->first, last = range->last, before = 0;
    seqset_init(out, a);
    if (first > size)
        return;
    if (last > size)
        last = size;
    if (range->backwards) {
        first = size + 1 - last;
        last = size + 1 - range->first;
    }
    for (uint32_t i = 0; i < all->count && before < last; i++) {
        const struct seqset_range *r = &all->ranges[i];
        uint64_t n = (uint64_t)r->last - r->first + 1;
        uint64_t from = first > before + 1 ? first - before : 1;
        uint64_t to = last - before < n ? last - before : n;
        if (from <= to)
            seqset_add_range(out, (uint32_t)(r->first + from - 1),
                             (uint32_t)(r->first + to - 1));
        before += n;
    }
}

static void
search_parse(struct imap_command *c, struct parse *p)
{
    struct imap_search *s = c->own;
    parse_sp(p);
    imap_partial_parse(p, &s->partial);
}

// ---- UID FETCH (PARTIAL -1:-30): the page of the messages that are there, before CHANGEDSINCE looks at them ----

static void
fetch_parse(struct imap_command *c, struct parse *p)
{
    struct imap_fetch *fetch = c->own;
    fetch->partial = ARENA_NEW(c->arena, struct imap_partial);
    parse_sp(p);
    imap_partial_parse(p, fetch->partial);
    if (!c->uid)
        parse_fail(p, "PARTIAL is for UID FETCH");
}

static enum result
fetch_begin(struct imap_command *c, struct fault *f)
{
    struct imap_fetch *fetch = c->own;
    struct seqset present, *page = ARENA_NEW(c->arena, struct seqset);
    if (imap_uids_of(c->session->view, &c->set, c->by_uid, c->arena, &present, f) != R_OK)
        return R_FAIL;
    imap_partial_of(fetch->partial, &present, c->arena, page);
    fetch->set = page;
    fetch->by_uid = true;
    return R_OK;
}

static const struct imap_param search_partial = {search_parse, NULL},
                               fetch_partial = {fetch_parse, fetch_begin};

static const struct imap_word words[] = {
    {SLOT_SEARCH_RETURN, "PARTIAL", RETURN_PARTIAL, {.param = &search_partial}},
    {SLOT_FETCH_MODIFIER, "PARTIAL", 0, {.param = &fetch_partial}},
    {0},
};

const struct imap_ext imap_ext_partial = {
    .name = "partial",
    .rfc = "RFC 9394",
    .capability = "PARTIAL",
    .words = words,
};
