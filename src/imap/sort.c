#include "imap/sort_inside.h"

#include "base/limits.h"
#include "io/task.h"
#include "mail/message.h"
#include "mime/index.h"

// Sorting what is found: rows are kept while the messages are found. What columns do not tell is read: summaries in the
// order in which they are stored, a batch at a time.

enum { BATCH = 256 };

// ---- what is found ----

static bool
grow(struct sorting *d)
{
    size_t more = d->room > 0 ? d->room : BATCH;
    if (search_ledger_take(d->ledger, more * sizeof *d->found, &d->fault) != R_OK)
        return false;
    d->room += more;
    d->found = realloc(d->found, d->room * sizeof *d->found);
    must(d->found != NULL);
    return true;
}

static void
keep(struct imap_search *s, const struct view_message *v)
{
    struct sorting *d = s->own;
    if (d->n == d->room && !d->failed)
        d->failed = !grow(d);
    if (d->failed)
        return;
    d->found[d->n++] = (struct sort_found){.seq = v->seq,
                                           .uid = v->row.uid,
                                           .size = v->row.size,
                                           .internal_date = v->row.internal_date,
                                           .modseq = v->row.modseq,
                                           .blob = v->row.blob};
}

struct message_row
sort_found_row(const struct sort_found *m)
{
    return (struct message_row){.uid = m->uid,
                                .size = m->size,
                                .internal_date = m->internal_date,
                                .modseq = m->modseq,
                                .blob = m->blob};
}

// ---- summaries ----

static enum result
whole_summary(struct mail *mail, const struct message_row *row, struct span index,
              struct arena *a, struct mime_summary *out, struct fault *f)
{
    struct mime_index_part root;
    if (mime_index_find(index, NULL, 0, &root, f) != R_OK)
        return R_FAIL;
    size_t n = root.header.size < LIMIT_mime_headers ? (size_t)root.header.size
                                                     : LIMIT_mime_headers;
    char *header = arena_alloc(a, n + 1);
    if (n > 0 && message_read(mail, row, root.header.at, n, header, f) != R_OK)
        return R_FAIL;
    return mime_summary_whole(a, span_of(header, n), out, f);
}

// Suspends. Also where there is no cache, or a field does not fit into it.
static enum result
summary_of(struct mail *mail, const struct sort_program *p, const struct message_row *row,
           struct arena *a, struct mime_summary *out, struct fault *f)
{
    struct message_cache cache;
    if (message_cache_load(mail, row, a, &cache, f) != R_OK ||
        mime_summary_get(cache.summary, out, f) != R_OK)
        return R_FAIL;
    return sort_program_cut(p, out) ? whole_summary(mail, row, cache.index, a, out, f)
                                    : R_OK;
}

enum result
imap_sort_values(struct mail *m, const struct sort_program *p,
                 const struct message_row *row, struct arena *a, struct sort_value *out,
                 struct fault *f)
{
    struct mime_summary summary = {0};
    if (p->summary && summary_of(m, p, row, a, &summary, f) != R_OK)
        return R_FAIL;
    sort_values_of(p, row, &summary, a, out);
    return R_OK;
}

static enum result
read_closely(struct sorting *d, uint32_t i, struct fault *f)
{
    struct message_row row = sort_found_row(&d->found[i]);
    struct mime_summary summary;
    arena_reset(d->scratch);
    if (summary_of(d->mail, d->program, &row, d->scratch, &summary, f) != R_OK)
        return R_FAIL;
    return sort_set(d->sort, i, &row, &summary, f);
}

static enum result
set_cached(struct sorting *d, uint32_t i, struct span packed, struct fault *f)
{
    struct message_row row = sort_found_row(&d->found[i]);
    struct message_cache cache;
    struct mime_summary summary;
    struct fault ignored;
    if (!packed.p || message_cache_get(packed, &cache) != R_OK ||
        mime_summary_get(cache.summary, &summary, &ignored) != R_OK ||
        sort_program_cut(d->program, &summary))
        return R_NONE;
    return sort_set(d->sort, i, &row, &summary, f);
}

// The cached ones without suspending; the numbers of the others go into `open`.
static enum result
read_cached(struct sorting *d, const uint32_t *at, size_t n, uint32_t *open,
            size_t *open_count, struct fault *f)
{
    struct store_cache_reader *reader = store_cache_begin(mail_store(d->mail));
    struct span packed[BATCH];
    enum result r = R_OK;
    for (size_t i = 0; i < n; i++) {
        uint64_t blob = d->found[at[i]].blob;
        if (i > 0 && blob == d->found[at[i - 1]].blob)  // a copy
            packed[i] = packed[i - 1];
        else if (store_cache_find(reader, blob, &packed[i]) != R_OK)
            packed[i] = SPAN_NONE;
        __builtin_prefetch(packed[i].p);  // they lie all over memory
    }
    for (size_t i = 0; i < n && r != R_FAIL; i++) {
        r = set_cached(d, at[i], packed[i], f);
        if (r == R_NONE)
            open[(*open_count)++] = at[i];
    }
    store_cache_end(&reader);
    return r == R_FAIL ? R_FAIL : R_OK;
}

