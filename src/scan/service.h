#ifndef SCAN_SERVICE_H
#define SCAN_SERVICE_H

// The services that are asked, from the role scan. Every function blocks, on a thread of a pool, no longer than the services'
// timeout each; what a service says is capped (LIMIT_scan_answer).
// Trust: a service may be anything: slow, endless, gone in the middle of a word. Threads: any.

#include "scan/scan.h"

struct scan_services {
    const char *rspamd_url,
        *learn_url;  // of its workers normal and controller; "": not set
    const char *rspamd_password;
    const char *clamd;  // "unix:/path", "host:port"; "": not set
    const char *push_url, *push_token, *push_secret;
    uint32_t timeout_ms;  // for each service and message
};

// Has room for the texts of a verdict, and so does not move.
void scan_names_init(struct buf *names);

// FAULT_UNAVAILABLE: it did not answer, or nothing that makes sense.
// Fills the parts of the verdict that it knows; texts are put into `names`, which they borrow: it is one of scan_names.
enum result scan_rspamd(const struct scan_services *s, const struct scan_envelope *e,
                        const struct scan_text *text, struct buf *names,
                        struct scan_verdict *v, struct fault *f) MUST_CHECK;
// R_OK: learnt, or it knew. FAULT_CANNOT: it refuses this one.
enum result scan_learn(const struct scan_services *s, bool spam,
                       const struct scan_envelope *e, const struct scan_text *text,
                       struct fault *f) MUST_CHECK;
// Messages longer than clamd takes stay SCAN_VIRUS_UNKNOWN, and are `large`.
enum result scan_clamd(const struct scan_services *s, const struct scan_text *text,
                       struct buf *names, struct scan_verdict *v,
                       struct fault *f) MUST_CHECK;
// POST of a JSON text. FAULT_CANNOT: 4xx but 408 and 429, another try is of no use.
enum result scan_push(const struct scan_services *s, const struct scan_text *text,
                      struct fault *f) MUST_CHECK;

// What rspamd said of a message, as JSON (for rspamd.c and its test).
enum result scan_rspamd_read(struct span json, struct buf *names, struct scan_verdict *v,
                             struct fault *f) MUST_CHECK;
// What clamd said of a stream, to its NUL.
enum result scan_clamd_read(struct span line, struct buf *names, struct scan_verdict *v,
                            struct fault *f) MUST_CHECK;

#endif
