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
    uint32_t pages[TEXT_KINDS], pair_pages, document_pages;
    uint32_t places[TEXT_KINDS];  // terms of the pages that are written
    struct text_filter *filter;   // of the pages since the last one
    enum text_kind kind;          // of the page that is open
    uint16_t count;               // its terms
    size_t most;                  // documents of the commonest of them
    uint64_t list;                // where its lists begin
    // the last term, between two delimiters, and the octets of all of the page so
    char last[2 * TERM_MAX + 2];
    size_t last_n, plain;
    struct part {
        size_t n;
        char octets[TEXT_PAGE + TERM_MAX];
    } text, entries;
    uint64_t list_octets, term_count;
    bool pairing;      // terms have ended
    uint64_t next;     // the least pair that may come
    uint16_t zones;    // of the page's last entry of one posting
    struct buf heads;  // of pages, of terms and of pairs
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
    buf_init(&w->heads, SIZE_MAX / 2);
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
    buf_done(&(*w)->heads);
    free(*w);
    *w = NULL;
}

// ---- terms ----

static void
put_head(struct out *o, uint8_t what, uint16_t count, size_t text, uint64_t list,
         uint32_t place)
{
    struct buf head;
    buf_init(&head, TEXT_PAGE_HEAD);
    pack_u8(&head, what);
    pack_u8(&head, 0);
    pack_u16(&head, count);
    pack_u16(&head, (uint16_t)text);
    pack_u64(&head, list);
    pack_u32(&head, place);
    must(!head.over && head.n == TEXT_PAGE_HEAD);
    memcpy(o->page, head.p, head.n);
    o->n = head.n;
    buf_done(&head);
}

static void
put_body(struct out *o, struct span s)
{
    must(s.n <= TEXT_PAGE_DATA - o->n);
    if (s.n > 0)
        memcpy(o->page + o->n, s.p, s.n);
    o->n += s.n;
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
    put_head(&w->terms, (uint8_t)(TEXT_PAGE_WORDS + w->kind), w->count, w->text.n, w->list,
             w->places[w->kind]);
    put_body(&w->terms, span_of(w->text.octets, w->text.n));
    put_body(&w->terms, span_of(w->entries.octets, w->entries.n));
    if (w->kind != TEXT_TURNED)
        text_filter_page(w->filter, w->most);
    w->pages[w->kind]++;
    w->places[w->kind] += w->count;
    w->count = 0;
    w->most = 0;
    w->text.n = w->entries.n = 0;
    if (out_page(&w->terms, f) != R_OK)
        return R_FAIL;
    return text_filter_pages(w->filter) == FILTER_PAGES ? put_filter(w, f) : R_OK;
}

static enum result
begin_page(struct text_writer *w, enum text_kind kind, struct span term, struct fault *f)
{
    size_t need = TEXT_PAGE_HEAD + w->text.n + w->entries.n + term.n + 2 + TEXT_ENTRY_MAX;
    bool full = need > TEXT_PAGE_DATA || w->plain + term.n + 2 > TEXT_PLAIN;
    must(kind >= w->kind && !w->pairing);
    if ((w->kind != kind || full) && end_page(w, f) != R_OK)
        return R_FAIL;
    if (w->kind != kind && kind == TEXT_TURNED && put_filter(w, f) != R_OK)
        return R_FAIL;
    w->kind = kind;
    if (w->count == 0) {
        pack_u64(&w->heads, text_term_head(term));
        w->list = w->list_octets;
        w->last[0] = (char)TEXT_DELIMITER;
        w->last_n = w->plain = 1;
    }
    return R_OK;
}

