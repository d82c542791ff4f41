#include "mail/tree.h"

#include "base/clock.h"
#include "base/limits.h"
#include "mail/metadata_log.h"
#include "mail/mount.h"
#include "mail/name.h"
#include "mail/rows.h"
#include "mail/tree_record.h"

// One change of the tree; runs alone in its batch, so the state is what it looks like.
struct tree_call {
    struct mail_user *user;
    struct mount *mount;
    struct span name, target;  // inside the mount
    enum special_use use;
    bool on;
    uint64_t id;
    struct arena *arena;
    struct fault *fault;
    enum result result;
    change_fn *change;
};

static change_fn rename_inbox_change;

static void
tree_run(void *arg)
{
    struct tree_call *c = arg;
    struct change_by by = {.user = c->user};
    if (c->change == rename_inbox_change)
        by.renamed_to = c->target;
    c->result =
        account_change(c->mount->account, c->change, c, CHANGE_ALONE, &by, c->fault);
}

static enum result
tree_commit(struct tree_call *c, change_fn *change)
{
    c->change = change;
    account_run(c->mount->account, tree_run, c);
    return c->result;
}

static struct span
parent_of(struct span name)
{
    size_t n = span_behind_last(name, '/');
    return span_slice(name, 0, n > 0 ? n - 1 : 0);
}

// ---- CREATE ----

static enum result
create_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    struct tree_call *c = arg;
    struct mailbox_state *m = name_find(a, c->name);
    if (m && !(m->flags & MAILBOX_NOSELECT))
        return fault_set(f, FAULT_ALREADYEXISTS, "mailbox exists");
    if (tree_use_free(a->state, c->use, f) != R_OK || tree_room_for(a, c->name, f) != R_OK)
        return R_FAIL;
    if (m)
        tree_put_revived(a, b, m, c->use);
    c->id = m ? m->id : tree_put_levels(a, b, c->name, c->use);
    return R_OK;
}

static enum result
inside_check(struct tree_call *c)
{
    if (c->name.n == 0)
        return fault_set(c->fault, FAULT_CANNOT, "the name of a mounted tree");
    return R_OK;
}

enum result
tree_create(struct mail_user *u, struct span name, enum special_use use,
            struct mailbox_ref *ref_out, struct fault *f)
{
    struct arena *arena = arena_new();
    struct tree_call c = {.user = u, .use = use, .arena = arena, .fault = f};
    enum result r = mail_name_check(arena, name, &name, f);
    if (r == R_OK) {
        c.mount = mount_find(u, name, &c.name);
        r = access_check(c.mount, RIGHT_CREATE, f);
    }
    if (r == R_OK && inside_check(&c) != R_OK)
        r = R_FAIL;
    if (r == R_OK)
        r = tree_commit(&c, create_change);
    if (r == R_OK)
        *ref_out = (struct mailbox_ref){u, c.mount->account, c.id, c.mount->rights};
    arena_free(&arena);
    return r;
}

// ---- DELETE ----

static enum result
delete_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    struct tree_call *c = arg;
    struct mailbox_state *m = name_find(a, c->name);
    if (!m)
        return fault_set(f, FAULT_NONEXISTENT, "no such mailbox");
    bool children = name_has_children(a->state, m->id);
    if (m->flags & MAILBOX_NOSELECT && children)
        return fault_set(f, FAULT_HASCHILDREN, "a level with children");
    struct record_mailbox_gone r = {m->id, change_modseq(a), clock_wall_s()};
    struct record_mailbox level = {
        .parent = m->parent, .name = m->name, .flags = MAILBOX_NOSELECT};
    uint64_t old = m->id;
    tree_put_key_gone(a, b, old);
    if (!children) {
        tree_put_gone(b, &r);
        return R_OK;
    }
    // The name stays as a level: a new mailbox id takes the children over.
    level.id = store_id_next(mail_store(a->mail));
    level.modseq = change_modseq(a);
    level.uidvalidity = tree_uidvalidity(a, b);
    tree_put_mailbox(b, &level);
    for (uint32_t i = 0; i < a->state->mailbox_count; i++) {
        struct mailbox_state *k = a->state->mailboxes[i];
        struct record_mailbox child = {k->id,   level.id,       change_modseq(a),
                                       k->name, k->uidvalidity, k->special_use,
                                       k->flags};
        if (k->parent == old)
            tree_put_mailbox(b, &child);
    }
    tree_put_gone(b, &r);
    return R_OK;
}

