#include "store/record.h"

#include "base/limits.h"

// Field by field, in the order of the structs. Signed numbers are zigzag varints.

static const uint64_t modseq_max = INT64_MAX;  // RFC 7162 section 3.1

static void
pack_signed(struct buf *b, int64_t v)
{
    pack_var(b, (uint64_t)v << 1 ^ (uint64_t)(v >> 63));
}

static int64_t
unpack_signed(struct unpack *u)
{
    uint64_t v = unpack_var(u);
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}

static int64_t
unpack_within(struct unpack *u, int64_t least, int64_t most)
{
    int64_t v = unpack_signed(u);
    if (v < least || v > most)
        u->bad = true;
    return u->bad ? 0 : v;
}

static uint64_t
unpack_max(struct unpack *u, uint64_t min, uint64_t max)
{
    uint64_t v = unpack_var(u);
    if (v < min || v > max)
        u->bad = true;
    return u->bad ? 0 : v;
}

static uint32_t
unpack_max32(struct unpack *u, uint32_t min, uint32_t max)
{
    return (uint32_t)unpack_max(u, min, max);
}

static uint64_t
unpack_id(struct unpack *u)
{
    return unpack_max(u, 1, UINT64_MAX);
}

static uint64_t
unpack_modseq(struct unpack *u)
{
    return unpack_max(u, 0, modseq_max);
}

static uint16_t
unpack_flags(struct unpack *u)
{
    return (uint16_t)unpack_max(u, 0, FLAG_ALL);
}

static bool
unpack_bool(struct unpack *u)
{
    return unpack_max(u, 0, 1) == 1;
}

static struct span
unpack_capped(struct unpack *u, size_t min, size_t max)
{
    struct span s = unpack_span(u);
    if (s.n < min || s.n > max)
        u->bad = true;
    return u->bad ? SPAN_NONE : s;
}

// ---- lists ----

void
record_ranges_add(struct buf *b, uint32_t first, uint32_t last)
{
    pack_var(b, first);
    pack_var(b, last - first);
}

enum result
record_ranges_next(struct unpack *u, uint32_t *first_out, uint32_t *last_out)
{
    if (u->bad)
        return R_FAIL;
    if (u->rest.n == 0)
        return R_NONE;
    uint32_t first = unpack_max32(u, 1, UINT32_MAX);
    uint32_t more = unpack_max32(u, 0, UINT32_MAX - first);
    if (u->bad)
        return R_FAIL;
    *first_out = first;
    *last_out = first + more;
    return R_OK;
}

void
record_keywords_add(struct buf *b, uint32_t index)
{
    pack_var(b, index);
}

enum result
record_keywords_next(struct unpack *u, uint32_t *index_out)
{
    if (u->bad)
        return R_FAIL;
    if (u->rest.n == 0)
        return R_NONE;
    uint32_t index = unpack_max32(u, 0, LIMIT_keywords - 1);
    if (u->bad)
        return R_FAIL;
    *index_out = index;
    return R_OK;
}

void
record_groups_add(struct buf *b, const struct record_group *g)
{
    pack_var(b, g->flags);
    pack_span(b, g->keywords);
    pack_span(b, g->ranges);
}

enum result
record_groups_next(struct unpack *u, struct record_group *g_out)
{
    if (u->bad)
        return R_FAIL;
    if (u->rest.n == 0)
        return R_NONE;
    struct record_group g = {.flags = unpack_flags(u)};
    g.keywords = unpack_span(u);
    g.ranges = unpack_span(u);
    if (u->bad)
        return R_FAIL;
    *g_out = g;
    return R_OK;
}

// Beside the flags of a row: its `sent` stands at the end. Rows of older stores have none.
enum { ROW_SENT = 32 };

static void
put_row(struct buf *b, const struct message_row *r)
{
    pack_var(b, r->uid);
    pack_var(b, r->size);
    pack_var(b, r->flags | (r->sent != SENT_UNKNOWN ? ROW_SENT : 0u));
    pack_signed(b, r->zone_min);
    pack_var(b, r->modseq);
    pack_signed(b, r->internal_date);
    pack_signed(b, r->save_date);
    pack_var(b, r->emailid);
    pack_var(b, r->threadid);
    if (r->sent != SENT_UNKNOWN)
        pack_var(b, r->sent);
}

