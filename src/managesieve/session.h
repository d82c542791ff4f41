#ifndef MANAGESIEVE_SESSION_H
#define MANAGESIEVE_SESSION_H

// A logged-in ManageSieve connection (RFC 5804): a user puts, reads and activates Sieve scripts (mail/script.h). Between
// commands it owns no task, no arena and no buffers; commands run one after the other in the order they came.
// Owner: itself, from managesieve_session_start until the connection ends or goes back to the host. Threads: its
// connection's loop. Trust: all input is from the peer; caps in managesieve/grammar.h and limits.def.

#include "io/conn.h"
#include "io/message.h"
#include "io/served.h"
#include "mail/user.h"

// What a session asks of who started it.
struct managesieve_host {
    // Takes a connection, whose output is sent, back to where it was before login. NULL: this is not done here.
    void (*give_back)(struct conn **conn, void *arg);
    bool (*can_give_back)(void *arg);
    // The session is there, before anything is said; it has ended, its connection may go on for a moment. NULL: nobody asks.
    void (*started)(void *arg, void *session);
    void (*ended)(void *arg);
    void *arg;
    uint32_t idle_ms;    // LIMIT_idle_ms, or less in tests; 0: this
    unsigned redirects;  // that one message may take
    bool read_only;      // it may change nothing at all
};

// Takes conn and user over. Suspends. Answers the AUTHENTICATE command, and goes on with the unread bytes.
void managesieve_session_start(struct conn *conn, struct mail_user *user,
                               const struct handover *h,
                               const struct managesieve_host *host);
// The answer of a login that came to nothing; the caller ends the connection.
void managesieve_refuse(struct conn *conn, const struct handover *h, const struct fault *f);
void
managesieve_session_drain(void);  // BYE to all sessions of this thread, between commands
unsigned managesieve_session_count(void);  // of this thread
extern const struct served_ops managesieve_served;

#endif
