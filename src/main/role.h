#ifndef MAIN_ROLE_H
#define MAIN_ROLE_H

// A role is a process of Posthorn: this binary, started again by the supervisor with one channel to it.
// role_*_main runs in the fresh process while it is still unconfined: it opens what it will need, enters its
// sandbox (os/sandbox.h), then starts threads, links to the supervisor, says MESSAGE_READY and runs its loop.
// Channels to other roles arrive as MESSAGE_PEER {role, index}: again and again, whenever a peer was restarted;
// secrets as MESSAGE_SECRET ("ticket": auth, mail; "certificate", "key": gate). They come before or after READY.
// MESSAGE_SETTINGS brings a new configuration, MESSAGE_UNLISTEN takes a socket back, MESSAGE_PING wants to know whether
// the role still works and has done what was sent before.
// On MESSAGE_DRAIN, or when the supervisor's end closes, a role says its goodbyes and returns within 5 seconds.

#include "ctl/config.h"
#include "io/channel.h"
#include "io/message.h"
#include "os/role.h"
#include "os/user.h"

struct shared;

// What a role's process returns, and so what the supervisor does next.
enum role_exit {
    ROLE_EXIT_DRAINED = 0,
    ROLE_EXIT_FAILED = 1,     // restarted, with back-off
    ROLE_EXIT_SETTINGS = 78,  // cannot work with these settings: the supervisor ends too
    // mail: the index is damaged; started again with rebuild = true
    ROLE_EXIT_REBUILD = 75,
};

struct role_start {
    const struct role *role;  // row of os/roles.def
    const struct config *config;
    struct user_ids ids;           // the process is this user already
    unsigned index;                // which of several processes (gate)
    unsigned gates, mail_threads;  // how many there are
    int supervisor;  // descriptor of the channel to the supervisor; role_link_open takes it
    bool rebuild;    // mail: make the index anew before serving
    struct shared *shared;  // shared.h
};

typedef int role_main_fn(const struct role_start *start);
role_main_fn role_gate_main;
role_main_fn role_auth_main;
role_main_fn role_mail_main;
role_main_fn role_extract_main;
role_main_fn role_oauth_main;
role_main_fn role_directory_main;
role_main_fn role_pam_main;
role_main_fn role_http_main;
role_main_fn role_relay_main;
role_main_fn role_scan_main;
role_main_fn role_pipe_main;

// Enters the sandbox of the role's row, with the data directory as its root of places. Before the first thread. R_FAIL was logged:
// return ROLE_EXIT_SETTINGS. Descriptors from close_from on are closed (0: none).
enum result role_confine(const struct role_start *start, int close_from) MUST_CHECK;
// The same with more of its own.

// The same with all that the settings name.
struct sandbox_paths;
enum result role_confine_with(const struct role_start *start,
                              const struct sandbox_paths *paths) MUST_CHECK;

// How many the process may have open, in its sandbox.
int role_descriptors(void);
// What is left of them when so many are kept; a quarter at most is.
int role_descriptors_but(int kept);

// With test_probe: tries what a taken-over process would, and logs what came of it, a line each.
void role_probe(const struct role_start *start);

// The link is a role's end of its channel to the supervisor: it unpacks the messages and calls these.
// Functions that a role does not need are NULL; such a message is fatal then, as is one that does not unpack.
struct role_link_ops {
    void (*peer)(void *role, struct span peer_role, uint32_t index, int fd);  // owns fd
    void (*listen)(void *role, const struct listen_socket *s, int fd);        // owns fd
    // whole value, borrowed
    void (*secret)(void *role, struct span name, struct span value);
    // also when the supervisor died, or a file of its row was replaced
    void (*drain)(void *role);
    void (*unlisten)(void *role, const struct listen_socket *s);
    // The new configuration; it and all earlier ones live until role_link_close.
    void (*settings)(void *role, const struct config *c);
    // NULL: answered at once; else the role calls role_link_pong when all its threads have come round.
    void (*ping)(void *role, uint64_t serial);
    void (*reloaded)(void *role, const struct admin_reply *r);
};

struct role_link;
// In the role's main loop thread. Takes the descriptor of start->supervisor.
struct role_link *role_link_open(const struct role_start *start,
                                 const struct role_link_ops *ops, void *role);
void role_link_ready(struct role_link *l);
void role_link_pong(struct role_link *l, uint64_t serial);
// A channel to that role is gone; a new one comes by `peer` if the role lives.
void role_link_lost(struct role_link *l, const char *role, unsigned index);
void role_link_reload(struct role_link *l, uint64_t request);  // mail: asks for a reload
void role_link_close(struct role_link **l);

#endif
