#include "store/apply.h"

struct target {
    const struct store_rows *rows;
    void *t;
    struct record_place place;
};

typedef enum result apply_fn(const struct target *a, struct span meta, struct fault *f);

static enum result
damaged(struct fault *f, const struct target *a)
{
    return fault_set(f, FAULT_CORRUPTION, "record %llu cannot be read",
                     (unsigned long long)a->place.seq);
}

static enum result
raise_modseq(const struct target *a, uint64_t modseq, struct fault *f)
{
    struct account_row row = {0};
    enum result r = a->rows->account_get(a->t, &row, f);
    if (r != R_OK || row.modseq >= modseq)
        return r;
    row.modseq = modseq;
    return a->rows->account_put(a->t, &row, f);
}

// Writes counts into the header, after the rows were touched.
static enum result
put_counts(const struct target *a, struct mailbox_row *m, const struct mailbox_counts *c,
           struct fault *f)
{
    m->counts = *c;
    if (a->rows->mailbox_put(a->t, m, f) != R_OK)
        return R_FAIL;
    return raise_modseq(a, c->modseq, f);
}

static enum result
apply_account(const struct target *a, struct span meta, struct fault *f)
{
    struct record_account r;
    if (record_account_get(meta, &r) != R_OK)
        return damaged(f, a);
    struct account_row row = {.user = r.user, .created_s = r.created_s, .modseq = r.modseq};
    return a->rows->account_put(a->t, &row, f);
}

static enum result
apply_mailbox(const struct target *a, struct span meta, struct fault *f)
{
    struct record_mailbox r;
    struct mailbox_row m;
    if (record_mailbox_get(meta, &r) != R_OK)
        return damaged(f, a);
    enum result found = a->rows->mailbox_get(a->t, r.id, &m, f);
    if (found == R_FAIL)
        return R_FAIL;
    if (found == R_NONE)
        m = (struct mailbox_row){.id = r.id,
                                 .created_modseq = r.modseq,
                                 .counts = {.uidnext = 1, .modseq = r.modseq}};
    m.parent = r.parent;
    m.name = r.name;
    m.uidvalidity = r.uidvalidity;
    m.special_use = r.special_use;
    m.flags = r.flags;
    if (a->rows->mailbox_put(a->t, &m, f) != R_OK)
        return R_FAIL;
    return raise_modseq(a, r.modseq, f);
}

static enum result
apply_mailbox_gone(const struct target *a, struct span meta, struct fault *f)
{
    struct record_mailbox_gone r;
    struct mailbox_row m;
    if (record_mailbox_gone_get(meta, &r) != R_OK)
        return damaged(f, a);
    enum result found = a->rows->mailbox_get(a->t, r.id, &m, f);
    if (found == R_OK)
        found = a->rows->mailbox_gone(a->t, &r, f);
    return found == R_FAIL ? R_FAIL : raise_modseq(a, r.modseq, f);
}

static enum result
apply_subscribe(const struct target *a, struct span meta, struct fault *f)
{
    struct record_subscribe r;
    if (record_subscribe_get(meta, &r) != R_OK)
        return damaged(f, a);
    return a->rows->subscribe(a->t, &r, f);
}

// R_NONE: the mailbox is gone, so the record means nothing any more.
static enum result
find_mailbox(const struct target *a, uint64_t id, struct mailbox_row *m, struct fault *f)
{
    return a->rows->mailbox_get(a->t, id, m, f);
}

static enum result
apply_keyword(const struct target *a, struct span meta, struct fault *f)
{
    struct record_keyword r;
    struct mailbox_row m;
    if (record_keyword_get(meta, &r) != R_OK)
        return damaged(f, a);
    enum result found = find_mailbox(a, r.mailbox, &m, f);
    return found == R_OK ? a->rows->keyword_put(a->t, &r, f) : found;
}

static enum result
apply_added(const struct target *a, struct span meta, struct fault *f)
{
    struct record_added r;
    struct mailbox_row m;
    if (record_added_get(meta, &r) != R_OK)
        return damaged(f, a);
    enum result found = find_mailbox(a, r.mailbox, &m, f);
    if (found != R_OK)
        return found;
    struct record_row row = {.row = r.row, .keywords = r.keywords};
    row.row.blob = a->place.blob;
    if (a->rows->row_add(a->t, r.mailbox, &row, f) != R_OK)
        return R_FAIL;
    if (a->rows->body_put(a->t, a->place.blob, &r, f) != R_OK)
        return R_FAIL;
    return put_counts(a, &m, &r.counts, f);
}

