#ifndef MANAGESIEVE_CAPABILITY_H
#define MANAGESIEVE_CAPABILITY_H

// The capabilities (RFC 5804 section 1.7), as they are told before and after login. Threads: any.

#include "base/buf.h"

struct managesieve_offer {
    struct span mechanisms;  // with spaces between; p NULL: not told
    struct span owner;       // who is logged in; p NULL: nobody
    bool starttls, unauthenticate;
    unsigned redirects;  // that one message may take
};

// Lines, without the OK behind them.
void managesieve_put_capabilities(struct buf *b, const struct managesieve_offer *o);

#endif
