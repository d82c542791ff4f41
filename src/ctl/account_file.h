#ifndef CTL_ACCOUNT_FILE_H
#define CTL_ACCOUNT_FILE_H

// The file posthorn-account of an export: what belongs to the account beside its mail. A head, then for each fact (ctl/parcel.h)
// a line of four netstrings: kind, mailbox, name, value. docs/moving-in.md.
// Trust: of a reader, any bytes; they are judged again where they are put in.

#include "ctl/parcel.h"

#define ACCOUNT_FILE "posthorn-account"

void account_file_head(struct buf *b);
void account_file_put(struct buf *b, const struct parcel_fact *fact);
// Takes the head off the front. FAULT_BAD: of another version, or no such file.
enum result account_file_open(struct span *rest, struct fault *f) MUST_CHECK;
// R_NONE: that was all.
enum result account_file_next(struct span *rest, struct parcel_fact *out,
                              struct fault *f) MUST_CHECK;

#endif
