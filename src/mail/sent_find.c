#include "mail/sent_inside.h"

#include "mail/intake_inside.h"
#include "mail/message.h"
#include "mail/name.h"

// Messages by their Message-ID: the index of threads (thread.c) knows by id and base subject which thread it is, the rows of a
// mailbox say who is in it, and only the summaries of these are read.

enum result
sent_summary(const struct intake *in, struct mime_summary *out)
{
    struct message_cache cache;
    struct fault f;
    if (in->cache.n == 0 || message_cache_get(in->cache, &cache) != R_OK ||
        mime_summary_get(cache.summary, out, &f) != R_OK)
        return R_NONE;
    return R_OK;
}

// ---- one mailbox ----

struct looking {
    struct account *account;
    const struct sent_sought *sought;
    uint64_t thread;
    struct arena *arena;
    struct message_row *rows;  // of the thread, the newest last
    size_t n;
};

// The newest LIMIT_sent_thread of them.
static void
take_rows(struct looking *w, const struct mailbox *m)
{
    const struct mailbox_state *s = m->state;
    w->n = 0;
    for (uint32_t i = s->counts.exists; i > 0 && w->n < LIMIT_sent_thread; i--) {
        yield_at(i);
        if (s->rows[i - 1].threadid == w->thread)
            w->rows[w->n++] = s->rows[i - 1];
    }
}

static enum result
rows_of(struct looking *w, struct mailbox *m, struct fault *f)
{
    if (w->sought->in_change) {
        if (mailbox_load(w->account, m, f) != R_OK)
            return R_FAIL;
        take_rows(w, m);
        return R_OK;
    }
    if (mailbox_read_begin(w->account, m, f) != R_OK)
        return R_FAIL;
    take_rows(w, m);
    mailbox_read_end(w->account, m);
    return R_OK;
}

// One that cannot be read is another.
static bool
has_id(const struct looking *w, const struct message_row *row)
{
    struct arena *arena = arena_new_small();
    struct message_cache cache;
    struct mime_summary s;
    struct fault f;
    bool same = message_cache_load(w->account->mail, row, arena, &cache, &f) == R_OK &&
                mime_summary_get(cache.summary, &s, &f) == R_OK &&
                span_eq(s.message_id, w->sought->id);
    arena_free(&arena);
    return same;
}

static enum result
look_into(struct looking *w, struct mailbox *m, struct sent_found *out, struct fault *f)
{
    if (m->state->counts.exists == 0)
        return R_NONE;
    if (rows_of(w, m, f) != R_OK)
        return R_FAIL;
    *out = (struct sent_found){m->id, arena_array(w->arena, w->n, sizeof *out->uids), 0};
    for (size_t i = w->n; i > 0; i--)
        if (has_id(w, &w->rows[i - 1]))
            out->uids[out->n++] = w->rows[i - 1].uid;
    return out->n > 0 ? R_OK : R_NONE;
}

// ---- all mailboxes ----

struct ranked {
    unsigned rank;
    uint64_t id;
};

static unsigned
rank(const struct mailbox_state *m)
{
    switch (m->special_use) {
    case USE_JUNK:
    case USE_TRASH:
        return 2;
    case USE_ALL:
        return 3;
    default:
        return m->parent == 0 && name_is_inbox(m->name) ? 0 : 1;
    }
}

static int
by_rank(const void *x, const void *y)
{
    const struct ranked *a = x, *b = y;
    if (a->rank != b->rank)
        return a->rank < b->rank ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

static enum result
look_everywhere(struct looking *w, struct sent_found *out, struct fault *f)
{
    const struct state *s = account_state(w->account);
    size_t n = 0;
    struct ranked *all = arena_array(w->arena, s->mailbox_count, sizeof *all);
    for (uint32_t i = 0; i < s->mailbox_count; i++)
        if (!(s->mailboxes[i]->flags & MAILBOX_NOSELECT))
            all[n++] = (struct ranked){rank(s->mailboxes[i]), s->mailboxes[i]->id};
    if (n > 1)
        qsort(all, n, sizeof *all, by_rank);
    enum result r = R_NONE;
    for (size_t i = 0; r == R_NONE && i < n; i++) {
        struct mailbox *m = mailbox_of(w->account, all[i].id);
        r = m ? look_into(w, m, out, f) : R_NONE;
    }
    return r;
}

enum result
sent_find(struct account *a, const struct sent_sought *s, struct arena *arena,
          struct sent_found *out, struct fault *f)
{
    struct looking w = {.account = a, .sought = s, .arena = arena};
    if (s->id.n == 0)
        return R_NONE;
    enum result r = thread_find(a, thread_key(s->id, s->base_subject), &w.thread, f);
    if (r != R_OK)
        return r;
    w.rows = arena_array(arena, LIMIT_sent_thread, sizeof *w.rows);
    if (s->mailbox == 0)
        return look_everywhere(&w, out, f);
    struct mailbox *m = mailbox_of(a, s->mailbox);
    return m ? look_into(&w, m, out, f) : R_NONE;
}
