#ifndef MAIN_PROCESS_H
#define MAIN_PROCESS_H

// The inside of the supervisor: its processes, what they are given, and how they are connected.
// Owner: the supervisor. Threads: one.

#include "main/start.h"
#include "main/supervisor.h"
#include "io/channel.h"
#include "io/loop.h"

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
};

// A listening socket, kept for processes to come.
struct socket_row {
    const char *service;  // "imap", "lmtp", "admin"
    const char *role;     // who accepts on it
    uint8_t tls;
    const char *address;
    int fd;
};

struct secrets {
    struct buf *chains, *keys;  // PEM, one each per certificate
    size_t certificates;
    unsigned char ticket[32];   // MAC key of hand-over tickets: auth and mail only
    unsigned char session[80];  // TLS session tickets, the same for all gates
};

struct supervisor {
    struct supervisor_options options;
    struct user_ids ids;
    struct loop *loop;
    struct process *processes;
    size_t process_count;
    struct socket_row *sockets;
    size_t socket_count;
    struct secrets secrets;
    struct event *signals[3];
    struct timer patience;  // of the drain
    bool draining, said_ready;
    int code;
};

// process.c
void process_start(struct process *p);
void process_drain(struct process *p);
void process_kill(struct process *p);
bool process_running(const struct process *p);

// wiring.c: everything a fresh process is told; what its peers are told of it
void wiring_introduce(struct process *p);

// sockets.c
enum result sockets_open(struct supervisor *s, struct fault *f) MUST_CHECK;
void sockets_close(struct supervisor *s);

// secrets.c
enum result secrets_read(struct supervisor *s, struct fault *f) MUST_CHECK;
void secrets_free(struct secrets *s);

// home.c: the data directory and whose it is
enum result home_prepare(struct supervisor *s, struct fault *f) MUST_CHECK;

// supervisor.c
void supervisor_on_ready(struct process *p);
void supervisor_on_exit(struct process *p, int status);

#endif
