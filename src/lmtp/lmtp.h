#ifndef LMTP_LMTP_H
#define LMTP_LMTP_H

// The LMTP server (RFC 2033): mail comes in from a trusted relay, one answer per recipient. PIPELINING, 8BITMIME, SMTPUTF8,
// CHUNKING, SIZE, ENHANCEDSTATUSCODES, and where mail can be sent DSN (RFC 3461). Only CRLF.CRLF ends a message.
// Owner: a session owns itself and its connection until that ends. Threads: the loop it was started on, until it knows for whom
// a message is: then it goes to the loop of that account's home, where the message is written.
// Trust: who may connect is decided before (lmtp_networks, the socket's mode); the bytes are the internet's.

#include "io/conn.h"
#include "mail/user.h"

// Who gets what is sent to an address.
struct lmtp_target {
    uint64_t account;          // 0: it is elsewhere
    struct span name, detail;  // the user's; or the address
    uint64_t size_max;         // octets of a message; 0: as the server takes it
    struct span
        language;  // of the folders of an account that is yet to be made; empty: as the setting
};

struct lmtp_targets {
    struct lmtp_target *list;
    size_t n;
};

// What becomes of a message by what scanners say.
enum lmtp_fate { LMTP_DELIVER, LMTP_JUNK, LMTP_REFUSE, LMTP_QUARANTINE, LMTP_LATER };
struct lmtp_scan {
    bool wanted;           // is there a scanner?
    bool headers;          // messages get fields of what they said; others' are taken away
    bool defer;            // what one of them has not seen comes again
    enum lmtp_fate large;  // what is larger than a scanner sees
    enum lmtp_fate spam, surely, virus;
};

// All that takes `arg` suspends. FAULT_UNAVAILABLE: try again later.
struct filter_letter;
struct lmtp_host {
    struct mail *mail;
    const char *hostname;
    // R_NONE: there is nobody. `arriving`: LMTP has it, so forwards may have been followed already.
    enum result (*resolve)(void *arg, struct span address, bool arriving, struct arena *a,
                           struct lmtp_targets *out, struct fault *f);
    // What the transfer agent is to put in its place, and who may send as it: packed spans. R_NONE: nothing, nobody.
    enum result (*aliases)(void *arg, struct span address, struct buf *out,
                           struct fault *f);
    enum result (*senders)(void *arg, struct span address, struct buf *out,
                           struct fault *f);
    // R_NONE: not.
    enum result (*may_send)(void *arg, struct span user, struct span address,
                            struct fault *f);
    enum result (*is_local)(void *arg, struct span domain,
                            struct fault *f);  // R_NONE: not ours
    // The way to what is elsewhere (mail/filter.h): is there one? Durable when it is R_OK. NULL: none.
    bool (*can_send)(void *arg);
    enum result (*send)(void *arg, const struct filter_letter *l, struct fault *f);
    // The host of the thread that is the account's home; NULL: sessions stay where they are.
    const struct lmtp_host *(*at_home)(void *arg, uint64_t account);
    bool policy_refuses_unknown;  // the policy service answers 550 to unknown users
    bool policy_refuses_senders;  // and 553 to senders of others
    bool detail_off;              // a detail is no folder
    struct lmtp_scan scan;
    void *arg;
};

// Suspends. Would the target take a message of so many octets (0: nobody said), as its limits are now? FAULT_OVERQUOTA,
// FAULT_TOOBIG.
enum result lmtp_target_takes(const struct lmtp_host *host, const struct lmtp_target *t,
                              uint64_t octets, struct fault *f) MUST_CHECK;

// Takes conn over; host and remote must outlive it (remote is copied).
void lmtp_session_start(struct conn *conn, const struct lmtp_host *host,
                        struct span remote);
void lmtp_session_drain(void);      // 421 to all sessions of this thread, between commands
void lmtp_session_hurry(void);      // then: 421 to those that still wait for a text
unsigned lmtp_session_count(void);  // of all threads

#endif