static enum result
apply_copied(const struct target *a, struct span meta, struct fault *f)
{
    struct record_copied r;
    struct mailbox_row m;
    if (record_copied_get(meta, &r) != R_OK)
        return damaged(f, a);
    enum result found = find_mailbox(a, r.mailbox, &m, f);
    if (found != R_OK)
        return found;
    struct unpack u = unpack_of(r.rows);
    struct record_row row;
    while (record_rows_next(&u, &row) == R_OK)
        if (a->rows->row_add(a->t, r.mailbox, &row, f) != R_OK)
            return R_FAIL;
    return put_counts(a, &m, &r.counts, f);
}

static enum result
apply_filed(const struct target *a, struct span meta, struct fault *f)
{
    struct record_filed r;
    struct mailbox_row m;
    if (record_filed_get(meta, &r) != R_OK || r.back > (uint32_t)a->place.blob)
        return damaged(f, a);
    enum result found = find_mailbox(a, r.mailbox, &m, f);
    if (found != R_OK)
        return found;
    struct record_row row = {.row = r.row, .keywords = r.keywords};
    row.row.blob = a->place.blob - r.back;
    if (a->rows->row_add(a->t, r.mailbox, &row, f) != R_OK)
        return R_FAIL;
    return put_counts(a, &m, &r.counts, f);
}

static enum result
apply_flags(const struct target *a, struct span meta, struct fault *f)
{
    struct record_flags r;
    struct mailbox_row m;
    if (record_flags_get(meta, &r) != R_OK)
        return damaged(f, a);
    enum result found = find_mailbox(a, r.mailbox, &m, f);
    if (found != R_OK)
        return found;
    struct unpack u = unpack_of(r.groups);
    struct record_group g;
    while (record_groups_next(&u, &g) == R_OK) {
        struct rows_edit e = {.kind = EDIT_FLAGS,
                              .modseq = r.modseq,
                              .flags = g.flags,
                              .keywords = g.keywords};
        if (a->rows->rows_edit(a->t, r.mailbox, g.ranges, &e, f) != R_OK)
            return R_FAIL;
    }
    return put_counts(a, &m, &r.counts, f);
}

static enum result
expunge(const struct target *a, struct span meta, bool moved, struct fault *f)
{
    struct record_expunged r;
    struct mailbox_row m;
    if (record_expunged_get(meta, &r) != R_OK)
        return damaged(f, a);
    enum result found = find_mailbox(a, r.mailbox, &m, f);
    if (found != R_OK)
        return found;
    struct rows_edit e = {
        .kind = EDIT_EXPUNGE, .modseq = r.modseq, .when_s = r.when_s, .moved = moved};
    if (a->rows->rows_edit(a->t, r.mailbox, r.uids, &e, f) != R_OK ||
        a->rows->privates_drop(a->t, r.mailbox, 0, r.uids, moved ? 0 : r.modseq, f) != R_OK)
        return R_FAIL;
    return put_counts(a, &m, &r.counts, f);
}

static enum result
apply_expunged(const struct target *a, struct span meta, struct fault *f)
{
    return expunge(a, meta, false, f);
}

static enum result
apply_moved(const struct target *a, struct span meta, struct fault *f)
{
    return expunge(a, meta, true, f);
}

static enum result
apply_forgotten(const struct target *a, struct span meta, struct fault *f)
{
    struct record_forgotten r;
    struct mailbox_row m;
    if (record_forgotten_get(meta, &r) != R_OK)
        return damaged(f, a);
    if (a->rows->forget(a->t, r.mailbox, r.up_to_modseq, f) != R_OK)
        return R_FAIL;
    enum result found = find_mailbox(a, r.mailbox, &m, f);
    if (found != R_OK || m.horizon >= r.up_to_modseq)
        return found;
    m.horizon = r.up_to_modseq;
    return a->rows->mailbox_put(a->t, &m, f);
}

static enum result
apply_recent(const struct target *a, struct span meta, struct fault *f)
{
    struct record_recent r;
    struct mailbox_row m;
    if (record_recent_get(meta, &r) != R_OK)
        return damaged(f, a);
    enum result found = find_mailbox(a, r.mailbox, &m, f);
    if (found != R_OK)
        return found;
    m.recent_mark = r.mark;
    return a->rows->mailbox_put(a->t, &m, f);
}