static enum result
read_batch(struct sorting *d, const uint32_t *at, size_t n, struct fault *f)
{
    uint32_t open[BATCH];
    size_t open_count = 0;
    if (read_cached(d, at, n, open, &open_count, f) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < open_count; i++)
        if (read_closely(d, open[i], f) != R_OK)
            return R_FAIL;
    task_yield();
    return imap_goes_on(d->search->c->session, d->search->c->session->view, f);
}

enum result
sorting_set_rows(const struct sorting *d, struct sort *sort, struct fault *f)
{
    for (size_t i = 0; i < d->n; i++) {
        struct message_row row = sort_found_row(&d->found[i]);
        if (sort_set(sort, i, &row, NULL, f) != R_OK)
            return R_FAIL;
        if (i % BATCH == 0)
            task_yield();
    }
    return R_OK;
}

// Their numbers in the order in which they are stored.
static enum result
stored_order(const struct sorting *d, struct sort **sort_out, const uint32_t **at_out,
             struct fault *f)
{
    struct sort_program places = {0};
    sort_program_add(&places, SORT_PLACE, false);
    if (sort_new(&places, d->n, d->ledger, sort_out, f) != R_OK)
        return R_FAIL;
    return sorting_set_rows(d, *sort_out, f) == R_OK ? sort_order(*sort_out, at_out, f)
                                                     : R_FAIL;
}

// How many without a break: to score one takes as long as its query has keys.
static size_t
at_once_of(const struct sort_program *p)
{
    bool scored = false;
    for (unsigned i = 0; i < p->n; i++)
        scored = scored || p->list[i].key == SORT_RELEVANCY;
    size_t n = scored ? BATCH / query_size(p->query) : BATCH;
    return n > 0 ? n : 1;
}

static enum result
read_summaries(struct sorting *d, const uint32_t *at, struct fault *f)
{
    uint64_t before = view_exists(d->search->c->session->view);
    size_t most = at_once_of(d->program);
    for (size_t i = 0; i < d->n; i += most) {
        size_t n = d->n - i < most ? d->n - i : most;
        if (read_batch(d, &at[i], n, f) != R_OK)
            return R_FAIL;
        imap_progress(d->search->c, before + i + n, before + d->n);
    }
    return R_OK;
}

enum result
sorting_read(struct sorting *d, struct fault *f)
{
    struct sort *places = NULL;
    const uint32_t *at;
    if (sort_new(d->program, d->n, d->ledger, &d->sort, f) != R_OK)
        return R_FAIL;
    if (!d->program->summary)
        return sorting_set_rows(d, d->sort, f);
    enum result r = stored_order(d, &places, &at, f);
    if (r == R_OK)
        r = read_summaries(d, at, f);
    sort_free(&places);
    return r;
}

// ---- the order ----

static void
set_order(struct sorting *d, const uint32_t *order)
{
    struct imap_found *list = arena_array(d->search->c->arena, d->n + 1, sizeof *list);
    for (size_t i = 0; i < d->n; i++) {
        const struct sort_found *m = &d->found[order[i]];
        list[i] = (struct imap_found){m->seq, m->uid, m->modseq};
    }
    d->search->order = list;
}

static enum result
find(struct sorting *d, struct fault *f)
{
    const uint32_t *order;
    if (imap_search_find(d->search, f) != R_OK)
        return R_FAIL;
    if (d->failed) {
        *f = d->fault;
        return R_FAIL;
    }
    enum result r = sorting_rank(d, f);
    if (r == R_NONE)
        r = sorting_read(d, f);
    if (r != R_OK || sort_order(d->sort, &order, f) != R_OK)
        return R_FAIL;
    set_order(d, order);
    return R_OK;
}

enum result
imap_sort_find(struct imap_search *s, const struct sort_program *p, struct fault *f)
{
    struct account *a = view_account(s->c->session->view);
    struct sorting d = {.search = s,
                        .mail = account_mail(a),
                        .ledger = mail_search_ledger(a),
                        .program = p,
                        .scratch = arena_new()};
    s->on_found = keep;
    s->own = &d;
    s->sorted = p;
    enum result r = find(&d, f);
    sort_free(&d.sort);
    arena_free(&d.scratch);
    free(d.found);
    search_ledger_give(d.ledger, d.room * sizeof *d.found);
    return r;
}

// ---- criteria ----

void
imap_sort_parse(struct parse *p, struct sort_program *out)
{
    *out = (struct sort_program){0};
    parse_list_open(p);
    while (parse_list_next(p)) {
        struct span name = parse_atom(p);
        bool reverse = span_ieq(name, SPAN("REVERSE"));
        if (reverse) {
            parse_sp(p);
            name = parse_atom(p);
        }
        const struct imap_word *word = imap_word_find(SLOT_SORT, name);
        if (!word) {
            parse_fail(p, "unknown sort criterion");
            return;
        }
        sort_program_add(out, word->value, reverse);
    }
    if (out->n == 0)
        parse_fail(p, "no sort criterion");
}
