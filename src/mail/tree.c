#include "mail/tree.h"

#include "base/log.h"
#include "io/task.h"
#include "mail/acl_fold.h"
#include "mail/mount.h"
#include "mail/name.h"
#include "mail/private.h"
#include "mail/tree_inside.h"

// ---- listing ----

struct list_call {
    struct mount *mount;
    const struct acl_who *who;
    struct arena *arena;
    struct tree_entry *entries;
    size_t n;
};

void
tree_entry_fill(struct tree_entry *e, const struct mount *mount, uint32_t rights,
                const struct mailbox_state *s)
{
    e->mailbox = s->id;
    e->counts = s->counts;
    e->uidvalidity = s->uidvalidity;
    e->rights = rights;
    e->special_use = s->special_use;
    e->noselect = s->flags & MAILBOX_NOSELECT;
    e->foreign = mount->prefix.p != NULL;
    e->privates = e->foreign || s->privates;
}

static void
list_run(void *arg)
{
    struct list_call *c = arg;
    struct state *s = account_state(c->mount->account);
    struct account *a = c->mount->account;
    c->entries = arena_array(c->arena, s->mailbox_count, sizeof *c->entries);
    for (uint32_t i = 0; i < s->mailbox_count; i++) {
        uint32_t rights = acl_rights(c->who, a, s->mailboxes[i]->id);
        if (rights == 0)
            continue;
        struct tree_entry *e = &c->entries[c->n++];
        struct span name = name_full(c->arena, s, s->mailboxes[i]);
        tree_entry_fill(e, c->mount, rights, s->mailboxes[i]);
        e->name = mount_name(c->arena, c->mount, name);
    }
}

// Whole words that both begin with: names of one level are alike for long.
static size_t
common_octets(const char *a, const char *b, size_t n)
{
    size_t i = 0;
    while (i + 8 <= n && memcmp(a + i, b + i, 8) == 0)
        i += 8;
    return i;
}

// Parents sort right before their children: '/' counts below every other octet. INBOX is first.
static int
name_order(struct span a, struct span b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    for (size_t i = common_octets(a.p, b.p, n); i < n; i++) {
        unsigned x = a.p[i] == '/' ? 0 : (unsigned char)a.p[i];
        unsigned y = b.p[i] == '/' ? 0 : (unsigned char)b.p[i];
        if (x != y)
            return x < y ? -1 : 1;
    }
    return (a.n > b.n) - (a.n < b.n);
}

static bool
under_inbox(struct span name)
{
    return span_istarts(name, SPAN("INBOX")) && (name.n == 5 || name.p[5] == '/');
}

static int
entry_order(const void *pa, const void *pb)
{
    const struct tree_entry *a = pa, *b = pb;
    bool ia = under_inbox(a->name), ib = under_inbox(b->name);
    if (ia != ib)
        return ia ? -1 : 1;
    return name_order(a->name, b->name);
}

// In the sorted list a mailbox has children when an existing entry below it follows.
static void
mark_children(struct tree_entry *e, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = i + 1; j < n && span_within(e[j].name, e[i].name); j++)
            if (!e[j].nonexistent && e[j].name.n > e[i].name.n) {
                e[i].has_children = true;
                break;
            }
}

// The levels above a tree of which something is seen ("Shared" and "Shared/bob") exist as levels only.
static size_t
list_mount_levels(const struct list_call *calls, size_t count, struct arena *a,
                  struct tree_entry *out)
{
    size_t n = 0;
    for (size_t c = 0; c < count; c++) {
        struct span prefix = calls[c].mount->prefix;
        for (size_t i = 1; calls[c].n > 0 && i <= prefix.n; i++) {
            if (i < prefix.n && prefix.p[i] != '/')
                continue;
            struct span level = span_slice(prefix, 0, i);
            bool have = false;
            for (size_t k = 0; k < n && !have; k++)
                have = span_eq(out[k].name, level);
            if (!have)
                out[n++] = (struct tree_entry){
                    .name = arena_dup(a, level), .noselect = true, .rights = RIGHT_LOOKUP};
        }
    }
    return n;
}

// ---- subscriptions: the user's own, to mailboxes of mounted trees too ----