static enum result
apply_private(const struct target *a, struct span meta, struct fault *f)
{
    struct record_private r;
    struct mailbox_row m;
    if (record_private_get(meta, &r) != R_OK)
        return damaged(f, a);
    enum result found = find_mailbox(a, r.mailbox, &m, f);
    if (found == R_OK && m.counts.modseq < r.modseq) {
        m.counts.modseq = r.modseq;
        found = a->rows->mailbox_put(a->t, &m, f);
    }
    if (found != R_OK || a->rows->private_put(a->t, &r, f) != R_OK)
        return found == R_NONE ? R_NONE : R_FAIL;
    return raise_modseq(a, r.modseq, f);
}

static enum result
put_privates(const struct target *a, const struct record_privates *r, struct fault *f)
{
    struct unpack u = unpack_of(r->groups);
    struct record_group g;
    while (record_groups_next(&u, &g) == R_OK) {
        struct rows_edit e = {
            .kind = EDIT_OWN, .modseq = r->modseq, .flags = g.flags, .mask = r->mask};
        if ((r->own && a->rows->rows_edit(a->t, r->mailbox, g.ranges, &e, f) != R_OK) ||
            a->rows->privates_put(a->t, r, &g, f) != R_OK)
            return R_FAIL;
    }
    return R_OK;
}

static enum result
apply_privates(const struct target *a, struct span meta, struct fault *f)
{
    struct record_privates r;
    struct mailbox_row m;
    if (record_privates_get(meta, &r) != R_OK)
        return damaged(f, a);
    enum result found = find_mailbox(a, r.mailbox, &m, f);
    if (found != R_OK)
        return found;
    if (put_privates(a, &r, f) != R_OK)
        return R_FAIL;
    m.counts.unseen = r.unseen;
    if (r.own && a->rows->mailbox_put(a->t, &m, f) != R_OK)
        return R_FAIL;
    return raise_modseq(a, r.modseq, f);
}

static enum result
apply_privates_gone(const struct target *a, struct span meta, struct fault *f)
{
    struct record_privates_gone r;
    if (record_privates_gone_get(meta, &r) != R_OK)
        return damaged(f, a);
    return a->rows->privates_drop(a->t, r.mailbox, r.user, SPAN_NONE, 0, f);
}

static enum result
apply_meta(const struct target *a, struct span meta, struct fault *f)
{
    struct record_meta r;
    struct mailbox_row m;
    if (record_meta_get(meta, &r) != R_OK)
        return damaged(f, a);
    bool of_mailbox = r.mailbox != 0;
    enum result found = of_mailbox ? find_mailbox(a, r.mailbox, &m, f) : R_OK;
    if (found != R_OK)
        return found;
    if (a->rows->meta_put(a->t, &r, f) != R_OK)
        return R_FAIL;
    if (of_mailbox && m.counts.modseq < r.modseq) {
        m.counts.modseq = r.modseq;
        if (a->rows->mailbox_put(a->t, &m, f) != R_OK)
            return R_FAIL;
    }
    return raise_modseq(a, r.modseq, f);
}

// One mailbox of RESTORED: whoever saw the lost future sees every message changed, and new UIDs only.
static enum result
restore_mailbox(const struct target *a, uint64_t id, const struct record_restored *r,
                uint64_t modseq, struct fault *f)
{
    static const char all[] = {1, '\xfe', '\xff', '\xff', '\xff', '\x0f'};  // 1 .. 2^32 - 1
    struct mailbox_row m;
    enum result found = a->rows->mailbox_get(a->t, id, &m, f);
    if (found != R_OK || m.counts.modseq >= modseq)
        return found;
    struct rows_edit e = {.kind = EDIT_RESTORE, .modseq = modseq};
    if (a->rows->rows_edit(a->t, id, span_of(all, sizeof all), &e, f) != R_OK)
        return R_FAIL;
    m.counts.modseq = modseq;
    m.horizon = modseq - 1;
    if (m.counts.uidnext <= UINT32_MAX - r->uid_jump)
        m.counts.uidnext += r->uid_jump;
    return a->rows->mailbox_put(a->t, &m, f);
}

