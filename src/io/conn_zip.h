#ifndef IO_CONN_ZIP_H
#define IO_CONN_ZIP_H

// The compression of a conn (raw DEFLATE, RFC 1951), for src/io/conn*.c only: what is written passes through deflate
// into the output queue, what stream_read brings passes through inflate. While nothing moves, neither state is kept: after a
// flush the output goes on with a fresh one, since no block refers to octets before it; of the input the window stays.
// Owner: its conn. Trust: the compressed octets are the peer's; it never gets more of them unpacked than were asked for.

#include "io/conn_inside.h"

void zip_new(struct conn *c, conn_holds_fn *holds);
void zip_free(struct conn *c);
// As stream_read: octets moved, or an enum stream_end.
ssize_t zip_read(struct conn *c, char *p, size_t n);
bool zip_pending(const struct conn *c);  // unpacked octets without reading
bool zip_held(const struct conn *c);     // nothing is read until zip_release
bool zip_at_end(const struct conn *c);   // the peer's last block is whole
void zip_release(struct conn *c);
void zip_stop_at_flush(struct conn *c);     // whatever `holds` would say
struct span zip_raw(const struct conn *c);  // read, not unpacked
bool zip_dirty(const struct conn *c);       // written, not yet in the queue
void zip_write(struct conn *c, struct span s);
void zip_sync(struct conn *c);    // all that was written is in the queue
void zip_finish(struct conn *c);  // and nothing follows
void zip_rest(struct conn *c);
size_t zip_memory(const struct conn *c);

#endif
