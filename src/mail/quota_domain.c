#include "mail/home.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "mail/system.h"

#include <pthread.h>

// A domain's limit. All homes are threads of one process, so they share one counter for each domain that has a limit: a change
// takes from it before it is committed, and what it did not use, or freed, is given back when its batch is over. After a
// start the counter is the sum of the accounts' own ones, which are durable; until it is there growth waits.
// docs/decisions/0016-quota.md. Locks: quotas.lock, then quota_domain.lock; nothing suspends under them.

struct quota_member {
    UT_hash_handle hh;
    uint64_t account;
    struct usage charged;  // touched by the account's home only
    struct quota_domain *domain;
};

struct quota_domain {
    UT_hash_handle hh;
    struct span name;
    pthread_mutex_t lock;
    struct usage used, limits;
    struct quota_member *members;
    atomic_bool ready;
    bool own_sum;  // a sum of its own was started for it
};

enum directory_state { DIRECTORY_UNREAD, DIRECTORY_READING, DIRECTORY_READ };

struct quotas {
    struct quota_now now;
    pthread_mutex_t lock;
    struct quota_domain *domains;  // they stay until the end
    atomic_uint count;
    atomic_uint directory;  // enum directory_state
    atomic_bool stopped;
};

enum { WAIT_MS = 2, AGAIN_MS = 1000, STEP_MS = 50 };

struct quotas *
quotas_new(void)
{
    struct quotas *q = calloc(1, sizeof *q);
    must(q != NULL);
    pthread_mutex_init(&q->lock, NULL);
    for (int k = 0; k < USAGE_KINDS; k++)
        q->now.limits[k] = QUOTA_NONE;
    q->now.local_domain = "";
    return q;
}

static void
domain_free(struct quota_domain *d)
{
    struct quota_member *m, *next;
    HASH_ITER(hh, d->members, m, next)
    {
        HASH_DELETE(hh, d->members, m);
        free(m);
    }
    pthread_mutex_destroy(&d->lock);
    free((char *)(uintptr_t)d->name.p);
    free(d);
}

void
quotas_free(struct quotas **qp)
{
    struct quotas *q = *qp;
    struct quota_domain *d, *next;
    HASH_ITER(hh, q->domains, d, next)
    {
        HASH_DELETE(hh, q->domains, d);
        domain_free(d);
    }
    pthread_mutex_destroy(&q->lock);
    free(q);
    *qp = NULL;
}

struct quota_now *
quotas_now(struct quotas *q)
{
    return &q->now;
}

void
mail_quota_stop(struct mail *m)
{
    mail_quotas(m)->stopped = true;
}

struct span
quota_domain_of(struct mail *m, struct span user)
{
    size_t at = span_behind_last(user, '@');
    struct span local = span_str(quotas_now(mail_quotas(m))->local_domain);
    return at > 0 ? span_skip(user, at) : local.n > 0 ? local : SPAN_NONE;
}

// ---- the domains that are counted ----

static struct quota_domain *
domain_find(struct quotas *q, struct span name)
{
    struct quota_domain *d = NULL;
    if (!name.p)
        return NULL;
    pthread_mutex_lock(&q->lock);
    HASH_FIND(hh, q->domains, name.p, name.n, d);
    pthread_mutex_unlock(&q->lock);
    return d;
}

static struct quota_domain *
domain_make(struct quotas *q, struct span name, const struct usage *limits, bool own_sum)
{
    struct quota_domain *there;
    struct quota_domain *d = calloc(1, sizeof *d);
    char *copy = strndup(name.p, name.n);
    must(d != NULL && copy != NULL);
    d->name = span_of(copy, name.n);
    d->limits = *limits;
    d->own_sum = own_sum;
    pthread_mutex_init(&d->lock, NULL);
    pthread_mutex_lock(&q->lock);
    HASH_FIND(hh, q->domains, name.p, name.n, there);  // by another thread, meanwhile
    if (!there) {
        HASH_ADD_KEYPTR(hh, q->domains, d->name.p, d->name.n, d);
        atomic_fetch_add(&q->count, 1);
    }
    pthread_mutex_unlock(&q->lock);
    if (there)
        domain_free(d);
    return there ? there : d;
}

static void
usage_move(struct usage *to, const struct usage *was, const struct usage *now)
{
    for (int k = 0; k < USAGE_KINDS; k++)
        to->n[k] += now->n[k] - was->n[k];
}

