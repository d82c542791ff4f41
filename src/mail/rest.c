#include "mail/rest.h"

#include "base/budget.h"
#include "base/clock.h"
#include "base/limits.h"
#include "mail/acl_fold.h"
#include "mail/columns_inside.h"
#include "mail/index_inside.h"
#include "mail/label_index.h"
#include "mail/mail_inside.h"
#include "mail/name.h"
#include "mail/private.h"

// Packing more than these takes too much of the thread's time.
enum { MAILBOXES_PACKED = 2000 };

// Views may hold set numbers of the rows they read.
static void
drop_table(struct mailbox_state *s)
{
    const struct mailbox *m = s->mail;
    state_table_drop(s);
    if (!m || !m->views)
        state_sets_drop(s);
}

// Drops the tables that were not used for the longest time, while the ledger is over its soft limit.
void
home_evict(struct home *h, const struct mailbox *keep)
{
    uint64_t now = clock_mono_ms();
    struct account *a, *tmp;
    HASH_ITER(hh, h->accounts, a, tmp)
    {
        if (!a->kept_state ||
            a->committing)  // being opened, or changes count on what they looked at
            continue;
        for (uint32_t i = 0; i < a->kept_state->mailbox_count; i++) {
            struct mailbox_state *s = a->kept_state->mailboxes[i];
            struct mailbox *m = s->mail;
            if (!budget_over_soft())
                return;
            if (m && m != keep)
                private_rest(s->mail, now - 100);
            if (s->loaded && m != keep && (!m || (m->pins == 0 && now - m->used_ms > 100)))
                drop_table(s);
        }
        threads_free(a);
        label_index_drop(a, now, 100);
        mail_columns_drop(a, now, 100);
    }
}

// ---- what nobody looks at ----

// Can mail's part be made anew as it is?
static bool
is_plain(const struct mailbox *m)
{
    return !m->views && m->pins == 0 && m->readers == 0 && m->ghost_count == 0 &&
           m->event_count == 0 && !m->columns && !m->privates.sets &&
           m->privates.modseq == 0 && m->burned <= m->state->counts.uidnext &&
           m->recent_taken <= m->state->recent_mark;
}

static void
drop_plain(struct account *a)
{
    for (uint32_t i = 0; i < a->kept_state->mailbox_count; i++) {
        struct mailbox_state *s = a->kept_state->mailboxes[i];
        struct mailbox *m = s->mail;
        if (!m || s->loaded || !is_plain(m))
            continue;
        s->mail = NULL;
        m->state = NULL;
        mailbox_release(a, m);
        state_sets_drop(s);
    }
}

// What stayed of it moves together, each round more so when others went that were beside it.
static void
settle(struct state *s)
{
    state_settle(s);
    for (uint32_t i = 0; i < s->mailbox_count; i++)
        if (s->mailboxes[i]->mail)
            ((struct mailbox *)s->mailboxes[i]->mail)->state = s->mailboxes[i];
}

// One block, once every task that was there when the state was looked up last has ended, and nobody can hold on to a part.
static void
pack(struct account *a)
{
    struct state *s = a->kept_state;
    if (task_oldest() <= a->use.seen || a->applying || a->labels ||
        s->mailbox_count > MAILBOXES_PACKED)
        return;
    if (!state_is_packed(s)) {
        drop_plain(a);
        acls_free(a);
        names_free(a);
        state_pack(s);
        a->use.settled = false;
        a->home->packed++;
    }
    if (!a->use.settled && task_live() == 0) {  // a view's task may look at its mailbox
        settle(s);
        a->use.settled = true;
    }
}

static bool
may_rest(const struct account *a)
{
    return a->kept_state && !a->opening && !a->committing && !a->applying;
}

// Returns the octets of the tables that went.
static size_t
account_rest(struct account *a, uint64_t now_ms)
{
    size_t dropped = 0;
    for (uint32_t i = 0; i < a->kept_state->mailbox_count; i++) {
        struct mailbox_state *s = a->kept_state->mailboxes[i];
        struct mailbox *m = s->mail;
        if (m)
            private_rest(m, now_ms - LIMIT_table_idle_ms);
        if (s->loaded &&
            (!m || (m->pins == 0 && now_ms - m->used_ms > LIMIT_table_idle_ms))) {
            dropped += state_table_memory(s);
            drop_table(s);
        }
    }
    dropped += label_index_drop(a, now_ms, LIMIT_table_idle_ms);
    dropped += mail_columns_drop(a, now_ms, LIMIT_column_idle_ms);
    dropped += mail_index_rest(a, now_ms, LIMIT_table_idle_ms);
    if (!a->looked_up) {
        names_free(a);
        threads_free(a);
    }
    a->looked_up = false;
    return dropped;
}

// Nobody looked its state up since the last time.
static bool
is_unused(struct account *a)
{
    bool unused = a->use.seen == a->use.rested;
    a->use.rested = a->use.seen;
    return unused;
}

void
home_rest(void *home)
{
    struct home *h = home;
    struct account *a, *tmp;
    uint64_t now_ms = clock_mono_ms();
    size_t dropped = 0;
    HASH_ITER(hh, h->accounts, a, tmp)
    {
        if (!may_rest(a))
            continue;
        dropped += account_rest(a, now_ms);
        if (is_unused(a)) {
            a->use.settled = false;  // others may have gone from where its parts are
            pack(a);
        }
    }
    if (!h->indexing && h->builder.text &&
        (!h->accounts || now_ms - h->builder.used_ms > LIMIT_table_idle_ms)) {
        dropped += h->builder.charged;
        mail_index_builder_free(&h->builder);
    }
    // Much went, or what went was the last for now.
    h->dropped += dropped;
    bool trim = h->dropped > LIMIT_untrimmed || (dropped == 0 && h->dropped > 0);
    if (store_rest(h->store) || trim) {
        budget_trim();
        h->dropped = 0;
    }
    if (h->accounts)
        timer_set(&h->resting, LIMIT_home_rest_ms);
}

static bool
dice(struct home *h, uint32_t sides)
{
    h->test_seed = h->test_seed * 1664525 + 1013904223;
    return (h->test_seed >> 8) % sides == 0;
}

void
home_test_packing(void *home)
{
    enum { ROUND = 256, SOME = 2, LATER_MS = 1 << 30 };
    struct home *h = home;
    struct account *a, *tmp;
    uint64_t later_ms = clock_mono_ms() + LATER_MS;
    if (dice(h, ROUND))
        home_rest(h);
    HASH_ITER(hh, h->accounts, a, tmp)
    {
        if (!may_rest(a) || (state_is_packed(a->kept_state) && a->use.settled) ||
            !dice(h, SOME))
            continue;
        bool all = a->mail->options.test_packing == TEST_PACKING_ALL;
        account_rest(a, all ? later_ms : clock_mono_ms());
        pack(a);
    }
}
