#ifndef STORE_ENGINE_H
#define STORE_ENGINE_H

// An engine is one way to keep accounts durable behind store.h: `embedded` (journal and LMDB) or `mem` (tests).
// store.c dispatches; the functions have the contracts of store.h.

#include "store/folder.h"
#include "store/state_inside.h"
#include "store/store.h"

#include <stdatomic.h>

struct derived_engine;
struct derived_table;
struct fold;
struct index;
struct journal;
struct mem;
struct pool;

struct engine {
    const char *name;
    enum result (*open)(struct store *s, const struct store_options *o, struct fault *f);
    void (*close)(struct store *s);
    enum result (*state_load)(struct store *s, uint64_t account, struct state **out,
                              struct fault *f);
    enum result (*table_load)(struct store *s, struct state *st, uint64_t mailbox,
                              struct fault *f);
    // Lists are allocated for the caller, who frees them.
    enum result (*accounts)(struct store *s, uint64_t **out, size_t *n_out,
                            struct fault *f);
    // These three allocate in the caller's arena.
    enum result (*tombstones)(struct store *s, struct state *st, uint64_t mailbox,
                              struct store_tombstones *out, struct fault *f);
    // NULL: an expunge is among the tombstones at once
    void (*gone_fresh)(struct store *s, const struct state *st, uint64_t mailbox,
                       uint64_t since, store_gone_fn *fn, void *arg);
    enum result (*deleted)(struct store *s, struct state *st, struct store_deleted *out,
                           struct fault *f);
    enum result (*keywords)(struct store *s, struct state *st, uint64_t mailbox,
                            struct store_keywords *out, struct fault *f);
    struct engine_privates {
        enum result (*list)(struct store *s, struct state *st, uint64_t mailbox,
                            uint64_t user, struct store_privates *out, struct fault *f);
        enum result (*users)(struct store *s, struct state *st,
                             struct store_private_users *out, struct fault *f);
    } privates;
    enum result (*thread_keys)(struct store *s, struct state *st,
                               struct store_thread_key **out, size_t *n_out,
                               struct fault *f);
    enum result (*commit)(struct store *s, struct store_batch *b, struct fault *f);
    enum result (*blob_read)(struct store *s, uint64_t blob, uint64_t offset, size_t len,
                             char *dst, struct fault *f);
    void (*blob_readahead)(struct store *s, uint64_t blob);
    void (*cache_begin)(struct store_cache_reader *r);
    enum result (*cache_find)(struct store_cache_reader *r, uint64_t blob,
                              struct span *cache_out);
    void (*cache_end)(struct store_cache_reader *r);
    enum result (*verify)(struct store *s, store_report_fn *report, void *arg,
                          struct store_verify_result *out, struct fault *f);
    enum result (*backup)(struct store *s, store_sink_fn *sink, void *arg, struct fault *f);
    enum result (*compact)(struct store *s, const struct store_compaction *c,
                           uint64_t *freed_out, struct fault *f);
    bool (*rest)(struct store *s);  // may be NULL
    enum result (*checkpoint)(struct store *s, struct fault *f);
    void (*stats)(struct store *s, struct store_stats *out);
    const struct derived_engine *derived;
};

extern const struct engine embedded_engine, mem_engine;
extern const struct derived_engine derived_files, derived_mem;

struct store {
    const struct engine *engine;
    const struct codec *codec;
    char *path;
    _Atomic uint32_t retention_s;
    bool restoring;
    _Atomic uint64_t last_id;
    store_report_fn *report;
    void *report_arg;
    struct derived_table *derived_table;
    // embedded
    struct folder folder;
    struct pool *pool;
    struct journal *journal;
    struct index *index;
    struct fold *fold;
    // mem
    struct mem *mem;
};

struct store_cache_reader {
    struct store *store;
    void *inside;  // the engine's
};

// As store_open; also a directory whose restore is not complete.
enum result store_open_restoring(const struct store_options *o, struct store **s_out,
                                 struct fault *f) MUST_CHECK;
void store_report(struct store *s, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
