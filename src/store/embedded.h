#ifndef STORE_EMBEDDED_H
#define STORE_EMBEDDED_H

// The embedded engine: journal, fold and index put together. embedded.c opens it, load.c reads accounts,
// compact.c, verify.c and restored.c keep it.
// Threads: those of store.h.

#include "store/engine.h"
#include "store/fold.h"
#include "store/journal.h"

enum { EMBEDDED_IO_THREADS = 4 };

// The folder of the index in a data directory.
void embedded_index_folder(char *out, size_t size, const char *path, const char *name);
// Folds the journal from the index's position to sequence `to` (0 = the end) into the fold. Blocks.
enum result embedded_replay(struct journal *j, struct fold *fold, uint64_t to,
                            struct fault *f) MUST_CHECK;

// load.c
enum result embedded_state_load(struct store *s, uint64_t account, struct state **out,
                                struct fault *f);
enum result embedded_table_load(struct store *s, struct state *st, uint64_t mailbox,
                                struct fault *f);
enum result embedded_accounts(struct store *s, uint64_t **out, size_t *n_out,
                              struct fault *f);
enum result embedded_tombstones(struct store *s, struct state *st, uint64_t mailbox,
                                struct store_tombstones *out, struct fault *f);
void embedded_gone_fresh(struct store *s, const struct state *st, uint64_t mailbox,
                         uint64_t since, store_gone_fn *fn, void *arg);
enum result embedded_deleted(struct store *s, struct state *st, struct store_deleted *out,
                             struct fault *f);
enum result embedded_keywords(struct store *s, struct state *st, uint64_t mailbox,
                              struct store_keywords *out, struct fault *f);
enum result embedded_privates(struct store *s, struct state *st, uint64_t mailbox,
                              uint64_t user, struct store_privates *out, struct fault *f);
enum result embedded_private_users(struct store *s, struct state *st,
                                   struct store_private_users *out, struct fault *f);
enum result embedded_thread_keys(struct store *s, struct state *st,
                                 struct store_thread_key **out, size_t *n_out,
                                 struct fault *f);
// compact.c, verify.c
enum result embedded_compact(struct store *s, const struct store_compaction *how,
                             uint64_t *freed_out, struct fault *f);
enum result embedded_verify(struct store *s, store_report_fn *report, void *arg,
                            struct store_verify_result *out, struct fault *f);

#endif
