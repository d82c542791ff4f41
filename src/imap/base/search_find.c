#include "imap/base/search_index.h"
#include "imap/response.h"

#include "base/limits.h"
#include "base/log.h"
#include "imap/messagelimit.h"
#include "io/task.h"
#include "mail/message_text.h"

// Finding: rows first, in batches; then cached summaries; headers and bodies only of the messages that are still open.

// KEPT: octets of a message's cached structure that are kept until it is looked at in full.
// KEYS: that are asked of each message of a batch without a break; with more of them it is fewer messages.
enum { BATCH = 256, KEPT = 4096, KEYS = 2 };
// Of a message's cache the summary is in front, mostly so long; and what memory is fetched by.
enum { SUMMARY = 512, LINE = 64 };

// What of a message's cache is kept for that; index.p NULL: nothing.
struct kept {
    struct span summary, index;
};

struct find {
    struct imap_search *search;
    struct mail *mail;
    struct view *view;
    struct query_texts *texts;  // NULL: the query asks for no texts
    bool by_cache;              // the cache decides of some of its keys
    size_t at_once;             // messages that are asked without a break
    struct arena *scratch;      // of one message
    struct buf room;            // the same
    struct arena *batch;
    struct arena *names;  // keyword names of the sets met so far
    struct set_names {
        struct span *names;
        size_t n;
        bool known;
    } * sets;
    size_t set_count;
    struct search_index *index;
    // for the log: messages that were looked at, with their summary, in full; and those that the index found or left open
    struct {
        uint64_t messages, summaries, bodies, candidates, matches;
    } count;
    bool asked;  // whether the client is still there
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

static void
tell_fields(void *arg, struct span block, enum mime_zone zone)
{
    query_texts_header(((struct find *)arg)->texts, block, zone);
}

static void
tell_part_begin(void *arg, const struct mime_index_part *part)
{
    query_texts_part_begin(((struct find *)arg)->texts, part);
}

static void
tell_part(void *arg, struct span raw)
{
    query_texts_part_feed(((struct find *)arg)->texts, raw);
}

static void
tell_part_end(void *arg)
{
    query_texts_part_end(((struct find *)arg)->texts);
}

static void
tell_file(void *arg, struct span text)
{
    query_texts_file(((struct find *)arg)->texts, text);
}

static bool
has_enough(void *arg)
{
    const struct find *d = arg;
    return !query_texts_want_body(d->texts) || query_texts_done(d->texts);
}

// A client that has gone waits for nothing. One that only closed its side of the connection does, so that is asked for by
// a line: a reset comes back when nobody is there.
static enum result
go_on(void *arg, struct fault *f)
{
    struct find *d = arg;
    struct imap_session *s = d->search->c->session;
    if (conn_eof(s->conn) && !conn_failed(s->conn) && !d->asked) {
        d->asked = true;
        imap_say(s, "* OK ", "Still searching");
    }
    return imap_goes_on(s, d->view, f);
}

static enum result
search_texts(struct find *d, struct query_message *m, struct fault *f)
{
    const struct message_text text = {.fields = tell_fields,
                                      .part_begin = tell_part_begin,
                                      .part_feed = tell_part,
                                      .part_end = tell_part_end,
                                      .file = tell_file,
                                      .enough = has_enough,
                                      .go_on = go_on,
                                      .arg = d,
                                      .account = account_id(view_account(d->view)),
                                      .room = &d->room};
    d->count.bodies++;
    query_texts_begin(d->texts, m);
    if (message_text_read(d->mail, m->row, m->parts, &text, f) != R_OK)
        return R_FAIL;
    m->found = query_texts_found(d->texts);
    return R_OK;
}

// ---- one message, whatever it takes ----

// `kept`: what was cached, which left it open.
static enum result
look_closer(struct find *d, struct query_message *m, const struct kept *kept,
            enum query_answer *answer, struct fault *f)
{
    struct message_cache cache = {.summary = kept->summary, .index = kept->index};
    struct mime_summary summary;
    bool known = kept->index.p != NULL;
    arena_reset(d->scratch);
    if (!known && message_cache_load(d->mail, m->row, d->scratch, &cache, f) != R_OK)
        return R_FAIL;
    if (d->by_cache && mime_summary_get(cache.summary, &summary, f) != R_OK)
        return R_FAIL;
    m->summary = d->by_cache ? &summary : NULL;
    m->parts = cache.index;
    d->count.summaries += !known;
    *answer = known ? QUERY_UNKNOWN : query_match(d->search->query, m);
    if (*answer != QUERY_UNKNOWN)
        return R_OK;
    if (search_texts(d, m, f) != R_OK)
        return R_FAIL;
    *answer = query_match(d->search->query, m);
    return R_OK;
}

static void
hit(struct find *d, const struct view_message *v)
{
    struct imap_search *s = d->search;
    d->count.matches++;
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

static enum result
take_hit(struct find *d, const struct view_message *v, struct fault *f)
{
    if (d->search->asked.scored &&
        imap_relevancy_note(d->search, d->mail, &v->row, d->scratch, f) != R_OK)
        return R_FAIL;
    hit(d, v);
    return R_OK;
}

static enum query_answer
match_summary(struct find *d, struct query_message *q, const struct message_cache *cache)
{
    struct mime_summary summary;
    struct fault ignored;
    enum query_answer answer = QUERY_UNKNOWN;
    if (!d->by_cache || mime_summary_get(cache->summary, &summary, &ignored) != R_OK)
        return answer;
    q->summary = &summary;
    q->parts = cache->index;
    answer = query_match(d->search->query, q);
    q->summary = NULL;
    q->parts = SPAN_NONE;
    return answer;
}

static struct kept
keep(struct find *d, const struct message_cache *cache)
{
    struct kept kept = {SPAN_NONE, SPAN_NONE};
    if (cache->summary.n + cache->index.n > KEPT)
        return kept;
    if (d->by_cache)
        kept.summary = arena_dup(d->batch, cache->summary);
    kept.index = arena_dup(d->batch, cache->index);
    return kept;
}

// Answers by the summary as far as the cache has it, without suspending; the rest stays open, and what is wanted of its cache is
// kept for the batch.
static void
match_cached_some(struct find *d, const struct view_message *v, struct query_message *q,
                  enum query_answer *answers, struct kept *kept, size_t n)
{
    struct store_cache_reader *reader = store_cache_begin(mail_store(d->mail));
    struct span *packed = arena_array(d->batch, n, sizeof *packed);
    for (size_t i = 0; i < n; i++) {
        if (answers[i] != QUERY_UNKNOWN ||
            store_cache_find(reader, v[i].row.blob, &packed[i]) != R_OK)
            packed[i] = SPAN_NONE;
        for (size_t at = 0; at < packed[i].n && at < SUMMARY; at += LINE)
            __builtin_prefetch(packed[i].p + at);  // they lie all over memory
    }
    for (size_t i = 0; i < n; i++) {
        struct message_cache cache;
        if (!packed[i].p || message_cache_get(packed[i], &cache) != R_OK)
            continue;
        d->count.summaries++;
        answers[i] = match_summary(d, &q[i], &cache);
        if (answers[i] == QUERY_UNKNOWN)
            kept[i] = keep(d, &cache);
    }
    store_cache_end(&reader);
}

// What is kept, one for each message.
static struct kept *
match_cached(struct find *d, const struct view_message *v, struct query_message *q,
             enum query_answer *answers, size_t n)
{
    struct kept *kept = arena_array(d->batch, n, sizeof *kept);
    for (size_t i = 0; i < n; i += d->at_once) {
        size_t some = n - i < d->at_once ? n - i : d->at_once;
        match_cached_some(d, &v[i], &q[i], &answers[i], &kept[i], some);
        task_yield();
    }
    return kept;
}

static void
yield_at(const struct find *d, size_t i)
{
    if (i % d->at_once == d->at_once - 1)
        task_yield();
}

static size_t
count_open(const enum query_answer *answers, size_t n)
{
    size_t open = 0;
    for (size_t i = 0; i < n; i++)
        open += answers[i] == QUERY_UNKNOWN;
    return open;
}

// What the index says of those that are open.
static void
match_indexed(struct find *d, struct query_message *q, enum query_answer *answers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (answers[i] != QUERY_UNKNOWN)
            continue;
        enum text_answer *said = arena_array(d->batch, d->index->n, sizeof *said);
        search_index_of(d->index, q[i].row->emailid, said);
        q[i].indexed = said;
        answers[i] = query_match(d->search->query, &q[i]);
        d->count.candidates += answers[i] == QUERY_YES;
        yield_at(d, i);
    }
}

// Messages that are searched, of all mailboxes.
static uint64_t
goal_of(const struct find *d)
{
    uint64_t goal = d->search->mailboxes.goal;
    return goal > 0 ? goal : view_exists(d->view);
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
        yield_at(d, i);
    }
    size_t open = count_open(answers, n);
    const struct search_seen seen = {n, open, goal_of(d)};
    arena_reset(d->batch);
    d->count.messages += n;
    if (open > 0 && search_index_ready(d->index, &seen)) {
        match_indexed(d, q, answers, n);
        open = count_open(answers, n);
    }
    d->count.candidates += open;
    const struct kept *kept = open > 0 ? match_cached(d, v, q, answers, n) : NULL;
    for (size_t i = 0; i < n; i++) {
        if (kept && answers[i] == QUERY_UNKNOWN &&
            look_closer(d, &q[i], &kept[i], &answers[i], f) != R_OK)
            return R_FAIL;
        yield_at(d, i);
        if (answers[i] == QUERY_YES && take_hit(d, &v[i], f) != R_OK)
            return R_FAIL;
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
    struct view_message *batch = arena_array(d->search->arena, BATCH, sizeof *batch);
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
    if (d->search->mailboxes.goal > 0 || !imap_limit_matters(c))
        return R_OK;
    struct seqset *uids = ARENA_NEW(c->arena, struct seqset);
    seqset_init(uids, c->arena);
    if (add_in_sets(d, uids, f) != R_OK || imap_limit_newest(c, uids, true, f) != R_OK)
        return R_FAIL;
    *uids_out = uids;
    return R_OK;
}

static void
tell_progress(const struct find *d, uint32_t done)
{
    const struct imap_search *s = d->search;
    imap_progress(s->c, s->mailboxes.done + done, goal_of(d));
}

static enum result
find_all(struct find *d, struct fault *f)
{
    struct view_cursor cursor;
    struct view_message *batch = arena_array(d->search->arena, BATCH, sizeof *batch);
    size_t n;
    enum result r;
    const struct seqset *uids = d->search->only;
    if ((!uids && choose(d, &uids, f) != R_OK) ||
        view_cursor_init(&cursor, d->view, uids, true, f) != R_OK)
        return R_FAIL;
    query_flags(d->search->query, &cursor.flags, &cursor.no_flags);
    tell_progress(d, 0);
    while ((r = view_next(&cursor, batch, BATCH, &n, f)) == R_OK) {
        if (go_on(d, f) != R_OK || match_batch(d, batch, n, f) != R_OK)
            return R_FAIL;
        tell_progress(d, batch[n - 1].seq);
    }
    return r == R_NONE ? R_OK : R_FAIL;
}

static void
log_find(const struct find *d)
{
    const struct imap_session *session = d->search->c->session;
    log_debug("imap", "search", field_number("messages", "messages=%", d->count.messages),
              field_flag("index", d->index->found ? "index" : "", d->index->found != NULL),
              field_number("candidates", "candidates=%", d->count.candidates),
              field_number("matches", "matches=%", d->count.matches),
              field_number("summaries", "summaries=%", d->count.summaries),
              field_number("bodies", "bodies=%", d->count.bodies),
              log_session(session->id));
}

// The query is of all mailboxes that are searched, what it found is of one.
static enum result
prepare(struct imap_search *s, struct view *v, struct fault *f)
{
    if (!s->asked.prepared) {
        s->asked.prepared = true;
        query_prepare(s->query, s->c->session->collation, s->c->arena);
        s->asked.texts = query_texts_new(s->query, s->c->arena);
    }
    if (!s->arena)
        s->arena = s->c->arena;
    seqset_init(&s->seqs, s->arena);
    seqset_init(&s->uids, s->arena);
    s->modseq_first = s->modseq_last = s->modseq_highest = 0;
    s->scores = (struct imap_scores){.n = 0};
    for (const struct imap_search_bind *b = s->asked.binds; b; b = b->next)
        if (b->fn(s, v, b, f) != R_OK)
            return R_FAIL;
    return R_OK;
}

static size_t
at_once_of(const struct query *q)
{
    size_t n = (size_t)BATCH * KEYS / query_size(q);
    return n < 1 ? 1 : n < BATCH ? n : BATCH;
}

enum result
imap_search_find_in(struct imap_search *s, struct view *v, struct fault *f)
{
    struct find d = {.search = s, .view = v, .mail = account_mail(view_account(v))};
    if (prepare(s, v, f) != R_OK)
        return R_FAIL;
    d.texts = s->asked.texts;
    d.by_cache = query_by_cache(s->query);
    d.at_once = at_once_of(s->query);
    d.scratch = arena_new();
    d.batch = arena_new();
    d.names = arena_new();
    message_text_room(&d.room);
    d.index = search_index_for(s, view_account(v));
    if (d.texts)
        query_texts_keep(d.texts, true);
    enum result r = find_all(&d, f);
    if (d.texts)
        query_texts_keep(d.texts, false);
    log_find(&d);
    arena_free(&d.scratch);
    arena_free(&d.batch);
    arena_free(&d.names);
    buf_done(&d.room);
    return r;
}

enum result
imap_search_find(struct imap_search *s, struct fault *f)
{
    enum result r = imap_search_find_in(s, s->c->session->view, f);
    imap_search_done(s);
    return r;
}
