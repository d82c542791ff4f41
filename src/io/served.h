#ifndef IO_SERVED_H
#define IO_SERVED_H

// A session of a server as the role that holds it sees it, whatever its protocol: what `who` tells of it, and who looks on.
// Owner: the session. Threads: its loop's.

#include "base/span.h"

// Borrowed.
struct served_facts {
    struct span client;   // name and version, as the client told them
    struct span mailbox;  // that is selected
    uint64_t silent_ms;   // since the client last said something
    bool idling;
    uint64_t octets_in, octets_out;
};

// Is shown what the client sent and was sent, without secrets. Does not suspend.
struct served_recorder {
    void (*put)(void *arg, bool by_client, struct span s);
    void *arg;
};

struct served_ops {
    void (*facts)(const void *session, struct served_facts *out);
    // NULL: nobody looks on any more.
    void (*record)(void *session, const struct served_recorder *r);
};

#endif
