#ifndef AUTH_NETS_H
#define AUTH_NETS_H

// Lists of networks that somebody may or may not log in from, as text: networks as os/network.h reads them, separated by
// spaces or commas, and "local" for what is no address (a unix socket), as in Dovecot's allow_nets.
// Trust: lists come from the administrator, addresses from the gate. Threads: any.

#include "base/buf.h"

// Each network of the list is put into `out` with a space between. FAULT_BAD names the one that is none.
enum result nets_check(struct span list, struct buf *out, struct fault *f) MUST_CHECK;
bool nets_have(struct span list, struct span address);

#endif
