#include "imap/search.h"

#include "base/limits.h"
#include "imap/messagelimit.h"
#include "io/task.h"
#include "mail/message.h"
#include "mime/index.h"

// Finding: rows first, in batches; then cached summaries; headers and bodies only of the messages that are still open.

enum { BATCH = 256, PIECE = 65536, HEADER_PIECE = 16384 };

struct find {
    struct imap_search *search;
    struct mail *mail;
    struct view *view;
    struct query_texts *texts;  // NULL: the query asks for no texts
    struct arena *scratch;      // of one message
    struct arena *names;        // keyword names of the sets met so far
    struct set_names {
        struct span *names;
        size_t n;
        bool known;
    } * sets;
    size_t set_count;
};

// ---- keywords of a row, looked up before its query is evaluated ----

static enum result
learn_set(struct find *d, uint32_t set, struct fault *f)
{
    if (set >= d->set_count) {
        size_t count = set * (size_t)2 + 64;
        struct set_names *more = arena_array(d->names, count, sizeof *more);
        if (d->set_count > 0)
            memcpy(more, d->sets, d->set_count * sizeof *more);
        d->sets = more;
        d->set_count = count;
    }
    struct set_names *s = &d->sets[set];
    if (s->known || set == 0)
        return R_OK;
    s->known = true;
    return view_keywords(d->view, set, d->names, &s->names, &s->n, f);
}

static bool
has_keyword(void *arg, uint32_t set, struct span name)
{
    const struct find *d = arg;
    for (size_t i = 0; set > 0 && i < d->sets[set].n; i++)
        if (span_ieq(d->sets[set].names[i], name))
            return true;
    return false;
}

// ---- texts ----

static enum result
feed_part(struct find *d, const struct message_row *row, const struct mime_index_part *part,
          char piece[PIECE], struct fault *f)
{
    uint64_t at = part->body.at, end = part->body.at + part->body.size;
    query_texts_part_begin(d->texts, part);
    while (at < end && !query_texts_done(d->texts)) {
        size_t n = end - at < PIECE ? (size_t)(end - at) : PIECE;
        if (message_read(d->mail, row, at, n, piece, f) != R_OK)
            return R_FAIL;
        query_texts_part_feed(d->texts, span_of(piece, n));
        task_yield();
        at += n;
    }
    query_texts_part_end(d->texts);
    return R_OK;
}

static enum result
read_block(struct find *d, const struct message_row *row, struct mime_range r,
           struct span *out, struct fault *f)
{
    size_t n = r.size < LIMIT_mime_headers ? (size_t)r.size : LIMIT_mime_headers;
    char *p = arena_alloc(d->scratch, n + 1);
    if (n > 0 && message_read(d->mail, row, r.at, n, p, f) != R_OK)
        return R_FAIL;
    *out = span_of(p, n);
    return R_OK;
}

// At least HEADER_PIECE octets of a header, to the end of a field.
static struct span
header_piece(struct span block)
{
    size_t n = HEADER_PIECE;
    while (n < block.n) {
        const char *end = memchr(block.p + n, '\n', block.n - n);
        n = end ? (size_t)(end - block.p) + 1 : block.n;
        if (n < block.n && block.p[n] != ' ' && block.p[n] != '\t')
            return span_slice(block, 0, n);
    }
    return block;
}

// There may be half a million fields.
static void
feed_header(struct find *d, struct span block,
            void feed(struct query_texts *t, struct span block))
{
    while (block.n > 0) {
        struct span piece = header_piece(block);
        feed(d->texts, piece);
        block = span_skip(block, piece.n);
        task_yield();
    }
}

