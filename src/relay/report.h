#ifndef RELAY_REPORT_H
#define RELAY_REPORT_H

// The text of a report to the sender of a mail (RFC 3464 in the form of RFC 6522; RFC 6533 where something is beyond ASCII): the queue
// makes them of what failed, is late or was passed on, LMTP of what arrived. Pure.
// Trust: addresses were checked (relay/envelope.h), replies are printable; the original may be any octets.

#include "base/buf.h"

enum report_action {
    REPORT_FAILED,
    REPORT_DELAYED,
    REPORT_RELAYED,    // to a server that does not tell
    REPORT_DELIVERED,  // into a mailbox here
    REPORT_EXPANDED,   // an address here leads to several, of which some are elsewhere
    REPORT_ACTIONS
};

struct report_recipient {
    struct span address, orcpt;  // as struct relay_recipient has them
    struct span status;          // "5.1.1"; its class goes by the action
    struct span reply;           // why; empty: there is nothing to say
    uint16_t code;               // of the smarthost's reply; 0: it is none of its
    bool expired;
};

struct report {
    uint8_t action;  // enum report_action: of all of them
    const char *hostname, *smarthost;
    struct span to;     // the sender, as SMTP writes addresses
    struct span envid;  // not in xtext; empty: none
    int64_t arrived_s, now_s;
    int64_t retry_until_s;  // with REPORT_DELAYED
    int64_t deliver_by_s;   // 0: there is no deadline
    int64_t hold_until_s;   // 0: its sender did not ask for that
    const struct report_recipient *recipients;
    size_t n;
    struct span original;  // the whole text, or its header
    bool whole;
};

void report_put(struct buf *out, const struct report *r);

#endif
