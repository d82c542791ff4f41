#ifndef MAIN_PROCESS_H
#define MAIN_PROCESS_H

// The inside of the supervisor: its processes, what they are given, and how they are connected.
// Owner: the supervisor. Threads: one.

#include "main/start.h"
#include "main/supervisor.h"
#include "gate/ticket_keys.h"
#include "io/channel.h"
#include "io/loop.h"
#include "os/notify.h"

struct event;
struct supervisor;

// One process of a role, through all its lives.
struct process {
    struct supervisor *supervisor;
    const struct role *role;
    unsigned index;
    struct spawned child;  // pid 0: not running
    struct channel *channel;
    struct event *exit_event;
    struct timer restart;
    uint64_t started_ms;
    unsigned quick_deaths;  // in a row
    bool ready, was_ready, rebuild;
    uint64_t ponged;  // the last ping it answered
    unsigned missed;  // rounds of the watch without an answer
    bool hung;        // it was killed for that
};

// What can be listened for.
struct service_row {
    const char *name;     // "imaps"
    const char *service;  // as roles call it: "imap"
    const char *role;     // who accepts
    uint8_t tls;          // enum tls_kind
    size_t list;          // of its addresses in struct config
    size_t owner;  // of the name of its unix sockets' owner there; 0: the service user
};

// A listening socket, kept for processes to come.
struct socket_row {
    const struct service_row *service;
    char *address;  // without its option
    bool proxy;     // os/listen.h
    int fd;
    bool given;  // by the service manager: no configuration closes it
    bool fresh;  // opened by a plan that is not committed yet
};

struct socket_table {
    struct socket_row *rows;
    size_t n, max;
};

enum { RELOADS_WAITING = 16 };

// A reload under way: done when every role has answered the ping that was sent behind it.
struct reload {
    bool running, again;  // again: somebody asked meanwhile
    uint64_t serial;
    uint64_t asked
        [RELOADS_WAITING];  // request numbers of mail's verbs: those of this one, then of the next
    size_t asked_now, asked_count;
    struct buf text;  // what the verb prints
};

struct secrets {
    struct buf *chains, *keys;  // PEM, one each per certificate
    size_t certificates;
    struct buf client_ca;      // PEM; empty: none
    unsigned char ticket[32];  // MAC key of hand-over tickets: auth and mail only
    // TLS session tickets, the same for all gates; an hour behind
    unsigned char session[TICKET_SEED];
};

struct supervisor {
    struct supervisor_options options;
    struct user_ids ids;
    struct loop *loop;
    struct process *processes;
    size_t process_count;
    unsigned gates, mail_threads;  // counted at the start: roles that come later must agree
    struct socket_table sockets;
    struct config *owned;  // options.config after a reload
    struct reload reload;
    struct notify notify;
    struct timer watch;
    uint64_t pinged;  // serial of the last ping
    struct secrets secrets;
    struct buf scripts;  // scripts.c
    int shared;          // shared.h
    struct event *signals[3];
    struct timer patience;  // of the drain
    bool draining, said_ready;
    int code;
};

// process.c
void process_start(struct process *p);
void process_start_later(struct process *p);
void process_drain(struct process *p);
void process_kill(struct process *p);
bool process_running(const struct process *p);

// wiring.c: everything a fresh process is told; what its peers are told of it
void wiring_introduce(struct process *p);
// The channel of a thread of p to that role is made anew, if both are each other's peers and live.
void wiring_again(struct process *p, const struct peer *lost);
// What running processes are told by a reload.
void wiring_settings(struct supervisor *s);
void wiring_certificates(struct supervisor *s);
void wiring_scripts(struct supervisor *s);
void wiring_listen(struct supervisor *s, const struct socket_row *row);
void wiring_unlisten(struct supervisor *s, const struct socket_row *row);

// sockets.c
enum result sockets_open(struct supervisor *s, struct fault *f) MUST_CHECK;
// The sockets that the service manager gave count as if the settings named them: roles see those of others in the settings
// alone (`maps`: somebody asks where aliases lead).
void sockets_name_given(const struct supervisor *s, struct config *c);
// Opens what c wants and is not open. Then commit tells the roles and closes what is left over, or discard.
enum result sockets_plan(const struct supervisor *s, const struct config *c,
                         struct socket_table *next, struct fault *f) MUST_CHECK;
void sockets_commit(struct supervisor *s, struct socket_table *next);
void sockets_discard(struct socket_table *next);
void sockets_close(struct supervisor *s);
bool sockets_have(const struct supervisor *s, const char *role);  // is one for that role?

// secrets.c
enum result secrets_read(struct supervisor *s, struct fault *f) MUST_CHECK;
// Reads the certificates that c names, and keeps nothing.
enum result secrets_check(const struct config *c, struct fault *f) MUST_CHECK;
// The certificates that c names, into *s; the other secrets are `now`'s, but for the keys of TLS session tickets
// when a certificate has changed.
enum result secrets_follow(struct secrets *s, const struct config *c,
                           const struct secrets *now, bool *changed_out,
                           struct fault *f) MUST_CHECK;
void secrets_free(struct secrets *s);

// scripts.c: the administrator's Sieve scripts, as mail_filter.c unpacks them
enum result scripts_read(const struct config *c, struct buf *out,
                         struct fault *f) MUST_CHECK;

// reload.c
void reload_start(struct supervisor *s);
void reload_ask(struct supervisor *s, uint64_t request);  // by mail
void reload_check(struct supervisor *s);   // after a pong or an exit: is it done?
void reload_forget(struct supervisor *s);  // mail died, and with it who asked
void reload_refuse(struct supervisor *s);  // the server ends
void reload_free(struct supervisor *s);

// watch.c: is every role alive, and does the service manager know?
void watch_open(struct supervisor *s);
void watch_begin(struct supervisor *s);
void watch_ping(struct process *p);
void watch_tell(struct supervisor *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
void watch_close(struct supervisor *s);

// home.c: the data directory and whose it is
enum result home_prepare(struct supervisor *s, struct fault *f) MUST_CHECK;

// supervisor.c
void supervisor_on_ready(struct process *p);
void supervisor_on_exit(struct process *p, int status);
void supervisor_give_up(struct process *p);  // it cannot work: the server ends

// Which process it is, as fields of the log.
#define PROCESS_FIELDS(p)                                                                  \
    field_str("name", "name=%", (p)->role->name),                                          \
        field_number("index", "index=%", (p)->index),                                      \
        field_number("pid", "pid=%", (uint64_t)(p)->child.pid)

#endif
