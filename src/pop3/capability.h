#ifndef POP3_CAPABILITY_H
#define POP3_CAPABILITY_H

// The lines of CAPA (RFC 2449) that are the same before and after login, but for what differs by user.
// Includes floors 0 and 1 only.

#include "base/buf.h"

struct pop3_capability {
    bool before_login;
    uint32_t expire_days;    // the server's least; 0: it deletes nothing
    uint32_t login_delay_s;  // 0: none
};

void pop3_capability_put(struct buf *b, const struct pop3_capability *c);

#endif
