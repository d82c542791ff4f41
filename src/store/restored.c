#include "store/derived.h"
#include "store/embedded.h"

#include "base/clock.h"
#include "base/limits.h"

#include <limits.h>

// Offline verbs: the index made anew, and a whole store put back from a backup. A client may have seen a future
// that the backup does not know, so every account gets a RESTORED record before anybody is served.

// The same backup may be restored once more, and clients have seen the future of the first restore by then: what jumps
// is more for each second since the backup's last record.
enum { UID_JUMP = 1 << 20, UIDS_A_SECOND = 16, MODSEQS_A_SECOND = 1 << 20 };
static const uint64_t modseq_jump = 1ull << 32, id_jump = 1ull << 32;

static enum result
remove_index(const struct store_options *o, struct fault *f)
{
    struct folder folder;
    char index[PATH_MAX];
    if (folder_open(o->path, 0, &folder, f) != R_OK)
        return R_FAIL;
    embedded_index_folder(index, sizeof index, o->path, "index");
    enum result r = index_remove(index, f);
    folder_close(&folder);
    return r;
}

enum result
store_rebuild(const struct store_options *o, store_report_fn *report, void *arg,
              struct fault *f)
{
    struct store_options with = *o;
    struct store *s = NULL;
    with.report = report;
    with.report_arg = arg;
    if (remove_index(o, f) != R_OK || store_open(&with, &s, f) != R_OK)
        return R_FAIL;
    enum result r = derived_clear_all(s, f);
    store_close(&s);
    return r;
}

// A mailbox whose UIDs would not fit after the jump begins a new UIDVALIDITY instead.
static void
put_new_validity(struct store_batch *b, const struct mailbox_state *m, uint64_t modseq,
                 int64_t now_s)
{
    struct record_mailbox r = {.id = m->id,
                               .parent = m->parent,
                               .modseq = modseq,
                               .name = m->name,
                               .uidvalidity = (uint32_t)now_s,
                               .special_use = m->special_use,
                               .flags = m->flags};
    struct buf meta;
    if (r.uidvalidity <= m->uidvalidity)
        r.uidvalidity = m->uidvalidity < UINT32_MAX ? m->uidvalidity + 1 : 1;
    buf_init(&meta, LIMIT_record_meta);
    record_mailbox_put(&meta, &r);
    store_batch_add(b, RECORD_MAILBOX, buf_span(&meta), NULL);
    buf_done(&meta);
}

static enum result
note_time(const struct journal_record *r, void *arg, struct fault *f)
{
    (void)f;
    *(int64_t *)arg = r->header.time_ms / 1000;
    return R_OK;
}

// After years no UIDs are skipped: every mailbox has a new UIDVALIDITY.
static enum result
measure_jump(struct store *s, struct record_restored *out, struct fault *f)
{
    int64_t now_s = clock_wall_s(), last_s = now_s;
    uint64_t end = journal_end(s->journal);
    struct journal_scan scan = {
        .from = end - 1, .headers_only = true, .record = note_time, .arg = &last_s};
    if (end > 1 && journal_scan(s->journal, &scan, f) != R_OK)
        return R_FAIL;
    uint64_t since_s = now_s > last_s ? (uint64_t)(now_s - last_s) : 0;
    uint64_t uids = UID_JUMP + since_s * UIDS_A_SECOND;
    *out = (struct record_restored){.uid_jump =
                                        uids <= INT32_MAX ? (uint32_t)uids : UINT32_MAX,
                                    .modseq_jump = modseq_jump + since_s * MODSEQS_A_SECOND,
                                    .id_jump = id_jump + since_s * MODSEQS_A_SECOND,
                                    .when_s = now_s};
    return R_OK;
}

static enum result
commit_jump(struct store *s, const struct state *st, const struct record_restored *r,
            struct fault *f)
{
    struct store_batch *b = store_batch_new(s, st->account, 0, 0);
    struct buf meta;
    for (uint32_t i = 0; i < st->mailbox_count; i++)
        if (st->mailboxes[i]->counts.uidnext > UINT32_MAX - r->uid_jump)
            put_new_validity(b, st->mailboxes[i], st->modseq, r->when_s);
    buf_init(&meta, LIMIT_record_meta);
    record_restored_put(&meta, r);
    store_batch_add(b, RECORD_RESTORED, buf_span(&meta), NULL);
    enum result result = store_commit(s, b, f);
    buf_done(&meta);
    store_batch_free(&b);
    return result;
}

static enum result
jump_account(struct store *s, uint64_t account, const struct record_restored *jump,
             struct fault *f)
{
    struct state *st;
    enum result r = store_state_load(s, account, &st, f);
    if (r != R_OK)
        return r;
    r = commit_jump(s, st, jump, f);
    state_free(&st);
    return r;
}

static enum result
jump_all(struct store *s, struct fault *f)
{
    struct arena *a = arena_new();
    struct record_restored jump;
    uint64_t *ids;
    size_t n = 0;
    enum result r = measure_jump(s, &jump, f);
    if (r == R_OK)
        r = store_accounts(s, a, &ids, &n, f);
    for (size_t i = 0; i < n && r != R_FAIL; i++)
        r = jump_account(s, ids[i], &jump, f);
    arena_free(&a);
    return r == R_FAIL ? R_FAIL : store_checkpoint(s, f);
}

static enum result
fill(const struct store_options *o, store_source_fn *source, void *arg, struct fault *f)
{
    struct folder folder;
    bool compressed = false;
    if (folder_open(o->path, 0, &folder, f) != R_OK)
        return R_FAIL;
    enum result r = folder_restore_begin(o->path, f);
    if (r == R_OK)
        r = journal_restore(o->path, source, arg, &compressed, f);
    if (r == R_OK && compressed)
        r = folder_compress(o->path, f);
    folder_close(&folder);
    return r;
}

enum result
store_unpack(const struct store_options *o, store_source_fn *source, void *arg,
             struct fault *f)
{
    return fill(o, source, arg, f);
}

enum result
store_restore(const struct store_options *o, store_source_fn *source, void *arg,
              struct fault *f)
{
    struct store *s = NULL;
    if (fill(o, source, arg, f) != R_OK || store_open_restoring(o, &s, f) != R_OK)
        return R_FAIL;
    enum result r = jump_all(s, f);
    if (r == R_OK)
        r = derived_clear_all(s, f);  // of whatever was here before
    store_close(&s);
    return r;
}

enum result
store_restore_end(const struct store_options *o, struct fault *f)
{
    return folder_restore_end(o->path, f);
}
