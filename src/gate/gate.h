#ifndef GATE_GATE_H
#define GATE_GATE_H

// The gate faces clients: it accepts, drives the pre-login machine of the service (preauth/preauth.h), does TLS, asks
// auth, and hands a logged-in connection to the account's home thread in the mail role. For TLS connections it
// stays in between as a pump.
// Owner: the gate role. Threads: its one loop. Trust: all input is from strangers; the gate holds no mail, no
// password hash and no file.

#include "gate/tls.h"
#include "io/message.h"
#include "os/network.h"

struct crowd_counts;

// What a reload changes, for connections to come.
struct gate_settings {
    bool plaintext_auth;
    bool shed_background;                 // preauth.h
    bool proxy_tls;                       // what is TLS at a proxy counts as encrypted
    uint32_t preauth_ms;                  // time from connect to login
    uint32_t expire_days, login_delay_s;  // preauth.h
    unsigned redirects;
    const char *hostname;  // borrowed like the lists
    uint64_t message_size_max;
    struct network_list proxies;  // who begins by a PROXY header, where that is asked for
    struct network_list trusted;  // whose ID tells for whom it speaks
    struct network_list
        mtas;  // mail transfer agents that ask over TCP who their clients are
};

struct gate_options {
    struct gate_settings settings;
    unsigned mail_threads;  // home of an account: account % mail_threads
    unsigned preauth_max;   // connections before login, in this process
    int descriptors;  // those from this number on are for what the supervisor sends; 0: none are kept
    enum tls_client_name client_name;
    struct crowd_counts *counts;  // of all gates; NULL: this is the only one
    unsigned gate, gates;
    void (*on_drained)(void *arg);  // after gate_drain, when the last connection is gone
    void *arg;
};

struct gate;
struct gate *gate_new(const struct gate_options *o);
void gate_free(struct gate **g);  // closes everything at once

// What the supervisor sends. Descriptors become the gate's.
void gate_peer(struct gate *g, struct span role, uint32_t index, int fd);
void gate_listen(struct gate *g, const struct listen_socket *s, int fd);
// "certificate" and "key" in pairs, then "session" (the seed of TLS session tickets, TICKET_SEED octets), which
// puts them all into use.
void gate_secret(struct gate *g, struct span name, struct span value);
// Accepts no more there; connections stay.
void gate_unlisten(struct gate *g, const struct listen_socket *s);
// Lists are borrowed until the next ones come.
void gate_settings(struct gate *g, const struct gate_settings *s);
void gate_drain(struct gate *g);

#endif