enum result
tree_delete(struct mail_user *u, struct span name, struct fault *f)
{
    struct arena *arena = arena_new();
    struct tree_call c = {.user = u, .arena = arena, .fault = f};
    enum result r = mail_name_check(arena, name, &name, f);
    if (r == R_OK) {
        c.mount = mount_find(u, name, &c.name);
        r = access_check(c.mount, RIGHT_DELETE, f);
    }
    if (r == R_OK && name_is_inbox(c.name))
        r = fault_set(f, FAULT_CANNOT, "INBOX cannot be deleted");
    if (r == R_OK)
        r = tree_commit(&c, delete_change);
    arena_free(&arena);
    return r;
}

// ---- RENAME ----

static bool
is_below(struct state *s, uint64_t id, uint64_t ancestor)
{
    for (unsigned depth = 0; id != 0 && depth <= LIMIT_mailbox_depth; depth++) {
        if (id == ancestor)
            return true;
        struct mailbox_state *m = state_mailbox(s, id);
        id = m ? m->parent : 0;
    }
    return false;
}

static unsigned
depth_below(struct state *s, uint64_t ancestor)
{
    unsigned deepest = 0;
    for (uint32_t i = 0; i < s->mailbox_count; i++) {
        const struct mailbox_state *m = s->mailboxes[i];
        unsigned d = 0;
        while (m && m->id != ancestor && d <= LIMIT_mailbox_depth) {
            m = m->parent ? state_mailbox(s, m->parent) : NULL;
            d++;
        }
        if (m && d > deepest)
            deepest = d;
    }
    return deepest;
}

static enum result
rename_check(struct account *a, struct tree_call *c, struct mailbox_state *from,
             struct fault *f)
{
    if (name_find(a, c->target))
        return fault_set(f, FAULT_ALREADYEXISTS, "target exists");
    struct mailbox_state *parent = name_find(a, parent_of(c->target));
    if (parent && is_below(a->state, parent->id, from->id))
        return fault_set(f, FAULT_CANNOT, "a mailbox cannot move below itself");
    if (tree_levels_of(c->target) + depth_below(a->state, from->id) > LIMIT_mailbox_depth)
        return fault_set(f, FAULT_LIMIT, "too many levels");
    return R_OK;
}

static enum result
rename_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    struct tree_call *c = arg;
    struct mailbox_state *m = name_find(a, c->name);
    struct span above = parent_of(c->target);
    uint64_t parent = 0;
    if (!m)
        return fault_set(f, FAULT_NONEXISTENT, "no such mailbox");
    if (rename_check(a, c, m, f) != R_OK)
        return R_FAIL;
    // A target below the old name ("a" to "a/b") was refused only where the old mailbox is its own parent.
    if (above.n > 0 && span_within(above, c->name))
        return fault_set(f, FAULT_CANNOT, "a mailbox cannot move below itself");
    if (above.n > 0 && tree_room_for(a, above, f) != R_OK)
        return R_FAIL;
    if (above.n > 0)
        parent = tree_put_levels(a, b, above, USE_NONE);
    struct span last = span_skip(c->target, above.n > 0 ? above.n + 1 : 0);
    struct record_mailbox r = {m->id,          parent,         change_modseq(a), last,
                               m->uidvalidity, m->special_use, m->flags};
    tree_put_mailbox(b, &r);
    return R_OK;
}

