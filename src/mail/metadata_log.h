#ifndef MAIL_METADATA_LOG_H
#define MAIL_METADATA_LOG_H

// Keys of entries in META records. Only files of mail/ include this. In the home.

#include "mail/home.h"
#include "mail/metadata.h"

// "/shared/x" is "/shared/x", "/private/x" is "/private:0123456789abcdef/x" for this user.
struct span metadata_key(struct arena *a, uint64_t user, struct span name);
// The reverse; SPAN_NONE when the key is no entry of this user's or of all. Borrowed when shared.
struct span metadata_key_name(struct arena *a, uint64_t user, struct span key);
bool metadata_may(uint32_t rights);  // RFC 5464 section 3.3, but for l

// Puts records that give the entries of mailbox `from` to `to` too (RFC 5464 section 4.1, RENAME INBOX).
enum result metadata_put_copies(struct account *a, struct store_batch *b, uint64_t from,
                                uint64_t to, struct fault *f) MUST_CHECK;

#endif