static struct message_row
get_row(struct unpack *u)
{
    struct message_row r = {.uid = unpack_max32(u, 1, UINT32_MAX)};
    r.size = unpack_max32(u, 0, UINT32_MAX);
    uint64_t flags = unpack_max(u, 0, ROW_SENT | FLAG_ALL);
    r.flags = (uint16_t)(flags & FLAG_ALL);
    r.zone_min = (int16_t)unpack_within(u, -RECORD_ZONE_MAX, RECORD_ZONE_MAX);
    r.modseq = unpack_modseq(u);
    r.internal_date = unpack_signed(u);
    r.save_date = (uint32_t)unpack_within(u, 0, UINT32_MAX);
    r.emailid = unpack_var(u);
    r.threadid = unpack_var(u);
    if (flags & ROW_SENT)
        r.sent = (uint16_t)unpack_max(u, SENT_NONE, UINT16_MAX);
    return r;
}

void
record_rows_add(struct buf *b, const struct record_row *r)
{
    put_row(b, &r->row);
    pack_var(b, r->row.blob);
    pack_span(b, r->keywords);
}

enum result
record_rows_next(struct unpack *u, struct record_row *r_out)
{
    if (u->bad)
        return R_FAIL;
    if (u->rest.n == 0)
        return R_NONE;
    struct record_row r = {.row = get_row(u)};
    r.row.blob = unpack_var(u);
    r.keywords = unpack_span(u);
    if (u->bad)
        return R_FAIL;
    *r_out = r;
    return R_OK;
}

// Whole lists: well-formed, and ascending without overlap, so that they are applied in one pass.

static bool
ranges_good(struct span list)
{
    struct unpack u = unpack_of(list);
    uint32_t first = 0, last = 0, before = 0;
    enum result r;
    while ((r = record_ranges_next(&u, &first, &last)) == R_OK) {
        if (first <= before)
            return false;
        before = last;
    }
    return r == R_NONE;
}

static bool
keywords_good(struct span list)
{
    struct unpack u = unpack_of(list);
    uint32_t index = 0;
    int64_t before = -1;
    enum result r;
    while ((r = record_keywords_next(&u, &index)) == R_OK) {
        if ((int64_t)index <= before)
            return false;
        before = index;
    }
    return r == R_NONE;
}

static bool
groups_good(struct span list)
{
    struct unpack u = unpack_of(list);
    struct record_group g;
    enum result r;
    while ((r = record_groups_next(&u, &g)) == R_OK)
        if (!keywords_good(g.keywords) || !ranges_good(g.ranges))
            return false;
    return r == R_NONE;
}

static bool
rows_good(struct span list)
{
    struct unpack u = unpack_of(list);
    struct record_row row;
    uint32_t before = 0;
    enum result r;
    while ((r = record_rows_next(&u, &row)) == R_OK) {
        if (row.row.uid <= before || !keywords_good(row.keywords))
            return false;
        before = row.row.uid;
    }
    return r == R_NONE;
}

static struct span
unpack_list(struct unpack *u, bool (*good)(struct span))
{
    struct span list = unpack_span(u);
    if (u->bad || !good(list))
        u->bad = true;
    return u->bad ? SPAN_NONE : list;
}

static void
pack_list(struct buf *b, struct span list, bool (*good)(struct span))
{
    must(good(list));
    pack_span(b, list);
}

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
    put_row(b, &r->row);
    pack_list(b, r->keywords, keywords_good);
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
    r.row = get_row(&u);
    r.keywords = unpack_list(&u, keywords_good);
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
    pack_list(b, r->rows, rows_good);
}

enum result
record_copied_get(struct span meta, struct record_copied *r_out)
{
    struct unpack u = unpack_of(meta);
    struct record_copied r = {.mailbox = unpack_id(&u)};
    r.counts = get_counts(&u);
    r.rows = unpack_list(&u, rows_good);
    GET_END(u, r, r_out);
}

void
record_flags_put(struct buf *b, const struct record_flags *r)
{
    pack_var(b, r->mailbox);
    pack_var(b, r->modseq);
    put_counts(b, &r->counts);
    pack_list(b, r->groups, groups_good);
}

enum result
record_flags_get(struct span meta, struct record_flags *r_out)
{
    struct unpack u = unpack_of(meta);
    struct record_flags r = {.mailbox = unpack_id(&u)};
    r.modseq = unpack_modseq(&u);
    r.counts = get_counts(&u);
    r.groups = unpack_list(&u, groups_good);
    GET_END(u, r, r_out);
}

void
record_expunged_put(struct buf *b, const struct record_expunged *r)
{
    pack_var(b, r->mailbox);
    pack_var(b, r->modseq);
    pack_signed(b, r->when_s);
    put_counts(b, &r->counts);
    pack_list(b, r->uids, ranges_good);
}

enum result
record_expunged_get(struct span meta, struct record_expunged *r_out)
{
    struct unpack u = unpack_of(meta);
    struct record_expunged r = {.mailbox = unpack_id(&u)};
    r.modseq = unpack_modseq(&u);
    r.when_s = unpack_signed(&u);
    r.counts = get_counts(&u);
    r.uids = unpack_list(&u, ranges_good);
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
