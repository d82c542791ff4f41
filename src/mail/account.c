#include "mail/home.h"

#include "base/budget.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "mail/acl_fold.h"
#include "mail/attachment_inside.h"
#include "mail/columns_inside.h"
#include "mail/folders.h"
#include "mail/index_inside.h"
#include "mail/label_index.h"
#include "mail/mail_inside.h"
#include "mail/move_intent.h"
#include "mail/name.h"
#include "mail/private.h"
#include "mail/rest.h"
#include "mail/shares.h"
#include "mail/system.h"

struct opener {
    struct opener *next;
    struct task *task;
    bool done;
};

struct mail *
mail_new(const struct mail_options *o)
{
    struct mail *m = calloc(1, sizeof *m);
    must(m != NULL && o->home_count > 0);
    atomic_store(&m->shares, 1);
    m->options = *o;
    mail_settings(m, o->folder_language, o->message_size_max);
    m->sent_copy = true;
    m->entries_arena = arena_new_small();
    mail_entries_set(m, o->entries);
    mail_private_flags_set(m, FLAG_SEEN);
    m->homes = calloc(o->home_count, sizeof *m->homes);
    must(m->homes != NULL);
    for (unsigned i = 0; i < o->home_count; i++) {
        m->homes[i].loop = o->homes[i];
        m->homes[i].store = o->store;
        timer_init(&m->homes[i].resting, home_rest, &m->homes[i]);
        if (o->test_packing)
            loop_test_between(o->homes[i], home_test_packing, &m->homes[i]);
    }
    m->attachments = attachments_new(m, o->home_count);
    m->quotas = quotas_new();
    return m;
}

static void
account_free(struct account *a)
{
    for (uint32_t i = 0; a->kept_state && i < a->kept_state->mailbox_count; i++) {
        struct mailbox *m = a->kept_state->mailboxes[i]->mail;
        if (!m)
            continue;
        m->state = NULL;
        mailbox_release(a, m);
    }
    threads_free(a);
    names_free(a);
    acls_free(a);
    shares_free(a);
    label_index_free(a);
    mail_index_free(a);
    timer_clear(&a->idle);
    state_free(&a->kept_state);
    keep_span_free(&a->user);
    KEEP_FREE(a);
}

void
mail_free(struct mail **mp)
{
    struct mail *m = *mp;
    if (!m)
        return;
    for (unsigned i = 0; i < m->options.home_count; i++) {
        struct account *a, *tmp;
        HASH_ITER(hh, m->homes[i].accounts, a, tmp)
        {
            HASH_DEL(m->homes[i].accounts, a);
            account_free(a);
        }
        timer_clear(&m->homes[i].resting);
        mail_index_builder_free(&m->homes[i].builder);
        if (m->options.test_packing)
            log_info("mail", "Accounts were packed",
                     field_number("times", ": %", m->homes[i].packed));
    }
    attachments_free(&m->attachments, m->options.home_count);
    arena_free(&m->entries_arena);
    quotas_free(&m->quotas);
    free(atomic_load(&m->url_key));
    free(m->homes);
    free(m);
    *mp = NULL;
}

unsigned
mail_home_index(struct mail *m, uint64_t account)
{
    return (unsigned)(account % m->options.home_count);
}

struct attachments *
mail_attachments(struct mail *m, unsigned home)
{
    return attachments_of(m->attachments, home);
}

struct loop *
mail_home(struct mail *m, uint64_t account)
{
    return m->homes[mail_home_index(m, account)].loop;
}

// ---- opening ----

static void
forget(void *arg)
{
    struct account *a = arg;
    if (a->use.refs > 0 || a->opening || a->committing)
        return;
    HASH_DEL(a->home->accounts, a);
    store_state_closed(a->mail->options.store, a->id);
    account_free(a);
}

static struct account *
account_new(struct mail *m, uint64_t id, struct span user)
{
    struct account *a = KEEP_NEW(struct account);
    a->id = id;
    a->user = keep_span(user);
    a->mail = m;
    a->home = &m->homes[mail_home_index(m, id)];
    a->waiting.end = &a->waiting.first;
    a->batch_number = 1;  // 0 in a mailbox: never part of a batch
    timer_init(&a->idle, forget, a);
    HASH_ADD(hh, a->home->accounts, id, sizeof a->id, a);
    if (!timer_is_set(&a->home->resting))
        timer_set(&a->home->resting, LIMIT_home_rest_ms);
    return a;
}

