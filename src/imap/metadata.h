#ifndef IMAP_METADATA_H
#define IMAP_METADATA_H

// METADATA responses with values (RFC 5464 section 4.4.1), for GETMETADATA and LIST RETURN (METADATA).
// Owner: the command.

#include "imap/session.h"
#include "mail/metadata.h"

struct imap_entry {
    struct span name;     // canonical
    struct span spelled;  // by the client
};
struct imap_entries {
    struct imap_entry *p;
    size_t n;
};

// "(entry ...)" or, alone allowed, one entry; `root`: also names that only have entries below them.
void imap_entries_parse(struct imap_command *c, bool root, bool alone,
                        struct imap_entries *out);

// The response under way; long ones become several.
struct imap_metadata {
    struct imap_session *session;
    struct span mailbox;
    bool open;
};
// octets: SPAN_NONE for NIL. Suspends.
void imap_metadata_put(struct imap_metadata *m, struct span entry, struct span octets);
void imap_metadata_end(struct imap_metadata *m);

#endif
