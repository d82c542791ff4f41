#ifndef CTL_PULL_JOB_H
#define CTL_PULL_JOB_H

// One account that is imported from another server, on the command's side: where it is, and how it goes.
// Owner: verbs_pull.c.

#include "base/arena.h"
#include "pull/pull.h"

// The message that was told last in a try.
struct pull_place {
    char mailbox[256];  // as the source calls it, cut
    uint32_t uid;       // 0: none
    bool inside;        // it was not whole
};

struct pull_job {
    struct pull_source source;
    const char *port;
    struct span folder;       // --folder, or empty
    struct span uidl_format;  // ctl/uidl_format.h; n 0: unique ids of POP3 are not known
    bool sandbox_required;
    // feed_pull.c
    int child;      // the socket to the process that reads
    uint64_t took;  // messages that came in this try
    struct pull_place at;
    bool broken;  // the source failed: why
    struct fault why;
};

// feed_pull.c: the verb's feed and sink; their state is the job. The connection is made first, by the command's own process.
struct verb_client;
enum result feed_pull(struct verb_client *c, struct fault *f) MUST_CHECK;
enum result sink_pull(struct verb_client *c, struct span bytes, struct fault *f) MUST_CHECK;

// pull_child.c: reads the account over the connected `server`, in a process of its own that has nothing but these two
// descriptors, and tells it to `parent` as parcels. Does not return.
_Noreturn void pull_child_run(const struct pull_job *job, int server, int parent);

#endif
