#ifndef MAIL_ROWS_H
#define MAIL_ROWS_H

// Records about message rows, as changes make them. Only files of mail/ include this. In the home.

#include "mail/home.h"
#include "wire/seqset.h"

// Puts a COPIED record: rows as they will be in mailbox `id`.
void rows_put_copied(struct store_batch *b, uint64_t id,
                     const struct mailbox_counts *counts, struct span rows);
// Adds one row of `m` as it will be (pending flags), under a new UID and modseq, to a packed list; keyword
// numbers are those of the target.
void rows_add(struct buf *rows, const struct message_row *row, const struct row_flags *now,
              const uint32_t *keywords, size_t keyword_count);
// Counts a row in (sign 1) or out (sign -1).
void rows_count(struct mailbox_counts *c, const struct message_row *row, uint16_t flags,
                int sign);
// Puts an EXPUNGED (or MOVED) record for these UIDs, which pending_expunge already knows; counts are the mailbox's next.
void rows_put_expunged(struct account *a, struct store_batch *b, struct mailbox *m,
                       enum record_type type, const struct seqset *uids);
// The same for UIDs that nobody counted out yet, in a change that is alone in its batch. FAULT_LIMIT as change_room.
enum result rows_put_gone(struct account *a, struct store_batch *b, struct mailbox *m,
                          enum record_type type, const struct seqset *uids,
                          struct fault *f) MUST_CHECK;
// The row with this UID, which is there. Table loaded.
uint32_t rows_index(const struct mailbox *m, uint32_t uid);
// Puts copies of these rows (with pending flags) into another mailbox: names of keywords, then a COPIED record. R_NONE and
// FAULT_LIMIT as change_room. out: sets begun by the caller.
struct rows_copy {
    struct mailbox *from, *to;
    const uint32_t *rows;  // indices, ascending
    size_t n;
    bool first;  // the batch was empty
    uint32_t
        denied;  // rights on `to` that are missing: their flags are left out (RFC 4314 section 4)
};
struct copy_result;
enum result rows_copy(struct account *a, struct store_batch *b,
                      const struct rows_copy *what, struct copy_result *out,
                      struct fault *f) MUST_CHECK;
// Suspends (first use of the index of labels). Leaves out what the target holds already, by EMAILID.
enum result rows_not_held(struct account *a, struct rows_copy *c,
                          struct fault *f) MUST_CHECK;
// The rows (indices, ascending) go: RECORD_EXPUNGED, or RECORD_MOVED to another mailbox. Suspends.
void rows_put_away(struct account *a, struct store_batch *b, struct mailbox *m,
                   enum record_type type, const uint32_t *rows, size_t n);
// RENAME INBOX: all messages of m become messages 1..n of the new mailbox `target` (made in this batch).
// FAULT_LIMIT when they are too many.
enum result rows_move_all(struct account *a, struct store_batch *b, struct mailbox *m,
                          uint64_t target, struct fault *f) MUST_CHECK;

#endif