static enum result
apply_restored(const struct target *a, struct span meta, struct fault *f)
{
    struct record_restored r;
    struct account_row account;
    if (record_restored_get(meta, &r) != R_OK)
        return damaged(f, a);
    enum result done = a->rows->account_get(a->t, &account, f);
    if (done != R_OK)
        return done;
    uint64_t *ids = NULL;
    size_t n = 0;
    uint64_t room = INT64_MAX - account.modseq;
    uint64_t modseq = account.modseq + (r.modseq_jump < room ? r.modseq_jump : room);
    if (a->rows->mailbox_ids(a->t, &ids, &n, f) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < n && done != R_FAIL; i++)
        done = restore_mailbox(a, ids[i], &r, modseq, f);
    free(ids);
    return done == R_FAIL ? R_FAIL : raise_modseq(a, modseq, f);
}

static enum result
apply_account_gone(const struct target *a, struct span meta, struct fault *f)
{
    (void)meta;
    return a->rows->account_gone(a->t, f);
}

static enum result
apply_image(const struct target *a, struct span meta, struct fault *f)
{
    (void)meta;
    return fault_set(f, FAULT_UNAVAILABLE,
                     "record %llu is an account image: a newer format",
                     (unsigned long long)a->place.seq);
}

enum result
apply_record(const struct store_rows *rows, void *t, enum record_type type,
             struct span meta, struct record_place place, struct fault *f)
{
    static apply_fn *const table[] = {
        [RECORD_ACCOUNT] = apply_account,
        [RECORD_MAILBOX] = apply_mailbox,
        [RECORD_MAILBOX_GONE] = apply_mailbox_gone,
        [RECORD_SUBSCRIBE] = apply_subscribe,
        [RECORD_KEYWORD] = apply_keyword,
        [RECORD_ADDED] = apply_added,
        [RECORD_COPIED] = apply_copied,
        [RECORD_FLAGS] = apply_flags,
        [RECORD_EXPUNGED] = apply_expunged,
        [RECORD_FORGOTTEN] = apply_forgotten,
        [RECORD_RECENT] = apply_recent,
        [RECORD_PRIVATE] = apply_private,
        [RECORD_META] = apply_meta,
        [RECORD_RESTORED] = apply_restored,
        [RECORD_ACCOUNT_GONE] = apply_account_gone,
        [RECORD_IMAGE] = apply_image,
        [RECORD_MOVED] = apply_moved,
        [RECORD_FILED] = apply_filed,
        [RECORD_PRIVATES] = apply_privates,
        [RECORD_PRIVATES_GONE] = apply_privates_gone,
    };
    size_t i = (size_t)type;
    if (i >= sizeof table / sizeof table[0] || !table[i])
        return fault_set(f, FAULT_UNAVAILABLE,
                         "record %llu has the unknown type %zu: a newer format",
                         (unsigned long long)place.seq, i);
    struct target a = {.rows = rows, .t = t, .place = place};
    return table[i](&a, meta, f) == R_FAIL ? R_FAIL : R_OK;
}

static uint64_t
row_max_id(const struct message_row *row)
{
    return row->emailid > row->threadid ? row->emailid : row->threadid;
}

static uint64_t
copied_max_id(const struct record_copied *c, uint64_t id)
{
    struct unpack u = unpack_of(c->rows);
    struct record_row row;
    while (record_rows_next(&u, &row) == R_OK)
        if (row_max_id(&row.row) > id)
            id = row_max_id(&row.row);
    return id;
}

uint64_t
apply_max_id(enum record_type type, struct span meta, uint64_t id)
{
    struct record_mailbox m;
    struct record_added a;
    struct record_copied c;
    struct record_filed filed;
    struct record_restored r;
    uint64_t seen = 0;
    if (type == RECORD_MAILBOX && record_mailbox_get(meta, &m) == R_OK)
        seen = m.id;
    else if (type == RECORD_ADDED && record_added_get(meta, &a) == R_OK)
        seen = row_max_id(&a.row);
    else if (type == RECORD_COPIED && record_copied_get(meta, &c) == R_OK)
        seen = copied_max_id(&c, id);
    else if (type == RECORD_FILED && record_filed_get(meta, &filed) == R_OK)
        seen = row_max_id(&filed.row);
    else if (type == RECORD_RESTORED && record_restored_get(meta, &r) == R_OK)
        seen = id + r.id_jump;
    return seen > id ? seen : id;
}
