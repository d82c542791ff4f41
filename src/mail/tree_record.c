#include "mail/tree_record.h"

#include "base/clock.h"
#include "base/limits.h"
#include "mail/acl_fold.h"
#include "mail/name.h"
#include "mail/tree.h"

#define PUT(b, TYPE, put, r)                                                               \
    do {                                                                                   \
        struct buf meta;                                                                   \
        buf_init(&meta, LIMIT_record_meta);                                                \
        put(&meta, r);                                                                     \
        store_batch_add(b, TYPE, buf_span(&meta), NULL);                                   \
        buf_done(&meta);                                                                   \
    } while (0)

void
tree_put_account(struct store_batch *b, const struct record_account *r)
{
    PUT(b, RECORD_ACCOUNT, record_account_put, r);
}

void
tree_put_mailbox(struct store_batch *b, const struct record_mailbox *r)
{
    PUT(b, RECORD_MAILBOX, record_mailbox_put, r);
}

void
tree_put_gone(struct store_batch *b, const struct record_mailbox_gone *r)
{
    PUT(b, RECORD_MAILBOX_GONE, record_mailbox_gone_put, r);
}

void
tree_put_subscribe(struct store_batch *b, struct span name, bool on)
{
    struct record_subscribe r = {name, on};
    PUT(b, RECORD_SUBSCRIBE, record_subscribe_put, &r);
}

void
tree_put_meta(struct store_batch *b, const struct record_meta *r)
{
    PUT(b, RECORD_META, record_meta_put, r);
}

static uint32_t
last_uidvalidity(struct account *a, struct store_batch *b)
{
    struct span value;
    uint32_t last = 0;
    struct record_meta r;
    if (state_meta_find(account_state(a), 0, SPAN("uidvalidity"), &value) == R_OK &&
        value.n == 4) {
        struct unpack u = unpack_of(value);
        last = unpack_u32(&u);
    }
    for (size_t i = 0; i < store_batch_count(b); i++)
        if (store_batch_type(b, i) == RECORD_META &&
            record_meta_get(store_batch_meta(b, i), &r) == R_OK &&
            span_eq(r.key, SPAN("uidvalidity"))) {
            struct unpack u = unpack_of(r.value);
            last = unpack_u32(&u);
        }
    return last;
}

static void
put_last_uidvalidity(struct account *a, struct store_batch *b, uint32_t last)
{
    struct buf value;
    buf_init(&value, 4);
    pack_u32(&value, last);
    struct record_meta r = {0, change_modseq(a), SPAN("uidvalidity"), buf_span(&value)};
    tree_put_meta(b, &r);
    buf_done(&value);
}

uint32_t
tree_uidvalidity(struct account *a, struct store_batch *b)
{
    uint32_t last = last_uidvalidity(a, b), now = (uint32_t)clock_wall_s();
    uint32_t mine = now > last ? now : last + 1;
    put_last_uidvalidity(a, b, mine);
    return mine;
}

void
tree_uidvalidity_adopted(struct account *a, struct store_batch *b, uint32_t theirs)
{
    if (theirs > last_uidvalidity(a, b))
        put_last_uidvalidity(a, b, theirs);
}

// ---- levels ----

unsigned
tree_levels_of(struct span name)
{
    unsigned n = 1;
    for (size_t i = 0; i < name.n; i++)
        n += name.p[i] == '/';
    return n;
}

enum result
tree_use_free(struct state *s, enum special_use use, struct fault *f)
{
    if (use == USE_NONE)
        return R_OK;
    if (!special_use_offered(use))
        return fault_set(f, FAULT_USEATTR, "special use is not offered");
    for (uint32_t i = 0; i < s->mailbox_count; i++)
        if (s->mailboxes[i]->special_use == use)
            return fault_set(f, FAULT_USEATTR, "another mailbox has this special use");
    return R_OK;
}

static uint64_t
put_level(struct account *a, struct store_batch *b, uint64_t parent, struct span level,
          enum special_use use)
{
    struct record_mailbox r = {.id = store_id_next(mail_store(a->mail)),
                               .parent = parent,
                               .modseq = change_modseq(a),
                               .name = level,
                               .uidvalidity = tree_uidvalidity(a, b),
                               .special_use = (uint8_t)use};
    tree_put_mailbox(b, &r);
    return r.id;
}

void
tree_put_revived(struct account *a, struct store_batch *b, const struct mailbox_state *m,
                 enum special_use use)
{
    struct record_mailbox r = {
        m->id,        m->parent, change_modseq(a), m->name, tree_uidvalidity(a, b),
        (uint8_t)use, 0};
    tree_put_mailbox(b, &r);
    if (m->parent != 0 && acl_list_of(a, m->id)->n == 0)
        acl_put_copy(a, b, m->parent, m->id);
}

uint64_t
tree_nearest(struct account *a, struct span name)
{
    struct span rest = name, level;
    const struct mailbox_state *m = NULL;
    uint64_t last = 0;
    while (span_next_field(&rest, '/', &level) == R_OK &&
           (m = name_find_level(a, last, level)) != NULL)
        last = m->id;
    return last;
}

// So many entries a mailbox made with this name would have.
static size_t
acl_inherits(struct account *a, struct span name)
{
    return acl_identifiers(a) > 0 ? acl_list_of(a, tree_nearest(a, name))->n : 0;
}

// Mailboxes that there will be more with this name: the levels that are missing, or one that is a level only.
static uint64_t
mailboxes_more(struct account *a, struct span name)
{
    uint64_t parent = 0, more = 0;
    struct mailbox_state *m = NULL;
    struct span rest = name, level;
    while (span_next_field(&rest, '/', &level) == R_OK) {
        m = more > 0 ? NULL : name_find_level(a, parent, level);
        parent = m ? m->id : 0;
        more += !m;
    }
    return m && (m->flags & MAILBOX_NOSELECT) ? 1 : more;
}

enum result
tree_room_for(struct account *a, struct span name, struct fault *f)
{
    struct usage more = {{[USAGE_MAILBOXES] = mailboxes_more(a, name)}};
    if (account_state(a)->mailbox_count + tree_levels_of(name) > LIMIT_mailboxes)
        return fault_set(f, FAULT_LIMIT, "too many mailboxes");
    if (acl_inherits(a, name) * tree_levels_of(name) + acl_identifiers(a) >
        LIMIT_acl_account)
        return fault_set(f, FAULT_LIMIT, "too many entries of access control lists");
    return quota_room(a, &more, QUOTA_USER, f);
}

uint64_t
tree_put_levels(struct account *a, struct store_batch *b, struct span name,
                enum special_use use)
{
    uint64_t parent = 0, there = 0;
    bool made = false;
    struct span rest = name, level;
    while (span_next_field(&rest, '/', &level) == R_OK) {
        struct mailbox_state *m = made ? NULL : name_find_level(a, parent, level);
        made = !m;
        parent = m ? m->id : put_level(a, b, parent, level, rest.p ? USE_NONE : use);
        if (m)
            there = m->id;
        else if (there)
            acl_put_copy(a, b, there, parent);
    }
    return parent;
}
