#include "mail/tree.h"

#include "base/audit.h"
#include "base/clock.h"
#include "base/limits.h"
#include "mail/acl_fold.h"
#include "mail/metadata_log.h"
#include "mail/mount.h"
#include "mail/name.h"
#include "mail/rows.h"
#include "mail/system.h"
#include "mail/tree_record.h"

// One change of the tree; runs alone in its batch, so the state is what it looks like.
struct tree_call {
    struct mail_user *user;
    const struct acl_who *who;
    struct mount *mount;
    struct span name, target;  // inside the mount
    enum special_use use;
    bool on;
    uint64_t id;
    uint32_t rights;  // on the new mailbox
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

// ---- rights ----

// The levels of a name as far as they are there: the last one, and the last one that may be looked up.
struct levels {
    const struct mailbox_state *last, *seen;
    bool whole;  // `last` has the name itself
};

static void
levels_find(struct account *a, const struct acl_who *who, struct span name,
            struct levels *out)
{
    struct span rest = name, level;
    *out = (struct levels){.whole = true};
    while (span_next_field(&rest, '/', &level) == R_OK) {
        const struct mailbox_state *m =
            name_find_level(a, out->last ? out->last->id : 0, level);
        if (!m) {
            out->whole = false;
            return;
        }
        out->last = m;
        if (acl_rights(who, a, m->id) != 0)
            out->seen = m;
    }
}

// May a mailbox of this name be made? RFC 4314 section 4: k on the nearest parent. What may not be looked up is as if it
// were not there, but in its way: then the name is one that is refused to everybody.
static enum result
make_check(struct account *a, const struct acl_who *who, struct span name, struct fault *f)
{
    struct levels l, above;
    levels_find(a, who, name, &l);
    levels_find(a, who, parent_of(name), &above);
    bool taken = l.whole && l.last && !(l.last->flags & MAILBOX_NOSELECT);
    if (l.whole && l.seen == l.last && taken)
        return fault_set(f, FAULT_ALREADYEXISTS, "mailbox exists");
    bool may = above.seen ? acl_rights(who, a, above.seen->id) & RIGHT_CREATE
                          : who->account == a->id || acl_makes_roots(who, a);
    if (!may)
        return fault_set(f, FAULT_NOPERM, "no right to make mailboxes there");
    if (taken || above.last != above.seen)
        return fault_set(f, FAULT_CANNOT, "such a name is not allowed");
    return R_OK;
}

// In others' trees, what is not there and what may not be known of are refused alike. The public tree begins with what an
// administrator makes in it.
static enum result
make_mount(struct tree_call *c, struct span name)
{
    if (mount_prefix(name) > 0 && mount_begin(c->user, name, c->fault) != R_OK)
        return R_FAIL;
    if (mount_find(c->user, name, &c->mount, &c->name, c->fault) != R_OK) {
        if (c->fault->kind == FAULT_NONEXISTENT)
            c->fault->kind = FAULT_NOPERM;
        return R_FAIL;
    }
    if (c->name.n == 0)
        return fault_set(c->fault, FAULT_NOPERM, "the name of a tree");
    return R_OK;
}

// ---- CREATE ----

static enum result
create_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    struct tree_call *c = arg;
    struct mailbox_state *m = name_find(a, c->name);
    if (make_check(a, c->who, c->name, f) != R_OK ||
        tree_use_free(account_state(a), c->use, f) != R_OK ||
        tree_room_for(a, c->name, f) != R_OK)
        return R_FAIL;
    if (m)
        tree_put_revived(a, b, m, c->use);
    c->id = m ? m->id : tree_put_levels(a, b, c->name, c->use);
    return R_OK;
}

// What is special in an account is its owner's to say. A tree that is not there is refused alike.
static enum result
use_check(const struct tree_call *c, struct span name, enum result r)
{
    bool theirs = r == R_OK ? c->mount->prefix.p != NULL
                            : c->fault->kind == FAULT_NOPERM && mount_prefix(name) > 0;
    if (c->use != USE_NONE && theirs)
        return fault_set(c->fault, FAULT_USEATTR, "a special use in another's tree");
    return r;
}

static void
rights_run(void *arg)
{
    struct tree_call *c = arg;
    c->rights = acl_rights(c->who, c->mount->account, c->id);
}

