#include "mail/home.h"

#include "base/limits.h"
#include "mail/label_mode.h"
#include "mail/system.h"
#include "mail/tree_record.h"

static const struct span own_prefix = SPAN("quota/"), outer_prefix = SPAN("quota/outer/");

static const char *const resources[USAGE_KINDS] = {"STORAGE", "MESSAGE", "MAILBOX",
                                                   "ANNOTATION-STORAGE"};

const char *
quota_resource(enum usage_kind kind)
{
    return resources[kind];
}

enum usage_kind
quota_resource_from(struct span name)
{
    for (enum usage_kind k = 0; k < USAGE_KINDS; k++)
        if (span_ieq(name, span_str(resources[k])))
            return k;
    return USAGE_KINDS;
}

// ---- settings ----

void
mail_quota_set(struct mail *m, const struct quota_settings *s)
{
    struct quota_now *now = quotas_now(mail_quotas(m));
    for (int k = 0; k < USAGE_KINDS; k++)
        now->limits[k] = s->limits.n[k];
    for (int i = 0; i < QUOTA_WARNINGS; i++)
        now->warnings[i] = s->warnings[i];
    now->grace = s->grace;
    now->exceeded_permanent = s->exceeded_permanent;
    now->hostname = s->hostname;
    now->local_domain = s->local_domain ? s->local_domain : "";
}

void
mail_quota_limits(struct mail *m, struct usage *out)
{
    const struct quota_now *now = quotas_now(mail_quotas(m));
    for (int k = 0; k < USAGE_KINDS; k++)
        out->n[k] = now->limits[k];
}

bool
mail_quota_permanent(struct mail *m)
{
    return quotas_now(mail_quotas(m))->exceeded_permanent;
}

// ---- limits as records ----

enum { KEY_ROOM = LIMIT_user_name + 64 };

static void
key_put(struct buf *b, struct span prefix, int kind)
{
    buf_reset(b);
    buf_put(b, prefix);
    buf_put_str(b, resources[kind]);
}

void
quota_limits_read(struct state *s, struct span prefix, struct usage *out)
{
    struct buf key;
    buf_init(&key, KEY_ROOM);
    for (int k = 0; k < USAGE_KINDS; k++) {
        struct span stored;
        out->n[k] = QUOTA_DEFAULT;
        key_put(&key, prefix, k);
        if (state_meta_find(s, 0, buf_span(&key), &stored) != R_OK)
            continue;
        struct unpack u = unpack_of(stored);
        uint64_t limit = unpack_u64(&u);
        if (!u.bad)
            out->n[k] = limit;
    }
    buf_done(&key);
}

void
quota_limits_put(struct account *a, struct store_batch *b, struct span prefix,
                 const struct usage *limits)
{
    struct buf key, value;
    buf_init(&key, KEY_ROOM);
    buf_init(&value, sizeof limits->n[0]);
    for (int k = 0; k < USAGE_KINDS; k++) {
        if (limits->n[k] == QUOTA_KEEP)
            continue;
        key_put(&key, prefix, k);
        buf_reset(&value);
        if (limits->n[k] != QUOTA_DEFAULT)
            pack_u64(&value, limits->n[k]);
        struct record_meta r = {0, change_modseq(a), buf_span(&key), buf_span(&value)};
        tree_put_meta(b, &r);
    }
    buf_done(&key);
    buf_done(&value);
}

void
quota_changed(struct account *a, struct span meta)
{
    struct record_meta r;
    must(record_meta_get(meta, &r) == R_OK);
    if (r.mailbox == 0 && span_starts(r.key, own_prefix))
        a->quota.known = false;
}

static const struct usage *
own_limits(struct account *a)
{
    if (!a->quota.known) {
        quota_limits_read(account_state(a), own_prefix, &a->quota.limits);
        quota_limits_read(account_state(a), outer_prefix, &a->quota.outer);
        a->quota.warned = quota_warned(a);
    }
    a->quota.known = true;
    return &a->quota.limits;
}

