// RFC 5256: THREAD and UID THREAD with ORDEREDSUBJECT and REFERENCES; draft-ietf-morg-inthread section 4: REFS.
#include "imap/search.h"

#include "base/limits.h"
#include "imap/response.h"
#include "io/task.h"
#include "mail/columns.h"
#include "mail/message.h"
#include "mime/charset.h"
#include "search/threading_column.h"

// Fewer messages than FEW, or than that share of those in a column, are read for themselves.
enum { BATCH = 256, FEW = 64, SHARE = 8, AT_ONCE = 4096 };

struct threader {
    struct imap_search *search;
    struct mail *mail;
    struct threading *threading;
    struct column *column;  // NULL, or what is read goes there
    struct arena *scratch;  // of one message
    struct buf subject;     // folded
};

static enum result
parse_command(struct imap_search *s, enum threading_kind *kind_out, struct fault *f)
{
    struct parse *p = &s->c->parse;
    parse_sp(p);
    const struct imap_word *word = imap_word_find(SLOT_THREAD, parse_atom(p));
    if (word)
        *kind_out = (enum threading_kind)word->value;
    else
        parse_fail(p, "unknown threading algorithm");
    parse_sp(p);
    imap_search_parse_charset(s, p);
    parse_sp(p);
    return imap_search_parse_program(s, p, f);
}

// ---- what is found ----

static enum result
add(struct threader *d, const struct view_message *v, const struct mime_summary *s,
    struct fault *f)
{
    buf_reset(&d->subject);
    mime_fold_as(&d->subject, d->search->c->session->collation, s->base_subject);
    struct threading_message m = {
        .number = d->search->c->uid ? v->row.uid : v->seq,
        .sent_s = s->has_date ? s->date.utc_s : v->row.internal_date,
        .arrived_s = v->row.internal_date,
        .message_id = s->message_id,
        .references = s->references,
        .in_reply_to = s->in_reply_to,
        .subject = buf_span(&d->subject),
        .reply = s->reply_or_forward,
    };
    return d->column ? threading_column_add(d->column, v->row.uid, &m, f)
                     : threading_add(d->threading, &m, f);
}

// R_NONE: there is none that can be read.
static enum result
add_cached(struct threader *d, const struct view_message *v, struct span packed,
           struct fault *f)
{
    struct message_cache cache;
    struct mime_summary summary;
    struct fault damaged;
    if (!packed.p || message_cache_get(packed, &cache) != R_OK ||
        mime_summary_get(cache.summary, &summary, &damaged) != R_OK)
        return R_NONE;
    return add(d, v, &summary, f);
}

// Suspends. Where there is no cache.
static enum result
add_scanned(struct threader *d, const struct view_message *v, struct fault *f)
{
    struct message_cache cache;
    struct mime_summary summary;
    arena_reset(d->scratch);
    if (message_cache_load(d->mail, &v->row, d->scratch, &cache, f) != R_OK ||
        mime_summary_get(cache.summary, &summary, f) != R_OK)
        return R_FAIL;
    return add(d, v, &summary, f);
}

// Adds the cached ones without suspending, up to the first that is not cached; returns how many.
static enum result
add_cached_run(struct threader *d, const struct view_message *v, size_t n, size_t *done_out,
               struct fault *f)
{
    struct store_cache_reader *reader = store_cache_begin(mail_store(d->mail));
    struct span packed[BATCH];
    enum result r = R_OK;
    size_t i = 0;
    for (size_t k = 0; k < n; k++) {
        if (store_cache_find(reader, v[k].row.blob, &packed[k]) != R_OK)
            packed[k] = SPAN_NONE;
        __builtin_prefetch(packed[k].p);  // they lie all over memory
    }
    while (i < n && (r = add_cached(d, &v[i], packed[i], f)) == R_OK)
        i++;
    store_cache_end(&reader);
    *done_out = i;
    return r == R_FAIL ? R_FAIL : R_OK;
}

static enum result
add_batch(struct threader *d, const struct view_message *v, size_t n, struct fault *f)
{
    size_t done;
    for (size_t i = 0; i < n; i += done) {
        if (add_cached_run(d, v + i, n - i, &done, f) != R_OK)
            return R_FAIL;
        if (i + done < n && add_scanned(d, &v[i + done++], f) != R_OK)
            return R_FAIL;
    }
    if (!d->column && threading_settle(d->threading, f) != R_OK)
        return R_FAIL;
    return imap_goes_on(d->search->c->session, d->search->c->session->view, f);
}

static enum result
add_all(struct threader *d, const struct seqset *uids, struct fault *f)
{
    struct imap_search *s = d->search;
    struct view_cursor cursor;
    struct view_message *batch = arena_array(s->c->arena, BATCH, sizeof *batch);
    uint64_t goal = seqset_size(uids), done = 0;
    size_t n;
    enum result r;
    if (view_cursor_init(&cursor, s->c->session->view, uids, true, f) != R_OK)
        return R_FAIL;
    while ((r = view_next(&cursor, batch, BATCH, &n, f)) == R_OK) {
        if (add_batch(d, batch, n, f) != R_OK)
            return R_FAIL;
        done += n;
        imap_progress(s->c, done, goal);
    }
    return r == R_NONE ? R_OK : R_FAIL;
}

// ---- by the column ----

static void
lacking(const struct imap_search *s, const struct column *column, struct seqset *out)
{
    struct seqset_iter i = {0};
    uint32_t uid, at = 0, n = 0;
    seqset_init(out, s->c->arena);
    while (seqset_next(&s->uids, &i, &uid)) {
        at = column ? column_from(column, at, uid) : 0;
        if (!column || at == column->count || column->uids[at] != uid)
            seqset_add(out, uid);
        if (++n % AT_ONCE == 0)
            task_yield();
    }
}