enum result
tree_create(struct mail_user *u, struct span name, enum special_use use,
            struct mailbox_ref *ref_out, struct fault *f)
{
    struct arena *arena = arena_new();
    struct tree_call c = {
        .user = u, .who = mail_user_who(u), .use = use, .arena = arena, .fault = f};
    enum result r = mail_name_check(arena, name, &name, f);
    if (r == R_OK)
        r = use_check(&c, name, make_mount(&c, name));
    if (r == R_OK)
        r = tree_commit(&c, create_change);
    if (r == R_OK) {
        account_run(c.mount->account, rights_run, &c);
        *ref_out = (struct mailbox_ref){u, c.mount->account, c.id, c.rights};
    }
    arena_free(&arena);
    return r;
}

// ---- DELETE ----

static enum result
delete_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    struct tree_call *c = arg;
    struct mailbox_state *m = name_find(a, c->name);
    if (acl_check(m ? acl_rights(c->who, a, m->id) : 0, RIGHT_DELETE, f) != R_OK || !m)
        return R_FAIL;
    if (name_is_inbox(c->name) && c->mount->id != ACCOUNT_PUBLIC)
        return fault_set(f, FAULT_CANNOT, "INBOX cannot be deleted");
    bool children = name_has_children(account_state(a), m->id);
    if (m->flags & MAILBOX_NOSELECT && children)
        return fault_set(f, FAULT_HASCHILDREN, "a level with children");
    struct record_mailbox_gone r = {m->id, change_modseq(a), clock_wall_s()};
    struct record_mailbox level = {
        .parent = m->parent, .name = m->name, .flags = MAILBOX_NOSELECT};
    uint64_t old = m->id;
    if (!children) {
        tree_put_key_gone(a, b, old);
        tree_put_gone(b, &r);
        return R_OK;
    }
    // The name stays as a level: a new mailbox id takes the children over. By its modseq, the next one, undelete knows it.
    level.id = store_id_next(mail_store(a->mail));
    level.modseq = change_modseq(a);
    tree_put_key_gone(a, b, old);
    level.uidvalidity = tree_uidvalidity(a, b);
    tree_put_mailbox(b, &level);
    for (uint32_t i = 0; i < account_state(a)->mailbox_count; i++) {
        struct mailbox_state *k = account_state(a)->mailboxes[i];
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
    struct tree_call c = {.user = u, .who = mail_user_who(u), .arena = arena, .fault = f};
    enum result r = mail_name_check(arena, name, &name, f);
    if (r == R_OK)
        r = mount_find(u, name, &c.mount, &c.name, f);
    if (r == R_OK)
        r = tree_commit(&c, delete_change);
    if (r == R_OK)
        log_audit(MAILBOX_DELETED, "mail", "mailbox deleted",
                  field_text("by", ": by=<%>", mail_user_name(u)),
                  field_text("owner", "owner=<%>", c.mount->account->user),
                  field_text("mailbox", "mailbox=<%>", c.name));
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

// How far the mailboxes below reach: levels, and octets of their names behind that of the ancestor.
struct below {
    unsigned levels;
    size_t octets;
};

static struct below
below_most(struct state *s, uint64_t ancestor)
{
    struct below most = {0};
    for (uint32_t i = 0; i < s->mailbox_count; i++) {
        const struct mailbox_state *m = s->mailboxes[i];
        struct below b = {0};
        while (m && m->id != ancestor && b.levels <= LIMIT_mailbox_depth) {
            b.octets += m->name.n + 1;
            b.levels++;
            m = m->parent ? state_mailbox(s, m->parent) : NULL;
        }
        if (m && b.levels > most.levels)
            most.levels = b.levels;
        if (m && b.octets > most.octets)
            most.octets = b.octets;
    }
    return most;
}

static enum result
rename_check(struct account *a, struct tree_call *c, struct mailbox_state *from,
             struct fault *f)
{
    struct mailbox_state *parent = name_find(a, parent_of(c->target));
    if (parent && is_below(account_state(a), parent->id, from->id))
        return fault_set(f, FAULT_CANNOT, "a mailbox cannot move below itself");
    struct below most = below_most(account_state(a), from->id);
    if (tree_levels_of(c->target) + most.levels > LIMIT_mailbox_depth)
        return fault_set(f, FAULT_LIMIT, "too many levels");
    if (c->target.n + most.octets > LIMIT_mailbox_name)
        return fault_set(f, FAULT_CANNOT, "the name of a mailbox below would be too long");
    return R_OK;
}

// RFC 4314 section 4: x on the old name, k on the new parent. A level of the new name is in the way as well.
static enum result
rename_rights(struct account *a, const struct tree_call *c, const struct mailbox_state *m,
              struct fault *f)
{
    if (acl_check(m ? acl_rights(c->who, a, m->id) : 0, RIGHT_DELETE, f) != R_OK || !m ||
        make_check(a, c->who, c->target, f) != R_OK)
        return R_FAIL;
    const struct mailbox_state *there = name_find(a, c->target);
    if (!there)
        return R_OK;
    if (acl_rights(c->who, a, there->id) != 0)
        return fault_set(f, FAULT_ALREADYEXISTS, "target exists");
    return fault_set(f, FAULT_CANNOT, "such a name is not allowed");
}

static enum result
rename_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    struct tree_call *c = arg;
    struct mailbox_state *m = name_find(a, c->name);
    struct span above = parent_of(c->target);
    uint64_t parent = 0;
    if (rename_rights(a, c, m, f) != R_OK || rename_check(a, c, m, f) != R_OK)
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
    if (rename_rights(a, c, inbox, f) != R_OK)
        return R_FAIL;
    struct mailbox *m = mailbox_of(a, inbox->id);
    if (mailbox_load(a, m, f) != R_OK)
        return R_FAIL;
    if (tree_room_for(a, c->target, f) != R_OK)
        return R_FAIL;
    if (acl_identifiers(a) + acl_list_of(a, inbox->id)->n > LIMIT_acl_account)
        return fault_set(f, FAULT_LIMIT, "too many entries of access control lists");
    uint64_t parent = tree_nearest(a, c->target);
    uint64_t target = tree_put_levels(a, b, c->target, USE_NONE);
    acl_put_instead(a, b, parent, inbox->id, target);
    if (metadata_put_copies(a, b, inbox->id, target, f) != R_OK)
        return R_FAIL;
    return rows_move_all(a, b, m, target, f);
}

