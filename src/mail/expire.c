#include "mail/expire.h"

#include "base/limits.h"
#include "mail/name.h"
#include "mail/select.h"
#include "mail/tree.h"

struct expire {
    struct account *account;
    const struct expire_wish *wish;
    struct arena *arena;
    struct fault *fault;
    enum result result;
    struct expire_folder *folders;
    size_t count;
    uint64_t left;  // messages that may still go
};

// One change after the other through one mailbox.
struct sweep {
    struct expire *expire;
    uint64_t mailbox;
    const struct expire_rule *rule;
    uint32_t before;  // SAVEDATE of what is old enough
    uint32_t from;    // the next UID to look at
    // what this change found
    struct expire_folder found;
    uint32_t next;  // 0: there is no more
};

// ---- which mailboxes ----

static bool
is_named(struct expire *e, const struct mailbox_state *m, struct span want)
{
    struct span name = name_full(e->arena, account_state(e->account), m), clean;
    struct fault none;
    if (mail_name_check(e->arena, want, &clean, &none) != R_OK)
        return false;
    return span_eq(name, clean) || (name_is_inbox(clean) && name_is_inbox(name));
}

static enum special_use
use_of(struct expire *e, struct span where)
{
    struct buf b;
    if (span_starts(where, SPAN("\\")))
        return special_use_from(where);
    buf_init(&b, LIMIT_mailbox_name);
    buf_put_char(&b, '\\');
    buf_put(&b, where);
    enum special_use use = special_use_from(arena_dup(e->arena, buf_span(&b)));
    buf_done(&b);
    return use;
}

static bool
rule_means(struct expire *e, const struct expire_rule *r, const struct mailbox_state *m)
{
    if (span_starts(r->where, SPAN("/")))
        return is_named(e, m, span_skip(r->where, 1));
    enum special_use use = use_of(e, r->where);
    return use != USE_NONE ? m->special_use == use : is_named(e, m, r->where);
}

static const struct expire_rule *
rule_of(struct expire *e, const struct mailbox_state *m)
{
    const struct expire_policy *p = e->wish->policy;
    for (size_t i = 0; i < p->rule_count; i++)
        if (rule_means(e, &p->rules[i], m))
            return &p->rules[i];
    return NULL;
}

// ---- which messages ----

static bool
is_exempt(const struct expire_policy *p, const struct row_flags *now,
          const struct keyword_list *keep)
{
    if (p->keep_flagged && (now->flags & FLAG_FLAGGED))
        return true;
    for (size_t i = 0; i < now->keyword_count; i++)
        for (size_t k = 0; k < keep->n; k++)
            if (now->keywords[i] == keep->numbers[k])
                return true;
    return false;
}

static void
look_at(struct sweep *s, struct mailbox *m, const struct message_row *row,
        const struct keyword_list *keep, struct seqset *gone)
{
    struct row_flags now;
    // 0: nobody knows when it came
    if (row->save_date == 0 || row->save_date > s->before ||
        pending_get(s->expire->account, m, row, &now) != R_OK)
        return;
    if (is_exempt(s->expire->wish->policy, &now, keep)) {
        s->found.kept++;
        return;
    }
    s->found.messages++;
    s->found.octets += row->size;
    seqset_add(gone, row->uid);
    if (!s->expire->wish->dry_run)
        rows_count(mailbox_next(s->expire->account, m), row, now.flags, -1);
}

static void
find_gone(struct sweep *s, struct mailbox *m, const struct keyword_list *keep,
          struct seqset *gone)
{
    const struct mailbox_state *t = m->state;
    uint32_t at = state_row_at(t, s->from), end = t->counts.exists;
    uint64_t most = LIMIT_expire_step;
    if (end - at > LIMIT_rows_looked_at)
        end = at + LIMIT_rows_looked_at;
    if (most > s->expire->left)
        most = s->expire->left;
    s->found = (struct expire_folder){0};
    while (at < end && s->found.messages < most)
        look_at(s, m, &t->rows[at++], keep, gone);
    s->next = at < t->counts.exists ? t->rows[at].uid : 0;
}

