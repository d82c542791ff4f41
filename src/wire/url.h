#ifndef WIRE_URL_H
#define WIRE_URL_H

// The IMAP URL of one message or a part of it (RFC 5092 section 11, ;PARTIAL= too), relative to the own server:
// "/Drafts;UIDVALIDITY=7/;UID=20/;SECTION=1.2/;PARTIAL=0.1024", or without a mailbox, ";UID=20", for the selected one; or
// with a server, "imap://ann@example.org/Drafts/;UID=20", and then perhaps with what authorises it (RFC 4467 section 9):
// ";EXPIRE=2026-01-31T12:00:00Z;URLAUTH=user+bob:internal:TOKEN". URLs of servers, mailboxes and searches are refused.
// Owner: the arena. Trust: any octets.

#include "wire/parse.h"

enum url_access {
    URL_ACCESS_NONE,  // no URLAUTH
    URL_ACCESS_SUBMIT,
    URL_ACCESS_USER,
    URL_ACCESS_AUTHUSER,
    URL_ACCESS_ANONYMOUS
};

struct url_auth {
    enum url_access access;
    struct span user;  // of SUBMIT and USER, decoded
    bool has_expire;
    int64_t expire_s;
    struct span rump;              // the URL as it came up to the access identifier
    struct span mechanism, token;  // SPAN_NONE: the URL is a rump
};

struct url {
    // of a URL with a scheme; the host as it came
    struct span user, host;  // SPAN_NONE: not given
    uint16_t port;           // 0: not given
    struct span mailbox;     // decoded, UTF-8; SPAN_NONE: the selected one
    uint32_t uidvalidity;    // 0: any
    uint32_t uid;
    struct section section;  // SECTION_ALL when there is none
    bool has_partial;
    uint64_t at, count;  // UINT64_MAX: to the end
    struct url_auth auth;
};

// FAULT_BAD.
enum result url_parse(struct span text, struct arena *a, struct url *out,
                      struct fault *f) MUST_CHECK;

// The text as it may stand in a response code (RFC 4469 section 5, url-resp-text): what may not is %-encoded.
void url_put_safe(struct buf *b, struct span text);

// Text of any kind for who looks on, without the tokens of URLs in it, which would let anybody in.
void url_put_masked(struct buf *b, struct span text);

#endif
