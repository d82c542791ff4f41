#include "mail/intake_inside.h"

#include "base/limits.h"
#include "mail/name.h"
#include "mail/rows.h"
#include "mail/scan_cache.h"
#include "mail/scan_charge.h"
#include "mail/tree_record.h"
#include "mime/summary.h"

struct intake *
intake_begin(struct mail *m)
{
    struct intake *in = calloc(1, sizeof *in);
    must(in != NULL);
    in->mail = m;
    in->arena = arena_new();
    in->charge = scan_charge_new(in->arena);
    in->scan = mime_scan_new(in->arena);
    in->sha = EVP_MD_CTX_new();
    must(in->sha != NULL && EVP_DigestInit_ex(in->sha, EVP_sha256(), NULL) == 1);
    in->body = store_body_new(mail_store(m));
    in->wanted = mail_marks(m);
    return in;
}

uint64_t
intake_size(const struct intake *in)
{
    return in->size;
}

void
intake_spill(struct intake *in)
{
    store_body_spill(in->body);
}

struct span
intake_hash(const struct intake *in)
{
    must(in->finished);
    return span_of(in->hash, INTAKE_HASH);
}

enum result
intake_write(struct intake *in, struct span bytes, struct fault *f)
{
    uint64_t max = mail_size_max(in->mail);
    if (in->too_big || bytes.n > max || in->size > max - bytes.n) {
        in->too_big = true;
        return fault_set(f, FAULT_TOOBIG, "message is larger than %llu octets",
                         (unsigned long long)max);
    }
    in->size += bytes.n;
    mime_scan_feed(in->scan, bytes);
    intake_marks_feed(in, bytes);
    if (scan_charge_grow(in->charge, f) != R_OK)
        return R_FAIL;
    must(EVP_DigestUpdate(in->sha, bytes.p, bytes.n) == 1);
    return store_body_write(in->body, bytes, f);
}

// ---- thread keys: hashes of (message id, base subject) ----

static void
add_key(struct intake *in, struct span message_id, struct span subject)
{
    if (message_id.n == 0 || in->key_count == LIMIT_thread_refs + 2)
        return;
    uint64_t key = thread_key(message_id, subject);
    for (size_t i = 0; i < in->key_count; i++)
        if (in->keys[i] == key)
            return;
    in->keys[in->key_count++] = key;
}

// Own id first, then In-Reply-To and the newest references: the ones nearest to this message.
static void
thread_keys(struct intake *in, const struct mime_summary *s)
{
    struct span rest = s->references, id;
    size_t total = 0, skip;
    struct buf packed;
    add_key(in, s->message_id, s->base_subject);
    add_key(in, s->in_reply_to, s->base_subject);
    while (span_next_field(&rest, '\0', &id) == R_OK)
        total++;
    skip = total > LIMIT_thread_refs ? total - LIMIT_thread_refs : 0;
    rest = s->references;
    while (span_next_field(&rest, '\0', &id) == R_OK)
        if (skip > 0)
            skip--;
        else
            add_key(in, id, s->base_subject);
    buf_init(&packed, sizeof in->keys);
    for (size_t i = 0; i < in->key_count; i++)
        pack_u64(&packed, in->keys[i]);
    in->packed_keys = arena_dup(in->arena, buf_span(&packed));
    buf_done(&packed);
}

enum result
intake_finish(struct intake *in, struct fault *f)
{
    struct message_cache cache;
    struct mime_summary summary;
    struct buf packed;
    if (in->too_big)
        return fault_set(f, FAULT_TOOBIG, "message is too large");
    must(EVP_DigestFinal_ex(in->sha, in->hash, NULL) == 1);
    in->root = mime_scan_end(in->scan);
    scan_cache(in->root, in->arena, false, &cache);
    intake_marks_end(in, in->root);
    buf_init(&packed, LIMIT_cache_value);
    message_cache_put(&packed, &cache);
    in->cache = packed.over ? SPAN_NONE : arena_dup(in->arena, buf_span(&packed));
    buf_done(&packed);
    if (scan_charge_grow(in->charge, f) != R_OK ||
        mime_summary_get(cache.summary, &summary, f) != R_OK)
        return R_FAIL;
    thread_keys(in, &summary);
    in->sent = row_sent(summary.has_date, summary.date.local_day);
    in->finished = true;
    return store_body_finish(in->body, f);
}

enum result
intake_pack(struct intake *in, struct fault *f)
{
    struct arena *kept = arena_new_small();
    struct scan_charge *charge = scan_charge_new(kept);
    must(in->finished);
    in->cache = arena_dup(kept, in->cache);
    in->packed_keys = arena_dup(kept, in->packed_keys);
    arena_free(&in->arena);
    in->arena = kept;
    in->charge = charge;
    in->scan = NULL;
    in->root = NULL;
    return scan_charge_grow(charge, f);
}

const struct mime_part *
intake_root(const struct intake *in)
{
    must(in->root != NULL);
    return in->root;
}

enum result
intake_read(const struct intake *in, uint64_t at, char *dst, size_t n, struct fault *f)
{
    return store_body_read(in->body, at, dst, n, f);
}