struct subscribed_call {
    struct mail_user *user;
    struct arena *arena;
    struct tree_entry *entries;  // sorted
    size_t n;
    struct tree_entry *missing;  // subscribed names without a mailbox
    size_t missing_n;
};

static void
mark_run(void *arg)
{
    struct subscribed_call *c = arg;
    const struct state *s = account_state(c->user->own.account);
    for (size_t i = 0; i < c->n; i++) {
        struct span name = c->entries[i].name;
        c->entries[i].subscribed =
            state_subscribed(s, name_is_inbox(name) ? SPAN("INBOX") : name);
    }
}

void
tree_mark_subscribed(struct mail_user *u, struct tree_entry *entries, size_t n)
{
    struct subscribed_call c = {.user = u, .entries = entries, .n = n};
    account_run(u->own.account, mark_run, &c);
}

static void
missing_run(void *arg)
{
    struct subscribed_call *c = arg;
    const struct state *s = account_state(c->user->own.account);
    c->missing = arena_array(c->arena, s->subscription_count, sizeof *c->missing);
    for (uint32_t i = 0; i < s->subscription_count; i++) {
        struct tree_entry e = {.name = s->subscriptions[i].name};
        if (bsearch(&e, c->entries, c->n, sizeof e, entry_order))
            continue;
        e.name = arena_dup(c->arena, e.name);
        e.nonexistent = e.subscribed = true;
        c->missing[c->missing_n++] = e;
    }
}

// Marks what is subscribed and adds the subscribed names that no mailbox has; sorted afterwards.
static void
list_subscriptions(struct mail_user *u, struct arena *a, struct tree_entry **all, size_t *n)
{
    struct subscribed_call c = {.user = u, .arena = a, .entries = *all, .n = *n};
    account_run(u->own.account, mark_run, &c);
    account_run(u->own.account, missing_run, &c);
    if (c.missing_n == 0)
        return;
    *all = arena_array(a, *n + c.missing_n, sizeof **all);
    memcpy(*all, c.entries, *n * sizeof **all);
    memcpy(*all + *n, c.missing, c.missing_n * sizeof **all);
    *n += c.missing_n;
    qsort(*all, *n, sizeof **all, entry_order);
}

static size_t
count_mounts(const struct mail_user *u)
{
    size_t n = 1;
    for (const struct mount *m = u->own.next; m; m = m->next)
        n++;
    return n;
}

// Each open tree's entries; the number of all.
static size_t
list_trees(struct mail_user *u, struct arena *a, struct list_call *calls, size_t *n_out)
{
    size_t n = 0, total = 0;
    for (struct mount *m = &u->own; m; m = m->next) {
        if (!m->account)
            continue;
        calls[n] = (struct list_call){.mount = m, .who = mail_user_who(u), .arena = a};
        account_run(m->account, list_run, &calls[n]);
        total += calls[n++].n;
        task_yield();
    }
    *n_out = n;
    return total;
}

enum result
tree_list(struct mail_user *u, struct arena *a, struct tree_entry **out, size_t *n_out,
          struct fault *f)
{
    if (mounts_open(u, f) != R_OK)
        return R_FAIL;
    size_t mounts = count_mounts(u), count;
    struct list_call *calls = arena_array(a, mounts, sizeof *calls);
    size_t total = list_trees(u, a, calls, &count);
    struct tree_entry *all = arena_array(a, total + 3 * mounts, sizeof *all);
    size_t n = list_mount_levels(calls, count, a, all);
    for (size_t k = 0; k < count; k++) {
        if (calls[k].n > 0)
            memcpy(all + n, calls[k].entries, calls[k].n * sizeof *all);
        n += calls[k].n;
    }
    task_yield();
    qsort(all, n, sizeof *all, entry_order);
    task_yield();
    list_subscriptions(u, a, &all, &n);
    task_yield();
    mark_children(all, n);
    *out = all;
    *n_out = n;
    return R_OK;
}

// ---- STATUS ----

struct status_call {
    struct mount *mount;
    const struct acl_who *who;
    struct span inside;
    bool children;  // for LIST: it looks at all mailboxes
    uint64_t user;  // whose own counts these are
    struct tree_entry *entry;
    void (*figure)(struct status_call *c);
    struct fault *fault;
    enum result result;
};

