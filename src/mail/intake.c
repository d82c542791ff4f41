#include "mail/intake.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/limits.h"
#include "mail/name.h"
#include "mail/rows.h"
#include "mail/scan_cache.h"
#include "mail/scan_charge.h"
#include "mail/tree_record.h"
#include "mime/summary.h"

#include <openssl/evp.h>
#include <time.h>

enum { HASH_SIZE = 32 };

struct intake {
    struct mail *mail;
    struct arena *arena;
    struct mime_scan *scan;
    struct scan_charge *charge;
    EVP_MD_CTX *sha;
    struct store_body *body;
    uint64_t size;
    bool too_big, finished;
    unsigned char hash[HASH_SIZE];
    struct span cache;  // packed; empty when over LIMIT_cache_value
    uint64_t keys[LIMIT_thread_refs + 2];
    size_t key_count;
    struct span packed_keys;
    uint16_t sent;  // as in message_row
};

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
    return in;
}

uint64_t
intake_size(const struct intake *in)
{
    return in->size;
}

struct span
intake_hash(const struct intake *in)
{
    must(in->finished);
    return span_of(in->hash, HASH_SIZE);
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
    uint64_t key = hash64(message_id) * 31 + hash64(subject);
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
    scan_cache(mime_scan_end(in->scan), in->arena, false, &cache);
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

// ---- commit ----

struct commit_call {
    struct intake *intake;
    const struct mailbox_ref *dest;
    const struct intake_params *params;
    struct intake_result *out;
    struct fault *fault;
    enum result result;
};

static int16_t
zone_now(time_t at)
{
    struct tm tm;
    localtime_r(&at, &tm);
    return (int16_t)(tm.tm_gmtoff / 60);
}

static void
row_fill(struct commit_call *c, struct message_row *row)
{
    const struct intake_params *p = c->params;
    int64_t now = clock_wall_s();
    row->size = (uint32_t)c->intake->size;
    row->flags = p->flags;
    row->internal_date = p->has_internal_date ? p->internal_date : now;
    row->zone_min = p->has_internal_date ? p->zone_min : zone_now((time_t)now);
    row->save_date = p->save_date ? p->save_date : (uint32_t)now;
    row->emailid = p->emailid ? p->emailid : store_id_next(mail_store(c->intake->mail));
    row->threadid = p->threadid;
    row->sent = c->intake->sent;
}

static enum result
pick_uid(struct account *a, struct mailbox *m, uint32_t wanted, uint32_t *uid_out,
         struct fault *f)
{
    struct mailbox_counts *next = mailbox_next(a, m);
    if (wanted > 0 && wanted < next->uidnext)
        return fault_set(f, FAULT_CANNOT, "UID %u is not above UIDNEXT", wanted - 1);
    if (wanted > 0)
        next->uidnext = wanted;
    return mailbox_next_uid(a, m, uid_out, f);
}

static void
put_added(struct commit_call *c, struct store_batch *b, struct mailbox *m,
          const struct message_row *row, struct span keywords,
          const struct mailbox_counts *counts)
{
    struct intake *in = c->intake;
    struct record_added r = {.mailbox = m->id,
                             .row = *row,
                             .keywords = keywords,
                             .content_hash = span_of(in->hash, HASH_SIZE),
                             .thread_keys = in->packed_keys,
                             .counts = *counts,
                             .cache = in->cache};
    struct buf meta;
    buf_init(&meta, LIMIT_record_meta);
    record_added_put(&meta, &r);
    must(!meta.over);
    store_batch_add(b, RECORD_ADDED, buf_span(&meta), in->body);
    buf_done(&meta);
}

static enum result
intake_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    struct commit_call *c = arg;
    const struct intake_params *p = c->params;
    struct mailbox *m = mailbox_of(a, c->dest->mailbox);
    struct message_row row = {0};
    struct keyword_names names = {p->keywords, p->keyword_count};
    struct keyword_list numbers;
    struct buf keywords;
    if (!m || (m->state->flags & MAILBOX_NOSELECT))
        return fault_set(f, FAULT_TRYCREATE, "mailbox is gone");
    row_fill(c, &row);
    if (row.threadid == 0 &&
        thread_assign(a, c->intake->keys, c->intake->key_count, &row.threadid, f) != R_OK)
        return R_FAIL;
    if (pick_uid(a, m, p->uid, &row.uid, f) != R_OK ||
        keyword_numbers(a, m, b, &names, &numbers, f) != R_OK)
        return R_FAIL;
    struct mailbox_counts *next = mailbox_next(a, m);
    row.modseq = next->modseq = change_modseq(a);
    rows_count(next, &row, row.flags, 1);
    buf_init(&keywords, LIMIT_keywords * 5);
    for (size_t i = 0; i < numbers.n; i++)
        record_keywords_add(&keywords, numbers.numbers[i]);
    put_added(c, b, m, &row, buf_span(&keywords), next);
    buf_done(&keywords);
    *c->out =
        (struct intake_result){m->state->uidvalidity, row.uid, row.emailid, row.threadid};
    return R_OK;
}

static void
commit_run(void *arg)
{
    struct commit_call *c = arg;
    c->result = account_change(c->dest->account, intake_change, c, 0, NULL, c->fault);
}

// Flags whose right is missing are not set (RFC 4314 section 4).
static struct intake_params
allowed_params(const struct mailbox_ref *dest, const struct intake_params *p)
{
    struct intake_params mine = *p;
    if (!(dest->rights & RIGHT_SEEN))
        mine.flags &= (uint16_t)~FLAG_SEEN;
    if (!(dest->rights & RIGHT_DELETED))
        mine.flags &= (uint16_t)~FLAG_DELETED;
    if (!(dest->rights & RIGHT_WRITE)) {
        mine.flags &= FLAG_SEEN | FLAG_DELETED;
        mine.keyword_count = 0;
    }
    return mine;
}

enum result
intake_commit(struct intake *in, const struct mailbox_ref *dest,
              const struct intake_params *p, struct intake_result *out, struct fault *f)
{
    struct intake_params mine = allowed_params(dest, p);
    struct intake_result result;
    struct commit_call c = {in, dest, &mine, &result, f, R_FAIL};
    must(in->finished);
    if (!(dest->rights & RIGHT_INSERT))
        return fault_set(f, FAULT_NOPERM, "no right to insert");
    account_run(dest->account, commit_run, &c);
    if (c.result == R_OK)
        *out = result;
    return c.result;
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
    struct mailbox_state *m = c->detail.n > 0 ? name_find(c->account, c->detail) : NULL;
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
    *ref_out = (struct mailbox_ref){a, c.id, RIGHTS_ALL};
    return R_OK;
}

struct adopt_call {
    const struct mailbox_ref *ref;
    uint32_t uidvalidity, uidnext;
    struct fault *fault;
    enum result result;
};

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
