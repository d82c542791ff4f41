#include "store/embedded.h"

#include "io/task.h"

// What homes read: the index at a position, read on the pool, plus the account's unfolded records after it,
// replayed in the home.

struct job {
    struct index *index;
    uint64_t account, mailbox, user;
    struct index_position position;
    struct state *state;
    struct index_table table;
    void *list;
    size_t n;
    void *out;  // what is asked for and found: the caller's
    enum result result;
    struct fault fault;
};

static enum result
run(struct store *s, task_fn *fn, struct job *job, struct fault *f)
{
    job->index = s->index;
    pool_run(s->pool, fn, job);
    if (job->result == R_FAIL)
        *f = job->fault;
    return job->result;
}

// ---- states ----

static void
load_state(void *arg)
{
    struct job *j = arg;
    j->result = index_load_state(j->index, j->account, &j->state, &j->position, &j->fault);
}

static enum result
replay_all(struct store *s, struct state *st, struct fault *f)
{
    struct unfolded **list;
    size_t n;
    enum result r = R_OK;
    fold_list(s->fold, st->account, &list, &n);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < unfolded_count(list[i]) && r == R_OK; k++) {
            const struct index_record *u = unfolded_get(list[i], k);
            r = state_apply(st, u->type, u->meta, u->place, f);
        }
    }
    free(list);
    return r;
}

static enum result
load_and_replay(struct store *s, uint64_t account, struct state **out, struct fault *f)
{
    struct job job = {.account = account};
    enum result r = run(s, load_state, &job, f);
    if (r == R_FAIL)
        return R_FAIL;
    if (r == R_NONE) {
        job.state = state_new(account);
        job.state->applied = job.position.seq;
    }
    r = replay_all(s, job.state, f);
    if (r == R_OK && !job.state->inside->exists)
        r = R_NONE;
    if (r == R_OK)
        *out = job.state;
    else
        state_free(&job.state);
    return r;
}

enum result
embedded_state_load(struct store *s, uint64_t account, struct state **out, struct fault *f)
{
    fold_pin(s->fold, account);
    enum result r = load_and_replay(s, account, out, f);
    fold_unpin(s->fold, account);
    return r;
}

// ---- tables ----

static void
load_table(void *arg)
{
    struct job *j = arg;
    j->result = index_load_table(j->index, j->account, j->mailbox, &j->table, &j->fault);
}

// A table that nobody sees yet, on its way from the index's position to where the state is.
struct ahead {
    struct state *shadow;  // has this mailbox alone
    struct mailbox_state *m;
    uint64_t done;  // records up to here are in
};

static struct ahead
ahead_new(uint64_t account, uint64_t mailbox, struct index_table *table)
{
    struct ahead a = {state_new(account), NULL, table->position.seq};
    a.shadow->yields = true;
    a.m = &state_mailbox_add(a.shadow, mailbox)->m;
    state_table_install(a.m, &table->table);
    return a;
}

// The account's records up to `to`. Suspends: there may be more of them afterwards.
static enum result
ahead_replay(struct store *s, struct ahead *a, uint64_t to, struct fault *f)
{
    struct unfolded **list;
    size_t n;
    enum result r = R_OK;
    fold_list(s->fold, a->shadow->account, &list, &n);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < unfolded_count(list[i]) && r == R_OK; k++) {
            const struct index_record *u = unfolded_get(list[i], k);
            if (u->place.seq > a->done && u->place.seq <= to)
                r = state_table_replay(a->shadow, a->m, u->type, u->meta, u->place, f);
            task_yield();
        }
    }
    free(list);
    a->done = to;
    return r;
}

static enum result
ahead_install(struct store *s, struct ahead *a, struct state *st, struct fault *f)
{
    while (a->done < st->applied)
        if (ahead_replay(s, a, st->applied, f) != R_OK)
            return R_FAIL;
    struct mailbox_state *m = state_mailbox(st, a->m->id);
    if (!m || m->loaded)
        return R_NONE;
    state_table_move(a->m, m);
    return state_table_check(m, f);
}

// R_NONE: the index has folded records that the home has not applied yet: again, soon.
static enum result
try_table(struct store *s, struct state *st, uint64_t mailbox, struct fault *f)
{
    struct mailbox_state *m = state_mailbox(st, mailbox);
    if (!m)
        return fault_set(f, FAULT_NONEXISTENT, "the mailbox is gone");
    if (m->loaded)
        return R_OK;
    struct job job = {
        .account = st->account, .mailbox = mailbox, .table.expected = m->counts.exists};
    if (run(s, load_table, &job, f) != R_OK)
        return R_FAIL;
    if (job.table.last_seq > st->applied) {
        message_table_done(&job.table.table);
        return R_NONE;
    }
    struct ahead a = ahead_new(st->account, mailbox, &job.table);
    enum result r = ahead_install(s, &a, st, f);
    state_free(&a.shadow);
    return r;
}

enum result
embedded_table_load(struct store *s, struct state *st, uint64_t mailbox, struct fault *f)
{
    uint64_t account = st->account;
    enum result r;
    fold_pin(s->fold, account);
    while ((r = try_table(s, st, mailbox, f)) == R_NONE) {
        if (!task_self()) {
            r = fault_set(f, FAULT_SERVERBUG, "a committed batch was not applied");
            break;
        }
        task_sleep(1);
    }
    fold_unpin(s->fold, account);
    return r;
}

