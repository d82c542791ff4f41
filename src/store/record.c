#include "store/record_inside.h"

// Field by field, in the order of the structs. Signed numbers are zigzag varints.

static void
put_counts(struct buf *b, const struct mailbox_counts *c)
{
    pack_var(b, c->uidnext);
    pack_var(b, c->exists);
    pack_var(b, c->unseen);
    pack_var(b, c->deleted);
    pack_var(b, c->size);
    pack_var(b, c->modseq);
}

static struct mailbox_counts
get_counts(struct unpack *u)
{
    struct mailbox_counts c = {.uidnext = unpack_max32(u, 1, UINT32_MAX)};
    c.exists = unpack_max32(u, 0, UINT32_MAX);
    c.unseen = unpack_max32(u, 0, c.exists);
    c.deleted = unpack_max32(u, 0, c.exists);
    c.size = unpack_var(u);
    c.modseq = unpack_modseq(u);
    return c;
}

// ---- records ----

// The end of every record_NAME_get: all fields were good and nothing is left over.
#define GET_END(u, r, r_out)                                                               \
    do {                                                                                   \
        if (unpack_end(&(u)) != R_OK)                                                      \
            return R_FAIL;                                                                 \
        *(r_out) = (r);                                                                    \
        return R_OK;                                                                       \
    } while (0)

void
record_account_put(struct buf *b, const struct record_account *r)
{
    pack_span(b, r->user);
    pack_signed(b, r->created_s);
    pack_var(b, r->modseq);
}

enum result
record_account_get(struct span meta, struct record_account *r_out)
{
    struct unpack u = unpack_of(meta);
    struct record_account r = {.user = unpack_capped(&u, 0, LIMIT_user_name)};
    r.created_s = unpack_signed(&u);
    r.modseq = unpack_modseq(&u);
    GET_END(u, r, r_out);
}

void
record_mailbox_put(struct buf *b, const struct record_mailbox *r)
{
    pack_var(b, r->id);
    pack_var(b, r->parent);
    pack_var(b, r->modseq);
    pack_span(b, r->name);
    pack_var(b, r->uidvalidity);
    pack_u8(b, r->special_use);
    pack_u8(b, r->flags);
}

enum result
record_mailbox_get(struct span meta, struct record_mailbox *r_out)
{
    struct unpack u = unpack_of(meta);
    struct record_mailbox r = {.id = unpack_id(&u)};
    r.parent = unpack_var(&u);
    r.modseq = unpack_modseq(&u);
    r.name = unpack_capped(&u, 1, LIMIT_mailbox_name);
    r.uidvalidity = unpack_max32(&u, 1, UINT32_MAX);
    r.special_use = unpack_u8(&u);
    r.flags = unpack_u8(&u);
    if (r.special_use >= USE_COUNT || (r.flags & ~MAILBOX_NOSELECT) != 0)
        return R_FAIL;
    GET_END(u, r, r_out);
}

void
record_mailbox_gone_put(struct buf *b, const struct record_mailbox_gone *r)
{
    pack_var(b, r->id);
    pack_var(b, r->modseq);
    pack_signed(b, r->when_s);
}

enum result
record_mailbox_gone_get(struct span meta, struct record_mailbox_gone *r_out)
{
    struct unpack u = unpack_of(meta);
    struct record_mailbox_gone r = {.id = unpack_id(&u)};
    r.modseq = unpack_modseq(&u);
    r.when_s = unpack_signed(&u);
    GET_END(u, r, r_out);
}

void
record_subscribe_put(struct buf *b, const struct record_subscribe *r)
{
    pack_span(b, r->name);
    pack_u8(b, r->on);
}

enum result
record_subscribe_get(struct span meta, struct record_subscribe *r_out)
{
    struct unpack u = unpack_of(meta);
    struct record_subscribe r = {.name = unpack_capped(&u, 1, LIMIT_mailbox_name)};
    r.on = unpack_bool(&u);
    GET_END(u, r, r_out);
}

void
record_keyword_put(struct buf *b, const struct record_keyword *r)
{
    pack_var(b, r->mailbox);
    pack_var(b, r->index);
    pack_span(b, r->name);
}

enum result
record_keyword_get(struct span meta, struct record_keyword *r_out)
{
    struct unpack u = unpack_of(meta);
    struct record_keyword r = {.mailbox = unpack_id(&u)};
    r.index = unpack_max32(&u, 0, LIMIT_keywords - 1);
    r.name = unpack_capped(&u, 1, LIMIT_keyword);
    GET_END(u, r, r_out);
}

