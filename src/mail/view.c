#include "mail/view.h"

#include "mail/private.h"

#include "base/limits.h"

// ---- sequence numbers, in the home ----

static int
ghost_order(const void *a, const void *b)
{
    const struct message_row *x = a, *y = b;
    return x->uid < y->uid ? -1 : x->uid > y->uid;
}

// One expunge lists them in order.
static bool
ascending(const struct message_row *rows, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (rows[i - 1].uid > rows[i].uid)
            return false;
    return true;
}

// Visible rows of the table itself: those with uid <= last_uid.
static uint32_t
rows_visible(const struct view *v)
{
    return v->last_uid == UINT32_MAX ? v->mailbox->state->counts.exists
                                     : state_row_at(v->mailbox->state, v->last_uid + 1);
}

void
view_ghosts(struct view *v)
{
    struct mailbox *m = v->mailbox;
    if (v->ghosts.version == m->version &&
        (v->ghosts.count == 0) == (v->version == m->version))
        return;
    size_t n = 0;
    uint32_t at = 0;
    free(v->ghosts.rows);
    free(v->ghosts.seqs);
    v->ghosts.rows =
        m->ghost_count > 0 ? calloc(m->ghost_count, sizeof *v->ghosts.rows) : NULL;
    v->ghosts.seqs =
        m->ghost_count > 0 ? calloc(m->ghost_count, sizeof *v->ghosts.seqs) : NULL;
    must(m->ghost_count == 0 || (v->ghosts.rows && v->ghosts.seqs));
    for (size_t i = 0; i < m->ghost_count; i++)
        if (m->ghosts[i].version > v->version && m->ghosts[i].row.uid <= v->last_uid)
            v->ghosts.rows[n++] = m->ghosts[i].row;
    if (!ascending(v->ghosts.rows, n))
        qsort(v->ghosts.rows, n, sizeof *v->ghosts.rows, ghost_order);
    for (size_t i = 0; i < n; i++) {
        at = state_row_from(m->state, at, v->ghosts.rows[i].uid);
        v->ghosts.seqs[i] = at + (uint32_t)i + 1;
    }
    v->ghosts.count = n;
    v->ghosts.version = m->version;
}

// How many ghosts have a sequence number below seq; *exact when seq is a ghost itself.
static size_t
ghosts_before(const struct view *v, uint32_t seq, bool *exact)
{
    size_t low = 0, high = v->ghosts.count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (v->ghosts.seqs[mid] < seq)
            low = mid + 1;
        else
            high = mid;
    }
    *exact = low < v->ghosts.count && v->ghosts.seqs[low] == seq;
    return low;
}

bool
view_is_recent(const struct view *v, uint32_t uid)
{
    size_t low = 0, high = v->recent_ranges;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (v->recents[mid].last < uid)
            low = mid + 1;
        else
            high = mid;
    }
    return low < v->recent_ranges && v->recents[low].first <= uid;
}

