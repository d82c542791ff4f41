#ifndef GATE_PUMP_H
#define GATE_PUMP_H

// A pump carries the bytes of a logged-in TLS connection between the client and the mail role's socketpair. It
// owns no buffers but the TLS record that a client does not take: what cannot go on stays in the kernel's (TCP one way,
// the socketpair's the other way), so that back-pressure reaches both ends; one scratch buffer of PUMP_BUFFER octets
// serves all pumps of a gate.
// Owner: the gate. Threads: its loop. Trust: bytes pass uninterpreted.

#include "base/buf.h"
#include "io/message.h"
#include <openssl/types.h>

enum { PUMP_BUFFER = 65536 };

struct pump;
// The pump ended: the client or mail closed. Frees itself after the call.
typedef void pump_end_fn(struct pump *p, void *arg);

// Takes over ssl with its descriptor, and `end`, the gate's end of the socketpair. `scratch` is borrowed.
struct pump *pump_new(SSL *ssl, int end, char *scratch, pump_end_fn *on_end, void *arg);
void pump_free(struct pump **p);  // closes both sides at once
// What was read from the client before: it goes to mail before all else. Once, at the start.
void pump_put_first(struct pump *p, struct span s);

// Mail gives the connection back by its end of the pair: what it wrote still goes to the client, what it has not
// read comes out in unread_out. Then on_end is called with pump_given_back true, and pump_detach gives the SSL.
void pump_give_back(struct pump *p, int mails_end, struct buf *unread_out);
bool pump_given_back(const struct pump *p);
SSL *pump_detach(struct pump *p);

#endif