// Keeping opens accounts by their number alone.
static void
take_name(struct account *a)
{
    if (a->user.n > 0)
        return;
    keep_span_free(&a->user);
    a->user = keep_span(account_state(a)->user);
}

static enum result
load(struct account *a, bool create, struct span language, struct fault *f)
{
    struct span folders = language.n > 0 ? language : span_str(a->mail->folder_language);
    enum result r = store_state_load(a->mail->options.store, a->id, &a->kept_state, f);
    if (r == R_NONE && create) {
        a->kept_state = state_new(a->id);
        r = folders_create(a, folders, f);
        if (account_is_system(a->id))
            shares_changed(a->mail);
    }
    if (r != R_OK)
        return r;
    a->next_modseq = account_state(a)->modseq;
    account_state(a)->yields = true;
    take_name(a);
    quota_opened(a);
    mail_index_opened(a);
    move_recover(a);
    return R_OK;
}

struct open_call {
    struct mail *mail;
    uint64_t id;
    struct span user;
    bool create;
    struct span language;
    struct account *account;
    struct fault *fault;
    enum result result;
};

static void
openers_wake(struct account *a)
{
    for (struct opener *o = a->openers, *next; o; o = next) {
        next = o->next;
        o->done = true;
        task_wake(o->task);
    }
    a->openers = NULL;
}

static void
opener_wait(struct account *a)
{
    struct opener *me = calloc(1, sizeof *me);
    must(me != NULL);
    *me = (struct opener){a->openers, task_self(), false};
    a->openers = me;
    while (!me->done)
        task_suspend();
    free(me);
}

// NULL: not in memory.
static struct account *
account_known(struct home *h, uint64_t id)
{
    struct account *a;
    HASH_FIND(hh, h->accounts, &id, sizeof id, a);
    return a;
}

// Loads the account, or waits for the task that does.
static enum result
open_at_home(struct open_call *c)
{
    struct account *a;
    struct home *h = &c->mail->homes[mail_home_index(c->mail, c->id)];
    while ((a = account_known(h, c->id)) && a->opening)
        opener_wait(a);
    if (!a) {
        a = account_new(c->mail, c->id, c->user);
        a->opening = true;
        enum result r = load(a, c->create, c->language, c->fault);
        a->opening = false;
        openers_wake(a);
        if (r != R_OK) {
            HASH_DEL(h->accounts, a);
            account_free(a);
            return r;
        }
    }
    account_ref(a);
    c->account = a;
    return R_OK;
}

static void
open_run(void *arg)
{
    struct open_call *c = arg;
    c->result = open_at_home(c);
}

static enum result
run_open(struct open_call *c, struct account **a_out)
{
    c->result = R_FAIL;
    task_run_on(mail_home(c->mail, c->id), open_run, c);
    if (c->result == R_OK)
        *a_out = c->account;
    return c->result;
}

enum result
account_open(struct mail *m, uint64_t id, struct span user, bool create,
             struct account **a_out, struct fault *f)
{
    struct open_call c = {.mail = m, .id = id, .user = user, .create = create, .fault = f};
    return run_open(&c, a_out);
}

enum result
account_make(struct mail *m, uint64_t id, struct span user, struct span language,
             struct account **a_out, struct fault *f)
{
    struct open_call c = {.mail = m,
                          .id = id,
                          .user = user,
                          .create = true,
                          .language = language,
                          .fault = f};
    return run_open(&c, a_out);
}

void
account_ref(struct account *a)
{
    a->use.refs++;
    timer_clear(&a->idle);
}

void
account_unref(struct account *a)
{
    must(a->use.refs > 0);
    if (--a->use.refs == 0)
        timer_set(&a->idle, LIMIT_account_idle_ms);
}

struct account *
account_in_memory(struct mail *m, uint64_t id)
{
    struct account *a = account_known(&m->homes[mail_home_index(m, id)], id);
    return a && !a->opening ? a : NULL;
}

