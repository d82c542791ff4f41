#include "base/pack.h"
#include "search/text_filter.h"
#include "search/text_pages.h"

struct out {
    struct derived_writer *to;
    uint64_t salt;
    uint32_t pages;
    size_t n;  // octets in the page
    char page[TEXT_PAGE];
};

struct text_writer {
    struct out terms, lists;
    uint32_t number;
    uint32_t pages[TEXT_KINDS], document_pages;
    struct text_filter *filter;  // of the pages since the last one
    enum text_kind kind;         // of the page that is open
    uint16_t count;              // its terms
    size_t most;                 // documents of the commonest of them
    uint64_t list;               // where its lists begin
    struct buf text, entries;
    // the last term, between two delimiters, and the octets of all of the page so
    char last[TERM_MAX + 2];
    size_t last_n, plain;
    uint64_t list_octets, term_count;
};

static enum result
out_open(struct out *o, struct store *s, uint64_t account, uint32_t number, bool lists,
         struct fault *f)
{
    char name[TEXT_NAME];
    text_segment_name(name, number, lists);
    o->salt = text_page_salt(number, lists);
    return derived_create(s, account, span_str(name), &o->to, f);
}

static enum result
out_page(struct out *o, struct fault *f)
{
    memset(o->page + o->n, 0, TEXT_PAGE_DATA - o->n);
    uint64_t sum = text_page_sum(o->page, o->salt, o->pages);
    memcpy(o->page + TEXT_PAGE_DATA, &sum, sizeof sum);
    o->pages++;
    o->n = 0;
    return derived_append(o->to, span_of(o->page, TEXT_PAGE), f);
}

static enum result
out_octets(struct out *o, struct span s, struct fault *f)
{
    while (s.n > 0) {
        struct span piece = span_slice(s, 0, TEXT_PAGE_DATA - o->n);
        memcpy(o->page + o->n, piece.p, piece.n);
        o->n += piece.n;
        s = span_skip(s, piece.n);
        if (o->n == TEXT_PAGE_DATA && out_page(o, f) != R_OK)
            return R_FAIL;
    }
    return R_OK;
}

enum result
text_writer_open(struct store *s, uint64_t account, uint32_t number,
                 struct text_writer **out, struct fault *f)
{
    struct text_writer *w = calloc(1, sizeof *w);
    must(w != NULL);
    w->number = number;
    w->filter = text_filter_new();
    buf_init(&w->text, TEXT_PAGE);
    buf_init(&w->entries, TEXT_PAGE);
    if (out_open(&w->terms, s, account, number, false, f) != R_OK ||
        out_open(&w->lists, s, account, number, true, f) != R_OK) {
        text_writer_abort(&w);
        return R_FAIL;
    }
    *out = w;
    return R_OK;
}

void
text_writer_abort(struct text_writer **w)
{
    if (!*w)
        return;
    derived_abort(&(*w)->terms.to);
    derived_abort(&(*w)->lists.to);
    text_filter_free(&(*w)->filter);
    buf_done(&(*w)->text);
    buf_done(&(*w)->entries);
    free(*w);
    *w = NULL;
}

// ---- terms ----

static void
put_head(struct out *o, uint8_t what, uint16_t count, size_t text, uint64_t list)
{
    struct buf head;
    buf_init(&head, TEXT_PAGE_HEAD);
    pack_u8(&head, what);
    pack_u8(&head, 0);
    pack_u16(&head, count);
    pack_u16(&head, (uint16_t)text);
    pack_u64(&head, list);
    must(!head.over && head.n == TEXT_PAGE_HEAD);
    memcpy(o->page, head.p, head.n);
    o->n = head.n;
    buf_done(&head);
}

static void
put_body(struct out *o, const struct buf *b)
{
    must(b->n <= TEXT_PAGE_DATA - o->n);
    if (b->n > 0)
        memcpy(o->page + o->n, b->p, b->n);
    o->n += b->n;
}

