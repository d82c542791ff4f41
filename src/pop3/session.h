#ifndef POP3_SESSION_H
#define POP3_SESSION_H

// A POP3 session after login, the TRANSACTION and UPDATE states (RFC 1939): INBOX as it was at login (mail/maildrop.h). Between
// commands it owns no task and no buffers, but for one message that was read ahead. Commands run one after the other in the order
// they came, pipelined ones too.
// QUIT deletes, in one commit, and answers when that is on disk; a session that ends otherwise deletes nothing.
// Owner: itself, from pop3_session_start until the connection ends. Threads: its connection's loop. Trust: all input is from
// the peer; a command has LIMIT_pop3_line octets at most.

#include "io/conn.h"
#include "io/message.h"
#include "io/served.h"
#include "mail/maildrop.h"

struct pop3_session;

// What a session asks of who started it.
struct pop3_host {
    struct maildrop_policy policy;
    uint32_t login_delay_s;  // as CAPA tells; 0: none
    uint32_t idle_ms;        // LIMIT_pop3_idle_ms, or less in tests; 0: this
    // The session is there, before anything is said; it has ended, its connection may go on for a moment.
    void (*started)(void *arg, struct pop3_session *s);
    void (*ended)(void *arg);
    void *arg;
};

// Takes conn and user over. Suspends. Answers PASS or AUTH, when the maildrop is open or cannot be opened, and goes on with the
// unread bytes of the hand-over.
void pop3_session_start(struct conn *conn, struct mail_user *user, const struct handover *h,
                        const struct pop3_host *host);
// Answers PASS or AUTH: there is no session.
void pop3_refuse(struct conn *conn, const struct handover *h, const struct fault *f);
void pop3_session_drain(void);  // ends all sessions of this thread, between commands

extern const struct served_ops pop3_served;

#endif