static void
find_run(void *arg)
{
    struct status_call *c = arg;
    struct account *a = c->mount->account;
    struct mailbox_state *s = name_find(a, c->inside);
    uint32_t rights = s ? acl_rights(c->who, a, s->id) : 0;
    c->entry->nonexistent = rights == 0;
    c->entry->has_children = s && c->children && acl_sees_below(c->who, a, s->id);
    if (rights == 0)
        return;
    tree_entry_fill(c->entry, c->mount, rights, s);
    if (c->entry->privates)
        c->entry->privates = !private_counts(a, s, c->user, &c->entry->counts);
}

enum result
tree_status(struct mail_user *u, struct arena *a, struct span name, struct tree_entry *out,
            struct fault *f)
{
    struct tree_entry entry = {0};
    struct status_call c = {
        .entry = &entry, .who = mail_user_who(u), .user = account_id(u->own.account)};
    if (mail_name_check(a, name, &name, f) != R_OK ||
        mount_find(u, name, &c.mount, &c.inside, f) != R_OK)
        return R_FAIL;
    account_run(c.mount->account, find_run, &c);
    if (entry.nonexistent || entry.noselect)
        return fault_set(f, FAULT_NONEXISTENT, "no such mailbox");
    if (acl_check(entry.rights, RIGHT_READ, f) != R_OK)
        return R_FAIL;
    entry.name = name;
    tree_mark_subscribed(u, &entry, 1);
    *out = entry;
    return R_OK;
}

struct any_call {
    struct mount *mount;
    const struct acl_who *who;
    bool any;
};

static void
any_run(void *arg)
{
    struct any_call *c = arg;
    const struct state *s = account_state(c->mount->account);
    for (uint32_t i = 0; i < s->mailbox_count && !c->any; i++)
        c->any = acl_rights(c->who, c->mount->account, s->mailboxes[i]->id) != 0;
}

// "Shared", "Shared/bob": a level where something below it is seen.
static void
find_level(struct mail_user *u, struct tree_entry *e)
{
    struct any_call c = {.who = mail_user_who(u)};
    for (c.mount = u->own.next; c.mount && !c.any; c.mount = c.mount->next)
        if (c.mount->account && span_within(c.mount->prefix, e->name))
            account_run(c.mount->account, any_run, &c);
    e->noselect = e->has_children = c.any;
    e->nonexistent = !c.any;
}

void
tree_find(struct mail_user *u, struct arena *a, struct span name, struct tree_entry *out)
{
    name = mail_name_canonical(a, name);
    struct tree_entry entry = {.name = arena_dup(a, name), .nonexistent = true};
    struct status_call c = {.entry = &entry,
                            .who = mail_user_who(u),
                            .user = account_id(u->own.account),
                            .children = true};
    struct fault f;
    bool found = mount_find(u, name, &c.mount, &c.inside, &f) == R_OK;
    if (!found && f.kind != FAULT_NONEXISTENT)
        log_warning("mail", "a tree cannot be looked into", log_user(u->name),
                    log_fault(&f));
    entry.foreign = mount_prefix(name) > 0;
    if (found && c.inside.n > 0)
        account_run(c.mount->account, find_run, &c);
    else if (entry.foreign)
        find_level(u, &entry);
    tree_mark_subscribed(u, &entry, 1);
    *out = entry;
}

struct id_call {
    struct mount *mount;
    const struct acl_who *who;
    struct arena *arena;
    uint64_t mailbox;
    struct tree_entry *entry;
};

static void
find_id_run(void *arg)
{
    struct id_call *c = arg;
    struct account *a = c->mount->account;
    struct mailbox_state *m = state_mailbox(account_state(a), c->mailbox);
    uint32_t rights = m ? acl_rights(c->who, a, m->id) : 0;
    if (rights == 0)
        return;
    tree_entry_fill(c->entry, c->mount, rights, m);
    c->entry->name =
        mount_name(c->arena, c->mount, name_full(c->arena, account_state(a), m));
    c->entry->nonexistent = false;
}

