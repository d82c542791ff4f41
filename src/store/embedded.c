#include "store/embedded.h"

#include "io/task.h"

#include <limits.h>

void
embedded_index_folder(char *out, size_t size, const char *path, const char *name)
{
    must((size_t)snprintf(out, size, "%s/%s", path, name) < size);
}

// ---- opening ----

static enum result
replay_one(const struct journal_record *r, void *arg, struct fault *f)
{
    struct index_record record = {.account = r->header.account,
                                  .type = (enum record_type)r->header.type,
                                  .meta = r->meta,
                                  .place = r->place,
                                  .with_body =
                                      (r->header.flags & RECORD_BODY_DROPPED) == 0};
    return fold_replay(arg, &record, f);
}

enum result
embedded_replay(struct journal *j, struct fold *fold, uint64_t to, struct fault *f)
{
    if (fold_replay_end(fold, f) != R_OK)  // finds the position
        return R_FAIL;
    struct journal_scan scan = {
        .from = fold_position(fold) + 1, .to = to, .record = replay_one, .arg = fold};
    if (scan.from < (to != 0 ? to : journal_end(j)) && journal_scan(j, &scan, f) != R_OK)
        return R_FAIL;
    return fold_replay_end(fold, f);
}

static enum result
open_index(struct store *s, struct fault *f)
{
    char folder[PATH_MAX];
    struct fault why = {0};
    embedded_index_folder(folder, sizeof folder, s->path, "index");
    if (index_open(folder, s->folder.uuid, s->codec, &s->index, &why) == R_OK)
        return R_OK;
    if (why.kind != FAULT_CORRUPTION) {
        *f = why;
        return R_FAIL;
    }
    store_report(s, "%s; making the index anew from the journal", why.why);
    if (index_remove(folder, f) != R_OK)
        return R_FAIL;
    return index_open(folder, s->folder.uuid, s->codec, &s->index, f);
}

static enum result
open_journal(struct store *s, const struct store_options *o, struct fault *f)
{
    struct journal_recovery found = {0};
    struct journal_options jo = {.path = s->path,
                                 .codec = s->codec,
                                 .compress = o->compress,
                                 .compressed = s->folder.format > FOLDER_FORMAT_PLAIN,
                                 .segment_size = o->segment_size,
                                 .known_seq = fold_position(s->fold),
                                 .pool = s->pool,
                                 .on_durable = fold_durable,
                                 .arg = s->fold};
    if (journal_open(&jo, &s->journal, &found, f) != R_OK)
        return R_FAIL;
    if (found.cut_octets > 0)
        store_report(s, "journal: cut %llu octets that were never acknowledged: %s",
                     (unsigned long long)found.cut_octets, found.why);
    return R_OK;
}

static void
close_parts(struct store *s)
{
    journal_close(&s->journal);
    fold_free(&s->fold);
    index_close(&s->index);
}

static enum result
open_parts(struct store *s, const struct store_options *o, struct fault *f)
{
    if (open_index(s, f) != R_OK)
        return R_FAIL;
    s->fold = fold_new(&(struct fold_options){.index = s->index,
                                              .unfolded_max = o->unfolded_max,
                                              .broken = o->broken,
                                              .arg = o->broken_arg});
    if (fold_replay_end(s->fold, f) != R_OK || open_journal(s, o, f) != R_OK)
        return R_FAIL;
    bool fresh = fold_position(s->fold) == 0 && journal_end(s->journal) > 1;
    if (embedded_replay(s->journal, s->fold, 0, f) != R_OK)
        return R_FAIL;
    if (fresh)
        store_report(s, "index: made from %llu records of the journal",
                     (unsigned long long)fold_position(s->fold));
    return R_OK;
}

static enum result
embedded_open(struct store *s, const struct store_options *o, struct fault *f)
{
    unsigned how =
        (s->restoring ? FOLDER_RESTORING : 0) | (o->compress ? FOLDER_COMPRESS : 0);
    if (folder_open(s->path, how, &s->folder, f) != R_OK)
        return R_FAIL;
    s->pool = pool_new(o->io_threads > 0 ? o->io_threads : EMBEDDED_IO_THREADS);
    enum result r = open_parts(s, o, f);
    if (r != R_OK && f->kind == FAULT_CORRUPTION && s->index &&
        index_distrusted(s->index)) {
        store_report(s, "%s", f->why);
        close_parts(s);
        r = open_parts(s, o, f);
    }
    if (r != R_OK)
        return R_FAIL;
    atomic_store(&s->last_id, fold_max_id(s->fold));
    fold_start(s->fold);
    return R_OK;
}