static enum result
feed_parts(struct find *d, const struct message_row *row, struct span index,
           struct fault *f)
{
    struct mime_index_iter it;
    struct mime_index_part part;
    struct span block;
    char *piece = arena_alloc(d->scratch, PIECE);  // of all parts: there may be thousands
    enum result r = mime_index_begin(&it, index, f);
    while (r == R_OK && (r = mime_index_next(&it, &part, f)) == R_OK &&
           !query_texts_done(d->texts)) {
        if (part.root && part.depth > 0) {
            if (read_block(d, row, part.header, &block, f) != R_OK)
                return R_FAIL;
            feed_header(d, block, query_texts_nested_header);
        }
        if (part.kind == MIME_KIND_LEAF && mime_text_searchable(&part) &&
            feed_part(d, row, &part, piece, f) != R_OK)
            return R_FAIL;
    }
    return r == R_FAIL ? R_FAIL : R_OK;
}

static enum result
search_texts(struct find *d, const struct message_row *row,
             const struct message_cache *cache, struct fault *f)
{
    struct mime_index_part root;
    struct span header;
    query_texts_begin(d->texts);
    if (mime_index_find(cache->index, NULL, 0, &root, f) != R_OK ||
        read_block(d, row, root.header, &header, f) != R_OK)
        return R_FAIL;
    feed_header(d, header, query_texts_header);
    return query_texts_want_body(d->texts) ? feed_parts(d, row, cache->index, f) : R_OK;
}

// ---- one message, whatever it takes ----

static enum result
look_closer(struct find *d, struct query_message *m, enum query_answer *answer,
            struct fault *f)
{
    struct message_cache cache;
    struct mime_summary summary;
    arena_reset(d->scratch);
    if (message_cache_load(d->mail, m->row, d->scratch, &cache, f) != R_OK ||
        mime_summary_get(cache.summary, &summary, f) != R_OK)
        return R_FAIL;
    m->summary = &summary;
    m->parts = cache.index;
    *answer = query_match(d->search->query, m);
    if (*answer == QUERY_UNKNOWN) {
        if (search_texts(d, m->row, &cache, f) != R_OK)
            return R_FAIL;
        m->found = query_texts_found(d->texts);
        *answer = query_match(d->search->query, m);
    }
    return R_OK;
}

static void
hit(struct find *d, const struct view_message *v)
{
    struct imap_search *s = d->search;
    if (s->seqs.count == 0)
        s->modseq_first = v->row.modseq;
    s->modseq_last = v->row.modseq;
    if (v->row.modseq > s->modseq_highest)
        s->modseq_highest = v->row.modseq;
    seqset_add(&s->seqs, v->seq);
    seqset_add(&s->uids, v->row.uid);
    if (s->on_found)
        s->on_found(s, v);
}

// Answers by the summary as far as the cache has it, without suspending; the rest stays open.
static void
match_cached(struct find *d, const struct view_message *v, struct query_message *q,
             enum query_answer *answers, size_t n)
{
    struct store_cache_reader *reader = store_cache_begin(mail_store(d->mail));
    struct span packed[BATCH];
    for (size_t i = 0; i < n; i++) {
        if (answers[i] != QUERY_UNKNOWN ||
            store_cache_find(reader, v[i].row.blob, &packed[i]) != R_OK)
            packed[i] = SPAN_NONE;
        __builtin_prefetch(packed[i].p);  // they lie all over memory
    }
    for (size_t i = 0; i < n; i++) {
        struct message_cache cache;
        struct mime_summary summary;
        struct fault ignored;
        if (!packed[i].p || message_cache_get(packed[i], &cache) != R_OK ||
            mime_summary_get(cache.summary, &summary, &ignored) != R_OK)
            continue;
        q[i].summary = &summary;
        q[i].parts = cache.index;
        answers[i] = query_match(d->search->query, &q[i]);
        q[i].summary = NULL;
        q[i].parts = SPAN_NONE;
    }
    store_cache_end(&reader);
}

static bool
any_open(const enum query_answer *answers, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (answers[i] == QUERY_UNKNOWN)
            return true;
    return false;
}

