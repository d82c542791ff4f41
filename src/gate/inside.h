#ifndef GATE_INSIDE_H
#define GATE_INSIDE_H

// The inside of the gate, for src/gate only: the gate, its connections before login (fronts), what they wait for.
// Owner: the gate owns fronts, exchanges and pumps; each frees itself through its own file. Threads: one loop.

#include "gate/crowd.h"
#include "gate/gate.h"
#include "gate/mta.h"
#include "gate/proxied.h"
#include "gate/pump.h"
#include "gate/tls_secrets.h"
#include "base/hash.h"
#include "io/channel.h"
#include "io/conn.h"
#include "io/loop.h"
#include "preauth/preauth.h"

// Keys of these tables come from outside.
#define HASH_FUNCTION(key, size, value)                                                    \
    ((value) = (unsigned)hash_keyed(span_of((key), (size))))
#include "base/table.h"

struct event;
struct listener;  // listener.c

// What auth said; the exchange is gone when it is the verdict. The owner of one must not end others in it.
typedef void exchange_fn(void *arg, const struct auth_reply *r);

// One SASL exchange or LOGIN, until auth's verdict. Its first message is kept until auth has answered once: when
// auth dies before, it is asked again.
struct exchange {
    uint64_t id;
    struct exchange **at;  // where the owner has it: NULL there once it is gone
    exchange_fn *answer;
    void *arg;
    struct buf start;  // empty after the first answer
    bool sent;
    UT_hash_handle hh;
};

// A logged-in TLS connection.
struct passage {
    uint64_t session;
    struct gate *gate;
    struct pump *pump;
    struct front *returning;  // where the connection goes when mail gave it back
    struct buf unread;
    UT_hash_handle hh;
};

struct gate {
    struct gate_options options;
    struct tls_secrets tls;
    struct listener *listeners;
    struct channel *auth;
    struct channel **mail;       // one per mail thread, NULL while away
    struct buf mechanisms;       // auth's last offer
    struct exchange *exchanges;  // by id
    struct mtas mtas;
    struct passage *passages;  // by session
    struct crowd crowd;
    struct timer auth_wait;
    uint64_t exchange_last;
    bool draining;
    char scratch[PUMP_BUFFER];  // of all pumps
};

// What the machine asked for and waits until its output is sent.
enum front_after { AFTER_NOTHING, AFTER_CLOSE, AFTER_TLS, AFTER_LOGIN };

// What the log tells of a connection's login attempts.
struct front_story {
    uint64_t start_ms;
    unsigned attempts, granted, unjudged;
    const char *why;  // "Inactivity", ...; NULL
    char method[24];
    char master[LIMIT_user_name + 1];  // who acts for the user
    char device[LIMIT_app_label + 1];  // the app password that was used
    char proxy_session[64 + 1];        // as a trusted proxy calls it
    struct buf user;
};

// With AUTH_OK, until the hand-over is on its way.
struct front_login {
    uint64_t account;
    struct buf ticket, data;
};

// Addresses as the log tells them; "local" for what is none.
struct front_ends {
    char remote[46], local[46];
};

struct front {
    struct gate *gate;
    struct proxied *proxied;  // until its PROXY header came: it has the descriptor
    struct event *hello;  // until the first octet of implicit TLS: it has the descriptor
    struct crowd_member member;
    const struct preauth_service *service;
    struct preauth *machine;
    struct conn *conn;
    struct preauth_facts facts;
    struct exchange *exchange;
    struct timer deadline, tick;
    enum tls_kind tls;
    enum front_after after;
    bool paused;  // nothing is read from conn
    uint64_t session;
    struct front_story story;
    struct front_login login;
    struct front_ends ends;  // of the client
    struct front_ends base;  // without what ID told
};

// front.c
struct front *front_new(struct gate *g, const struct preauth_service *service,
                        enum tls_kind tls);
// A fresh connection: PROXY header, handshake, greeting.
void front_open(struct front *f, int fd, bool proxied);
// From where it comes, in the crowd and in `ends`; who is there too often goes.
void front_ends_set(struct front *f, const struct front_ends *ends);
// One that mail gave back: with its finished TLS, or NULL.
void front_resume(struct front *f, int fd, SSL *ssl, struct span unread);
void front_free(struct front **f);                      // drops the connection at once
void front_end(struct front *f, enum preauth_end why);  // with the protocol's goodbye
exchange_fn front_answer;                               // auth's answer
// The login that was granted cannot go on now: its client is told so, and may try again.
void front_hand_back(struct front *f);
// carries out `after`, may free f: last call of every event
void front_settle(struct front *f);

// front_ops.c
extern const struct preauth_ops front_ops;

// exchange.c
void exchange_start(struct gate *g, struct exchange **at, exchange_fn *answer, void *arg,
                    struct auth_start *start);
void exchange_step(struct gate *g, const struct exchange *e, struct span response);
void exchange_drop(struct gate *g, struct exchange **at, bool tell_auth);
void exchange_auth_back(struct gate *g);  // sends what waited
void exchange_auth_gone(struct gate *g);  // what was sent fails, what comes waits
void exchange_reply(struct gate *g, const struct auth_reply *r);

// passage.c
bool passage_ready(struct front *f);      // the account's home can be reached
void passage_hand_over(struct front *f);  // ends f, or gives it back
void passage_give_back(struct gate *g, const struct handover *h, int fd);
void passage_free_all(struct gate *g);

// listener.c
void listener_add(struct gate *g, const struct listen_socket *s, int fd);
void listener_remove(struct gate *g, const struct listen_socket *s);
void listener_close_all(struct gate *g);
// for one more connection before login from there: ends the oldest when there are too many
void listener_make_room(struct gate *g, const struct sockaddr_storage *address);
void listener_address_text(const struct sockaddr_storage *a, char out[46]);
// the way back; AF_UNIX for what is no address
struct sockaddr_storage listener_address_of(const char *text);

// gate.c
const struct preauth_service *gate_service(struct span name);
struct span gate_mechanisms(const struct gate *g);  // auth's offer
// The kernel gives the lowest number that is free, so few are left behind this one.
bool gate_is_kept(const struct gate *g, int fd);
void gate_check_drained(struct gate *g);

// login_log.c
// Who logs in, for the lines of every protocol.
struct login_log {
    const char *service;
    struct span user;
    const char *method, *remote, *local;
    const char *master, *device, *proxy_session;  // "": none
    bool tls, handshaking;
    uint64_t session;
    uint64_t start_ms;
};
void login_log_done(const struct login_log *l);  // "Login: ..."
// "Aborted login ...": of a client whose connection is not ours; `why` stands for the attempt where there was none
void login_log_aborted(const struct login_log *l, const char *why);
struct login_log login_log_of(const struct front *f);
bool login_log_judges(enum fault_kind refusal);  // says something of who asked, not of us
void login_log_ended(const struct front *f);     // "Disconnected ...": with f->story.why

#endif