// In the home. What the account holds, and will hold by the batch that is being built, counts from now on.
static void
join(struct quota_domain *d, struct account *a)
{
    struct usage next = quota_next(a);
    struct quota_member *m;
    pthread_mutex_lock(&d->lock);
    HASH_FIND(hh, d->members, &a->id, sizeof a->id, m);
    if (!m) {
        m = calloc(1, sizeof *m);
        must(m != NULL);
        m->account = a->id;
        m->domain = d;
        HASH_ADD(hh, d->members, account, sizeof m->account, m);
    }
    usage_move(&d->used, &m->charged, &next);
    m->charged = next;
    pthread_mutex_unlock(&d->lock);
    a->quota.member = m;
}

// ---- the sum ----

struct sum {
    struct mail *mail;
    struct quota_domain *domain;  // NULL: all there are
    size_t late;  // accounts at the front of the list that could not be opened
};

static void
visit_run(void *arg)
{
    struct account *a = arg;
    struct quota_domain *d =
        domain_find(mail_quotas(a->mail), quota_domain_of(a->mail, a->user));
    quota_wait(a);
    if (d && !a->quota.member)
        join(d, a);
    account_let_go(a);
}

// Opening an account counts it, unless it was open before its domain was counted.
static enum result
visit(struct mail *m, uint64_t id, struct fault *f)
{
    struct account *a;
    enum result r = account_open(m, id, SPAN(""), false, &a, f);
    if (r == R_OK)
        account_run(a, visit_run, a);
    return r;
}

// One that cannot be opened now is tried again behind the others; what it holds is not counted until then.
static void
visit_all(struct sum *s, uint64_t *ids, size_t n)
{
    const struct quotas *q = mail_quotas(s->mail);
    struct fault f;
    for (size_t i = 0; i < n && !q->stopped; i++) {
        if (account_is_system(ids[i]) || visit(s->mail, ids[i], &f) != R_FAIL)
            continue;
        log_error("quota", "an account cannot be counted in its domain yet",
                  field_number("account", "account=%", ids[i]), log_fault(&f));
        ids[s->late++] = ids[i];
    }
}

static bool
pause_sum(const struct quotas *q)
{
    for (unsigned ms = 0; ms < AGAIN_MS && !q->stopped; ms += STEP_MS)
        task_sleep(STEP_MS);
    return !q->stopped;
}

// Until none is left.
static void
visit_late(struct sum *s, uint64_t *ids)
{
    struct fault f;
    while (s->late > 0 && pause_sum(mail_quotas(s->mail))) {
        size_t still = 0;
        for (size_t i = 0; i < s->late; i++)
            if (visit(s->mail, ids[i], &f) == R_FAIL)
                ids[still++] = ids[i];
            else
                log_info("quota", "the account is counted now",
                         field_number("account", "account=%", ids[i]));
        s->late = still;
    }
}

static enum result
list_accounts(struct sum *s, struct arena *a, uint64_t **ids, size_t *n)
{
    struct fault f;
    enum result r;
    bool told = false;
    while ((r = store_accounts(mail_store(s->mail), a, ids, n, &f)) != R_OK) {
        if (!told)
            log_error("quota", "the accounts of domains cannot be counted yet",
                      log_fault(&f));
        told = true;
        if (!pause_sum(mail_quotas(s->mail)))
            break;
    }
    return r;
}

static void
ready(struct quotas *q, struct quota_domain *only)
{
    pthread_mutex_lock(&q->lock);
    for (struct quota_domain *d = q->domains; d; d = d->hh.next)
        if (only ? d == only : !d->own_sum)
            d->ready = true;
    pthread_mutex_unlock(&q->lock);
}

static void
sum_run(void *arg)
{
    struct sum *s = arg;
    struct quotas *q = mail_quotas(s->mail);
    struct arena *arena = arena_new();
    uint64_t *ids = NULL;
    size_t n = 0;
    uint64_t began = clock_mono_ms();
    if (list_accounts(s, arena, &ids, &n) == R_OK) {
        visit_all(s, ids, n);
        if (!q->stopped)
            ready(q, s->domain);
        log_debug("quota", "domains are summed up",
                  field_number("accounts", "accounts=%", n),
                  field_number("ms", "ms=%", clock_mono_ms() - began));
        visit_late(s, ids);
    }
    arena_free(&arena);
    free(s);
}

static void
sum_start(struct mail *m, struct quota_domain *only)
{
    struct sum *s = calloc(1, sizeof *s);
    must(s != NULL);
    *s = (struct sum){.mail = m, .domain = only};
    task_start_helper(0, sum_run, s);
}

// ---- the directory ----

static const struct span prefix = SPAN("quota/");

struct directory_call {
    struct mail *mail;
    struct account *account;
    struct span name;  // of a domain
    const struct usage *limits;
    struct fault *fault;
    enum result result;
};