void
record_added_put(struct buf *b, const struct record_added *r)
{
    pack_var(b, r->mailbox);
    record_put_row(b, &r->row);
    record_pack_list(b, r->keywords, record_keywords_good);
    pack_span(b, r->content_hash);
    pack_var(b, r->key_id);
    must(r->thread_keys.n % 8 == 0);
    pack_span(b, r->thread_keys);
    put_counts(b, &r->counts);
    pack_span(b, r->cache);
}

enum result
record_added_get(struct span meta, struct record_added *r_out)
{
    struct unpack u = unpack_of(meta);
    struct record_added r = {.mailbox = unpack_id(&u)};
    r.row = record_get_row(&u);
    r.keywords = record_unpack_list(&u, record_keywords_good);
    r.content_hash = unpack_capped(&u, 0, RECORD_HASH_SIZE);
    r.key_id = unpack_max32(&u, 0, UINT32_MAX);
    r.thread_keys = unpack_capped(&u, 0, LIMIT_thread_keys * 8);
    r.counts = get_counts(&u);
    r.cache = unpack_capped(&u, 0, LIMIT_cache_value);
    if ((r.content_hash.n != 0 && r.content_hash.n != RECORD_HASH_SIZE) ||
        r.thread_keys.n % 8 != 0)
        return R_FAIL;
    GET_END(u, r, r_out);
}

void
record_copied_put(struct buf *b, const struct record_copied *r)
{
    pack_var(b, r->mailbox);
    put_counts(b, &r->counts);
    record_pack_list(b, r->rows, record_rows_good);
}

enum result
record_copied_get(struct span meta, struct record_copied *r_out)
{
    struct unpack u = unpack_of(meta);
    struct record_copied r = {.mailbox = unpack_id(&u)};
    r.counts = get_counts(&u);
    r.rows = record_unpack_list(&u, record_rows_good);
    GET_END(u, r, r_out);
}

void
record_filed_put(struct buf *b, const struct record_filed *r)
{
    pack_var(b, r->mailbox);
    put_counts(b, &r->counts);
    pack_var(b, r->back);
    record_put_row(b, &r->row);
    record_pack_list(b, r->keywords, record_keywords_good);
}

enum result
record_filed_get(struct span meta, struct record_filed *r_out)
{
    struct unpack u = unpack_of(meta);
    struct record_filed r = {.mailbox = unpack_id(&u)};
    r.counts = get_counts(&u);
    r.back = unpack_max32(&u, 1, UINT32_MAX);
    r.row = record_get_row(&u);
    r.keywords = record_unpack_list(&u, record_keywords_good);
    GET_END(u, r, r_out);
}

void
record_flags_put(struct buf *b, const struct record_flags *r)
{
    pack_var(b, r->mailbox);
    pack_var(b, r->modseq);
    put_counts(b, &r->counts);
    record_pack_list(b, r->groups, record_groups_good);
}

enum result
record_flags_get(struct span meta, struct record_flags *r_out)
{
    struct unpack u = unpack_of(meta);
    struct record_flags r = {.mailbox = unpack_id(&u)};
    r.modseq = unpack_modseq(&u);
    r.counts = get_counts(&u);
    r.groups = record_unpack_list(&u, record_groups_good);
    GET_END(u, r, r_out);
}

void
record_expunged_put(struct buf *b, const struct record_expunged *r)
{
    pack_var(b, r->mailbox);
    pack_var(b, r->modseq);
    pack_signed(b, r->when_s);
    put_counts(b, &r->counts);
    record_pack_list(b, r->uids, record_ranges_good);
}

enum result
record_expunged_get(struct span meta, struct record_expunged *r_out)
{
    struct unpack u = unpack_of(meta);
    struct record_expunged r = {.mailbox = unpack_id(&u)};
    r.modseq = unpack_modseq(&u);
    r.when_s = unpack_signed(&u);
    r.counts = get_counts(&u);
    r.uids = record_unpack_list(&u, record_ranges_good);
    GET_END(u, r, r_out);
}

void
record_forgotten_put(struct buf *b, const struct record_forgotten *r)
{
    pack_var(b, r->mailbox);
    pack_var(b, r->up_to_modseq);
}

