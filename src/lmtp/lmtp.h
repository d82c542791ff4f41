#ifndef LMTP_LMTP_H
#define LMTP_LMTP_H

// The LMTP server (RFC 2033): mail comes in from a trusted relay, one answer per recipient. PIPELINING, 8BITMIME, SMTPUTF8,
// CHUNKING, SIZE, ENHANCEDSTATUSCODES, DSN. Only CRLF.CRLF ends a message.
// Owner: a session owns itself and its connection until that ends. Threads: the loop it was started on.
// Trust: who may connect is decided before (lmtp_networks, the socket's mode); the bytes are the internet's.

#include "io/conn.h"
#include "mail/user.h"

struct lmtp_host {
    struct mail *mail;
    const char *hostname;
    // Suspends. Resolves a recipient. R_NONE: no such user. FAULT_UNAVAILABLE: try again later.
    enum result (*find_user)(void *arg, struct span address, uint64_t *account_out,
                             struct buf *user_out, struct buf *detail_out, struct fault *f);
    // Is the domain one of ours?
    bool (*is_local)(void *arg, struct span domain);
    bool policy_refuses_unknown;  // the policy service answers 550 to unknown users
    void *arg;
};

// Takes conn over; host and remote must outlive it (remote is copied).
void lmtp_session_start(struct conn *conn, const struct lmtp_host *host,
                        struct span remote);
void lmtp_session_drain(void);      // 421 to all sessions of this thread, between commands
unsigned lmtp_session_count(void);  // of this thread

#endif
