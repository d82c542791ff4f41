#ifndef SUBMISSION_CAPABILITY_H
#define SUBMISSION_CAPABILITY_H

// The answer to EHLO (RFC 5321 section 4.1.1.1), which is the same before and after login but for STARTTLS, AUTH and the server of
// BURL, so that clients need not ask again after AUTH (RFC 4954 section 4). Includes floors 0 and 1 only.

#include "base/buf.h"

struct submission_offer {
    const char *hostname;
    uint64_t size_max;  // octets of a message
    int64_t now_s;
    bool starttls;
    bool own_urls;           // URLs of BURL without URLAUTH, too (RFC 4468 section 3.3)
    struct span mechanisms;  // " PLAIN LOGIN"; empty: none
};

void submission_capability_put(struct buf *b, const struct submission_offer *o);

// A name that EHLO may give: printable, in one word, at most 255 octets. Others are refused.
enum { SUBMISSION_CLIENT_MAX = 255 };
bool submission_is_client(struct span name);

#endif