// Makes it a column with what it lacks. R_NONE: there is no memory for that.
static enum result
complete(struct threader *d, struct column **column, struct fault *f)
{
    struct view *view = d->search->c->session->view;
    struct seqset missing;
    lacking(d->search, *column, &missing);
    if (missing.count == 0)
        return R_OK;
    enum result r =
        threading_column_begin(*column, (uint32_t)seqset_size(&missing), &d->column, f);
    if (r == R_OK)
        r = add_all(d, &missing, f);
    if (r == R_OK)
        r = threading_column_end(d->column, f);
    if (r == R_OK)
        mail_column_offer(view, COLUMN_THREADS, d->column);
    column_unref(column);
    *column = d->column;
    d->column = NULL;
    return r == R_OK ? R_OK : f->kind == FAULT_LIMIT ? R_NONE : R_FAIL;
}

static enum result
add_known(struct threader *d, const struct column *column, struct fault *f)
{
    const struct imap_search *s = d->search;
    struct seqset_iter of_uids = {0}, of_seqs = {0};
    uint32_t uid, seq, at = 0;
    if (threading_by_column(d->threading, column, f) != R_OK)
        return R_FAIL;
    while (seqset_next(&s->uids, &of_uids, &uid) && seqset_next(&s->seqs, &of_seqs, &seq)) {
        at = column_from(column, at, uid);
        if (threading_add_known(d->threading, column, s->c->uid ? uid : seq, at, f) != R_OK)
            return R_FAIL;
    }
    return R_OK;
}

// R_NONE: not by a column.
static enum result
add_by_column(struct threader *d, struct fault *f)
{
    const struct imap_session *session = d->search->c->session;
    uint64_t n = seqset_size(&d->search->uids);
    if (session->collation != COLLATION_CASEMAP || n < FEW)
        return R_NONE;
    struct column *column;
    enum result r = mail_column_get(session->view, COLUMN_THREADS, &column);
    if (column && n < column->count / SHARE)
        r = R_NONE;
    if (r == R_OK)
        r = complete(d, &column, f);
    if (r == R_OK)
        r = add_known(d, column, f);
    column_unref(&column);
    return r;
}

static enum result
make_threads(struct imap_search *s, struct threading *t, struct fault *f)
{
    struct view *view = s->c->session->view;
    struct threader d = {
        .search = s, .mail = account_mail(view_account(view)), .threading = t};
    d.scratch = arena_new();
    buf_init(&d.subject, LIMIT_record_meta);
    enum result r = add_by_column(&d, f);
    if (r == R_NONE)
        r = add_all(&d, &s->uids, f);
    arena_free(&d.scratch);
    buf_done(&d.subject);
    return r == R_OK ? threading_build(t, f) : r;
}

// ---- the answer ----

static void
put_step(struct buf *b, enum threading_step step, uint32_t number, bool behind_member)
{
    if (behind_member && step != THREADING_CLOSE)
        buf_put_char(b, ' ');
    if (step == THREADING_MEMBER)
        buf_put_u64(b, number);
    else
        buf_put_char(b, step == THREADING_OPEN ? '(' : ')');
}

// RFC 5256 section 4; a long answer leaves in pieces.
static void
answer(struct imap_session *s, struct threading *t)
{
    struct buf *b = imap_line(s);
    enum threading_step step = threading_next(t, NULL);
    uint32_t number = 0;
    bool behind_member = false;
    buf_put(b, SPAN("* THREAD"));
    if (step != THREADING_END)
        buf_put_char(b, ' ');
    for (; step != THREADING_END; step = threading_next(t, &number)) {
        put_step(b, step, number, behind_member);
        behind_member = step == THREADING_MEMBER;
        if (b->n > LIMIT_output_low) {
            imap_line_flush(s);
            b = imap_line(s);
        }
    }
    imap_line_send(s);
}

static enum result
thread_run(struct imap_command *c, struct fault *f)
{
    struct imap_search s = {.c = c};
    enum threading_kind kind = THREADING_REFERENCES;
    c->own = &s;
    if (parse_command(&s, &kind, f) != R_OK)
        return R_FAIL;
    imap_condstore_aware(c);
    if (imap_search_find(&s, f) != R_OK)
        return R_FAIL;
    struct threading *t =
        threading_new(kind, seqset_size(&s.uids),
                      mail_search_ledger(view_account(c->session->view)), c->arena);
    if (make_threads(&s, t, f) != R_OK)
        return R_FAIL;
    answer(c->session, t);
    return R_OK;
}

static const struct imap_verb verbs[] = {
    {"THREAD", ARGS_OWN, IMAP_SELECTED, VERB_SEQ | VERB_UID | VERB_READS, RIGHT_READ,
     thread_run},
    {0},
};

static const struct imap_word words[] = {
    {SLOT_THREAD, "ORDEREDSUBJECT", THREADING_SUBJECT, {0}},
    {SLOT_THREAD, "REFERENCES", THREADING_REFERENCES, {0}},
    {SLOT_THREAD, "REFS", THREADING_REFS, {0}},
    {0},
};

const struct imap_ext imap_ext_thread = {
    .name = "thread",
    .rfc = "RFC 5256, draft-ietf-morg-inthread section 4",
    .capability = "THREAD=ORDEREDSUBJECT THREAD=REFERENCES THREAD=REFS",
    .verbs = verbs,
    .words = words,
};