// A domain of a key "quota/DOMAIN/RESOURCE" that nobody counts yet.
static void
read_each(uint64_t mailbox, struct span key, struct span value, void *arg)
{
    const struct directory_call *c = arg;
    struct quotas *q = mail_quotas(c->mail);
    size_t end = span_behind_last(key, '/');
    (void)value;
    if (mailbox != 0 || !span_starts(key, prefix) || end <= prefix.n)
        return;
    struct span name = span_slice(key, prefix.n, end - 1);
    struct usage limits;
    if (domain_find(q, name))
        return;
    quota_limits_read(account_state(c->account), span_slice(key, 0, end), &limits);
    domain_make(q, name, &limits, false);
}

static void
read_run(void *arg)
{
    struct directory_call *c = arg;
    state_meta_each(account_state(c->account), read_each, c);
}

static enum result
directory_read(struct mail *m, struct fault *f)
{
    struct quotas *q = mail_quotas(m);
    struct directory_call c = {.mail = m};
    enum result r =
        account_open(m, ACCOUNT_DIRECTORY, SPAN("directory"), false, &c.account, f);
    if (r == R_OK) {
        account_run(c.account, read_run, &c);
        account_close(&c.account);
    }
    q->directory = r == R_FAIL ? DIRECTORY_UNREAD : DIRECTORY_READ;
    if (r == R_OK && q->count > 0)
        sum_start(m, NULL);
    return r == R_FAIL ? R_FAIL : R_OK;
}

static enum result
directory_ready(struct mail *m, struct fault *f)
{
    struct quotas *q = mail_quotas(m);
    unsigned unread = DIRECTORY_UNREAD;
    if (q->directory == DIRECTORY_READ)
        return R_OK;
    if (atomic_compare_exchange_strong(&q->directory, &unread, DIRECTORY_READING))
        return directory_read(m, f);
    while (q->directory == DIRECTORY_READING)
        task_sleep(WAIT_MS);
    return q->directory == DIRECTORY_READ ? R_OK : directory_ready(m, f);
}

// ---- what accounts take ----

void
quota_attach(struct account *a)
{
    struct quota_domain *d;
    struct fault f;
    if (account_is_system(a->id) || directory_ready(a->mail, &f) != R_OK ||
        mail_quotas(a->mail)->count == 0)
        return;
    d = domain_find(mail_quotas(a->mail), quota_domain_of(a->mail, a->user));
    if (d)
        join(d, a);
}

static bool
limited(const struct usage *limits)
{
    for (int k = 0; k < USAGE_KINDS; k++)
        if (limits->n[k] <= QUOTA_MAX)
            return true;
    return false;
}

static bool
is_limited(struct quota_domain *d)
{
    pthread_mutex_lock(&d->lock);
    bool is = limited(&d->limits);
    pthread_mutex_unlock(&d->lock);
    return is;
}

static enum result
wait_ready(const struct quotas *q, const struct quota_domain *d, struct fault *f)
{
    for (uint32_t ms = 0; !d->ready; ms += WAIT_MS) {
        if (q->stopped || ms > LIMIT_quota_sum_ms)
            return fault_set(f, FAULT_UNAVAILABLE, "%.*s is being summed up",
                             SPAN_ARG(d->name));
        task_sleep(WAIT_MS);
    }
    return R_OK;
}

// Under the lock.
static enum result
fits(const struct quota_domain *d, const struct usage *more, struct fault *f)
{
    for (int k = 0; k < USAGE_KINDS; k++) {
        uint64_t limit = d->limits.n[k];
        if (more->n[k] > 0 && limit <= QUOTA_MAX &&
            (more->n[k] > limit || d->used.n[k] > limit - more->n[k]))
            return fault_set(f, FAULT_OVERQUOTA, "%s of %.*s: %llu and %llu are over %llu",
                             quota_resource(k), SPAN_ARG(d->name),
                             (unsigned long long)d->used.n[k],
                             (unsigned long long)more->n[k], (unsigned long long)limit);
    }
    return R_OK;
}

// Suspends. The account's domain, summed up; R_NONE: it has none with limits.
static enum result
domain_ready(struct account *a, struct quota_domain **out, struct fault *f)
{
    struct quotas *q = mail_quotas(a->mail);
    struct quota_domain *d;
    if (directory_ready(a->mail, f) != R_OK)
        return R_FAIL;
    if (q->count == 0)
        return R_NONE;
    d = a->quota.member ? a->quota.member->domain
                        : domain_find(q, quota_domain_of(a->mail, a->user));
    if (!d)
        return R_NONE;
    if (!a->quota.member)
        join(d, a);
    *out = d;
    return is_limited(d) ? wait_ready(q, d, f) : R_OK;
}

