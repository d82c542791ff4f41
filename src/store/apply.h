#ifndef STORE_APPLY_H
#define STORE_APPLY_H

// The fold: what one record does to an account, said once for live changes, replay, rebuild and verification.
// It writes through row operations with two targets: the state in memory (state.c) and an LMDB transaction
// (index_rows.c). Mechanical and deterministic: no clock, no randomness, no configuration.
// Idempotent: a row is touched only if row.modseq < record.modseq; headers and counts are absolute.
// Threads: those of the target.

#include "store/record.h"
#include "store/state.h"

// A mailbox's header as the targets keep it. Spans are borrowed until the next operation.
struct mailbox_row {
    uint64_t id, parent;
    struct span name;
    uint32_t uidvalidity;
    uint8_t special_use, flags;
    uint32_t recent_mark;
    uint64_t created_modseq, horizon;
    struct mailbox_counts counts;
};

struct account_row {
    struct span user;
    int64_t created_s;
    uint64_t modseq;
};

// What happens to the rows in some UID ranges whose modseq is lower than this one.
enum rows_edit_kind { EDIT_FLAGS, EDIT_EXPUNGE, EDIT_RESTORE, EDIT_OWN };
struct rows_edit {
    enum rows_edit_kind kind;
    uint64_t modseq;
    uint16_t flags;        // EDIT_FLAGS, EDIT_OWN
    uint16_t mask;         // EDIT_OWN: these flags alone, and the modseq stays
    struct span keywords;  // EDIT_FLAGS: packed list
    int64_t when_s;        // EDIT_EXPUNGE: the rows become tombstones
    bool moved;            // EDIT_EXPUNGE: by MOVE
};

// All return R_FAIL with the fault on trouble of the target's own; *_get R_NONE when there is nothing.
// `t` is the target.
struct store_rows {
    enum result (*account_get)(void *t, struct account_row *out, struct fault *f);
    enum result (*account_put)(void *t, const struct account_row *a, struct fault *f);
    enum result (*account_gone)(void *t, struct fault *f);
    enum result (*mailbox_get)(void *t, uint64_t id, struct mailbox_row *out,
                               struct fault *f);
    enum result (*mailbox_put)(void *t, const struct mailbox_row *m, struct fault *f);
    // The header goes; the rows stay as tombstones of that modseq.
    enum result (*mailbox_gone)(void *t, const struct record_mailbox_gone *g,
                                struct fault *f);
    // Ids of all mailboxes, in any order; the caller frees.
    enum result (*mailbox_ids)(void *t, uint64_t **ids_out, size_t *n_out, struct fault *f);
    enum result (*keyword_put)(void *t, const struct record_keyword *k, struct fault *f);
    // A new row, unless there is one of this UID.
    enum result (*row_add)(void *t, uint64_t mailbox, const struct record_row *row,
                           struct fault *f);
    enum result (*rows_edit)(void *t, uint64_t mailbox, struct span ranges,
                             const struct rows_edit *e, struct fault *f);
    enum result (*forget)(void *t, uint64_t mailbox, uint64_t up_to_modseq,
                          struct fault *f);
    enum result (*private_put)(void *t, const struct record_private *p, struct fault *f);
    enum result (*privates_put)(void *t, const struct record_privates *p,
                                const struct record_group *g, struct fault *f);
    // Of one user, or (0) of all; of messages in these ranges, or (none) of all, expunged ones too. buried: what others
    // than the owner have stays with the tombstones of this modseq; 0: nothing does.
    enum result (*privates_drop)(void *t, uint64_t mailbox, uint64_t user,
                                 struct span ranges, uint64_t buried, struct fault *f);
    enum result (*meta_put)(void *t, const struct record_meta *m, struct fault *f);
    enum result (*subscribe)(void *t, const struct record_subscribe *s, struct fault *f);
    // What goes with a new body: its cache and thread keys.
    enum result (*body_put)(void *t, uint64_t blob, const struct record_added *r,
                            struct fault *f);
};

// FAULT_CORRUPTION when the record is damaged. Records of a mailbox that is gone do nothing.
enum result apply_record(const struct store_rows *rows, void *t, enum record_type type,
                         struct span meta, struct record_place place,
                         struct fault *f) MUST_CHECK;

// The highest id (MAILBOXID, EMAILID, THREADID) that the record makes known, 0 when none; RESTORED adds to `id`.
uint64_t apply_max_id(enum record_type type, struct span meta, uint64_t id);

#endif
