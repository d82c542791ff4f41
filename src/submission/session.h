#ifndef SUBMISSION_SESSION_H
#define SUBMISSION_SESSION_H

// A submission session after login (RFC 6409): mail of a user of ours to the world, through the relay. DATA and the last BDAT are
// answered 250 when the mail is in the relay's queue on disk (relay/relay.h); a text that is not whole, or refused, leaves nothing.
// Between commands it owns no task. Commands run one after the other in the order they came, pipelined ones too.
// Owner: itself, from submission_session_start until the connection ends. Threads: its connection's loop.
// Trust: all input is from the peer, who is a user: senders, sizes and counts are checked.

#include "io/conn.h"
#include "io/message.h"
#include "io/served.h"
#include "mail/intake.h"
#include "mail/url.h"
#include "relay/relay.h"

struct submission_session;

// The text of a mail: a header of its own, then what the intake has from `at` on.
struct submission_letter {
    struct span head;
    const struct intake *body;
    uint64_t at;
};

// What a session asks of who started it. All but started, ended, may_go_on and was_not_sent suspend, and answer FAULT_UNAVAILABLE when it cannot be said now.
struct submission_host {
    struct mail *mail;
    const char *hostname;
    struct span domain;  // of <postmaster> without one
    // May the session's user send as this address ("local@domain")? R_NONE: not.
    enum result (*may_send)(void *arg, struct span address, struct fault *f);
    // R_NONE: a domain of ours, in which there is no such address.
    enum result (*is_somebody)(void *arg, struct span address, struct fault *f);
    enum result (*is_local)(void *arg, struct span domain, struct fault *f);
    // May they send one more mail, to so many recipients? FAULT_TOOSOON: not now. `sending`: it counts from now on, unless was_not_sent.
    enum result (*may_go_on)(void *arg, size_t recipients, bool sending, struct fault *f);
    void (*was_not_sent)(void *arg, size_t recipients);
    enum result (*send)(void *arg, const struct relay_envelope *e,
                        const struct submission_letter *letter, uint64_t *id_out,
                        struct fault *f);
    const struct mail_url_users *users;  // of URLs (BURL, RFC 4468); their `arg` is this
    // The password is for IMAP as well: URLs of the user's own mail need no URLAUTH.
    bool own_urls;
    bool read_only;     // the password may only read
    bool tells_client;  // Received has the client's name and address
    uint32_t idle_ms;   // LIMIT_submission_ms, or less in tests; 0: this
    // The session is there, before anything is said; it has ended, its connection may go on for a moment.
    void (*started)(void *arg, struct submission_session *s);
    void (*ended)(void *arg);
    void *arg;
};

// Takes conn and user over. Suspends. Answers AUTH, and goes on with the unread bytes of the hand-over.
void submission_session_start(struct conn *conn, struct mail_user *user,
                              const struct handover *h, const struct submission_host *host);
// Answers AUTH: there is no session.
void submission_refuse(struct conn *conn, const struct handover *h, const struct fault *f);
void
submission_session_drain(void);  // 421 to all sessions of this thread, between commands
void submission_session_hurry(void);  // then: 421 to those that still wait for a text

extern const struct served_ops submission_served;

#endif
