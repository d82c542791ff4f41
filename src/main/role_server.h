#ifndef MAIN_ROLE_SERVER_H
#define MAIN_ROLE_SERVER_H

// What those roles have in common that only auth asks (directory, oauth, pam): the loop, the link to the supervisor, and one
// channel to auth. A new channel takes the place of the old one; a malformed message ends it.
// Owner: the role that embeds it. Threads: the loop's.

#include "io/loop.h"
#include "main/role.h"

struct role_server {
    // the role's
    const struct role_start *start;
    struct role_question {
        uint16_t type;                                      // MESSAGE_...
        enum result (*take)(void *role, struct span body);  // R_FAIL: malformed
    } questions[2];                                         // all that auth sends
    void *role;
    // its own
    struct loop *loop;
    struct role_link *link;
    struct channel *auth;  // NULL: away
    uint64_t generation;   // of the channel: an answer for an earlier one is nobody's
};

// Makes the loop, calls begin(role) in it, and returns when the role is drained.
void role_server_run(struct role_server *s, loop_fn *begin);
// At the end of `begin`: links to the supervisor, and is ready.
void role_server_ready(struct role_server *s);
// Nothing is sent when that generation's channel is gone.
void role_server_answer(struct role_server *s, uint64_t generation, uint16_t type,
                        struct span body);
void role_server_close(struct role_server *s);

#endif
