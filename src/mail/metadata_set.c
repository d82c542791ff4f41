// SETMETADATA: the change, what it may hold, and the special use that is an entry too.
#include "mail/acl_fold.h"
#include "mail/metadata_log.h"
#include "mail/watch_log.h"

#include "base/arena_grow.h"
#include "base/limits.h"
#include "mail/mount.h"
#include "mail/name.h"
#include "mail/tree.h"
#include "mail/tree_record.h"

enum { VALUE_FIRST = 1 };  // the first octet of a stored value

struct set_call {
    const struct metadata_place *place;
    struct metadata_change *change;
    struct arena *arena;
    struct span *keys;  // of the entries; SPAN_NONE: nothing to do
    bool *changed;      // per entry, by the records that were put
    bool has_use;
    enum special_use use;
    uint64_t robbed;
    bool use_changed;
    uint64_t modseq;
    struct fault *fault;
    enum result result;
};

// ---- what is asked for ----

// RFC 6154 section 4: NIL, or attributes as LIST shows them; a mailbox has one here.
static enum result
use_parse(struct span value, enum special_use *use_out, struct fault *f)
{
    struct span text = span_trim(value);
    *use_out = USE_NONE;
    if (text.n == 0)
        return R_OK;
    enum special_use use = special_use_from(text);
    if (use == USE_NONE || !special_use_offered(use))
        return fault_set(f, FAULT_USEATTR, "special use cannot be given");
    *use_out = use;
    return R_OK;
}

// What others see of a mailbox is set by those who may change what is in it.
static enum result
allowed(const struct metadata_place *p, struct span name, struct fault *f)
{
    if (span_starts(name, SPAN("/private")))
        return R_OK;
    if (p->mailbox == 0)
        return fault_set(f, FAULT_NOPERM, "the server's entries are settings");
    if (!(p->rights & (RIGHT_WRITE | RIGHT_INSERT | RIGHT_POST)))
        return fault_set(f, FAULT_NOPERM, "no right to set shared entries");
    return R_OK;
}

static bool
named_later(const struct metadata_change *change, size_t i)
{
    for (size_t k = i + 1; k < change->n; k++)
        if (span_eq(change->entries[k].name, change->entries[i].name))
            return true;
    return false;
}

static enum result
use_asked(struct set_call *c, struct span value, struct fault *f)
{
    // what is special in an account is its owner's to say
    if (c->place->prefix.p || !(c->place->rights & RIGHT_CREATE))
        return fault_set(f, FAULT_NOPERM, "no right to set a special use");
    c->has_use = true;
    return use_parse(value, &c->use, f);
}

static enum result
entries_check(struct set_call *c, struct fault *f)
{
    for (size_t i = 0; i < c->change->n; i++) {
        const struct metadata_entry *e = &c->change->entries[i];
        if (allowed(c->place, e->name, f) != R_OK)
            return R_FAIL;
        if (e->value.n > LIMIT_metadata_value)
            return fault_set(f, FAULT_TOOBIG, "value of %zu octets", e->value.n);
        if (named_later(c->change, i))
            continue;
        if (c->place->mailbox == 0 || !span_eq(e->name, SPAN("/private/specialuse")))
            c->keys[i] = metadata_key(c->arena, c->place->user, e->name);
        else if (use_asked(c, e->value, f) != R_OK)
            return R_FAIL;
    }
    return R_OK;
}

// One may have been revoked since the command began: it may have waited for its literals.
static enum result
still_allowed(const struct set_call *c, struct fault *f)
{
    struct metadata_place now = *c->place;
    const struct mailbox_ref ref = {now.by, now.account, now.mailbox, now.rights};
    if (now.mailbox == 0)
        return R_OK;
    now.rights = ref_rights(&ref);
    if (acl_check(now.rights, c->has_use ? RIGHT_CREATE : 0, f) != R_OK)
        return R_FAIL;
    if (!metadata_may(now.rights))
        return fault_set(f, FAULT_NOPERM, "no right to the mailbox's entries");
    for (size_t i = 0; i < c->change->n; i++)
        if (allowed(&now, c->change->entries[i].name, f) != R_OK)
            return R_FAIL;
    return R_OK;
}

// ---- room ----

struct sums {
    const struct metadata_place *place;
    struct arena *arena;
    // [1]: the user's private ones
    size_t entries[2];  // of the mailbox
    size_t octets[2];   // of the account
};

static size_t
cost(struct span key, size_t value)
{
    return key.n + value + LIMIT_metadata_entry;
}

static void
sum_each(uint64_t mailbox, struct span key, struct span value, void *arg)
{
    struct sums *s = arg;
    if (key.p[0] != '/')
        return;
    struct span name = metadata_key_name(s->arena, s->place->user, key);
    if (!name.p)
        return;
    bool private = span_starts(name, SPAN("/private"));
    s->entries[private] += mailbox == s->place->mailbox;
    s->octets[private] += cost(key, value.n);
}

