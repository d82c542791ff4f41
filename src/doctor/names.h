#ifndef DOCTOR_NAMES_H
#define DOCTOR_NAMES_H

// The DNS as a mail client sees it (c-ares; never /etc/hosts).
// Owner: names_open to names_close; answers live in the arena. Trust: answers are a stranger's; names are at most 255 octets, texts
// and lists are cut at rows of limits.def. Threads: one. Blocks, no longer than LIMIT_doctor_dns_ms for each try.

#include "base/arena.h"

#include <sys/socket.h>

struct names;
// resolver: as in struct doctor_options. R_FAIL: it is no address.
enum result names_open(const char *resolver, struct names **n_out,
                       struct fault *f) MUST_CHECK;
void names_close(struct names **n);

struct name_record {
    struct span text;  // TXT: the whole text; MX, SRV: the host, "" where the target is "."
    unsigned priority;  // MX, SRV
    unsigned port;      // SRV
};
struct name_records {
    struct name_record *list;
    size_t n;
};
enum name_kind { NAME_MX, NAME_SRV, NAME_TXT };
// The records of a name, by priority. R_NONE: there are none. R_FAIL: the resolver said nothing of use (FAULT_UNAVAILABLE).
enum result names_records(struct names *n, struct arena *a, enum name_kind kind,
                          struct span name, struct name_records *out,
                          struct fault *f) MUST_CHECK;

struct name_address {
    struct sockaddr_storage at;  // with the port
    socklen_t length;
};
struct name_addresses {
    struct name_address *list;
    size_t n;
};
// Of both families. Results as above.
enum result names_addresses(struct names *n, struct arena *a, struct span host,
                            uint16_t port, struct name_addresses *out,
                            struct fault *f) MUST_CHECK;

#endif
