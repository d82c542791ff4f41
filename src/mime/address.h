#ifndef MIME_ADDRESS_H
#define MIME_ADDRESS_H

// Address lists (RFC 5322 section 3.4 and 4.4, RFC 6532) read tolerantly. Bounded by
// LIMIT_mime_addresses: the rest is left out. Linear, no recursion.
// Trust: none.
// Owner: the arena.

#include "base/arena.h"
#include "base/buf.h"

enum mime_address_kind { MIME_ADDRESS, MIME_GROUP_START, MIME_GROUP_END };

// Spans are unquoted and still RFC 2047 encoded; p is NULL where the part is missing (IMAP NIL).
struct mime_address {
    enum mime_address_kind kind;
    struct span name;     // display name, or a trailing comment
    struct span route;    // obsolete source route "@a,@b"
    struct span mailbox;  // local part; of MIME_GROUP_START the group's name
    struct span host;
    struct mime_address *next;
};

// NULL for an empty list.
struct mime_address *mime_address_parse(struct arena *a, struct span text);
// Mailbox and host, the local part between quotes where it needs some.
void mime_address_put(struct buf *b, const struct mime_address *a);

#endif