static void
sum_up(struct account *a, struct sums *s)
{
    s->arena = arena_new();
    state_meta_each(account_state(a), sum_each, s);
    arena_free(&s->arena);
}

static enum result
quota_check(struct set_call *c, struct account *a, struct fault *f)
{
    uint64_t old = 0, new = 0;
    for (size_t i = 0; i < c->change->n; i++) {
        struct span stored;
        if (!c->keys[i].p)
            continue;
        new += c->change->entries[i].value.n;
        if (state_meta_find(account_state(a), c->place->mailbox, c->keys[i], &stored) ==
            R_OK)
            old += stored.n - 1;
    }
    struct usage more = {{[USAGE_ANNOTATIONS] = new > old ? new - old : 0}};
    return quota_room(a, &more, QUOTA_USER, f);
}

static enum result
room_check(struct set_call *c, struct account *a, struct fault *f)
{
    struct sums was = {.place = c->place};
    sum_up(a, &was);
    struct sums will = was;
    for (size_t i = 0; i < c->change->n; i++) {
        const struct metadata_entry *e = &c->change->entries[i];
        bool private = span_starts(e->name, SPAN("/private"));
        struct span old;
        if (!c->keys[i].p)
            continue;
        if (state_meta_find(account_state(a), c->place->mailbox, c->keys[i], &old) ==
            R_OK) {
            will.entries[private]--;
            will.octets[private] -= cost(c->keys[i], old.n);
        }
        if (e->value.p) {
            will.entries[private]++;
            will.octets[private] += cost(c->keys[i], e->value.n + 1);
        }
    }
    if (quota_check(c, a, f) != R_OK)
        return R_FAIL;
    for (int k = 0; k < 2; k++) {
        if (will.entries[k] > was.entries[k] && will.entries[k] > LIMIT_metadata_entries)
            return fault_set(f, FAULT_METADATATOOMANY, "too many entries");
        if (will.octets[k] > was.octets[k] && will.octets[k] > LIMIT_metadata_octets)
            return fault_set(f, FAULT_OVERQUOTA, "entries are too large together");
    }
    return R_OK;
}

// ---- records ----

static void
put_value(struct store_batch *b, const struct record_meta *where, struct span value)
{
    struct record_meta r = *where;
    struct buf stored;
    buf_init(&stored, LIMIT_metadata_value + 1);
    if (value.p) {
        buf_put_char(&stored, VALUE_FIRST);
        buf_put(&stored, value);
    }
    r.value = buf_span(&stored);
    tree_put_meta(b, &r);
    buf_done(&stored);
}

static bool
differs(struct account *a, uint64_t mailbox, struct span key, struct span value)
{
    struct span stored;
    if (state_meta_find(account_state(a), mailbox, key, &stored) != R_OK)
        return value.p != NULL;
    return !value.p || !span_eq(span_skip(stored, 1), value);
}

static void
put_entries(struct set_call *c, struct account *a, struct store_batch *b)
{
    for (size_t i = 0; i < c->change->n; i++) {
        struct span value = c->change->entries[i].value;
        c->changed[i] = c->keys[i].p && differs(a, c->place->mailbox, c->keys[i], value);
        struct record_meta where = {c->place->mailbox, c->modseq, c->keys[i], SPAN_NONE};
        if (c->changed[i])
            put_value(b, &where, value);
    }
}

// The removal of what is not there raises HIGHESTMODSEQ alone.
static void
put_use(struct set_call *c, struct store_batch *b, const struct mailbox_state *m,
        enum special_use use)
{
    struct record_mailbox r = {m->id,          m->parent,    c->modseq, m->name,
                               m->uidvalidity, (uint8_t)use, m->flags};
    struct record_meta touch = {m->id, c->modseq, SPAN("/specialuse"), SPAN_NONE};
    tree_put_mailbox(b, &r);
    tree_put_meta(b, &touch);
}

static enum result
put_uses(struct set_call *c, struct account *a, struct store_batch *b, struct fault *f)
{
    const struct mailbox_state *m = state_mailbox(account_state(a), c->place->mailbox);
    if (!c->has_use || m->special_use == (uint8_t)c->use)
        return R_OK;
    if (m->flags & MAILBOX_NOSELECT)
        return fault_set(f, FAULT_CANNOT, "a level has no special use");
    for (uint32_t i = 0; c->use != USE_NONE && i < account_state(a)->mailbox_count; i++) {
        const struct mailbox_state *other = account_state(a)->mailboxes[i];
        if (other->special_use != (uint8_t)c->use)
            continue;
        if (acl_rights(mail_user_who(c->place->by), a, other->id) == 0)
            return fault_set(f, FAULT_USEATTR, "another mailbox has this special use");
        c->robbed = other->id;
        put_use(c, b, other, USE_NONE);
    }
    c->use_changed = true;
    put_use(c, b, m, c->use);
    return R_OK;
}