static enum result
put_filter(struct text_writer *w, struct fault *f)
{
    size_t pages = text_filter_pages(w->filter);
    if (pages == 0)
        return R_OK;
    size_t size = text_filter_row_size(pages), each = TEXT_PAGE_DATA / size;
    for (uint32_t row = 0; row < FILTER_ROWS_ALL; row++) {
        text_filter_row(w->filter, row, w->terms.page + w->terms.n);
        w->terms.n += size;
        bool full = (row + 1) % each == 0 || row + 1 == FILTER_ROWS_ALL;
        if (full && out_page(&w->terms, f) != R_OK)
            return R_FAIL;
    }
    text_filter_reset(w->filter);
    return R_OK;
}

static enum result
end_page(struct text_writer *w, struct fault *f)
{
    if (w->count == 0)
        return R_OK;
    put_head(&w->terms, (uint8_t)(TEXT_PAGE_WORDS + w->kind), w->count, w->text.n, w->list);
    put_body(&w->terms, &w->text);
    put_body(&w->terms, &w->entries);
    text_filter_page(w->filter, w->most);
    w->pages[w->kind]++;
    w->count = 0;
    w->most = 0;
    buf_reset(&w->text);
    buf_reset(&w->entries);
    if (out_page(&w->terms, f) != R_OK)
        return R_FAIL;
    return text_filter_pages(w->filter) == FILTER_PAGES ? put_filter(w, f) : R_OK;
}

static enum result
begin_page(struct text_writer *w, enum text_kind kind, struct span term, struct fault *f)
{
    size_t need = TEXT_PAGE_HEAD + w->text.n + w->entries.n + term.n + 2 + TEXT_ENTRY_MAX;
    bool full = need > TEXT_PAGE_DATA || w->plain + term.n + 2 > TEXT_PLAIN;
    must(kind >= w->kind);
    if ((w->kind != kind || full) && end_page(w, f) != R_OK)
        return R_FAIL;
    w->kind = kind;
    if (w->count == 0) {
        w->list = w->list_octets;
        w->last[0] = (char)TEXT_DELIMITER;
        w->last_n = w->plain = 1;
    }
    return R_OK;
}

static void
put_term(struct text_writer *w, struct span term)
{
    size_t most = term.n < w->last_n - 1 ? term.n : w->last_n - 1, shared = 0;
    while (shared < most && w->last[1 + shared] == term.p[shared])
        shared++;
    size_t own = term.n - shared;
    must(own > 0);
    char *to = buf_reserve(&w->text, own + 2);
    must(to != NULL);
    w->text.n += own + (own > TERM_LONG ? 2 : 1);
    *to++ = (char)(shared * TERM_SHARED + (own > TERM_LONG ? TERM_LONG : own - 1));
    if (own > TERM_LONG)
        *to++ = (char)own;
    memcpy(to, term.p + shared, own);
    memcpy(w->last + 1, term.p, term.n);
    w->last_n = 1 + term.n;
    w->last[w->last_n] = (char)TEXT_DELIMITER;
    w->plain += w->last_n;
    text_filter_term(w->filter, span_of(w->last, w->last_n + 1), 1 + shared,
                     w->kind == TEXT_JUNCTION);
}

// The octets of a list; *n_out 0 for one posting, which stands in its entry.
static enum result
put_list(struct text_writer *w, const struct text_posting *postings, size_t n,
         size_t *n_out, struct fault *f)
{
    struct text_coder c = text_coder_of();
    unsigned char octets[4096];
    size_t have = 0;
    *n_out = 0;
    for (size_t i = 0; i < n; i++) {
        have += text_posting_put(&c, postings[i], octets + have);
        if (i + 1 < n && have + TEXT_POSTING_MAX <= sizeof octets)
            continue;
        if (out_octets(&w->lists, span_of(octets, have), f) != R_OK)
            return R_FAIL;
        *n_out += have;
        have = 0;
    }
    w->list_octets += *n_out;
    return R_OK;
}

