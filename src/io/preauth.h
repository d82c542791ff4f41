#ifndef IO_PREAUTH_H
#define IO_PREAUTH_H

// A preauth machine is what a service says before login: greeting, capabilities, STARTTLS, the login
// commands. It does no I/O: the gate feeds it the connection's unread bytes and carries out what it asks.
// One implementation per protocol (imap/preauth.c, later pop3, managesieve), found by its service row.
// Owner: the gate's connection, also of the facts. Trust: input is raw bytes from strangers; a machine
// keeps no input but a tag and at most LIMIT_client_id octets of ID data. Threads: one.
//
// The gate's loop:   while (state == PREAUTH_READING && (n = input(m, conn_input)) > 0) conn_consume(n);
// PREAUTH_WAITING: an authentication or the TLS handshake is under way; the gate stops reading and leaves
// unread bytes alone. PREAUTH_DONE: AUTH_OK arrived, hand over with tag, client_id and the unread bytes.
// PREAUTH_CLOSED: close_after_output was asked for; feed nothing more.

#include "io/message.h"

enum preauth_state { PREAUTH_READING, PREAUTH_WAITING, PREAUTH_DONE, PREAUTH_CLOSED };

// Facts of the connection, kept by the gate and true at every call; it changes them when TLS started.
struct preauth_facts {
    bool tls;             // the connection is encrypted now
    bool can_starttls;    // there is a certificate (ignored when tls)
    bool certificate;     // the client has shown one that was verified
    bool plaintext_auth;  // passwords are accepted without TLS
    bool secure;          // without TLS here, but a trusted proxy has it
    bool trusted;         // the peer's ID tells for whom it speaks (wire/client_id.h)
    bool
        shed_background;  // background downloads are refused while overloaded (wire/client_id.h)
    uint32_t expire_days, login_delay_s;  // POP3: as CAPA tells them; 0: none
    unsigned redirects;    // ManageSieve: that a script may do for one message
    const char *hostname;  // submission greets with it
    uint64_t message_size_max;
    // SASL mechanisms in order of preference, separated by spaces (auth_offer)
    struct span mechanisms;
};

static inline bool
preauth_is_encrypted(const struct preauth_facts *f)
{
    return f->tls || f->secure;
}
static inline bool
preauth_may_log_in(const struct preauth_facts *f)
{
    return preauth_is_encrypted(f) || f->plaintext_auth;
}
static inline bool
preauth_may_start_tls(const struct preauth_facts *f)
{
    return f->can_starttls && !preauth_is_encrypted(f);
}
// Of the mechanisms those that work here, each with this before and behind it: channel binding needs a channel, EXTERNAL a
// certificate.
void preauth_put_mechanisms(const struct preauth_facts *f, struct buf *b,
                            const char *before, const char *behind);
// Why an exchange ends by this reply, where only a refusal was to be expected.
static inline enum fault_kind
preauth_fault(const struct auth_reply *r)
{
    return r->verdict == AUTH_REFUSED ? r->fault : FAULT_SERVERBUG;
}

// What a machine asks of the gate. Spans live during the call only. None of them calls the machine back
// before it has returned.
struct preauth_ops {
    void (*write)(void *gate, struct span s);
    // Send what is queued, then handshake, then call tls_started. Bytes that the gate has read or reads
    // before the client's first TLS record of this handshake end the connection: if conn_input is not empty
    // (after consuming) close at once, never pass it on (STARTTLS injection).
    void (*start_tls)(void *gate);
    // Begin an exchange. The machine fills mechanism, has_initial, initial, user and password; the gate
    // the rest of the message. Answer later by auth_reply.
    void (*authenticate)(void *gate, const struct auth_start *start);
    void (*auth_step)(void *gate, struct span response);  // answer later by auth_reply
    void (*auth_abort)(void *gate);          // the exchange is forgotten; no answer comes
    void (*close_after_output)(void *gate);  // send what is queued, then close
    // The peer, which is trusted, speaks for another; fields that are empty say nothing.
    void (*speaks_for)(void *gate, struct span remote, struct span local,
                       struct span session);
};

enum preauth_end { PREAUTH_END_TIMEOUT, PREAUTH_END_DRAIN, PREAUTH_END_CROWDED };

struct preauth;

// One row per protocol.
struct preauth_service {
    const char *name;  // "imap"; also the service of auth_start and handover
    const char *alpn;  // RFC 7301 protocol id, "imap"
    size_t input_max;  // conn_input_max while this machine reads: its longest command

    struct preauth *(*open)(const struct preauth_facts *facts,
                            const struct preauth_ops *ops, void *gate);
    void (*free)(struct preauth **m);  // sends nothing; aborting an exchange is the gate's
    // once, when the connection (implicit TLS: the handshake) is there
    void (*greet)(struct preauth *m);
    size_t (*input)(struct preauth *m, struct span in);  // consumed octets; 0: needs more
    // facts->tls is true now; all earlier state is forgotten
    void (*tls_started)(struct preauth *m);
    // Expected while PREAUTH_WAITING; a refusal may come while the client has the word, too (auth is gone).
    void (*auth_reply)(struct preauth *m, const struct auth_reply *reply);
    // says the goodbye of the protocol and closes
    void (*end)(struct preauth *m, enum preauth_end why);
    enum preauth_state (*state)(const struct preauth *m);
    // What the protocol has of tag, client_id (no control characters), language, mode and offered, into an empty hand-over;
    // the spans stay until the machine's next call.
    void (*tell)(const struct preauth *m, struct handover *out);
};

#endif
