#ifndef CTL_IMPORT_HAVE_H
#define CTL_IMPORT_HAVE_H

// What a mailbox held when its import began, so that a second run adds only what is missing. A message is there when one
// of its UID and internal date is, or (UIDs not kept) one with the same octets; each message there stands for one only.
// Owner: import_have_load .. import_have_free.

#include "mail/user.h"

struct import_have;

// Suspends.
enum result import_have_load(const struct mailbox_ref *ref, struct import_have **out,
                             struct fault *f) MUST_CHECK;
void import_have_free(struct import_have **h);
size_t import_have_count(const struct import_have *h);
bool import_have_uid(struct import_have *h, uint32_t uid, int64_t date);
// NULL: not there.
const struct message_row *import_have_row(const struct import_have *h, uint32_t uid);
// Suspends: reads messages of that size. R_NONE: not there.
enum result import_have_octets(struct import_have *h, uint64_t size, struct span sha256,
                               struct fault *f) MUST_CHECK;

#endif
