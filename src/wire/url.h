#ifndef WIRE_URL_H
#define WIRE_URL_H

// The IMAP URL of one message or a part of it (RFC 5092 section 11, ;PARTIAL= too), relative to the own server:
// "/Drafts;UIDVALIDITY=7/;UID=20/;SECTION=1.2/;PARTIAL=0.1024", or without a mailbox, ";UID=20", for the selected one.
// URLs of servers, mailboxes and searches, with a scheme or a host, are refused.
// Owner: the arena. Trust: any octets.

#include "wire/parse.h"

struct url {
    struct span mailbox;   // decoded, UTF-8; SPAN_NONE: the selected one
    uint32_t uidvalidity;  // 0: any
    uint32_t uid;
    struct section section;  // SECTION_ALL when there is none
    bool has_partial;
    uint64_t at, count;  // UINT64_MAX: to the end
};

// FAULT_BAD.
enum result url_parse(struct span text, struct arena *a, struct url *out,
                      struct fault *f) MUST_CHECK;

// The text as it may stand in a response code (RFC 4469 section 5, url-resp-text): what may not is %-encoded.
void url_put_safe(struct buf *b, struct span text);

#endif