static enum result
sweep_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    struct sweep *s = arg;
    const struct expire_policy *p = s->expire->wish->policy;
    struct mailbox *m = mailbox_of(a, s->mailbox);
    struct keyword_names names = {p->keep, p->keep_count};
    struct keyword_list keep;
    struct seqset gone;
    if (!m)
        return fault_set(f, FAULT_NONEXISTENT, "the mailbox is gone");
    if (rule_of(s->expire, m->state) != s->rule)
        return fault_set(f, FAULT_NONEXISTENT, "another rule is the mailbox's now");
    if (mailbox_load(a, m, f) != R_OK)
        return R_FAIL;
    if (select_ready(a, m) == R_NONE)
        return R_NONE;
    if (keyword_numbers(a, m, NULL, &names, &keep, f) != R_OK)
        return R_FAIL;
    seqset_init(&gone, a->batch_arena);
    find_gone(s, m, &keep, &gone);
    if (gone.count > 0 && !s->expire->wish->dry_run) {
        expunge_pending(a, m, &gone);
        rows_put_expunged(a, b, m, RECORD_EXPUNGED, &gone);
    }
    return R_OK;
}

static void
add(struct expire_folder *sum, const struct expire_folder *found)
{
    sum->messages += found->messages;
    sum->octets += found->octets;
    sum->kept += found->kept;
}

// A mailbox that is deleted meanwhile, or renamed away from its rule, is done.
static enum result
sweep_mailbox(struct sweep *s, struct span name)
{
    struct expire *e = s->expire;
    struct expire_folder *sum = &e->folders[e->count];
    enum result r = R_OK;
    *sum = (struct expire_folder){.name = name};
    for (s->from = 1; r == R_OK && s->from > 0 && e->left > 0; s->from = s->next) {
        r = account_change(e->account, sweep_change, s, 0, NULL, e->fault);
        if (r != R_OK)
            break;
        add(sum, &s->found);
        e->left -= s->found.messages;
        task_yield();
    }
    e->count += sum->messages + sum->kept > 0;
    return r == R_FAIL && e->fault->kind == FAULT_NONEXISTENT ? R_OK : r;
}

// ---- the account ----

static enum result
sweep_state(struct expire *e, const struct mailbox_state *m)
{
    const struct expire_rule *rule;
    if ((m->flags & MAILBOX_NOSELECT) || m->counts.exists == 0 ||
        (rule = rule_of(e, m)) == NULL)
        return R_OK;
    int64_t before = e->wish->now_s - (int64_t)rule->age_s;
    if (before <= 0)
        return R_OK;
    struct sweep s = {.expire = e,
                      .mailbox = m->id,
                      .rule = rule,
                      .before = before < UINT32_MAX ? (uint32_t)before : UINT32_MAX};
    return sweep_mailbox(&s, name_full(e->arena, account_state(e->account), m));
}

// The tree may change while a mailbox is swept, so the ids are read before.
static void
expire_run(void *arg)
{
    struct expire *e = arg;
    struct state *s = account_state(e->account);
    uint32_t n = s->mailbox_count;
    uint64_t *ids = arena_array(e->arena, n, sizeof *ids);
    e->folders = arena_array(e->arena, n, sizeof *e->folders);
    for (uint32_t i = 0; i < n; i++)
        ids[i] = s->mailboxes[i]->id;
    for (uint32_t i = 0; i < n && e->result == R_OK && e->left > 0; i++) {
        const struct mailbox_state *m = state_mailbox(s, ids[i]);
        if (m)
            e->result = sweep_state(e, m);
    }
}

enum result
expire_account(struct account *account, const struct expire_wish *wish, struct arena *a,
               struct expire_folder **out, size_t *n_out, struct fault *f)
{
    struct expire e = {.account = account,
                       .wish = wish,
                       .arena = a,
                       .fault = f,
                       .result = R_OK,
                       .left = wish->max > 0 ? wish->max : UINT64_MAX};
    account_run(account, expire_run, &e);
    if (e.result != R_OK)
        return R_FAIL;
    *out = e.folders;
    *n_out = e.count;
    return R_OK;
}
