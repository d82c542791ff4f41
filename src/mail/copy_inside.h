#ifndef MAIL_COPY_INSIDE_H
#define MAIL_COPY_INSIDE_H

// Rows that are put into a mailbox of the account by COPY and MOVE, with the flags that they have there (copy_rows.c).
// Only copy*.c include this. Threads: the account's home, in a change.

#include "mail/change.h"
#include "mail/private.h"
#include "mail/rows.h"

// Rows on their way into a mailbox.
struct copying {
    struct mailbox *from, *to;  // from NULL: another account's
    uint8_t from_use;           // its special use then
    struct store_batch *batch;
    bool first;                  // the batch was empty
    struct keyword_names names;  // of the source's numbers
    uint32_t *map;               // source's number -> target's number + 1, where known
    struct message_row *rows;
    struct row_flags *flags;  // with the source's numbers, then with the target's
    size_t n;
    uint32_t denied;
    struct buf packed;
    // NULL: flags go into the rows as they are
    struct copying_for {
        const struct mailbox_ref *dest;
        const struct view
            *source;  // of the same account, or NULL: the flags are the user's already
        bool move;
        uint64_t user;
        size_t reserve;  // octets of records that follow in the batch
        const struct private_list
            *owners;  // what the target's owner has on them, by the source's UIDs; or NULL
        uint16_t *mine;  // of each row: flags that the user has in the target's set
        struct private_entry *entries;
        size_t count;
    } * by;
};

// Suspends. Puts the records of rows, flags and names of c; flags whose right is missing there are left out.
enum result copy_rows(struct account *a, struct copying *c, struct copy_result *out,
                      struct fault *f) MUST_CHECK;
// Suspends. The same for rows of a mailbox of the same account, as rows_copy; `by` as in copying.
enum result rows_copy_by(struct account *a, struct store_batch *b,
                         const struct rows_copy *what, struct copying_for *by,
                         struct copy_result *out, struct fault *f) MUST_CHECK;

#endif
