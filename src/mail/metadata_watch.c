// Which entries changed, for the watches that are told (RFC 5464 section 4.4.2).
#include "mail/metadata_log.h"

#include "base/arena_grow.h"
#include "mail/name.h"
#include "mail/tree_inside.h"
#include "mail/watch_log.h"

struct found {
    uint64_t mailbox;
    struct span name;
};

struct take_call {
    struct watch_ear *ear;
    uint64_t user;
    struct arena *arena;
    struct found *found;
    size_t n, room;
    struct metadata_told *told;
    struct tree_entry *mailboxes;  // of each
    size_t told_n;
};

static void
take_one(struct take_call *c, uint64_t mailbox, struct span key)
{
    if (key.p[0] != '/' || (mailbox == 0 && !c->ear->own))
        return;
    struct span name = metadata_key_name(c->arena, c->user, key);
    bool there = mailbox == 0 || state_mailbox(account_state(c->ear->account), mailbox);
    if (!name.p || !there || !(watch_may(c->ear, mailbox) & WATCH_METADATA))
        return;
    c->found = arena_grow(c->arena, c->found, c->n, &c->room, sizeof *c->found);
    c->found[c->n++] = (struct found){mailbox, arena_dup(c->arena, name)};
}

static void
take_each(uint64_t mailbox, struct span key, struct span value, void *arg)
{
    (void)value;
    take_one(arg, mailbox, key);
}

static int
found_order(const void *pa, const void *pb)
{
    const struct found *a = pa, *b = pb;
    if (a->mailbox != b->mailbox)
        return a->mailbox < b->mailbox ? -1 : 1;
    return span_cmp(a->name, b->name);
}

static void
collect(struct take_call *c)
{
    const struct watch_list *l = &c->ear->account->watched->entries;
    if (c->ear->told < l->lost)
        state_meta_each(account_state(c->ear->account), take_each, c);
    for (size_t i = 0; i < l->count; i++)
        if (l->p[i].serial > c->ear->told && l->p[i].by != c->ear->watch->user)
            take_one(c, l->p[i].mailbox, l->p[i].name);
    if (c->n > 0)
        qsort(c->found, c->n, sizeof *c->found, found_order);
}

// False when the mailbox went meanwhile.
static bool
mailbox_told(const struct take_call *c, uint64_t mailbox, struct tree_entry *out)
{
    struct account *a = c->ear->account;
    struct state *state = account_state(a);
    const struct mailbox_state *m = state_mailbox(state, mailbox);
    struct mount mount = {.prefix = c->ear->prefix, .account = a};
    *out = (struct tree_entry){.name = SPAN("")};
    if (m) {
        tree_entry_fill(out, &mount, acl_rights(c->ear->who, a, m->id), m);
        out->name = mount_name(c->arena, &mount, name_full(c->arena, state, m));
    }
    return m || mailbox == 0;
}

static void
group(struct take_call *c)
{
    struct metadata_told *now = NULL;
    c->told = arena_array(c->arena, c->n, sizeof *c->told);
    c->mailboxes = arena_array(c->arena, c->n, sizeof *c->mailboxes);
    for (size_t i = 0; i < c->n; i++) {
        const struct found *o = &c->found[i];
        bool first = i == 0 || o[-1].mailbox != o->mailbox;
        if (!first && span_eq(o[-1].name, o->name))
            continue;
        if (first) {
            struct tree_entry *mailbox = &c->mailboxes[c->told_n];
            now = mailbox_told(c, o->mailbox, mailbox) ? &c->told[c->told_n++] : NULL;
            if (now)
                *now = (struct metadata_told){
                    mailbox, arena_array(c->arena, c->n - i, sizeof *now->names), 0};
        }
        if (now)
            now->names[now->n++] = o->name;
    }
}

static void
take_run(void *arg)
{
    struct take_call *c = arg;
    collect(c);
    watch_told(c->ear);
    group(c);
}

void
metadata_watch_take(struct mail_watch *w, struct arena *a, struct metadata_told **out,
                    size_t *n_out)
{
    *out = NULL;
    *n_out = 0;
    if (atomic_exchange(&w->pending, 0) == 0)
        return;
    if (atomic_exchange(&w->stale, false))
        watch_extend(w);
    for (size_t i = 0; i < w->ear_count; i++) {
        struct take_call c = {
            .ear = w->ears[i], .user = account_id(mail_user_account(w->user)), .arena = a};
        account_run(c.ear->account, take_run, &c);
        if (c.told_n == 0)
            continue;
        tree_mark_subscribed(w->user, c.mailboxes, c.told_n);
        struct metadata_told *all = arena_array(a, *n_out + c.told_n, sizeof *all);
        if (*n_out > 0)
            memcpy(all, *out, *n_out * sizeof *all);
        memcpy(all + *n_out, c.told, c.told_n * sizeof *all);
        *out = all;
        *n_out += c.told_n;
    }
}
