#include "mail/index_inside.h"

#include "base/clock.h"
#include "base/metrics.h"
#include "base/budget.h"
#include "mail/message_text.h"
#include "search/query.h"

// Indexing: rows behind what is covered, mailbox by mailbox; a segment when the builder holds enough.

enum { ROWS = 256, SET_FIRST = 1024, DEAD_LEAST = 1000 };

// EMAILIDs of the documents in the builder: copies are there once.
struct id_set {
    uint64_t *ids;
    size_t n, room;
};

struct worker {
    struct mail_index *x;
    struct account *account;
    struct text_builder *builder;
    struct mime_streams *streams;
    struct buf room;        // of one message
    struct arena *scratch;  // of one message
    struct message_row *rows;
    struct id_set set;
    struct index_covered *reached;  // what the builder has beyond x->covered
    size_t reached_count;
    unsigned open;       // zones of this message that not all is known of
    uint64_t unread;     // messages that could not be read
    struct fault first;  // why the first of them
    struct fault *f;
};

// ---- the set ----

static bool
set_put(struct id_set *s, uint64_t id)
{
    size_t i = (size_t)(id * 0x9e3779b97f4a7c15u >> 20) & (s->room - 1);
    for (; s->ids[i] != 0; i = (i + 1) & (s->room - 1))
        if (s->ids[i] == id)
            return false;
    s->ids[i] = id;
    s->n++;
    return true;
}

static void
set_grow(struct id_set *s)
{
    struct id_set more = {.room = s->room > 0 ? s->room * 2 : SET_FIRST};
    more.ids = calloc(more.room, sizeof *more.ids);
    must(more.ids != NULL);
    for (size_t i = 0; i < s->room; i++)
        if (s->ids[i] != 0)
            set_put(&more, s->ids[i]);
    free(s->ids);
    *s = more;
}

// False: it is in it already.
static bool
set_add(struct id_set *s, uint64_t id)
{
    if (2 * (s->n + 1) > s->room)
        set_grow(s);
    return set_put(s, id);
}

// ---- one message ----

static void
tell_fields(void *arg, struct span block, enum mime_zone zone)
{
    struct worker *w = arg;
    mime_streams_fields(w->streams, zone, block);
}

static void
tell_part_begin(void *arg, const struct mime_index_part *part)
{
    mime_streams_part_begin(((struct worker *)arg)->streams, part);
}

static void
tell_part(void *arg, struct span raw)
{
    mime_streams_part_feed(((struct worker *)arg)->streams, raw);
}

static void
tell_part_end(void *arg)
{
    mime_streams_part_end(((struct worker *)arg)->streams);
}

static void
tell_file(void *arg, struct span text)
{
    struct worker *w = arg;
    mime_streams_text_begin(w->streams, MIME_ZONE_FILE);
    mime_streams_text_feed(w->streams, text);
    mime_streams_text_end(w->streams);
}

// Who searches tries again.
static void
file_unknown(void *arg)
{
    ((struct worker *)arg)->open |= MIME_ZONE_FILE;
}

static enum result
go_on(void *arg, struct fault *f)
{
    const struct worker *w = arg;
    return mail_index_goes_on(w->x) ? R_OK : fault_set(f, FAULT_CLOSED, "indexing stops");
}

// Zones that the summary has only a part of: what is behind is looked for in the message itself.
static unsigned
open_zones(const struct query_message *m)
{
    unsigned zones = 0;
    for (enum query_op op = QUERY_SUBJECT; op <= QUERY_BCC; op++)
        if (query_field_cut(op, m))
            zones |= query_field_zone(op);
    return zones;
}

