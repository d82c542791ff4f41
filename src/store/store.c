#include "store/engine.h"

#include "store/body.h"
#include "store/derived_inside.h"
#include "store/folder.h"
#include "store/index.h"
#include "store/journal.h"

#include <limits.h>
#include <stdarg.h>

void
store_report(struct store *s, const char *fmt, ...)
{
    char line[512];
    va_list ap;
    if (!s->report)
        return;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    s->report(line, s->report_arg);
}

static const struct engine *
find_engine(const char *name)
{
    static const struct engine *const all[] = {&embedded_engine, &mem_engine};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (!name || strcmp(all[i]->name, name) == 0)
            return all[i];
    return NULL;
}

static enum result
open_store(const struct store_options *o, bool restoring, struct store **s_out,
           struct fault *f)
{
    const struct engine *engine = find_engine(o->engine);
    const struct codec *codec = codec_by_name(o->codec ? o->codec : "identity");
    if (!engine || !codec)
        return fault_set(f, FAULT_BAD, "no such store %s: %s", engine ? "codec" : "engine",
                         engine ? o->codec : o->engine);
    struct store *s = calloc(1, sizeof *s);
    must(s != NULL);
    s->engine = engine;
    s->restoring = restoring;
    s->folder.lock_fd = -1;
    s->codec = codec;
    s->path = strdup(o->path ? o->path : "");
    must(s->path != NULL);
    s->retention_s = o->retention_s;
    s->report = o->report;
    s->report_arg = o->report_arg;
    if (engine->open(s, o, f) != R_OK) {
        store_close(&s);
        return R_FAIL;
    }
    engine->derived->start(s);
    *s_out = s;
    return R_OK;
}

enum result
store_open(const struct store_options *o, struct store **s_out, struct fault *f)
{
    return open_store(o, false, s_out, f);
}

enum result
store_open_restoring(const struct store_options *o, struct store **s_out, struct fault *f)
{
    return open_store(o, true, s_out, f);
}

void
store_retention(struct store *s, uint32_t seconds)
{
    s->retention_s = seconds;
}

const struct span store_retention_key = SPAN("retention");

// One that cannot be read lets nothing be dropped.
uint32_t
store_retention_of(const struct store *s, struct span value)
{
    if (value.n == 0)
        return s->retention_s;
    struct unpack u = unpack_of(value);
    uint64_t seconds = unpack_u64(&u);
    return unpack_end(&u) != R_OK || seconds > UINT32_MAX ? UINT32_MAX : (uint32_t)seconds;
}

void
store_close(struct store **s)
{
    if (!*s)
        return;
    if ((*s)->derived_table)
        (*s)->engine->derived->stop(*s);
    (*s)->engine->close(*s);
    free((*s)->path);
    free(*s);
    *s = NULL;
}

void
store_index_distrust(const char *path)
{
    char folder[PATH_MAX];
    size_t n = strnlen(path, sizeof folder - 32);
    memcpy(folder, path, n);
    memcpy(folder + n, "/index", sizeof "/index");
    index_distrust(folder);
}

uint64_t
store_id_next(struct store *s)
{
    return atomic_fetch_add(&s->last_id, 1) + 1;
}

enum result
store_uuid(const struct store *s, uint8_t out[STORE_UUID])
{
    if (s->journal == NULL)
        return R_NONE;
    journal_uuid(s->journal, out);
    return R_OK;
}

// ---- states ----

enum result
store_state_load(struct store *s, uint64_t account, struct state **state_out,
                 struct fault *f)
{
    return s->engine->state_load(s, account, state_out, f);
}

enum result
store_table_load(struct store *s, struct state *st, uint64_t mailbox, struct fault *f)
{
    return s->engine->table_load(s, st, mailbox, f);
}

void
store_state_closed(struct store *s, uint64_t account)
{
    (void)s,
        // unfolded records are trimmed by the fold, whoever uses the account
        (void)account;
}

// Moves a list into the arena.
static void *
to_arena(struct arena *a, void *list, size_t n, size_t size)
{
    void *copy = arena_array(a, n + 1, size);
    if (n > 0)
        memcpy(copy, list, n * size);
    free(list);
    return copy;
}

enum result
store_accounts(struct store *s, struct arena *a, uint64_t **ids_out, size_t *n_out,
               struct fault *f)
{
    uint64_t *list = NULL;
    size_t n = 0;
    if (s->engine->accounts(s, &list, &n, f) != R_OK)
        return R_FAIL;
    *ids_out = to_arena(a, list, n, sizeof *list);
    *n_out = n;
    return R_OK;
}

