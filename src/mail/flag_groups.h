#ifndef MAIL_FLAG_GROUPS_H
#define MAIL_FLAG_GROUPS_H

// A FLAGS record while it is made: rows with the same outcome become one group. Only files of mail/ include this.
// Owner: a change. Threads: the account's home.

#include "mail/home.h"

struct flag_groups {
    struct buf groups;
    // the open group
    uint16_t flags;
    const uint32_t *keywords;
    size_t keyword_count;
    struct buf ranges;
    uint32_t first, last;  // its open range; first = 0: none
    uint32_t last_index;
    size_t touched;
};

void flag_groups_init(struct flag_groups *g);
void flag_groups_done(struct flag_groups *g);
// A row, by its index in the table, and what it will have; rows ascend. The keywords are borrowed until the next call.
void flag_groups_add(struct flag_groups *g, uint32_t index, uint32_t uid,
                     const struct row_flags *now);
// The counts follow a row.
void flag_groups_recount(struct mailbox_counts *c, uint16_t before, uint16_t after);
// Puts the record, with the mailbox's next counts and a fresh modseq; nothing when no row was added. R_NONE and
// FAULT_LIMIT as change_room.
enum result flag_groups_put(struct account *a, struct store_batch *b, struct mailbox *m,
                            struct flag_groups *g, bool first, struct fault *f) MUST_CHECK;
bool flag_same_keywords(const uint32_t *a, size_t na, const uint32_t *b, size_t nb);
bool flag_has_keyword(const struct row_flags *now, uint32_t number);
// It must not be so already. In the arena of the batch.
void flag_toggle_keyword(struct account *a, struct row_flags *now, uint32_t number,
                         bool on);

#endif
