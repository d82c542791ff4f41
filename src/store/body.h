#ifndef STORE_BODY_H
#define STORE_BODY_H

// A body on its way in: the inside of store_body (store.h). In memory up to LIMIT_intake_inline, and while the
// intake budget lasts; otherwise whole frames go to a file data/bodies/xx/ID, and at most one stays in memory.
// A file that is put into a second batch gets a second name (a hard link), so each record owns one name.
// Owner: the task that receives the message; read by the journal thread during a commit.

#include "base/buf.h"
#include "store/layout.h"
#include "store/store.h"

#include <sys/uio.h>

struct journal;

// j NULL (engine mem): always in memory, never encoded.
struct store_body *body_new(struct journal *j);
// The octets as they were written, when the body is in memory; R_NONE when it is in a file.
enum result body_plain(const struct store_body *b, struct span *plain_out) MUST_CHECK;

// Fills the header's body fields for one record. Suspends when it must make a link.
enum result body_claim(struct store_body *b, struct record_header *h,
                       struct fault *f) MUST_CHECK;
void body_unclaim(struct store_body *b, const struct record_header *h);
enum { BODY_IOVS = 4 };                                     // at most
size_t body_iovs(struct store_body *b, struct iovec *iov);  // 0 when external

#endif