void
tree_find_id(struct mail_user *u, struct arena *a, uint64_t mailbox, struct tree_entry *out)
{
    struct tree_entry entry = {.nonexistent = true};
    struct id_call c = {NULL, mail_user_who(u), a, mailbox, &entry};
    for (c.mount = &u->own; c.mount && entry.nonexistent; c.mount = c.mount->next)
        if (c.mount->account)
            account_run(c.mount->account, find_id_run, &c);
    if (!entry.nonexistent)
        tree_mark_subscribed(u, &entry, 1);
    *out = entry;
}

// The entry is of when its list was made: the mailbox may have gone since, or the right to read it.
static void
figure_run(void *arg)
{
    struct status_call *c = arg;
    struct account *a = c->mount->account;
    const struct mailbox_state *s = state_mailbox(account_state(a), c->entry->mailbox);
    if (s && (acl_rights(c->who, a, s->id) & RIGHT_READ))
        c->figure(c);
    else
        c->result = fault_set(c->fault, FAULT_NONEXISTENT, "not to be read any more");
}

// Runs it where the entry's mailbox is.
static enum result
entry_run(struct mail_user *u, void (*figure)(struct status_call *c), struct tree_entry *e,
          struct fault *f)
{
    struct status_call c = {.who = mail_user_who(u),
                            .user = account_id(u->own.account),
                            .entry = e,
                            .figure = figure,
                            .fault = f};
    c.result = mount_find(u, e->name, &c.mount, &c.inside, f);
    if (c.result == R_OK)
        account_run(c.mount->account, figure_run, &c);
    return c.result == R_FAIL && f->kind == FAULT_NONEXISTENT ? R_NONE : c.result;
}

// \Recent of a mailbox that is not selected: messages at or above the mark (RFC 3501 section 2.3.2).
static void
count_recent(struct status_call *c)
{
    struct account *a = c->mount->account;
    struct mailbox *m = mailbox_of(a, c->entry->mailbox);
    uint32_t *out = &c->entry->recent;
    *out = 0;
    c->result = R_OK;
    if (mailbox_recent_mark(m) >= m->state->counts.uidnext)
        return;
    if (mailbox_recent_mark(m) > 1) {
        c->result = mailbox_load(a, m, c->fault);
        if (c->result == R_OK)
            *out = m->state->counts.exists - state_row_at(m->state, mailbox_recent_mark(m));
    } else {
        *out = m->state->counts.exists;
    }
}

enum result
tree_recent(struct mail_user *u, struct tree_entry *e, struct fault *f)
{
    return entry_run(u, count_recent, e, f);
}

static void
count_own(struct status_call *c)
{
    struct account *a = c->mount->account;
    struct mailbox *m = mailbox_of(a, c->entry->mailbox);
    struct private_set *mine = NULL;
    m->pins++;
    c->result = private_open(a, m, c->user, &mine, c->fault);
    m->pins--;
    if (c->result == R_OK && !m->state)
        c->result = fault_set(c->fault, FAULT_NONEXISTENT, "mailbox is gone");
    if (c->result == R_OK) {
        c->entry->counts = m->state->counts;
        c->entry->counts.unseen = private_unseen(a, m, mine);
        c->entry->counts.modseq = private_highest(m, mine);
    }
    private_close(mine);
    mailbox_release(a, m);
}

enum result
tree_own(struct mail_user *u, struct tree_entry *e, struct fault *f)
{
    if (!e->privates)
        return R_OK;
    enum result r = entry_run(u, count_own, e, f);
    e->privates = false;
    return r;
}

static void
sum_deleted(struct status_call *c)
{
    struct account *a = c->mount->account;
    struct mailbox *m = mailbox_of(a, c->entry->mailbox);
    c->entry->deleted_storage = 0;
    c->result = R_OK;
    if (m->state->counts.deleted == 0)
        return;
    c->result = mailbox_read_begin(a, m, c->fault);
    for (uint32_t i = 0; c->result == R_OK && i < m->state->counts.exists; i++) {
        const struct message_row *row = &m->state->rows[i];
        c->entry->deleted_storage += row->flags & FLAG_DELETED ? row->size : 0;
        yield_at(i);
    }
    if (c->result == R_OK)
        mailbox_read_end(a, m);
}

enum result
tree_deleted_storage(struct mail_user *u, struct tree_entry *e, struct fault *f)
{
    return entry_run(u, sum_deleted, e, f);
}
