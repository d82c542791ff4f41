#ifndef IO_CHANNEL_H
#define IO_CHANNEL_H

// A channel carries typed messages, and descriptors, between two roles over SOCK_SEQPACKET.
// A message is {u16 type, fields packed by base/pack.h}, at most LIMIT_channel_message octets; what does not
// fit in the socket now is queued. Trust: the other role may be taken over; a message that does not unpack
// to its last byte is fatal for the channel.
// A channel ends (on_end, once, from the loop) when the other side closed, sent a message that is too long,
// too short or has two descriptors, or left LIMIT_channel_queue octets unread. Nothing is sent after that.
// Threads: the loop that opened it.

#include "base/pack.h"

struct channel;

// fd is -1 or a descriptor that the handler now owns; also -1 when one came but this process may not open more: it is
// closed then. `body` holds the fields after the type.
typedef void channel_fn(struct channel *c, uint16_t type, struct span body, int fd,
                        void *arg);
// the other side is gone; close it
typedef void channel_end_fn(struct channel *c, void *arg);

// channel_close is safe inside on_message and on_end.
struct channel *channel_new(int fd, channel_fn *on_message, channel_end_fn *on_end,
                            void *arg);
void channel_close(struct channel **c);
// Sends {type, body}; fd (or -1) is duplicated by the kernel and closed here afterwards. Never blocks.
void channel_send(struct channel *c, uint16_t type, struct span body, int fd);
size_t channel_queued(const struct channel *c);
// socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC)
enum result channel_pair(int fds[2], struct fault *f) MUST_CHECK;

#endif
