#ifndef PREAUTH_PREAUTH_H
#define PREAUTH_PREAUTH_H

// A preauth machine is what a service says before login: greeting, capabilities, STARTTLS, the login
// commands. It does no I/O: the gate feeds it the connection's unread bytes and carries out what it asks.
// What all protocols share - the states, SASL exchanges, TLS, bad commands, goodbyes - is preauth.c; a protocol adds its words
// and its commands (imap/preauth.c and so on), found by its service row.
// Owner: the gate's connection, also of the facts. Trust: input is raw bytes from strangers; a machine
// keeps no input but a tag and at most LIMIT_client_id octets of ID data. Threads: one.
//
// The gate's loop:   while (m->state == PREAUTH_READING && (n = input(m, conn_input)) > 0) conn_consume(n);
// PREAUTH_WAITING: an authentication or the TLS handshake is under way; the gate stops reading and leaves
// unread bytes alone. PREAUTH_DONE: AUTH_OK arrived, hand over with tag, client_id and the unread bytes.
// PREAUTH_CLOSED: close_after_output was asked for; feed nothing more.

#include "io/message.h"

enum preauth_state { PREAUTH_READING, PREAUTH_WAITING, PREAUTH_DONE, PREAUTH_CLOSED };

// Facts of the connection, kept by the gate and true at every call; it changes them when TLS started.
struct preauth_facts {
    bool tls;             // the connection is encrypted now
    bool unbound;         // but there is nothing in it that a channel could be bound to
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

// What a machine asks of the gate. Spans live during the call only. None of them calls the machine back
// before it has returned.
struct preauth_ops {
    void (*write)(void *gate, struct span s);
    // Send what is queued, then handshake, then call preauth_tls_started. Bytes that the gate has read or reads
    // before the client's first TLS record of this handshake end the connection: if conn_input is not empty
    // (after consuming) close at once, never pass it on (STARTTLS injection).
    void (*start_tls)(void *gate);
    // Begin an exchange. The machine fills mechanism, has_initial, initial, user and password; the gate
    // the rest of the message. Answer later by preauth_auth_reply.
    void (*authenticate)(void *gate, const struct auth_start *start);
    void (*auth_step)(void *gate, struct span response);  // answer as above
    void (*auth_abort)(void *gate);          // the exchange is forgotten; no answer comes
    void (*close_after_output)(void *gate);  // send what is queued, then close
    // The peer, which is trusted, speaks for another; fields that are empty say nothing.
    void (*speaks_for)(void *gate, struct span remote, struct span local,
                       struct span session);
};

enum preauth_end {
    PREAUTH_END_TIMEOUT,
    PREAUTH_END_DRAIN,
    PREAUTH_END_CROWDED,
    PREAUTH_END_BAD  // the last of LIMIT_bad_preauth bad commands
};

// First member of each protocol's machine.
struct preauth {
    const struct preauth_service *service;
    const struct preauth_facts *facts;
    const struct preauth_ops *ops;
    void *gate;
    enum preauth_state state;
    bool in_sasl;  // the next line is a SASL response
    bool is_lost;  // and there is no exchange any more
    enum fault_kind lost_to;
    bool
        is_password;  // the exchange under way is a name and a password: there are no challenges
    unsigned bad;
};

// One row per protocol.
struct preauth_service {
    const char *name;  // "imap"; also the service of auth_start and handover
    const char *alpn;  // RFC 7301 protocol id, "imap"
    size_t input_max;  // conn_input_max while this machine reads: its longest command
    size_t size;       // of its machine
    bool
        sasl_strings;  // SASL's data are strings: an empty one is an empty response, and the last may come with the OK
    const struct fault_words *refusals;  // how a login is refused; the last for all others
    size_t refusal_count;

    void (*init)(struct preauth *m);  // what is its own, which is zero
    void (*done)(struct preauth *m);
    // once, when the connection (implicit TLS: the handshake) is there
    void (*greet)(struct preauth *m);
    size_t (*input)(struct preauth *m, struct span in);  // consumed octets; 0: needs more
    void (*tls_started)(struct preauth *m);  // all that was said before is forgotten
    void (*refuse)(struct preauth *m, const char *code, const char *text);
    // What a challenge in base64 follows, "+ "; where it is no line of these, its own way to say it.
    const char *prompt;
    void (*challenge)(struct preauth *m, struct span base64);
    void (*granted)(struct preauth *m);                    // before the hand-over; or NULL
    void (*bye)(struct preauth *m, enum preauth_end why);  // says it; the frame closes
    // What the protocol has of tag, client_id (no control characters), language, mode and offered, into an empty hand-over;
    // the spans stay until the machine's next call.
    void (*tell)(const struct preauth *m, struct handover *out);
};

// ---- for the gate ----

struct preauth *preauth_open(const struct preauth_service *service,
                             const struct preauth_facts *facts,
                             const struct preauth_ops *ops, void *gate);
void preauth_free(struct preauth **m);  // sends nothing; aborting an exchange is the gate's
void preauth_tls_started(struct preauth *m);  // facts->tls is true now
// Expected while PREAUTH_WAITING; a refusal may come while the client has the word, too (auth is gone).
void preauth_auth_reply(struct preauth *m, const struct auth_reply *reply);
// says the goodbye of the protocol and closes
void preauth_end(struct preauth *m, enum preauth_end why);

// ---- for the machines ----

void preauth_close(struct preauth *m);
void
preauth_bad(struct preauth *m);  // counts a bad command; the last one ends the connection
// a login, worded by `refusals`
void preauth_deny(struct preauth *m, enum fault_kind kind);
void preauth_start_tls(struct preauth *m);
void preauth_login(struct preauth *m, struct span user, struct span password);
// initial: base64, SPAN_NONE without. R_FAIL: it is none, and nothing has begun.
enum result preauth_exchange(struct preauth *m, struct span mechanism,
                             struct span initial) MUST_CHECK;
// A response of the client's, in base64, has been taken; or the exchange has ended by "*", or by what is no base64.
enum preauth_response { PREAUTH_TAKEN, PREAUTH_CANCELLED, PREAUTH_GARBLED };
enum preauth_response preauth_respond(struct preauth *m, struct span text) MUST_CHECK;
void preauth_abort(struct preauth *m);  // the exchange ends without a response

#endif
