#ifndef MAIL_SELECT_H
#define MAIL_SELECT_H

// The messages a change addresses, resolved in the home when the change runs. Only files of mail/ include this.

#include "mail/change.h"
#include "mail/rows.h"

// Rows of the view's mailbox named by the set that still exist and are not about to be expunged. Indices into
// the table, ascending. Suspends: in the commit task, or between mailbox_read_begin and _end.
void select_rows(const struct selection *sel, struct arena *a, uint32_t **rows_out,
                 size_t *n_out);
// RFC 2180 section 4.4.1: FAULT_EXPUNGEISSUED when a number of the set stands for an expunged message; n: rows found.
enum result select_complete(const struct selection *sel, size_t n, struct fault *f);
// The message as the view shows it.
void select_message(struct view *v, uint32_t row, struct view_message *out);
// What a change addressed: UIDs, ascending.
struct addressed {
    uint32_t *uids;
    size_t count;
    uint32_t *modified;  // failed UNCHANGEDSINCE
    size_t modified_count;
};
// Those that are still there, as they are after the commit. Suspends.
enum result select_result(struct view *v, const struct addressed *m, struct arena *a,
                          struct flag_result *out, struct fault *f) MUST_CHECK;
// R_NONE when an earlier change of this batch touches too many rows of the mailbox.
enum result select_ready(struct account *a, struct mailbox *m);
void select_touched(struct mailbox *m, size_t n);
// The UIDs are gone for later changes of this batch.
void expunge_pending(struct account *a, struct mailbox *m, const struct seqset *uids);

#endif
