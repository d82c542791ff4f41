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
// NULL: not there. It was offered: import_have_missing passes it over.
const struct message_row *import_have_row(struct import_have *h, uint32_t uid);
// Rows with UIDs up to `last` that were not offered, one after the other; *at begins with 0. NULL: there are no more.
const struct message_row *import_have_missing(const struct import_have *h, uint32_t last,
                                              size_t *at);
// Suspends: reads messages of that size. R_NONE: not there.
enum result import_have_octets(struct import_have *h, uint64_t size, struct span sha256,
                               struct fault *f) MUST_CHECK;
// The same, but any number of messages may be like that one.
enum result import_have_like(struct import_have *h, uint64_t size, struct span sha256,
                             const struct message_row **out, struct fault *f) MUST_CHECK;

#endif