static void
embedded_close(struct store *s)
{
    close_parts(s);
    pool_free(&s->pool);
    folder_close(&s->folder);
}

// ---- commits and bodies ----

static enum result
embedded_commit(struct store *s, struct store_batch *b, struct fault *f)
{
    if (fold_prepare(s->fold, b, f) != R_OK)
        return R_FAIL;
    enum result r = journal_commit(s->journal, b, f);
    fold_discard(s->fold, b);  // nothing is left of it after a success
    return r;
}

static enum result
embedded_blob_read(struct store *s, uint64_t blob, uint64_t offset, size_t len, char *dst,
                   struct fault *f)
{
    return journal_blob_read(s->journal, blob, offset, len, dst, f);
}

static void
embedded_blob_readahead(struct store *s, uint64_t blob)
{
    journal_blob_readahead(s->journal, blob);
}

// ---- caches ----

struct held {
    struct held *next;
    struct unfolded *unfolded;
};

struct cache_reader {
    struct index_cache_reader index;
    bool open;
    struct held *held;
};

static void
embedded_cache_begin(struct store_cache_reader *r)
{
    // no cache means that the body is scanned, which finds what is wrong
    struct fault ignored;
    struct cache_reader *c = calloc(1, sizeof *c);
    must(c != NULL);
    c->open = index_cache_begin(r->store->index, &c->index, &ignored) == R_OK;
    r->inside = c;
}

static enum result
embedded_cache_find(struct store_cache_reader *r, uint64_t blob, struct span *cache_out)
{
    struct cache_reader *c = r->inside;
    struct unfolded *hold;
    if (c->open && index_cache_find(&c->index, blob, cache_out) == R_OK)
        return R_OK;
    if (fold_cache_find(r->store->fold, blob, cache_out, &hold) != R_OK)
        return R_NONE;
    struct held *h = calloc(1, sizeof *h);
    must(h != NULL);
    *h = (struct held){c->held, hold};
    c->held = h;
    return R_OK;
}

static void
embedded_cache_end(struct store_cache_reader *r)
{
    struct cache_reader *c = r->inside;
    while (c->held) {
        struct held *h = c->held;
        c->held = h->next;
        fold_cache_release(r->store->fold, h->unfolded);
        free(h);
    }
    if (c->open)
        index_cache_end(&c->index);
    free(c);
}

// ---- keeping ----

static enum result
embedded_backup(struct store *s, store_sink_fn *sink, void *arg, struct fault *f)
{
    return journal_backup(s->journal, sink, arg, f);
}

static enum result
embedded_checkpoint(struct store *s, struct fault *f)
{
    return fold_flush(s->fold, 0, f);
}

static void
embedded_stats(struct store *s, struct store_stats *out)
{
    struct journal_stats j;
    journal_stats_get(s->journal, &j);
    *out = (struct store_stats){.commits = j.commits,
                                .syncs = j.syncs,
                                .records = j.records,
                                .bytes_written = j.octets,
                                .unfolded_bytes = fold_unfolded(s->fold),
                                .segments = j.segments};
}

static bool
rest(struct store *s)
{
    return index_rest(s->index);
}

const struct engine embedded_engine = {
    .name = "embedded",
    .open = embedded_open,
    .close = embedded_close,
    .state_load = embedded_state_load,
    .table_load = embedded_table_load,
    .accounts = embedded_accounts,
    .tombstones = embedded_tombstones,
    .gone_fresh = embedded_gone_fresh,
    .deleted = embedded_deleted,
    .keywords = embedded_keywords,
    .privates = {embedded_privates, embedded_private_users},
    .thread_keys = embedded_thread_keys,
    .commit = embedded_commit,
    .blob_read = embedded_blob_read,
    .blob_readahead = embedded_blob_readahead,
    .cache_begin = embedded_cache_begin,
    .cache_find = embedded_cache_find,
    .cache_end = embedded_cache_end,
    .verify = embedded_verify,
    .backup = embedded_backup,
    .compact = embedded_compact,
    .rest = rest,
    .checkpoint = embedded_checkpoint,
    .stats = embedded_stats,
    .derived = &derived_files,
};