static enum result
match_batch(struct find *d, const struct view_message *v, size_t n, struct fault *f)
{
    struct query_message q[BATCH];
    enum query_answer answers[BATCH];
    for (size_t i = 0; i < n; i++) {
        if (learn_set(d, v[i].row.keywords, f) != R_OK)
            return R_FAIL;
        q[i] = (struct query_message){.seq = v[i].seq,
                                      .recent = v[i].recent,
                                      .row = &v[i].row,
                                      .has_keyword = has_keyword,
                                      .arg = d};
        answers[i] = query_match(d->search->query, &q[i]);
    }
    if (any_open(answers, n))
        match_cached(d, v, q, answers, n);
    for (size_t i = 0; i < n; i++) {
        if (answers[i] == QUERY_UNKNOWN && look_closer(d, &q[i], &answers[i], f) != R_OK)
            return R_FAIL;
        if (answers[i] == QUERY_YES)
            hit(d, &v[i]);
    }
    return R_OK;
}

// ---- which messages are looked at ----

// Is the message in the sets that all found messages are in?
static bool
in_sets(const struct query *q, const struct view_message *v)
{
    for (const struct query *k = q->first; k; k = k->next) {
        bool out = k->op == QUERY_AND    ? !in_sets(k, v)
                   : k->op == QUERY_UIDS ? !seqset_contains(k->set, v->row.uid)
                   : k->op == QUERY_SEQS ? !seqset_contains(k->set, v->seq)
                                         : false;
        if (out)
            return false;
    }
    return true;
}

static enum result
add_in_sets(struct find *d, struct seqset *uids, struct fault *f)
{
    struct view_cursor cursor;
    struct view_message *batch = arena_array(d->search->c->arena, BATCH, sizeof *batch);
    size_t n;
    enum result r;
    if (view_cursor_init(&cursor, d->view, NULL, true, f) != R_OK)
        return R_FAIL;
    while ((r = view_next(&cursor, batch, BATCH, &n, f)) == R_OK)
        for (size_t i = 0; i < n; i++)
            if (in_sets(d->search->query, &batch[i]))
                seqset_add(uids, batch[i].row.uid);
    return r == R_NONE ? R_OK : R_FAIL;
}

// NULL: all of them. RFC 9738: those that are looked at count, whether they are found or not.
static enum result
choose(struct find *d, const struct seqset **uids_out, struct fault *f)
{
    struct imap_command *c = d->search->c;
    *uids_out = NULL;
    if (!imap_limit_matters(c))
        return R_OK;
    struct seqset *uids = ARENA_NEW(c->arena, struct seqset);
    seqset_init(uids, c->arena);
    if (add_in_sets(d, uids, f) != R_OK || imap_limit_newest(c, uids, true, f) != R_OK)
        return R_FAIL;
    *uids_out = uids;
    return R_OK;
}

static enum result
find_all(struct find *d, struct fault *f)
{
    struct view_cursor cursor;
    struct view_message *batch = arena_array(d->search->c->arena, BATCH, sizeof *batch);
    size_t n;
    enum result r;
    const struct seqset *uids;
    if (choose(d, &uids, f) != R_OK ||
        view_cursor_init(&cursor, d->view, uids, true, f) != R_OK)
        return R_FAIL;
    query_flags(d->search->query, &cursor.flags, &cursor.no_flags);
    imap_progress(d->search->c, 0, view_exists(d->view));
    while ((r = view_next(&cursor, batch, BATCH, &n, f)) == R_OK) {
        if (match_batch(d, batch, n, f) != R_OK)
            return R_FAIL;
        imap_progress(d->search->c, batch[n - 1].seq, view_exists(d->view));
    }
    return r == R_NONE ? R_OK : R_FAIL;
}

enum result
imap_search_find(struct imap_search *s, struct fault *f)
{
    struct view *view = s->c->session->view;
    struct find d = {.search = s, .view = view, .mail = account_mail(view_account(view))};
    d.scratch = arena_new();
    d.names = arena_new();
    query_prepare(s->query, s->c->arena);
    d.texts = query_texts_new(s->query, s->c->arena);
    seqset_init(&s->seqs, s->c->arena);
    seqset_init(&s->uids, s->c->arena);
    enum result r = find_all(&d, f);
    arena_free(&d.scratch);
    arena_free(&d.names);
    return r;
}