// Is there room for so much more, and does the account take it?
static enum result
ask_room(struct account *a, const struct usage *more, bool take, struct fault *f)
{
    static const struct usage nothing;
    struct quota_domain *d;
    enum result r = domain_ready(a, &d, f);
    if (r != R_OK)
        return r == R_NONE ? R_OK : R_FAIL;
    pthread_mutex_lock(&d->lock);
    r = fits(d, more, f);
    if (r == R_OK && take) {
        usage_move(&d->used, &nothing, more);
        usage_move(&a->quota.member->charged, &nothing, more);
    }
    pthread_mutex_unlock(&d->lock);
    return r;
}

enum result
quota_domain_take(struct account *a, const struct usage *more, struct fault *f)
{
    return ask_room(a, more, true, f);
}

enum result
quota_domain_fits(struct account *a, const struct usage *more, struct fault *f)
{
    return ask_room(a, more, false, f);
}

void
quota_domain_settle(struct account *a)
{
    struct quota_member *m = a->quota.member;
    const struct usage *now = state_usage(account_state(a));
    if (!m || memcmp(&m->charged, now, sizeof *now) == 0)
        return;
    pthread_mutex_lock(&m->domain->lock);
    usage_move(&m->domain->used, &m->charged, now);
    pthread_mutex_unlock(&m->domain->lock);
    m->charged = *now;
}

// ---- from outside ----

enum result
quota_domain_get(struct mail *m, struct span name, struct quota *out, struct fault *f)
{
    if (directory_ready(m, f) != R_OK)
        return R_FAIL;
    struct quota_domain *d = domain_find(mail_quotas(m), name);
    if (!d)
        return R_NONE;
    if (wait_ready(mail_quotas(m), d, f) != R_OK)
        return R_FAIL;
    pthread_mutex_lock(&d->lock);
    out->used = d->used;
    out->limits = d->limits;
    pthread_mutex_unlock(&d->lock);
    for (int k = 0; k < USAGE_KINDS; k++)
        out->own[k] = out->limits.n[k] <= QUOTA_MAX;
    return R_OK;
}

static enum result
set_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    const struct directory_call *c = arg;
    struct buf key;
    (void)f;
    buf_init(&key, LIMIT_user_name + 16);
    buf_put(&key, prefix);
    buf_put(&key, c->name);
    buf_put_char(&key, '/');
    quota_limits_put(a, b, buf_span(&key), c->limits);
    buf_done(&key);
    return R_OK;
}

static void
set_run(void *arg)
{
    struct directory_call *c = arg;
    c->result = account_change(c->account, set_change, c, CHANGE_ALONE, NULL, c->fault);
}

static void
limits_take(struct mail *m, struct span name, const struct usage *limits)
{
    struct quotas *q = mail_quotas(m);
    struct quota_domain *d = domain_find(q, name);
    bool fresh = !d;
    if (fresh)
        d = domain_make(q, name,
                        &(struct usage){{QUOTA_NONE, QUOTA_NONE, QUOTA_NONE, QUOTA_NONE}},
                        true);
    pthread_mutex_lock(&d->lock);
    for (int k = 0; k < USAGE_KINDS; k++)
        if (limits->n[k] != QUOTA_KEEP)
            d->limits.n[k] = limits->n[k];
    pthread_mutex_unlock(&d->lock);
    if (fresh)
        sum_start(m, d);
}

enum result
quota_domain_set(struct mail *m, struct span name, const struct usage *limits,
                 struct fault *f)
{
    struct directory_call c = {.mail = m, .name = name, .limits = limits, .fault = f};
    if (name.n == 0 || name.n > LIMIT_user_name || span_find_char(name, '/') < name.n)
        return fault_set(f, FAULT_BAD, "no name of a domain");
    if (directory_ready(m, f) != R_OK ||
        account_open(m, ACCOUNT_DIRECTORY, SPAN("directory"), true, &c.account, f) != R_OK)
        return R_FAIL;
    account_run(c.account, set_run, &c);
    account_close(&c.account);
    if (c.result == R_OK)
        limits_take(m, name, limits);
    return c.result;
}

static int
name_order(const void *x, const void *y)
{
    const struct span *a = x, *b = y;
    return span_cmp(*a, *b);
}

enum result
quota_domains(struct mail *m, struct arena *a, struct span **names_out, size_t *n_out,
              struct fault *f)
{
    struct quotas *q = mail_quotas(m);
    if (directory_ready(m, f) != R_OK)
        return R_FAIL;
    pthread_mutex_lock(&q->lock);
    struct span *names = arena_array(a, q->count, sizeof *names);
    size_t n = 0;
    for (struct quota_domain *d = q->domains; d; d = d->hh.next)
        if (is_limited(d))
            names[n++] = arena_dup(a, d->name);
    pthread_mutex_unlock(&q->lock);
    if (n > 1)
        qsort(names, n, sizeof *names, name_order);
    *names_out = names;
    *n_out = n;
    return R_OK;
}