static enum result
set_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    struct set_call *c = arg;
    if (c->place->mailbox != 0 && !state_mailbox(account_state(a), c->place->mailbox))
        return fault_set(f, FAULT_NONEXISTENT, "mailbox is gone");
    if (still_allowed(c, f) != R_OK || room_check(c, a, f) != R_OK)
        return R_FAIL;
    c->modseq = change_modseq(a);
    put_entries(c, a, b);
    return put_uses(c, a, b, f);
}

// ---- the whole ----

static void
tell(struct set_call *c, struct account *a)
{
    const struct mail_user *by = c->place->by;
    struct span use = metadata_key(c->arena, c->place->user, SPAN("/private/specialuse"));
    for (size_t i = 0; i < c->change->n; i++)
        if (c->changed[i])
            watch_entry(a, c->place->mailbox, c->keys[i], by);
    if (c->use_changed)
        watch_entry(a, c->place->mailbox, use, by);
    if (c->robbed)
        watch_entry(a, c->robbed, use, by);
}

static void
set_run(void *arg)
{
    struct set_call *c = arg;
    struct account *a = c->place->account;
    c->result = account_change(a, set_change, c, CHANGE_ALONE,
                               &(struct change_by){.user = c->place->by}, c->fault);
    if (c->result != R_OK)
        return;
    tell(c, a);
    const struct mailbox_state *m =
        c->robbed ? state_mailbox(account_state(a), c->robbed) : NULL;
    struct mount mount = {.prefix = c->place->prefix};
    if (m)
        c->change->robbed =
            mount_name(c->arena, &mount, name_full(c->arena, account_state(a), m));
}

enum result
metadata_set(const struct metadata_place *p, struct metadata_change *change,
             struct arena *a, struct fault *f)
{
    struct set_call c = {.place = p, .change = change, .arena = a, .fault = f};
    change->robbed = SPAN_NONE;
    c.keys = arena_array(a, change->n, sizeof *c.keys);
    c.changed = arena_array(a, change->n, sizeof *c.changed);
    if (entries_check(&c, f) != R_OK)
        return R_FAIL;
    account_run(p->account, set_run, &c);
    return c.result;
}

// ---- RENAME INBOX ----

struct copies {
    struct arena *arena;
    struct record_meta *records;
    size_t n, room;
    uint64_t from;
};

static void
copy_each(uint64_t mailbox, struct span key, struct span value, void *arg)
{
    struct copies *c = arg;
    if (key.p[0] != '/')
        return;
    if (mailbox != c->from)
        return;
    c->records = arena_grow(c->arena, c->records, c->n, &c->room, sizeof *c->records);
    c->records[c->n++] = (struct record_meta){.key = key, .value = value};
}

// What an owner's entries amount to: the shared ones have one, and each user's private ones.
struct owned {
    struct span owner;  // what their keys begin with
    size_t octets;
};
struct owners {
    struct owned *p;
    size_t n;
};

static struct owned *
owned_find(struct owners *o, struct span key)
{
    for (size_t i = 0; i < o->n; i++)
        if (span_within(key, o->p[i].owner))
            return &o->p[i];
    return NULL;
}

static void
owned_add(struct owners *o, struct span key, struct span value)
{
    struct owned *mine = owned_find(o, key);
    if (!mine) {
        mine = &o->p[o->n++];
        mine->owner = span_slice(key, 0, 1 + span_find_char(span_skip(key, 1), '/'));
    }
    mine->octets += cost(key, value.n);
}

static void
owned_each(uint64_t mailbox, struct span key, struct span value, void *arg)
{
    (void)mailbox;
    if (owned_find(arg, key))
        owned_add(arg, key, value);
}

// Each owner has LIMIT_metadata_octets for all mailboxes, as in SETMETADATA.
static enum result
copies_fit(struct account *a, const struct copies *c, struct fault *f)
{
    struct owners o = {arena_array(c->arena, c->n, sizeof *o.p), 0};
    for (size_t i = 0; i < c->n; i++)
        owned_add(&o, c->records[i].key, c->records[i].value);
    state_meta_each(account_state(a), owned_each, &o);
    for (size_t i = 0; i < o.n; i++)
        if (o.p[i].octets > LIMIT_metadata_octets)
            return fault_set(f, FAULT_OVERQUOTA, "entries are too large together");
    return R_OK;
}

enum result
metadata_put_copies(struct account *a, struct store_batch *b, uint64_t from, uint64_t to,
                    struct fault *f)
{
    struct copies c = {.arena = a->batch_arena, .from = from};
    state_meta_each(account_state(a), copy_each, &c);
    if (copies_fit(a, &c, f) != R_OK)
        return R_FAIL;
    uint64_t modseq = c.n > 0 ? change_modseq(a) : 0;
    struct usage more = {{0}};
    for (size_t i = 0; i < c.n; i++)
        more.n[USAGE_ANNOTATIONS] += c.records[i].value.n - 1;
    if (quota_room(a, &more, QUOTA_USER, f) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < c.n; i++) {
        c.records[i].mailbox = to;
        c.records[i].modseq = modseq;
        tree_put_meta(b, &c.records[i]);
    }
    return R_OK;
}
