#ifndef STORE_HANDLE_H
#define STORE_HANDLE_H

// A handle is an open segment or body file with its checked header; pinned while in use, so that a file that
// was replaced or removed stays readable. The cache keeps at most HANDLES of them open.
// Threads: any; the cache has its own lock.

#include "store/layout.h"

#include <pthread.h>

enum handle_kind { HANDLE_SEGMENT = 1, HANDLE_BODY };

struct handle {
    enum handle_kind kind;
    uint64_t id;                    // segment number or body id
    int fd, table_fd;               // table_fd -1: the segment is not sealed
    uint64_t size;                  // when it was opened
    struct segment_header segment;  // of the kind that it is
    struct table_header table;
    struct body_header body;
    unsigned refs;  // the cache's own included
    uint64_t used;
};

enum { HANDLES = 128 };
struct handles {
    pthread_mutex_t lock;
    struct handle *slots[HANDLES];
    uint64_t clock;
};

void handles_init(struct handles *c);
void handles_done(struct handles *c);
// pinned once, owns fd
struct handle *handle_new(enum handle_kind kind, uint64_t id, int fd);
// NULL: not open
struct handle *handles_pin(struct handles *c, enum handle_kind kind, uint64_t id);
// puts it into the cache, unless its file is gone; the caller's pin stays
void handles_keep(struct handles *c, struct handle *h);
// after its file was removed or replaced
void handles_forget(struct handles *c, enum handle_kind kind, uint64_t id);
void handle_unpin(struct handles *c, struct handle **h);

#endif