enum result
intake_copy(const struct intake *in, uint64_t at, intake_put_fn *put, void *arg,
            struct fault *f)
{
    enum { PIECE = 65536 };
    uint64_t size = intake_size(in);
    struct arena *a = arena_new();
    char *piece = arena_alloc(a, PIECE);
    enum result r = R_OK;
    while (r == R_OK && at < size) {
        size_t n = size - at < PIECE ? (size_t)(size - at) : PIECE;
        r = intake_read(in, at, piece, n, f);
        if (r == R_OK)
            r = put(arg, span_of(piece, n), f);
        at += n;
    }
    arena_free(&a);
    return r;
}

void
intake_free(struct intake **in)
{
    if (!*in)
        return;
    store_body_free(&(*in)->body);
    EVP_MD_CTX_free((*in)->sha);
    arena_free(&(*in)->arena);
    free(*in);
    *in = NULL;
}

// ---- delivery and import ----

struct target_call {
    struct account *account;
    struct span detail;
    uint64_t id;
};

static void
target_run(void *arg)
{
    struct target_call *c = arg;
    struct mailbox_state *m =
        c->detail.n > 0 ? name_find_any_case(c->account, c->detail) : NULL;
    if (!m || (m->flags & MAILBOX_NOSELECT))
        m = name_find(c->account, SPAN("INBOX"));
    c->id = m ? m->id : 0;
}

enum result
intake_delivery_target(struct account *a, struct span detail, struct mailbox_ref *ref_out,
                       struct fault *f)
{
    struct target_call c = {a, detail, 0};
    account_run(a, target_run, &c);
    if (c.id == 0)
        return fault_set(f, FAULT_NONEXISTENT, "account has no INBOX");
    *ref_out = (struct mailbox_ref){NULL, a, c.id, RIGHTS_ALL};
    return R_OK;
}

struct adopt_call {
    const struct mailbox_ref *ref;
    uint32_t uidvalidity, uidnext;
    struct fault *fault;
    enum result result;
};

// The name is that of the last level, since the levels above may have been made anew.
static bool
had_more(const struct store_deleted_mailbox *d, const struct mailbox_state *m,
         const struct adopt_call *c)
{
    return d->uidvalidity == c->uidvalidity && d->counts.uidnext > c->uidnext &&
           span_eq(d->name, m->name);
}

static void
may_adopt_run(void *arg)
{
    struct adopt_call *c = arg;
    struct account *a = c->ref->account;
    struct arena *arena = arena_new();
    struct store_deleted gone = {.a = arena, .max = LIMIT_mailboxes};
    c->result = store_deleted(mail_store(a->mail), account_state(a), &gone, c->fault);
    if (c->result == R_FAIL && c->fault->kind == FAULT_LIMIT)
        c->result = R_NONE;  // more than can be looked at
    const struct mailbox_state *m = state_mailbox(account_state(a), c->ref->mailbox);
    for (const struct store_deleted_mailbox *d = gone.first; d && m && c->result == R_OK;
         d = d->next)
        if (had_more(d, m, c))
            c->result = R_NONE;
    arena_free(&arena);
}

enum result
intake_may_adopt(const struct mailbox_ref *ref, uint32_t uidvalidity, uint32_t uidnext,
                 struct fault *f)
{
    struct adopt_call c = {ref, uidvalidity, uidnext > 0 ? uidnext : 1, f, R_FAIL};
    account_run(ref->account, may_adopt_run, &c);
    return c.result;
}

static enum result
adopt_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    struct adopt_call *c = arg;
    struct mailbox *m = mailbox_of(a, c->ref->mailbox);
    if (!m)
        return fault_set(f, FAULT_NONEXISTENT, "mailbox is gone");
    bool ours = m->state->uidvalidity == c->uidvalidity,
         fresh = m->state->counts.exists == 0 && m->state->counts.uidnext <= 1;
    if (!ours && !fresh)
        return fault_set(f, FAULT_CANNOT, "mailbox has had messages already");
    struct record_mailbox r = {m->id,          m->state->parent, change_modseq(a),
                               m->state->name, c->uidvalidity,   m->state->special_use,
                               m->state->flags};
    tree_put_mailbox(b, &r);
    tree_uidvalidity_adopted(a, b, c->uidvalidity);
    struct mailbox_counts *next = mailbox_next(a, m);
    if (c->uidnext > next->uidnext)
        next->uidnext = c->uidnext;
    next->modseq = change_modseq(a);
    rows_put_copied(b, m->id, next, SPAN(""));  // no rows: only the counts
    return R_OK;
}

static void
adopt_run(void *arg)
{
    struct adopt_call *c = arg;
    c->result =
        account_change(c->ref->account, adopt_change, c, CHANGE_ALONE, NULL, c->fault);
}

enum result
intake_adopt(const struct mailbox_ref *ref, uint32_t uidvalidity, uint32_t uidnext,
             struct fault *f)
{
    struct adopt_call c = {ref, uidvalidity, uidnext, f, R_FAIL};
    account_run(ref->account, adopt_run, &c);
    return c.result;
}