// ---- lists, which come from the index alone ----

static void
load_accounts(void *arg)
{
    struct job *j = arg;
    uint64_t *list = NULL;
    j->result = index_accounts(j->index, &list, &j->n, &j->fault);
    j->list = list;
}

static void
load_tombstones(void *arg)
{
    struct job *j = arg;
    j->result = index_tombstones(j->index, j->account, j->mailbox, j->out, &j->fault);
}

static void
load_deleted(void *arg)
{
    struct job *j = arg;
    j->result = index_deleted(j->index, j->account, j->out, &j->fault);
}

static void
load_keywords(void *arg)
{
    struct job *j = arg;
    j->result = index_keywords(j->index, j->account, j->mailbox, j->out, &j->fault);
}

static void
load_privates(void *arg)
{
    struct job *j = arg;
    struct store_privates found = {0};
    j->result =
        index_privates(j->index, j->account, j->mailbox, j->user, &found, &j->fault);
    j->list = found.list;
    j->n = found.n;
}

static void
load_private_users(void *arg)
{
    struct job *j = arg;
    struct store_private_users found = {0};
    j->result = index_private_users(j->index, j->account, &found, &j->fault);
    j->list = found.list;
    j->n = found.n;
}

static void
load_thread_keys(void *arg)
{
    struct job *j = arg;
    struct store_thread_key *list = NULL;
    j->result = index_thread_keys(j->index, j->account, &list, &j->n, &j->fault);
    j->list = list;
}

// The account's unfolded records are folded first.
static enum result
run_list(struct store *s, task_fn *fn, struct job *job, struct fault *f)
{
    if (fold_flush(s->fold, job->account, f) != R_OK)
        return R_FAIL;
    return run(s, fn, job, f);
}

enum result
embedded_accounts(struct store *s, uint64_t **out, size_t *n_out, struct fault *f)
{
    struct job job = {0};
    if (run_list(s, load_accounts, &job, f) != R_OK)
        return R_FAIL;
    *out = job.list;
    *n_out = job.n;
    return R_OK;
}

enum result
embedded_tombstones(struct store *s, struct state *st, uint64_t mailbox,
                    struct store_tombstones *out, struct fault *f)
{
    struct job job = {.account = st->account, .mailbox = mailbox, .out = out};
    return out->indexed ? run(s, load_tombstones, &job, f)
                        : run_list(s, load_tombstones, &job, f);
}

static void
tell_gone(const struct index_record *u, uint64_t mailbox, uint64_t since, store_gone_fn *fn,
          void *arg)
{
    struct record_expunged r;
    uint32_t first = 0, last = 0;
    if ((u->type != RECORD_EXPUNGED && u->type != RECORD_MOVED) ||
        record_expunged_get(u->meta, &r) != R_OK || r.mailbox != mailbox ||
        r.modseq <= since)
        return;
    struct unpack ranges = unpack_of(r.uids);
    while (record_ranges_next(&ranges, &first, &last) == R_OK)
        fn(first, last, arg);
}

void
embedded_gone_fresh(struct store *s, const struct state *st, uint64_t mailbox,
                    uint64_t since, store_gone_fn *fn, void *arg)
{
    struct unfolded **list;
    size_t n;
    fold_pin(s->fold, st->account);
    fold_list(s->fold, st->account, &list, &n);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < unfolded_count(list[i]); k++) {
            const struct index_record *u = unfolded_get(list[i], k);
            if (u->place.seq <= st->applied)
                tell_gone(u, mailbox, since, fn, arg);
        }
    free(list);
    fold_unpin(s->fold, st->account);
}

enum result
embedded_deleted(struct store *s, struct state *st, struct store_deleted *out,
                 struct fault *f)
{
    struct job job = {.account = st->account, .out = out};
    return run_list(s, load_deleted, &job, f);
}

enum result
embedded_keywords(struct store *s, struct state *st, uint64_t mailbox,
                  struct store_keywords *out, struct fault *f)
{
    struct job job = {.account = st->account, .mailbox = mailbox, .out = out};
    return run_list(s, load_keywords, &job, f);
}

enum result
embedded_privates(struct store *s, struct state *st, uint64_t mailbox, uint64_t user,
                  struct store_privates *out, struct fault *f)
{
    struct job job = {.account = st->account, .mailbox = mailbox, .user = user};
    if (run_list(s, load_privates, &job, f) != R_OK)
        return R_FAIL;
    out->list = job.list;
    out->n = job.n;
    return R_OK;
}

enum result
embedded_private_users(struct store *s, struct state *st, struct store_private_users *out,
                       struct fault *f)
{
    struct job job = {.account = st->account};
    if (run_list(s, load_private_users, &job, f) != R_OK)
        return R_FAIL;
    out->list = job.list;
    out->n = job.n;
    return R_OK;
}

enum result
embedded_thread_keys(struct store *s, struct state *st, struct store_thread_key **out,
                     size_t *n_out, struct fault *f)
{
    struct job job = {.account = st->account};
    if (run_list(s, load_thread_keys, &job, f) != R_OK)
        return R_FAIL;
    *out = job.list;
    *n_out = job.n;
    return R_OK;
}
