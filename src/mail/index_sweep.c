#include "mail/index_inside.h"

#include "store/derived.h"

// Who looks at all accounts, one at a time.

enum result
mail_index_sweep(struct mail *m, struct fault *f)
{
    struct arena *a = arena_new();
    struct store *s = mail_store(m);
    uint64_t *have, *live;
    size_t n = 0, live_n = 0, k = 0;
    enum result r = derived_accounts(s, a, &have, &n, f);
    if (r == R_OK && n > 0)
        r = store_accounts(s, a, &live, &live_n, f);
    for (size_t i = 0; i < n && r == R_OK; i++) {
        while (k < live_n && live[k] < have[i])
            k++;
        if (k == live_n || live[k] != have[i])
            r = derived_clear(s, have[i], f);
    }
    arena_free(&a);
    return r;
}

struct look {
    struct mail *mail;
    uint64_t account;
    bool itself;
};

// What is owed has the timer set, waits for its turn, or is at work, and ends only when it is done. A timer without that is no promise: the
// account may leave memory before.
static void
look(void *arg)
{
    struct look *l = arg;
    const struct account *a = account_in_memory(l->mail, l->account);
    const struct mail_index *x = a ? a->index : NULL;
    l->itself = a && (!x || x->owed || (!x->working && !timer_is_set(&x->timer)));
}

bool
mail_index_sees_to_itself(struct mail *m, uint64_t account)
{
    struct look l = {.mail = m, .account = account};
    task_run_on(mail_home(m, account), look, &l);
    return l.itself;
}

static void
let_go(void *arg)
{
    account_let_go(arg);
}

enum result
mail_index_visit(struct mail *m, uint64_t account, bool all, struct fault *f)
{
    struct account *a;
    if (!all && mail_index_sees_to_itself(m, account))
        return R_NONE;
    enum result r = mail_index_wanted_of(m, account, f);
    if (r == R_OK)
        r = account_open(m, account, SPAN(""), false, &a, f);
    if (r == R_OK) {
        mail_index_catch_up(a);
        account_run(a, let_go, a);
    }
    return r == R_FAIL ? R_FAIL : R_OK;
}