// What is not of the account's own tree has no INBOX to be renamed.
static bool
is_inbox(const struct tree_call *c, struct span inside)
{
    return name_is_inbox(inside) && c->mount->id != ACCOUNT_PUBLIC;
}

// Runs where the old name is, so that what it says of that comes first.
static enum result
rename_elsewhere(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    const struct tree_call *c = arg;
    const struct mailbox_state *m = name_find(a, c->name);
    (void)b;
    if (acl_check(m ? acl_rights(c->who, a, m->id) : 0, RIGHT_DELETE, f) != R_OK)
        return R_FAIL;
    return fault_set(f, FAULT_CANNOT, "a mailbox cannot move to another account");
}

static enum result
rename_to(struct tree_call *c, struct span to)
{
    struct mount *target = NULL;
    enum result r = mount_find(c->user, to, &target, &c->target, c->fault);
    if (r != R_OK && c->fault->kind != FAULT_NONEXISTENT)
        return R_FAIL;
    if (r != R_OK || target != c->mount || c->target.n == 0)
        return tree_commit(c, rename_elsewhere);
    return tree_commit(c, is_inbox(c, c->name) ? rename_inbox_change : rename_change);
}

enum result
tree_rename(struct mail_user *u, struct span from, struct span to, struct fault *f)
{
    struct arena *arena = arena_new();
    struct tree_call c = {.user = u, .who = mail_user_who(u), .arena = arena, .fault = f};
    enum result r = mail_name_check(arena, from, &from, f);
    if (r == R_OK)
        r = mail_name_check(arena, to, &to, f);
    if (r == R_OK)
        r = mount_find(u, from, &c.mount, &c.name, f);
    if (r == R_OK)
        r = rename_to(&c, to);
    arena_free(&arena);
    return r;
}

// ---- SUBSCRIBE ----

static enum result
subscribe_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    struct tree_call *c = arg;
    if (c->on && account_state(a)->subscription_count >= LIMIT_mailboxes)
        return fault_set(f, FAULT_LIMIT, "too many subscriptions");
    tree_put_subscribe(b, name_is_inbox(c->name) ? SPAN("INBOX") : c->name, c->on);
    return R_OK;
}

// Subscriptions are the user's own, whoever owns the mailbox, and whether or not there is one (RFC 4314 section 4).
enum result
tree_subscribe(struct mail_user *u, struct span name, bool on, struct fault *f)
{
    struct arena *arena = arena_new();
    struct tree_call c = {
        .user = u, .mount = &u->own, .on = on, .arena = arena, .fault = f};
    enum result r = mail_name_check(arena, name, &name, f);
    c.name = r == R_OK ? mail_name_canonical(arena, name) : SPAN_NONE;
    if (r == R_OK)
        r = tree_commit(&c, subscribe_change);
    arena_free(&arena);
    return r;
}