struct usage
quota_limits(struct account *a)
{
    const struct usage *own = own_limits(a);
    const struct quota_now *now = quotas_now(mail_quotas(a->mail));
    struct usage limits;
    for (int k = 0; k < USAGE_KINDS; k++) {
        limits.n[k] = own->n[k] != QUOTA_DEFAULT ? own->n[k] : a->quota.outer.n[k];
        if (limits.n[k] == QUOTA_DEFAULT)
            limits.n[k] = now->limits[k];
    }
    return limits;
}

// ---- the check ----

struct usage
quota_next(struct account *a)
{
    struct usage next = *state_usage(account_state(a));
    if (a->quota.applying)
        return next;
    for (const struct mailbox *m = a->quota.touched; m; m = m->touched) {
        next.n[USAGE_STORAGE] += m->next.size - m->state->counts.size;
        next.n[USAGE_MESSAGES] += m->next.exists - (uint64_t)m->state->counts.exists;
    }
    return next;
}

// What a limit means for what comes in this way.
static uint64_t
allowance(const struct account *a, uint64_t limit, int kind, enum quota_how how)
{
    uint64_t grace = quotas_now(mail_quotas(a->mail))->grace;
    bool passes = kind == USAGE_STORAGE || kind == USAGE_MESSAGES;
    if (how != QUOTA_DELIVERY || !passes || limit > QUOTA_MAX)
        return limit;
    uint64_t more = limit < UINT32_MAX ? limit * grace / 100 : limit / 100;
    if (limit >= UINT32_MAX && grace > 0)
        more = more > QUOTA_MAX / grace ? QUOTA_MAX : more * grace;
    return limit > QUOTA_MAX - more ? QUOTA_MAX : limit + more;
}

// `next` without `more`.
static enum result
within(struct account *a, const struct usage *next, const struct usage *more,
       enum quota_how how, struct fault *f)
{
    struct usage limits = quota_limits(a);
    for (int k = 0; how != QUOTA_WARNING && k < USAGE_KINDS; k++) {
        uint64_t most = allowance(a, limits.n[k], k, how);
        if (more->n[k] > 0 && (more->n[k] > most || next->n[k] > most - more->n[k]))
            return fault_set(f, FAULT_OVERQUOTA, "%s: %llu and %llu are over %llu",
                             resources[k], (unsigned long long)next->n[k],
                             (unsigned long long)more->n[k], (unsigned long long)most);
    }
    return R_OK;
}

static enum result
room(struct account *a, const struct usage *next, const struct usage *more,
     enum quota_how how, struct fault *f)
{
    if (account_is_system(a->id))
        return R_OK;
    if (within(a, next, more, how, f) != R_OK)
        return R_FAIL;
    return quota_domain_take(a, more, f);
}

enum result
quota_room(struct account *a, const struct usage *more, enum quota_how how, struct fault *f)
{
    struct usage next = quota_next(a);
    return room(a, &next, more, how, f);
}

static enum result
ask_behind(struct account *a, enum quota_how how)
{
    a->quota.asked = true;
    a->quota.how = (uint8_t)how;
    return R_OK;
}

enum result
quota_room_messages(struct account *a, size_t n, uint64_t octets, enum quota_how how,
                    struct fault *f)
{
    struct usage more = {{[USAGE_STORAGE] = octets, [USAGE_MESSAGES] = n}};
    return label_mode(a, NULL) ? ask_behind(a, how) : quota_room(a, &more, how, f);
}

enum result
quota_grown(struct account *a, enum quota_how how, struct fault *f)
{
    const struct usage *was = state_usage(account_state(a));
    struct usage next = quota_next(a), more = {{0}};
    for (int k = 0; k < USAGE_KINDS; k++)
        more.n[k] = next.n[k] > was->n[k] ? next.n[k] - was->n[k] : 0;
    return room(a, was, &more, how, f);
}

enum result
quota_room_behind(struct account *a, enum quota_how how, struct fault *f)
{
    return label_mode(a, NULL) ? ask_behind(a, how) : quota_grown(a, how, f);
}

// ---- behind a batch ----

static bool
is_over(const struct usage *used, const struct usage *limits)
{
    return used->n[USAGE_STORAGE] > limits->n[USAGE_STORAGE] ||
           used->n[USAGE_MESSAGES] > limits->n[USAGE_MESSAGES];
}