void
account_let_go(struct account *a)
{
    account_unref(a);
    if (a->use.refs == 0 && !a->opening && !a->committing && !mail_index_expects(a)) {
        timer_clear(&a->idle);
        forget(a);
    }
}

static void
unref(void *arg)
{
    account_unref(arg);
}

void
account_close(struct account **a)
{
    if (*a && (*a)->home->loop == loop_self())
        account_unref(*a);
    else if (*a)
        loop_post((*a)->home->loop, unref, *a);
    *a = NULL;
}

uint64_t
account_id(const struct account *a)
{
    return a->id;
}

struct span
account_user(const struct account *a)
{
    return a->user;
}

struct mail *
account_mail(const struct account *a)
{
    return a->mail;
}

enum result
account_command_begin(struct account *a, struct fault *f)
{
    must(a->home->loop == loop_self());
    if (a->use.commands >= LIMIT_commands_per_user)
        return fault_set(f, FAULT_LIMIT, "%u commands of this user are at work",
                         a->use.commands);
    a->use.commands++;
    return R_OK;
}

void
account_command_end(struct account *a)
{
    must(a->use.commands > 0);
    a->use.commands--;
}

void
account_run(struct account *a, void (*fn)(void *arg), void *arg)
{
    task_run_on(a->home->loop, fn, arg);
}

// ---- mailboxes ----

struct mailbox *
mailbox_of(struct account *a, uint64_t id)
{
    struct mailbox_state *s = state_mailbox(account_state(a), id);
    if (!s)
        return NULL;
    if (!s->mail) {
        struct mailbox *m = KEEP_NEW(struct mailbox);
        m->id = id;
        m->state = s;
        m->events_from = s->counts.modseq;
        s->mail = m;
    }
    return s->mail;
}

static void
gone_remove(struct account *a, const struct mailbox *m)
{
    struct mailbox **at = &a->use.gone;
    while (*at && *at != m)
        at = &(*at)->next_gone;
    if (*at)
        *at = m->next_gone;
}

void
mailbox_release(struct account *a, struct mailbox *m)
{
    if (m->state || m->views || m->pins > 0)
        return;
    gone_remove(a, m);
    budget_give(BUDGET_TABLES, m->ghost_count * sizeof *m->ghosts);
    mail_columns_free(m);
    private_free(m);
    free(m->ghosts);
    free(m->events);
    KEEP_FREE(m);
}

void
mailbox_apply_begin(struct account *a, struct mailbox *m)
{
    a->applying = m;
    while (m && m->readers > 0)
        opener_wait(a);
}

void
mailbox_apply_end(struct account *a)
{
    a->applying = NULL;
    openers_wake(a);
}

void
mailbox_settle(struct account *a, struct mailbox *m)
{
    while (a->applying == m)
        opener_wait(a);
}

static enum result
load_settled(struct account *a, struct mailbox *m, struct fault *f)
{
    enum result r = R_OK;
    do {
        mailbox_settle(a, m);
        if (m->state)
            r = store_table_load(a->mail->options.store, account_state(a), m->id, f);
    } while (r == R_OK && a->applying == m);
    return r;
}

enum result
mailbox_load(struct account *a, struct mailbox *m, struct fault *f)
{
    m->used_ms = clock_mono_ms();
    if (!m->state)
        return fault_set(f, FAULT_NONEXISTENT, "mailbox is gone");
    if (m->state->loaded && a->applying != m)
        return R_OK;
    m->pins++;
    enum result r = load_settled(a, m, f);
    m->pins--;
    if (!m->state) {  // deleted meanwhile
        mailbox_release(a, m);
        return fault_set(f, FAULT_NONEXISTENT, "mailbox is gone");
    }
    if (r != R_OK)
        return r;
    m->used_ms = clock_mono_ms();
    if (budget_over_soft())
        home_evict(a->home, m);
    return R_OK;
}

enum result
mailbox_read_begin(struct account *a, struct mailbox *m, struct fault *f)
{
    if (mailbox_load(a, m, f) != R_OK)
        return R_FAIL;
    m->pins++;
    m->readers++;
    return R_OK;
}

void
mailbox_read_end(struct account *a, struct mailbox *m)
{
    m->pins--;
    if (--m->readers == 0 && a->applying == m)
        openers_wake(a);
}
