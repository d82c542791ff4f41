#ifndef MAIL_UNDELETE_INSIDE_H
#define MAIL_UNDELETE_INSIDE_H

// The inside of undelete. All runs in the account's home, in a task. Only files of mail/ include this.

#include "mail/home.h"
#include "mail/undelete.h"

// A deleted mailbox.
struct lost {
    UT_hash_handle hh, by_path;
    uint64_t id;
    const struct store_deleted_mailbox *d;
    struct lost *above;  // its parent was deleted too
    bool orphan;         // nobody knows its parent
    struct span old;     // full name
    // where it goes, once that is known: name, mailbox (0: it would be made)
    struct span to;
    uint64_t target;
    bool made;
};

// A mailbox with tombstones.
struct source {
    uint64_t mailbox;
    struct lost *lost;  // NULL: it is there
    struct span name;
};

struct undelete {
    struct account *account;
    struct undelete_wish wish;
    struct arena *arena;
    struct lost *by_id, *claimed;
    struct source *sources;
    size_t count, at;
};

// undelete_place.c
// Links the deleted mailboxes to their parents and names them. `list`: with `n` of them.
void undelete_link(struct undelete *u, struct lost *list, size_t n);
// Suspends. Finds or makes the mailbox where a deleted one goes.
enum result undelete_place(struct undelete *u, struct lost *x, struct fault *f) MUST_CHECK;
// The mailbox is forgotten: so is where it went.
void undelete_forget(struct account *a, struct store_batch *b, uint64_t mailbox,
                     uint64_t up_to_modseq);

// undelete_rows.c. Suspends. R_NONE: there was nothing to tell of.
enum result undelete_source(struct undelete *u, const struct source *s,
                            struct undelete_folder *out, struct fault *f) MUST_CHECK;

#endif