size_t
view_ghosts_below(const struct view *v, uint32_t uid)
{
    size_t low = 0, high = v->ghosts.count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (v->ghosts.rows[mid].uid < uid)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

void
view_at(struct view *v, uint32_t seq, struct view_message *out)
{
    bool ghost = false;
    size_t before = v->ghosts.count > 0 ? ghosts_before(v, seq, &ghost) : 0;
    out->seq = seq;
    out->expunged = ghost;
    out->row = ghost ? v->ghosts.rows[before] : v->mailbox->state->rows[seq - 1 - before];
    if (ghost)
        out->row.keywords = 0;
    if (private_overlaid(v))
        private_overlay(v, &out->row, ghost);
    out->recent = v->recent_ranges > 0 && view_is_recent(v, out->row.uid);
}

uint32_t
view_seq_from(struct view *v, uint32_t uid)
{
    uint32_t at = state_row_at(v->mailbox->state, uid), visible = rows_visible(v);
    return (at < visible ? at : visible) + 1 + (uint32_t)view_ghosts_below(v, uid);
}

// ---- what the session calls ----

struct call {
    struct view *view;
    void *arg;
    struct fault *fault;
    enum result result;
    view_fn *fn;
};

static void
call_run(void *arg)
{
    struct call *c = arg;
    c->result = c->fn(c->view, c->arg, c->fault);
}

enum result
view_run(struct view *v, view_fn *fn, void *arg, struct fault *f)
{
    struct call c = {v, arg, f, R_FAIL, fn};
    account_run(v->account, call_run, &c);
    return c.result;
}

enum result
view_table(struct view *v, struct fault *f)
{
    if (v->gone || mailbox_load(v->account, v->mailbox, f) != R_OK)
        return v->gone ? fault_set(f, FAULT_NONEXISTENT, "mailbox was deleted") : R_FAIL;
    view_ghosts(v);
    return R_OK;
}

static enum result
star(struct view *v, void *arg, struct fault *f)
{
    struct view_message last;
    uint32_t *out = arg;
    if (view_table(v, f) != R_OK)
        return R_FAIL;
    *out = 0;
    if (v->exists > 0) {
        view_at(v, v->exists, &last);
        *out = last.row.uid;
    }
    return R_OK;
}

enum result
view_star(struct view *v, bool by_uid, uint32_t *star_out, struct fault *f)
{
    if (by_uid)
        return view_run(v, star, star_out, f);
    *star_out = v->exists;
    return R_OK;
}

enum result
view_cursor_init(struct view_cursor *c, struct view *v, const struct seqset *set,
                 bool by_uid, struct fault *f)
{
    if (set && !by_uid && set->count > 0 && set->ranges[set->count - 1].last > v->exists)
        return fault_set(f, FAULT_BAD, "no such sequence number");
    *c = (struct view_cursor){.view = v, .set = set, .by_uid = by_uid, .next_seq = 1};
    return R_OK;
}

struct next_call {
    struct view_cursor *cursor;
    struct view_message *out;
    size_t max, n;
    size_t looks;  // rows this call may still look at
};

static bool
wanted(const struct view_cursor *c, const struct message_row *row)
{
    return (row->flags & (c->flags | c->no_flags)) == c->flags && row->modseq > c->since;
}

// Passes over rows of the range that are not wanted: one look at each of them. Where expunged rows lie between, or the user
// has flags of their own, every row is looked at by view_at.
static void
skip_unwanted(struct view *v, struct next_call *n, uint32_t last)
{
    struct view_cursor *c = n->cursor;
    uint32_t end = c->by_uid || last > v->exists ? v->exists : last;
    bool all = c->since == 0 && (c->flags | c->no_flags) == 0;
    if (all || v->ghosts.count > 0 || private_overlaid(v) || c->next_seq > end)
        return;
    const struct message_row *row = v->mailbox->state->rows + c->next_seq - 1;
    size_t left = end - c->next_seq + 1, i = 0;
    if (left > n->looks)
        left = n->looks;
    while (i < left && !wanted(c, &row[i]) && (!c->by_uid || row[i].uid <= last))
        i++;
    c->next_seq += (uint32_t)i;
    n->looks -= i;
}

// One range of the set, from the cursor's position; false when the call ends before the range.
static bool
next_range(struct view *v, struct next_call *n, uint32_t first, uint32_t last)
{
    struct view_cursor *c = n->cursor;
    uint32_t from = c->by_uid ? view_seq_from(v, first) : first;
    if (c->next_seq < from)
        c->next_seq = from;
    for (;; c->next_seq++) {
        skip_unwanted(v, n, last);
        if (c->next_seq > v->exists || (!c->by_uid && c->next_seq > last))
            return true;
        if (n->n == n->max || n->looks == 0)
            return false;
        struct view_message *m = &n->out[n->n];
        view_at(v, c->next_seq, m);
        if (c->by_uid && m->row.uid > last)
            return true;
        n->n += wanted(c, &m->row);
        n->looks--;
    }
}

static enum result
next(struct view *v, void *arg, struct fault *f)
{
    struct next_call *n = arg;
    struct view_cursor *c = n->cursor;
    if (view_table(v, f) != R_OK)
        return R_FAIL;
    if (!c->set) {
        next_range(v, n, 1, UINT32_MAX);
        return R_OK;
    }
    for (; c->range < c->set->count; c->range++)
        if (!next_range(v, n, c->set->ranges[c->range].first,
                        c->set->ranges[c->range].last))
            break;
    return R_OK;
}

enum result
view_next(struct view_cursor *c, struct view_message *out, size_t max, size_t *n_out,
          struct fault *f)
{
    struct next_call n = {c, out, max, 0, 0};
    while (n.n == 0) {
        task_yield();
        if (c->next_seq > c->view->exists || (c->set && c->range >= c->set->count))
            return R_NONE;
        n.looks = LIMIT_rows_looked_at;
        if (view_run(c->view, next, &n, f) != R_OK)
            return R_FAIL;
    }
    *n_out = n.n;
    return R_OK;
}

// ---- keywords ----

struct names_call {
    uint32_t set;
    bool all;
    struct arena *arena;
    struct span *names;
    size_t n;
};

static enum result
names(struct view *v, void *arg, struct fault *f)
{
    struct names_call *c = arg;
    struct mailbox *m = v->mailbox;
    const uint32_t *numbers = NULL;
    if (c->all ? v->gone : view_table(v, f) != R_OK)
        return fault_set(f, FAULT_NONEXISTENT, "mailbox was deleted");
    if (c->all) {
        c->n = m->state->keyword_count;
        v->user.keywords = m->state->keyword_count;
        v->user.told = true;
    } else {
        numbers = keyword_sets_get(m->state->sets, c->set, &c->n);
    }
    c->names = arena_array(c->arena, c->n, sizeof *c->names);
    for (size_t i = 0; i < c->n; i++)
        c->names[i] = arena_dup(c->arena, m->state->keywords[numbers ? numbers[i] : i]);
    return R_OK;
}

enum result
view_keyword_list(struct view *v, struct arena *a, struct span **names_out, size_t *n_out,
                  struct fault *f)
{
    struct names_call c = {.all = true, .arena = a};
    if (view_run(v, names, &c, f) != R_OK)
        return R_FAIL;
    *names_out = c.names;
    *n_out = c.n;
    return R_OK;
}

enum result
view_keywords(struct view *v, uint32_t set, struct arena *a, struct span **names_out,
              size_t *n_out, struct fault *f)
{
    struct names_call c = {.set = set, .arena = a};
    if (view_run(v, names, &c, f) != R_OK)
        return R_FAIL;
    *names_out = c.names;
    *n_out = c.n;
    return R_OK;
}

// ---- small answers, from the session's copy ----

void
view_info(const struct view *v, struct view_info *out)
{
    *out = (struct view_info){v->mailbox_id, v->uidvalidity, v->uidnext,
                              v->exists,     v->recent,      v->first_unseen,
                              v->told,       v->rights,      v->read_only};
}

uint32_t
view_exists(const struct view *v)
{
    return v->exists;
}

struct account *
view_account(const struct view *v)
{
    return v->account;
}

bool
view_gone(const struct view *v)
{
    return v->gone;
}

bool
view_pending(const struct view *v)
{
    return atomic_load(&v->pending);
}