// Of one posting, or of a list of so many octets.
static void
put_entry(struct text_writer *w, const struct text_posting *one, size_t octets)
{
    unsigned char *to = (unsigned char *)buf_reserve(&w->entries, TEXT_ENTRY_MAX);
    must(to != NULL);
    size_t n =
        text_var_put(to, one ? (uint64_t)one->document << 1 | 1 : (uint64_t)octets << 1);
    if (one)
        n += text_var_put(to + n, one->zones);
    w->entries.n += n;
}

enum result
text_writer_term(struct text_writer *w, enum text_kind kind, struct span term,
                 const struct text_posting *postings, size_t n, struct fault *f)
{
    size_t octets = 0;
    must(n > 0 && term.n > 0 && term.n <= TERM_MAX);
    if (begin_page(w, kind, term, f) != R_OK)
        return R_FAIL;
    if (n > 1 && put_list(w, postings, n, &octets, f) != R_OK)
        return R_FAIL;
    put_entry(w, n == 1 ? postings : NULL, octets);
    put_term(w, term);
    must(!w->text.over && !w->entries.over && w->count < UINT16_MAX);
    w->count++;
    w->most = n > w->most ? n : w->most;
    w->term_count++;
    return R_OK;
}

// ---- the end ----

static enum result
put_documents(struct text_writer *w, const struct text_made *made, struct fault *f)
{
    uint64_t before = 0;
    for (size_t i = 0; i < made->n;) {
        uint16_t count = 0;
        uint64_t first = before;
        for (; i < made->n && w->text.n + TEXT_PAGE_HEAD + 20 < TEXT_PAGE_DATA;
             i++, count++) {
            pack_var(&w->text, made->documents[i].emailid - before);
            pack_var(&w->text, (uint64_t)made->documents[i].loose << TEXT_ZONE_BITS |
                                   made->documents[i].open);
            before = made->documents[i].emailid;
        }
        put_head(&w->terms, TEXT_PAGE_DOCUMENTS, count, w->text.n, first);
        put_body(&w->terms, &w->text);
        buf_reset(&w->text);
        w->document_pages++;
        if (out_page(&w->terms, f) != R_OK)
            return R_FAIL;
    }
    return R_OK;
}

static enum result
put_foot(struct text_writer *w, const struct text_made *made, struct fault *f)
{
    buf_reset(&w->text);
    buf_put(&w->text, SPAN(TEXT_MAGIC));
    pack_u32(&w->text, w->number);
    for (enum text_kind kind = 0; kind < TEXT_KINDS; kind++)
        pack_u32(&w->text, w->pages[kind]);
    pack_u32(&w->text, w->document_pages);
    pack_u64(&w->text, made->n);
    pack_u64(&w->text, w->list_octets);
    pack_u64(&w->text, w->term_count);
    pack_u64(&w->text, made->text_octets);
    pack_u16(&w->text, (uint16_t)made->replaced_count);
    for (size_t i = 0; i < made->replaced_count; i++)
        pack_u32(&w->text, made->replaced[i]);
    put_body(&w->terms, &w->text);
    return out_page(&w->terms, f);
}

static enum result
finish(struct text_writer *w, const struct text_made *made, struct fault *f)
{
    if (end_page(w, f) != R_OK || put_filter(w, f) != R_OK ||
        put_documents(w, made, f) != R_OK || put_foot(w, made, f) != R_OK ||
        (w->lists.n > 0 && out_page(&w->lists, f) != R_OK))
        return R_FAIL;
    // the lists first: terms without their lists would be damage
    if (derived_commit(&w->lists.to, f) != R_OK)
        return R_FAIL;
    return derived_commit(&w->terms.to, f);
}

enum result
text_writer_finish(struct text_writer **w, const struct text_made *made, struct fault *f)
{
    enum result r = finish(*w, made, f);
    text_writer_abort(w);
    return r;
}
