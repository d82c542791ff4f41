#ifndef RELAY_RELAY_H
#define RELAY_RELAY_H

// The relay sends mail out through the smarthost of the setting `relay_host`. Who has something to send hands it over
// here. When that returned R_OK the mail is in the queue on disk, file and folder synced, and all that becomes of it
// - tries, delays, the report to its sender - is the relay's.
// Trust: addresses and text may be any octets; what SMTP could not carry, or would read as a command, is refused.
// Threads: those that relay_link_open was called on (mail's homes).

#include "base/arena.h"
#include "base/buf.h"

// When the sender is told (RFC 3461 section 4.1): bits; 0: it was not said.
enum relay_notify {
    RELAY_NOTIFY_NEVER = 1,
    RELAY_NOTIFY_SUCCESS = 2,
    RELAY_NOTIFY_FAILURE = 4,
    RELAY_NOTIFY_DELAY = 8,
    RELAY_NOTIFY_ALL = 15,
};
// How much of the message a report has (RFC 3461 section 4.3).
enum relay_ret { RELAY_RET_UNSAID, RELAY_RET_FULL, RELAY_RET_HDRS };
// What the sender said of the text (RFC 6152, RFC 3030). What it is the relay sees for itself.
enum relay_body { RELAY_BODY_7BIT, RELAY_BODY_8BITMIME, RELAY_BODY_BINARYMIME };
// DELIVERBY (RFC 2852): where the deadline passes, the mail comes back, or the sender is told and it goes on.
enum relay_by { RELAY_BY_UNSAID, RELAY_BY_RETURN, RELAY_BY_NOTIFY };

struct relay_recipient {
    // As RCPT TO has it between its angle brackets: local@domain, quoted where it must be (base/quoted.h).
    struct span address;
    uint8_t notify;     // enum relay_notify
    struct span orcpt;  // "rfc822;ann@example.org", not in xtext; empty: none
};

struct relay_envelope {
    struct span
        from;  // as MAIL FROM has it between its brackets; empty: <>, of whom nothing is ever reported
    const struct relay_recipient *to;
    size_t to_count;
    uint8_t ret;        // enum relay_ret
    struct span envid;  // not in xtext; empty: none
    uint8_t by_mode;    // enum relay_by
    bool by_trace;
    int64_t by_s;          // the deadline, by the wall clock
    int64_t hold_until_s;  // not tried before (FUTURERELEASE, RFC 4865); 0: at once
    uint8_t body;          // enum relay_body
    bool
        smtputf8;  // the header is of RFC 6532; addresses that need SMTPUTF8 are seen anyway
    struct span
        why;  // for the log and `posthorn queue`: "redirect", "vacation", "submission"
    struct span owner;  // the user whose doing it is; empty: nobody's
    bool
        returning;  // a report of the relay's own: to a local mailbox, if `from` of what it tells of is here
};

// The whole message, from its header on, in either form; lines may end with CRLF or LF.
struct relay_text {
    struct span text;  // where fd is -1
    int fd;            // something that can be read at an offset; it stays the caller's
    uint64_t at, size;
};

// Is there a smarthost? Where not, relay_hand_over answers FAULT_CANNOT.
bool relay_is_set(void);

// Suspends. The mail is one queue entry, however many recipients it has. *id_out (may be NULL) is its name in the log and
// in `posthorn queue list`.
// FAULT_CANNOT: no smarthost is set. FAULT_BAD: an address or parameter cannot be sent. FAULT_TOOMANY recipients,
// FAULT_TOOBIG. FAULT_LIMIT: the queue is full; FAULT_DISK, FAULT_UNAVAILABLE (the role is away): try again later.
enum result relay_hand_over(const struct relay_envelope *e, const struct relay_text *text,
                            uint64_t *id_out, struct fault *f) MUST_CHECK;

// R_FAIL (FAULT_BAD): no address that SMTP could carry, as struct relay_recipient has it.
enum result relay_address_check(struct span address, struct fault *f) MUST_CHECK;

#endif