static enum result
feed(struct worker *w, const struct message_row *row)
{
    struct mail *mail = w->account->mail;
    struct message_cache cache;
    struct mime_summary summary;
    const struct message_text text = {.fields = tell_fields,
                                      .part_begin = tell_part_begin,
                                      .part_feed = tell_part,
                                      .part_end = tell_part_end,
                                      .file = tell_file,
                                      .file_unknown = file_unknown,
                                      .go_on = go_on,
                                      .arg = w,
                                      .account = w->account->id,
                                      .room = &w->room};
    if (message_cache_load(mail, row, w->scratch, &cache, w->f) != R_OK ||
        mime_summary_get(cache.summary, &summary, w->f) != R_OK)
        return R_FAIL;
    w->open = 0;
    text_builder_begin(w->builder, row->emailid);
    mime_streams_summary(w->streams, &summary);
    struct query_message m = {.row = row, .summary = &summary, .parts = cache.index};
    if (message_text_read(mail, row, cache.index, &text, w->f) != R_OK) {
        text_builder_drop(w->builder);
        return R_FAIL;
    }
    text_builder_end(w->builder, w->open | open_zones(&m));
    return R_OK;
}

// A message that cannot be read is no reason to stop: who searches reads it and is told of it, and it is tried again
// (mail_index_purge_work).
static enum result
index_message(struct worker *w, const struct message_row *row)
{
    arena_reset(w->scratch);
    if (text_index_has(w->x->text, row->emailid) || !set_add(&w->set, row->emailid) ||
        feed(w, row) == R_OK)
        return R_OK;
    if (w->f->kind != FAULT_CORRUPTION && w->f->kind != FAULT_DISK)
        return R_FAIL;
    if (w->unread++ == 0)
        w->first = *w->f;
    return R_OK;
}

// ---- segments ----

void
mail_index_builder_charge(struct index_builder *b, size_t octets)
{
    if (octets > b->charged)
        budget_force(BUDGET_TABLES, octets - b->charged);
    else
        budget_give(BUDGET_TABLES, b->charged - octets);
    b->charged = octets;
}

void
mail_index_builder_free(struct index_builder *b)
{
    text_builder_free(&b->text);
    mail_index_builder_charge(b, 0);
}

static void
charge(struct worker *w)
{
    mail_index_builder_charge(mail_index_builder(w->account),
                              text_builder_octets(w->builder) +
                                  w->set.room * sizeof *w->set.ids);
}

static void
set_free(struct id_set *s)
{
    free(s->ids);
    *s = (struct id_set){0};
}

static void
builder_begin(struct worker *w)
{
    struct index_builder *b = mail_index_builder(w->account);
    if (!b->text)
        b->text = text_builder_new();
    w->builder = b->text;
    struct mime_text_sink sink = text_builder_sink(w->builder);
    w->streams = mime_streams_new(&sink);
    mime_streams_keep(w->streams, true);
    message_text_room(&w->room);
}

static void
builder_end(struct worker *w)
{
    mime_streams_free(&w->streams);
    buf_done(&w->room);
    set_free(&w->set);
    text_builder_reset(w->builder);
    charge(w);
}

static void
reached_put(struct worker *w, uint64_t mailbox, uint32_t upto)
{
    if (w->reached_count == 0 || w->reached[w->reached_count - 1].mailbox != mailbox) {
        w->reached = reallocarray(w->reached, w->reached_count + 1, sizeof *w->reached);
        must(w->reached != NULL);
        w->reached[w->reached_count++].mailbox = mailbox;
    }
    w->reached[w->reached_count - 1].upto = upto;
}

// Writes what there is; only then are its rows covered.
static enum result
flush(struct worker *w)
{
    if (text_builder_documents(w->builder) > 0 &&
        text_index_put(w->x->text, w->builder, w->f) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < w->reached_count; i++)
        mail_index_covered_of(w->x, w->reached[i].mailbox)->upto = w->reached[i].upto;
    w->reached_count = 0;
    set_free(&w->set);
    return mail_index_covered_save(w->x, w->f);
}

// ---- mailboxes ----

enum result
mail_index_of_mail(struct fault *f)
{
    if (f->kind == FAULT_CORRUPTION)
        f->kind = FAULT_DISK;
    return R_FAIL;
}

// The next rows behind `upto`, copied: the table may go while they are read.
static enum result
next_rows(struct worker *w, struct mailbox *m, uint32_t upto, size_t *n_out)
{
    size_t n = 0;
    if (mailbox_load(w->account, m, w->f) != R_OK)
        return w->f->kind == FAULT_NONEXISTENT ? R_NONE : mail_index_of_mail(w->f);
    const struct mailbox_state *st = m->state;
    for (uint32_t i = upto < UINT32_MAX ? state_row_at(st, upto + 1) : st->counts.exists;
         i < st->counts.exists && n < ROWS; i++)
        w->rows[n++] = st->rows[i];
    *n_out = n;
    return n > 0 ? R_OK : R_NONE;
}

