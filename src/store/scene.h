#ifndef STORE_SCENE_H
#define STORE_SCENE_H

// Tests only: a data directory, stores on it, and random batches that a model follows. What is wrong aborts, so that
// it can be used in any thread.

#include "store/embedded.h"
#include "store/generator.h"
#include "store/index.h"

extern char scene_folder[64], scene_copy[64];  // two empty directories
extern char scene_last_report[512];
extern int scene_reports;

int scene_begin(void **unused);  // cmocka set-up and tear-down
int scene_end(void **unused);
void scene_clean(char *name);  // removes a directory
_Noreturn void scene_fail(const char *why);
void scene_note(const char *line, void *arg);  // store_report_fn
// codec "zstd": bodies are compressed.
struct store_options scene_options(const char *engine, const char *codec);
struct store *scene_open(const struct store_options *o);

// Commits up to `most` generated records as one batch; the model and the home's state (if any) follow. A COPIED
// record is the first of its batch, since it names bodies that are on disk.
void scene_commit(struct store *s, struct generator *g, struct state *home, size_t most);
// Behind the back of a store that is closed: the first entry with this prefix cannot be read any more, or is not there.
void scene_index_damage(struct index_key prefix, bool gone);
void scene_load_tables(struct store *s, struct state *st);
// initialises out, which ends with a NUL
void scene_dump(struct state *st, struct buf *out);
// The account as the store loads it is the model, tombstones too.
void scene_expect_model(struct store *s, struct generator *g);
void scene_expect_verified(struct store *s, uint64_t errors);

#endif