static uint64_t
load(const char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

// How many octets the last term and this one share.
static size_t
shared_with(const struct text_writer *w, struct span term)
{
    size_t most = term.n < w->last_n - 1 ? term.n : w->last_n - 1, n = 0;
    uint64_t other = 0;
    while (n < most && (other = load(w->last + 1 + n) ^ load(term.p + n)) == 0)
        n += sizeof other;
    if (n < most)
        n += (size_t)__builtin_ctzll(other) / 8;
    return n < most ? n : most;
}

static void
put_term(struct text_writer *w, struct span term)
{
    size_t shared = shared_with(w, term), own = term.n - shared;
    must(own > 0);
    char *to = w->text.octets + w->text.n;
    w->text.n += own + (own > TERM_LONG ? 2 : 1);
    *to++ = (char)(shared * TERM_SHARED + (own > TERM_LONG ? TERM_LONG : own - 1));
    if (own > TERM_LONG)
        *to++ = (char)own;
    memcpy(w->last + 1, term.p, TERM_MAX);
    memcpy(to, w->last + 1 + shared, TERM_MAX);
    w->last_n = 1 + term.n;
    w->last[w->last_n] = (char)TEXT_DELIMITER;
    w->plain += w->last_n;
    if (w->kind != TEXT_TURNED)
        text_filter_term(w->filter, span_of(w->last, w->last_n + 1), 1 + shared,
                         w->kind == TEXT_JUNCTION);
}

// The same as put_long_list where the page has room for all of it: nearly always.
static size_t
put_short_list(struct out *o, const struct text_postings *p)
{
    struct text_coder c = text_coder_of();
    unsigned char *to = (unsigned char *)o->page + o->n, *from = to;
    for (size_t i = 0; i < p->n; i++)
        to += text_posting_put(&c, p->all[i], to);
    o->n += (size_t)(to - from);
    return (size_t)(to - from);
}

static enum result
put_long_list(struct text_writer *w, const struct text_postings *p, size_t *n_out,
              struct fault *f)
{
    struct text_coder c = text_coder_of();
    unsigned char octets[4096];
    size_t have = 0;
    *n_out = 0;
    for (size_t i = 0; i < p->n; i++) {
        have += text_posting_put(&c, p->all[i], octets + have);
        if (i + 1 < p->n && have + TEXT_POSTING_MAX <= sizeof octets)
            continue;
        if (out_octets(&w->lists, span_of(octets, have), f) != R_OK)
            return R_FAIL;
        *n_out += have;
        have = 0;
    }
    return R_OK;
}

// The octets of a list; of one posting there is none.
static enum result
put_list(struct text_writer *w, const struct text_postings *p, size_t *n_out,
         struct fault *f)
{
    enum result r = R_OK;
    *n_out = 0;
    if (p->n == 1)
        return R_OK;
    if (p->coded.n > 0) {
        r = out_octets(&w->lists, p->coded, f);
        *n_out = p->coded.n;
    } else if (p->n >= (TEXT_PAGE_DATA - w->lists.n) / TEXT_POSTING_MAX) {
        r = put_long_list(w, p, n_out, f);
    } else {
        *n_out = put_short_list(&w->lists, p);
    }
    w->list_octets += *n_out;
    return r;
}

// Of one posting, or of a list of so many octets.
static void
put_entry(struct text_writer *w, const struct text_posting *one, size_t octets)
{
    unsigned char *to = (unsigned char *)w->entries.octets + w->entries.n;
    size_t n =
        text_var_put(to, one ? (uint64_t)one->document << 1 | 1 : (uint64_t)octets << 1);
    if (one)
        n += text_var_put(to + n, one->zones);
    w->entries.n += n;
}

enum result
text_writer_term(struct text_writer *w, enum text_kind kind, struct span term,
                 const struct text_postings *postings, struct fault *f)
{
    size_t octets, n = postings->n;
    must(n > 0 && term.n > 0 && term.n <= TERM_MAX);
    if (begin_page(w, kind, term, f) != R_OK || put_list(w, postings, &octets, f) != R_OK)
        return R_FAIL;
    put_entry(w, n == 1 ? postings->all : NULL, octets);
    put_term(w, term);
    must(w->count < UINT16_MAX);
    w->count++;
    w->most = n > w->most ? n : w->most;
    w->term_count++;
    return R_OK;
}

enum result
text_writer_turned(struct text_writer *w, struct span term, uint32_t place, struct fault *f)
{
    must(term.n > 0 && term.n <= TERM_MAX);
    if (begin_page(w, TEXT_TURNED, term, f) != R_OK)
        return R_FAIL;
    w->entries.n += text_var_put((unsigned char *)w->entries.octets + w->entries.n, place);
    put_term(w, term);
    must(w->count < UINT16_MAX);
    w->count++;
    return R_OK;
}

// ---- pairs ----

uint32_t
text_writer_paired(const struct text_writer *w)
{
    return w->places[TEXT_PAIRED] + (w->kind == TEXT_PAIRED ? w->count : 0u);
}

// The end of all terms.
static enum result
begin_pairs(struct text_writer *w, struct fault *f)
{
    if (w->pairing)
        return R_OK;
    if (end_page(w, f) != R_OK || put_filter(w, f) != R_OK)
        return R_FAIL;
    w->pairing = true;
    return R_OK;
}

static enum result
end_pairs(struct text_writer *w, struct fault *f)
{
    if (w->count == 0)
        return R_OK;
    put_head(&w->terms, TEXT_PAGE_PAIRS, w->count, w->text.n, w->list, 0);
    put_body(&w->terms, span_of(w->text.octets, w->text.n));
    w->pair_pages++;
    w->count = 0;
    w->text.n = 0;
    return out_page(&w->terms, f);
}

static void
put_pair(struct text_writer *w, uint64_t pair, const struct text_posting *one,
         size_t octets)
{
    unsigned char *to = (unsigned char *)w->text.octets + w->text.n, *from = to;
    must(pair >= w->next);
    if (w->count > 0 && pair >> 32 == w->next >> 32) {
        to += text_var_put(to, (pair - w->next) << 1);
    } else {
        to += text_var_put(to, (pair & UINT32_MAX) << 1 | 1);
        to += text_var_put(to, (pair >> 32) - (w->count > 0 ? w->next >> 32 : 0));
    }
    bool changed = one && one->zones != w->zones;
    to += text_var_put(to, one ? (uint64_t)one->document << 2 | (unsigned)changed << 1 | 1
                               : (uint64_t)octets << 1);
    if (changed)
        to += text_var_put(to, w->zones = one->zones);
    w->text.n += (size_t)(to - from);
    w->next = pair + 1;
}

enum result
text_writer_pair(struct text_writer *w, uint64_t pair, const struct text_postings *postings,
                 struct fault *f)
{
    size_t octets;
    must(postings->n > 0);
    if (begin_pairs(w, f) != R_OK)
        return R_FAIL;
    bool full = TEXT_PAGE_HEAD + w->text.n + TEXT_PAIR_MAX > TEXT_PAGE_DATA;
    if (full && end_pairs(w, f) != R_OK)
        return R_FAIL;
    if (w->count == 0) {
        w->list = w->list_octets;
        w->zones = TEXT_ZONES_FIRST;
        pack_u64(&w->heads, pair);
    }
    if (put_list(w, postings, &octets, f) != R_OK)
        return R_FAIL;
    put_pair(w, pair, postings->n == 1 ? postings->all : NULL, octets);
    w->count++;
    w->term_count++;
    return R_OK;
}

// What the pages of terms and of pairs begin with.
static enum result
put_heads(struct text_writer *w, struct fault *f)
{
    struct span rest = buf_span(&w->heads);
    while (rest.n > 0) {
        struct span here = span_slice(rest, 0, (size_t)TEXT_HEADS * 8);
        put_head(&w->terms, TEXT_PAGE_HEADS, (uint16_t)(here.n / 8), here.n, 0, 0);
        put_body(&w->terms, here);
        rest = span_skip(rest, here.n);
        if (out_page(&w->terms, f) != R_OK)
            return R_FAIL;
    }
    return R_OK;
}

// ---- the end ----

// A page of documents from *i on; what they begin with is the EMAILID `before` them.
static enum result
put_documents_page(struct text_writer *w, const struct text_made *made, size_t *i,
                   struct fault *f)
{
    uint64_t first = *i > 0 ? made->documents[*i - 1].emailid : 0, before = first;
    uint16_t count = 0;
    struct buf b;
    buf_init(&b, TEXT_PAGE);
    for (; *i < made->n && b.n + TEXT_PAGE_HEAD + 20 < TEXT_PAGE_DATA; ++*i, count++) {
        const struct text_document *d = &made->documents[*i];
        pack_var(&b, d->emailid - before);
        pack_var(&b, (uint64_t)d->loose << TEXT_ZONE_BITS | d->open);
        before = d->emailid;
    }
    put_head(&w->terms, TEXT_PAGE_DOCUMENTS, count, b.n, first, 0);
    put_body(&w->terms, buf_span(&b));
    buf_done(&b);
    w->document_pages++;
    return out_page(&w->terms, f);
}

static enum result
put_documents(struct text_writer *w, const struct text_made *made, struct fault *f)
{
    for (size_t i = 0; i < made->n;)
        if (put_documents_page(w, made, &i, f) != R_OK)
            return R_FAIL;
    return R_OK;
}

static enum result
put_foot(struct text_writer *w, const struct text_made *made, struct fault *f)
{
    struct buf b;
    buf_init(&b, TEXT_PAGE);
    buf_put(&b, SPAN(TEXT_MAGIC));
    pack_u32(&b, w->number);
    for (enum text_kind kind = 0; kind < TEXT_KINDS; kind++)
        pack_u32(&b, w->pages[kind]);
    pack_u32(&b, w->pair_pages);
    pack_u32(&b, w->places[TEXT_PAIRED]);
    pack_u32(&b, w->document_pages);
    pack_u64(&b, made->n);
    pack_u64(&b, w->list_octets);
    pack_u64(&b, w->term_count);
    pack_u64(&b, made->text_octets);
    pack_u16(&b, (uint16_t)made->replaced_count);
    for (size_t i = 0; i < made->replaced_count; i++)
        pack_u32(&b, made->replaced[i]);
    must(!b.over);
    put_body(&w->terms, buf_span(&b));
    buf_done(&b);
    return out_page(&w->terms, f);
}

static enum result
finish(struct text_writer *w, const struct text_made *made, struct fault *f)
{
    if (begin_pairs(w, f) != R_OK || end_pairs(w, f) != R_OK || put_heads(w, f) != R_OK ||
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