static void
count_indexed(const struct message_row *row)
{
    int64_t lag_s = clock_wall_s() - (int64_t)row->save_date;
    metric_add(METRIC_indexed, 1);
    metric_time(METRIC_index_lag, lag_s > 0 ? (uint64_t)lag_s * 1000000 : 0);
}

static enum result
index_rows(struct worker *w, uint64_t mailbox, size_t n)
{
    if (!mail_index_wait_for_ease(w->x))
        return go_on(w, w->f);
    for (size_t i = 0; i < n; i++) {
        if (index_message(w, &w->rows[i]) != R_OK)
            return R_FAIL;
        count_indexed(&w->rows[i]);
        reached_put(w, mailbox, w->rows[i].uid);
        charge(w);
        task_yield();
        if (text_builder_gathered(w->builder) >= LIMIT_index_builder && flush(w) != R_OK)
            return R_FAIL;
    }
    return R_OK;
}

static enum result
index_mailbox(struct worker *w, uint64_t id)
{
    uint32_t upto = mail_index_covered_of(w->x, id)->upto;
    struct mailbox *m;
    while ((m = mailbox_of(w->account, id)) != NULL) {
        size_t n = 0;
        if (m->state->counts.exists == 0 || m->state->counts.uidnext - 1 <= upto)
            break;
        enum result r = next_rows(w, m, upto, &n);
        if (r == R_NONE && (m = mailbox_of(w->account, id)))
            reached_put(w, id, m->state->counts.uidnext - 1);
        if (r != R_OK)
            return r == R_NONE ? R_OK : r;
        upto = w->rows[n - 1].uid;
        if (index_rows(w, id, n) != R_OK)
            return R_FAIL;
    }
    return R_OK;
}

static enum result
index_mailboxes(struct worker *w)
{
    const struct state *st = account_state(w->account);
    uint64_t next = 0;
    for (;;) {
        uint32_t at = state_mailbox_at(st, next);
        if (at >= st->mailbox_count)
            return flush(w);
        uint64_t id = st->mailboxes[at]->id;
        next = id + 1;
        if (index_mailbox(w, id) != R_OK)
            return R_FAIL;
    }
}

// ---- merges ----

static uint64_t
messages(const struct account *a)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < account_state(a)->mailbox_count; i++)
        n += account_state(a)->mailboxes[i]->counts.exists;
    return n;
}

static bool
may_merge(void *arg)
{
    const struct worker *w = arg;
    return mail_index_wait_for_ease(w->x);
}

static enum result
merge(struct worker *w)
{
    const struct text_merge_wish wish = {
        .soon = mail_index_is_busy(w->x), .go_on = may_merge, .arg = w};
    struct text_stats stats;
    enum result r;
    if (wish.soon)
        w->x->lookups = 0;  // another try after as many
    text_index_stats(w->x->text, &stats);
    uint64_t live = messages(w->account);
    if (stats.documents > live + live / 4 + DEAD_LEAST)
        return mail_index_drop_dead(w->x, w->f);
    do
        r = text_index_merge(w->x->text, &wish, w->f);
    while (r == R_OK);
    return r == R_FAIL ? R_FAIL : R_OK;
}

void
mail_index_work(struct mail_index *x)
{
    struct fault f;
    struct worker w = {.x = x, .account = x->account, .scratch = arena_new(), .f = &f};
    w.rows = calloc(ROWS, sizeof *w.rows);
    must(w.rows != NULL);
    builder_begin(&w);
    if ((mail_index_is_fresh(x) && index_mailboxes(&w) != R_OK) || merge(&w) != R_OK)
        mail_index_failed(x, &f);
    if (w.unread > 0)
        mail_index_tell(x->account, "messages are not in the search index", &w.first);
    builder_end(&w);
    free(w.reached);
    free(w.rows);
    arena_free(&w.scratch);
}