static void
passed(struct account *a)
{
    atomic_fetch_add(&a->quota.passed, 1);
    for (uint32_t i = 0; i < account_state(a)->mailbox_count; i++) {
        struct mailbox *m = account_state(a)->mailboxes[i]->mail;
        if (m && m->views)
            mailbox_poke(m);
    }
}

void
quota_settle(struct account *a)
{
    struct account_quota *q = &a->quota;
    const struct usage *used = state_usage(account_state(a));
    q->touched = NULL;
    q->applying = q->asked = false;
    quota_domain_settle(a);
    bool same = q->known && memcmp(used, &q->seen, sizeof *used) == 0;
    if (same || account_is_system(a->id))
        return;
    q->seen = *used;
    struct usage limits = quota_limits(a);
    bool over = is_over(used, &limits);
    if (over && !q->over)
        passed(a);
    q->over = over;
    quota_warn(a);
}

void
quota_opened(struct account *a)
{
    struct usage limits = quota_limits(a);
    a->quota.seen = *state_usage(account_state(a));
    a->quota.over = is_over(&a->quota.seen, &limits);
    quota_attach(a);
}

unsigned
quota_passed(const struct account *a)
{
    return a->quota.passed;
}

// ---- from outside ----

struct quota_call {
    struct account *account;
    struct quota *quota;
    const struct usage *limits;
    uint64_t octets;
    bool delivered;
    struct fault *fault;
    enum result result;
};

// Suspends. In the middle of a batch what is moved is there twice, or not at all.
void
quota_wait(const struct account *a)
{
    while (a->quota.applying)
        task_yield();
}

static void
get_run(void *arg)
{
    struct quota_call *c = arg;
    quota_wait(c->account);
    const struct usage *own = own_limits(c->account);
    c->quota->used = *state_usage(account_state(c->account));
    c->quota->limits = quota_limits(c->account);
    for (int k = 0; k < USAGE_KINDS; k++)
        c->quota->own[k] = own->n[k] != QUOTA_DEFAULT;
}

void
quota_get(struct account *a, struct quota *out)
{
    account_run(a, get_run, &(struct quota_call){.account = a, .quota = out});
}

static enum result
set_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    const struct quota_call *c = arg;
    (void)f;
    quota_limits_put(a, b, own_prefix, c->limits);
    return R_OK;
}

static void
set_run(void *arg)
{
    struct quota_call *c = arg;
    c->result = account_change(c->account, set_change, c, CHANGE_ALONE, NULL, c->fault);
}

enum result
quota_set(struct account *a, const struct usage *limits, struct fault *f)
{
    struct quota_call c = {.account = a, .limits = limits, .fault = f};
    account_run(a, set_run, &c);
    return c.result;
}

static enum result
set_outer_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    const struct quota_call *c = arg;
    (void)f;
    quota_limits_put(a, b, outer_prefix, c->limits);
    return R_OK;
}

static void
set_outer_run(void *arg)
{
    struct quota_call *c = arg;
    struct account *a = c->account;
    (void)own_limits(a);
    c->result = R_OK;
    if (memcmp(&a->quota.outer, c->limits, sizeof *c->limits) != 0)
        c->result = account_change(a, set_outer_change, c, CHANGE_ALONE, NULL, c->fault);
}

enum result
quota_set_outer(struct account *a, const struct usage *limits, struct fault *f)
{
    struct quota_call c = {.account = a, .limits = limits, .fault = f};
    account_run(a, set_outer_run, &c);
    return c.result;
}

static void
fits_run(void *arg)
{
    struct quota_call *c = arg;
    struct usage more = {{[USAGE_STORAGE] = c->octets, [USAGE_MESSAGES] = 1}};
    enum quota_how how = c->delivered ? QUOTA_DELIVERY : QUOTA_USER;
    quota_wait(c->account);
    c->result =
        within(c->account, state_usage(account_state(c->account)), &more, how, c->fault);
    if (c->result == R_OK)
        c->result = quota_domain_fits(c->account, &more, c->fault);
}

enum result
quota_fits(struct account *a, uint64_t octets, bool delivered, struct fault *f)
{
    struct quota_call c = {
        .account = a, .octets = octets, .delivered = delivered, .fault = f};
    account_run(a, fits_run, &c);
    return c.result;
}