void
store_gone_fresh(struct store *s, const struct state *st, uint64_t mailbox, uint64_t since,
                 store_gone_fn *fn, void *arg)
{
    if (s->engine->gone_fresh)
        s->engine->gone_fresh(s, st, mailbox, since, fn, arg);
}

enum result
store_tombstones(struct store *s, struct state *st, uint64_t mailbox,
                 struct store_tombstones *out, struct fault *f)
{
    if (s->engine->tombstones(s, st, mailbox, out, f) != R_OK)
        return R_FAIL;
    while (out->n > 0 && out->list[out->n - 1].modseq > st->modseq) {
        out->n--;  // durable, but not applied at the home yet
        out->last = true;
    }
    if (out->n > 0) {
        out->modseq = out->list[out->n - 1].modseq;
        out->uid = out->list[out->n - 1].row.uid;
    }
    return R_OK;
}

enum result
store_deleted(struct store *s, struct state *st, struct store_deleted *out, struct fault *f)
{
    return s->engine->deleted(s, st, out, f);
}

enum result
store_keywords(struct store *s, struct state *st, uint64_t mailbox,
               struct store_keywords *out, struct fault *f)
{
    return s->engine->keywords(s, st, mailbox, out, f);
}

enum result
store_privates(struct store *s, struct state *st, uint64_t mailbox, uint64_t user,
               struct store_privates *out, struct fault *f)
{
    struct store_privates found = {0};
    if (s->engine->privates.list(s, st, mailbox, user, &found, f) != R_OK)
        return R_FAIL;
    out->list = to_arena(out->a, found.list, found.n, sizeof *found.list);
    out->n = found.n;
    return R_OK;
}

enum result
store_private_users(struct store *s, struct state *st, struct store_private_users *out,
                    struct fault *f)
{
    struct store_private_users found = {0};
    if (s->engine->privates.users(s, st, &found, f) != R_OK)
        return R_FAIL;
    out->list = to_arena(out->a, found.list, found.n, sizeof *found.list);
    out->n = found.n;
    return R_OK;
}

enum result
store_thread_keys(struct store *s, struct state *st, struct arena *a,
                  struct store_thread_key **out, size_t *n_out, struct fault *f)
{
    struct store_thread_key *list = NULL;
    size_t n = 0;
    if (s->engine->thread_keys(s, st, &list, &n, f) != R_OK)
        return R_FAIL;
    *out = to_arena(a, list, n, sizeof *list);
    *n_out = n;
    return R_OK;
}

// ---- commits, bodies, caches ----

struct store_body *
store_body_new(struct store *s)
{
    return body_new(s->journal);
}

enum result
store_commit(struct store *s, struct store_batch *b, struct fault *f)
{
    return store_batch_count(b) > 0 ? s->engine->commit(s, b, f) : R_OK;
}

enum result
store_blob_read(struct store *s, uint64_t blob, uint64_t offset, size_t len, char *dst,
                struct fault *f)
{
    return len > 0 ? s->engine->blob_read(s, blob, offset, len, dst, f) : R_OK;
}

void
store_blob_readahead(struct store *s, uint64_t blob)
{
    s->engine->blob_readahead(s, blob);
}

struct store_cache_reader *
store_cache_begin(struct store *s)
{
    struct store_cache_reader *r = calloc(1, sizeof *r);
    must(r != NULL);
    r->store = s;
    s->engine->cache_begin(r);
    return r;
}

enum result
store_cache_find(struct store_cache_reader *r, uint64_t blob, struct span *cache_out)
{
    return r->store->engine->cache_find(r, blob, cache_out);
}

void
store_cache_end(struct store_cache_reader **r)
{
    if (!*r)
        return;
    (*r)->store->engine->cache_end(*r);
    free(*r);
    *r = NULL;
}

// ---- keeping ----

enum result
store_verify(struct store *s, store_report_fn *report, void *arg,
             struct store_verify_result *r_out, struct fault *f)
{
    return s->engine->verify(s, report, arg, r_out, f);
}

enum result
store_backup(struct store *s, store_sink_fn *sink, void *arg, struct fault *f)
{
    return s->engine->backup(s, sink, arg, f);
}

enum result
store_compact(struct store *s, const struct store_compaction *c, uint64_t *freed_out,
              struct fault *f)
{
    return s->engine->compact(s, c, freed_out, f);
}

bool
store_rest(struct store *s)
{
    return s->engine->rest && s->engine->rest(s);
}

enum result
store_checkpoint(struct store *s, struct fault *f)
{
    return s->engine->checkpoint(s, f);
}

void
store_stats_get(struct store *s, struct store_stats *out)
{
    *out = (struct store_stats){0};
    s->engine->stats(s, out);
}