enum result
record_forgotten_get(struct span meta, struct record_forgotten *r_out)
{
    struct unpack u = unpack_of(meta);
    struct record_forgotten r = {.mailbox = unpack_id(&u)};
    r.up_to_modseq = unpack_modseq(&u);
    GET_END(u, r, r_out);
}

void
record_recent_put(struct buf *b, const struct record_recent *r)
{
    pack_var(b, r->mailbox);
    pack_var(b, r->mark);
}

enum result
record_recent_get(struct span meta, struct record_recent *r_out)
{
    struct unpack u = unpack_of(meta);
    struct record_recent r = {.mailbox = unpack_id(&u)};
    r.mark = unpack_max32(&u, 0, UINT32_MAX);
    GET_END(u, r, r_out);
}

void
record_private_put(struct buf *b, const struct record_private *r)
{
    pack_var(b, r->mailbox);
    pack_var(b, r->user);
    pack_var(b, r->modseq);
    pack_var(b, r->uid);
    pack_var(b, r->flags);
}

enum result
record_private_get(struct span meta, struct record_private *r_out)
{
    struct unpack u = unpack_of(meta);
    struct record_private r = {.mailbox = unpack_id(&u)};
    r.user = unpack_var(&u);
    r.modseq = unpack_modseq(&u);
    r.uid = unpack_max32(&u, 1, UINT32_MAX);
    r.flags = unpack_flags(&u);
    GET_END(u, r, r_out);
}

void
record_privates_put(struct buf *b, const struct record_privates *r)
{
    pack_var(b, r->mailbox);
    pack_var(b, r->user);
    pack_var(b, r->modseq);
    pack_var(b, r->own);
    pack_var(b, r->mask);
    pack_var(b, r->unseen);
    record_pack_list(b, r->groups, record_groups_good);
}

static bool
privates_good(const struct record_privates *r)
{
    struct unpack u = unpack_of(r->groups);
    struct record_group g;
    while (record_groups_next(&u, &g) == R_OK)
        if ((g.flags & ~r->mask) != 0 || g.keywords.n > 0)
            return false;
    return true;
}

enum result
record_privates_get(struct span meta, struct record_privates *r_out)
{
    struct unpack u = unpack_of(meta);
    struct record_privates r = {.mailbox = unpack_id(&u)};
    r.user = unpack_max(&u, 1, UINT64_MAX - 1);
    r.modseq = unpack_modseq(&u);
    r.own = unpack_max(&u, 0, 1) == 1;
    r.mask = unpack_flags(&u);
    r.unseen = unpack_max32(&u, 0, UINT32_MAX);
    r.groups = record_unpack_list(&u, record_groups_good);
    u.bad |= !u.bad && !privates_good(&r);
    GET_END(u, r, r_out);
}

void
record_privates_gone_put(struct buf *b, const struct record_privates_gone *r)
{
    pack_var(b, r->mailbox);
    pack_var(b, r->user);
}

enum result
record_privates_gone_get(struct span meta, struct record_privates_gone *r_out)
{
    struct unpack u = unpack_of(meta);
    struct record_privates_gone r = {.mailbox = unpack_id(&u)};
    r.user = unpack_id(&u);
    GET_END(u, r, r_out);
}

void
record_meta_put(struct buf *b, const struct record_meta *r)
{
    pack_var(b, r->mailbox);
    pack_var(b, r->modseq);
    pack_span(b, r->key);
    pack_span(b, r->value);
}

enum result
record_meta_get(struct span meta, struct record_meta *r_out)
{
    struct unpack u = unpack_of(meta);
    struct record_meta r = {.mailbox = unpack_var(&u)};
    r.modseq = unpack_modseq(&u);
    r.key = unpack_capped(&u, 1, LIMIT_meta_key);
    r.value = unpack_capped(&u, 0, LIMIT_meta_value);
    GET_END(u, r, r_out);
}

void
record_restored_put(struct buf *b, const struct record_restored *r)
{
    pack_var(b, r->uid_jump);
    pack_var(b, r->modseq_jump);
    pack_var(b, r->id_jump);
    pack_signed(b, r->when_s);
}

enum result
record_restored_get(struct span meta, struct record_restored *r_out)
{
    struct unpack u = unpack_of(meta);
    struct record_restored r = {.uid_jump = unpack_max32(&u, 0, UINT32_MAX)};
    r.modseq_jump = unpack_modseq(&u);
    r.id_jump = unpack_var(&u);
    r.when_s = unpack_signed(&u);
    GET_END(u, r, r_out);
}