// RENAME INBOX: its messages move to a new mailbox; INBOX stays, empty, and keeps its children.
static enum result
rename_inbox_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    struct tree_call *c = arg;
    struct mailbox_state *inbox = name_find(a, SPAN("INBOX"));
    if (!inbox)
        return fault_set(f, FAULT_NONEXISTENT, "no INBOX");
    if (name_find(a, c->target))
        return fault_set(f, FAULT_ALREADYEXISTS, "target exists");
    struct mailbox *m = mailbox_of(a, inbox->id);
    if (mailbox_load(a, m, f) != R_OK)
        return R_FAIL;
    if (tree_room_for(a, c->target, f) != R_OK)
        return R_FAIL;
    uint64_t target = tree_put_levels(a, b, c->target, USE_NONE);
    if (metadata_put_copies(a, b, inbox->id, target, f) != R_OK)
        return R_FAIL;
    return rows_move_all(a, b, m, target, f);
}

static enum result
rename_inside(struct tree_call *c)
{
    if (c->name.n == 0 || c->target.n == 0)
        return fault_set(c->fault, FAULT_CANNOT, "the name of a mounted tree");
    if (name_is_inbox(c->target))
        return fault_set(c->fault, FAULT_ALREADYEXISTS, "INBOX exists");
    return tree_commit(c, name_is_inbox(c->name) ? rename_inbox_change : rename_change);
}

enum result
tree_rename(struct mail_user *u, struct span from, struct span to, struct fault *f)
{
    struct arena *arena = arena_new();
    struct tree_call c = {.user = u, .arena = arena, .fault = f};
    enum result r = mail_name_check(arena, from, &from, f);
    if (r == R_OK)
        r = mail_name_check(arena, to, &to, f);
    if (r == R_OK) {
        struct mount *target = mount_find(u, to, &c.target);
        c.mount = mount_find(u, from, &c.name);
        r = access_check(c.mount, RIGHT_DELETE, f);
        if (r == R_OK)
            r = access_check(target, RIGHT_CREATE, f);
        if (r == R_OK && target != c.mount)
            r = fault_set(f, FAULT_CANNOT, "a mailbox cannot move to another account");
    }
    if (r == R_OK)
        r = rename_inside(&c);
    arena_free(&arena);
    return r;
}

// ---- SUBSCRIBE ----

static enum result
subscribe_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    struct tree_call *c = arg;
    if (c->on && a->state->subscription_count >= LIMIT_mailboxes)
        return fault_set(f, FAULT_LIMIT, "too many subscriptions");
    tree_put_subscribe(b, name_is_inbox(c->name) ? SPAN("INBOX") : c->name, c->on);
    return R_OK;
}

// Subscriptions are the user's own, whoever owns the mailbox.
static void
subscribe_at_home(struct tree_call *c, struct mail_user *u, struct span name)
{
    bool foreign_inbox = c->mount != &u->own && name_is_inbox(c->name);
    c->mount = &u->own;
    c->name = arena_dup(c->arena, name);
    if (foreign_inbox)
        memcpy((char *)c->name.p + name.n - 5, "INBOX", 5);
}

enum result
tree_subscribe(struct mail_user *u, struct span name, bool on, struct fault *f)
{
    struct arena *arena = arena_new();
    struct tree_call c = {.user = u, .on = on, .arena = arena, .fault = f};
    enum result r = mail_name_check(arena, name, &name, f);
    if (r == R_OK) {
        c.mount = mount_find(u, name, &c.name);
        r = access_check(c.mount, 0, f);
    }
    if (r == R_OK && inside_check(&c) != R_OK)
        r = R_FAIL;
    if (r == R_OK) {
        subscribe_at_home(&c, u, name);
        r = tree_commit(&c, subscribe_change);
    }
    arena_free(&arena);
    return r;
}
