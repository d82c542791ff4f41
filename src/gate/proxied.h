#ifndef GATE_PROXIED_H
#define GATE_PROXIED_H

// A connection whose header of the PROXY protocol (wire/proxy.h) is being read. Not an octet behind it is read: TLS or
// the protocol goes on from there.
// Owner: who made it, until fn is called. Threads: its loop's. Trust: the peer is of proxy_networks.

#include "wire/proxy.h"

struct proxied;

// The header is there: fd is the callee's. Or header is NULL: none came in time, or a wrong one, and `why`
// tells it; the descriptor is closed. The proxied is freed before.
typedef void proxied_fn(int fd, const struct proxy_header *header, const char *why,
                        void *arg);

// Takes fd over. `ms`: the time for the header.
struct proxied *proxied_new(int fd, uint32_t ms, proxied_fn *fn, void *arg);
void proxied_free(struct proxied **p);  // closes the descriptor

#endif
