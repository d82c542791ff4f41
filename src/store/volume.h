#ifndef STORE_VOLUME_H
#define STORE_VOLUME_H

// The volume: what all parts of the journal share of the data directory: its folders, codec, pool, ids.
// Owner: struct journal. Threads: any after opening.

#include "store/codec.h"
#include "store/disk.h"

#include <stdatomic.h>

struct pool;
struct journal;

struct volume {
    int journal_fd, bodies_fd;  // folders data/journal and data/bodies
    const struct codec *codec;
    bool compress;    // bodies that come from now on
    bool compressed;  // there may be some
    struct pool *pool;
    _Atomic uint64_t last_id;
    atomic_bool folders[256];  // data/bodies/xx is known to be durable
};

enum result volume_open(struct volume *v, const char *path, const struct codec *codec,
                        struct pool *pool, struct fault *f) MUST_CHECK;
void volume_close(struct volume *v);
struct volume *journal_volume(struct journal *j);

uint64_t
volume_id_next(struct volume *v);  // names bodies and metadata: unique with near certainty
// Suspends. fn(arg) on the pool; inline without one.
void volume_run(struct volume *v, void (*fn)(void *arg), void *arg);

enum { VOLUME_NAME = 32 };
// "xx/ID" in data/bodies.
void volume_body_name(char name[VOLUME_NAME], uint64_t id);
// Syncs the folder that holds this body.
enum result volume_body_sync(struct volume *v, uint64_t id, struct fault *f) MUST_CHECK;
// Makes a new file for this id, and its folder when missing.
enum result volume_body_create(struct volume *v, uint64_t id, int *fd_out,
                               struct fault *f) MUST_CHECK;
// A second name for the same file, durable.
enum result volume_body_link(struct volume *v, uint64_t from, uint64_t to,
                             struct fault *f) MUST_CHECK;
void volume_body_unlink(struct volume *v, uint64_t id);

#endif
