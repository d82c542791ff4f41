#include "main/mail_role.h"
#include "base/limits.h"
#include "base/load.h"
#include "base/log.h"
#include "io/task.h"
#include "mail/index.h"
#include "store/derived.h"

// Accounts that nobody uses have to be indexed too: some time after the start the first home goes through them, one at a time.

enum { FIRST_MS = 20000, AGAIN_MS = 60000, SOON_MS = 1000, PAUSE_MS = 20 };

void
mail_index_log(struct account *a, const char *event, const struct fault *f)
{
    log_error("mail", event, field_text("user", " user=<%>", account_user(a)),
              log_fault(f));
}

static bool
may_go_on(const struct mail_role *r)
{
    return !load_is_high() && !r->homes[0].draining && !r->indexing.again &&
           mail_index_mode(r->mail) != MAIL_INDEX_OFF;
}

static void
visit(struct mail_role *r, uint64_t id)
{
    struct fault f;
    enum result done = mail_index_visit(r->mail, id, r->indexing.all, &f);
    if (done == R_FAIL)
        log_error("mail", "search index", field_number("account", " account=%", id),
                  log_fault(&f));
    if (done == R_NONE)
        task_yield();
    else
        task_sleep(PAUSE_MS);
}

// False: it had to stop before the last.
static bool
visit_all(struct mail_role *r, const uint64_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (ids[i] <= r->indexing.upto)
            continue;
        if (!may_go_on(r))
            return false;
        visit(r, ids[i]);
        r->indexing.upto = ids[i];
    }
    return true;
}

static bool
index_all(struct mail_role *r)
{
    struct arena *a = arena_new();
    uint64_t *ids;
    size_t n;
    struct fault f;
    bool all = false;
    if (mail_index_sweep(r->mail, &f) != R_OK ||
        store_accounts(r->store, a, &ids, &n, &f) != R_OK)
        log_error("mail", "search index", log_fault(&f));
    else
        all = visit_all(r, ids, n);
    arena_free(&a);
    return all;
}

static void
look(void *arg)
{
    struct mail_role *r = arg;
    if (r->indexing.again) {
        r->indexing.upto = 0;
        r->indexing.all = true;
    }
    r->indexing.again = false;
    r->indexing.at_work = true;
    bool all = mail_index_mode(r->mail) != MAIL_INDEX_OFF && index_all(r);
    r->indexing.at_work = false;
    if ((!all || r->indexing.again) && !r->homes[0].draining)
        timer_set(&r->indexing.timer, r->indexing.again ? SOON_MS : AGAIN_MS);
}

static void
on_indexing(void *arg)
{
    task_start(look, arg);
}

bool
mail_index_configure(struct mail_role *r, const struct config *c)
{
    enum mail_index_mode before = mail_index_mode(r->mail), mode = MAIL_INDEX_OFF;
    if (strcmp(c->search_index, "asked") == 0)
        mode = MAIL_INDEX_ASKED;
    else if (strcmp(c->search_index, "true") == 0)
        mode = MAIL_INDEX_ALL;
    mail_index_set(r->mail, mode, (unsigned)c->test_index_after);
    return mode > before;
}

void
mail_index_again(struct mail_role *r)
{
    r->indexing.again = true;
    if (!r->indexing.at_work && !r->homes[0].draining)
        timer_set(&r->indexing.timer, SOON_MS);
}

// ---- of messages that are gone ----

static bool
has_strings(struct mail_role *r, uint64_t id)
{
    struct derived_list list = {.a = arena_new()};
    struct fault f;
    bool any = derived_list(r->store, id, &list, &f) != R_OK;
    for (size_t i = 0; i < list.n && !any; i++)
        any = mail_index_is_of_mail(list.entries[i].name);
    arena_free(&list.a);
    return any;
}

static bool
purge_one(struct mail_role *r, uint64_t id)
{
    struct account *account = NULL;
    struct fault f;
    enum result done = R_OK;
    if (has_strings(r, id) &&
        account_open(r->mail, id, SPAN(""), false, &account, &f) == R_OK)
        done = mail_index_purge(account);
    account_close(&account);
    return done == R_OK;
}

static void
purge_start(struct mail_role *r)
{
    static const struct mail_round_ops ops = {"search index", NULL, purge_one};
    uint64_t test = r->start->config->test_index_round;
    mail_round_start(&r->purging, r, test > 0 ? (int64_t)test : LIMIT_index_round_s, &ops);
}

void
mail_index_start(struct mail_role *r)
{
    purge_start(r);
    timer_init(&r->indexing.timer, on_indexing, r);
    timer_set(&r->indexing.timer, FIRST_MS);
}
