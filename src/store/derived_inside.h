#ifndef STORE_DERIVED_INSIDE_H
#define STORE_DERIVED_INSIDE_H

// An engine's part of derived strings: derived_files.c keeps them as files, derived_mem.c in memory; derived.c is what
// both share. Contracts: those of derived.h.

#include "base/buf.h"
#include "store/derived.h"
#include "store/engine.h"

// What one writer keeps in memory before it writes, octets.
enum { DERIVED_FRAME = 16384, DERIVED_PIECE = 16 * DERIVED_FRAME };

struct derived_writer {
    struct derived_writer *next, **prev;  // files: of those at work
    struct store *store;
    uint64_t account;
    char name[DERIVED_NAME + 1];
    struct buf plain;  // not written yet
    uint64_t size;
    // files
    uint64_t id, frames;
    int folder_fd, fd;
};

struct derived {
    struct store *store;
    uint64_t account, size;
    char name[DERIVED_NAME + 1];
    // files
    uint64_t id;
    uint32_t frame, key_id;
    const struct codec *codec;
    int fd;
    // mem
    struct mem_string *string;
};

struct derived_engine {
    // Around the life of an open store; a failure is that of each call below.
    void (*start)(struct store *s);
    void (*stop)(struct store *s);
    enum result (*create)(struct derived_writer *w, struct fault *f);
    // Whole frames of w->plain, or all of it when `last`.
    enum result (*write)(struct derived_writer *w, bool last, struct fault *f);
    enum result (*commit)(struct derived_writer *w, struct fault *f);
    void (*end)(struct derived_writer *w);  // also after a commit
    enum result (*open)(struct derived *d, struct fault *f);
    enum result (*read)(struct derived *d, uint64_t offset, char *dst, size_t n,
                        struct fault *f);
    void (*close)(struct derived *d);
    enum result (*remove)(struct store *s, uint64_t account, const char *name,
                          struct fault *f);
    enum result (*list)(struct store *s, uint64_t account, struct derived_list *out,
                        struct fault *f);
    // The list is allocated for the caller, who frees it.
    enum result (*accounts)(struct store *s, uint64_t **ids_out, size_t *n_out,
                            struct fault *f);
    enum result (*clear)(struct store *s, uint64_t account, struct fault *f);
    enum result (*clear_all)(struct store *s, struct fault *f);
};

bool derived_name_good(const char *name);
int derived_entry_compare(const void *a, const void *b);

#endif
