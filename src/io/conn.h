#ifndef IO_CONN_H
#define IO_CONN_H

// A conn is a byte stream to a peer: plain socket, socketpair or TLS; servers do not see which.
// Input collects in a buffer up to a cap set by the reader (back-pressure beyond it); output queues up to
// LIMIT_output_high, then the writing task waits. An idle conn holds no buffers: one event and this struct.
// Owner: the session that opened it. Threads: its loop's. Trust: input is raw bytes from the peer.

#include "base/buf.h"
#include "base/span.h"
#include <openssl/types.h>

struct conn;

// Called from the loop (never inside a conn_ call) when input grew, the peer closed (conn_eof), or an
// error ended it (conn_failed); not while reading is paused, and not while a task waits in conn_write or
// conn_wait_input: it is made up for afterwards. The handler may consume, pause, start a task, or close.
typedef void conn_fn(struct conn *c, void *arg);

// takes fd over; sets O_NONBLOCK, TCP_NODELAY
struct conn *conn_new(int fd, conn_fn *on_input, void *arg);
// Server side TLS on fd (or TLS that goes on, from conn_detach_tls); on_input is called after the handshake (first with empty input), or with conn_eof.
struct conn *conn_new_tls(int fd, SSL *ssl, conn_fn *on_input, void *arg);
// Frees; output still queued is dropped. Safe inside the handler. Closing while a task waits in conn_write
// or conn_wait_input is a bug: call conn_fail, which sends that task on its way, and let it close.
void conn_close(struct conn **c);
// as if the peer had failed: drops output, wakes tasks, calls the handler
void conn_fail(struct conn *c);
// Sends what is queued, says the end, discards input until the peer closes; all within LIMIT_linger_ms.
void conn_finish(struct conn **c);

void conn_handler(struct conn *c, conn_fn *on_input, void *arg);
// fn(arg) runs once, when c is freed or detached: for who keeps a list of connections it does not own.
void conn_on_end(struct conn *c, void (*fn)(void *arg), void *arg);
// shutdown(2) both ways: the owner soon sees conn_eof (kick)
void conn_hang_up(struct conn *c);

struct span conn_input(struct conn *c);  // unread bytes; valid until the next call on c
void conn_consume(struct conn *c, size_t n);
// Octets consumed and written so far; of a compressed connection the plain ones, about.
uint64_t conn_octets_in(const struct conn *c);
uint64_t conn_octets_out(const struct conn *c);
// reading pauses while more than this is unread
void conn_input_max(struct conn *c, size_t max);
// puts bytes before the unread input (hand-over)
void conn_unread(struct conn *c, struct span s);
void conn_read_pause(struct conn *c);
// calls the handler (from the loop) if unread input is there
void conn_read_resume(struct conn *c);
bool conn_eof(const struct conn *c);     // peer closed or error; unread input may remain
bool conn_failed(const struct conn *c);  // writing is pointless

// Suspends (in a task, when more than LIMIT_output_high waits) until the queue fell to LIMIT_output_low.
// Outside a task it only queues. Small writes of one loop turn leave together. A peer that takes nothing
// for LIMIT_output_stall_ms fails. After conn_failed the bytes are dropped.
void conn_write(struct conn *c, struct span s);
void conn_write_str(struct conn *c, const char *cstr);
void conn_printf(struct conn *c, const char *fmt, ...) PRINTF_LIKE(2, 3);
size_t conn_queued(const struct conn *c);
// Sends what the peer takes of the queue now, not at the end of the turn: for who has other work before that. Never suspends.
void conn_send_now(struct conn *c);
// Suspends until nothing is queued, or conn_failed.
void conn_await_sent(struct conn *c);
// a task is in the middle of conn_write, or between conn_fill and conn_filled
bool conn_writing(const struct conn *c);
// What is written from now on is shown to fn, too, before it is compressed or encrypted; NULL: no more.
typedef void conn_tap_fn(void *arg, struct span s);
void conn_tap(struct conn *c, conn_tap_fn *fn, void *arg);
// Room of n bytes at the end of the output queue, to be counted by conn_filled: for reading files
// straight into the queue; the caller may suspend between the two. n <= 256 KiB, conn_filled(c, 0) gives
// the room back. One at a time.
char *conn_fill(struct conn *c, size_t n);
void conn_filled(struct conn *c, size_t n);

// Suspends until at least n unread bytes are there (n <= input max), or conn_eof. For literals read by a
// command that is already running (APPEND). R_FAIL on eof or after timeout_ms without progress.
// Reading is best paused then: waiting goes on in spite of it, and the handler keeps out.
enum result conn_wait_input(struct conn *c, size_t n, uint32_t timeout_ms) MUST_CHECK;

// A task that waits there goes on now, as if its time were over. Nothing happens where none waits.
void conn_wait_cancel(struct conn *c);

// From here on both directions are compressed (raw DEFLATE, RFC 4978); unread input is taken as compressed already. Each
// loop turn's output is flushed. Where the peer flushed, `holds` is asked with the unread octets: while it says true what
// follows stays packed, until conn_input_max or conn_wait_input ask for more, or conn_uncompress takes it as it is.
typedef bool conn_holds_fn(struct span unread);
void conn_compress(struct conn *c, conn_holds_fn *holds);
bool conn_is_compressed(const struct conn *c);
// gives back what memory compression can do without until there is something to say
void conn_rest(struct conn *c);
// Suspends until the peer's last block is whole; ends the output's stream. R_FAIL when the peer does not end its own
// within LIMIT_linger_ms or says more.
enum result conn_uncompress(struct conn *c) MUST_CHECK;
// octets read and not consumed, packed ones as they are
size_t conn_held(struct conn *c);

// Gives the descriptor up (plain conns only): the queue must be empty. *unread_out gets the unread input.
// (Ask conn_queued first: a peer that reads nothing keeps it from becoming empty.)
int conn_detach(struct conn **c, struct buf *unread_out);
// The same for TLS, after the handshake: the caller owns the SSL and its descriptor (SSL_get_fd). Nothing is sent,
// no SSL_shutdown. The gate's pump goes on with it.
SSL *conn_detach_tls(struct conn **c, struct buf *unread_out);

bool conn_is_tls(const struct conn *c);
SSL *conn_ssl(struct conn *c);             // NULL when plain
int conn_fd(const struct conn *c);         // borrowed, for getpeername and the like
size_t conn_memory(const struct conn *c);  // bytes held now, OpenSSL's apart
// for the log, why it failed; "" when it did not
const char *conn_why(const struct conn *c);

// For tests, process-wide: input is read and output written one octet at a time.
void conn_test_split(bool one_byte_reads, bool one_byte_writes);
void conn_test_stall(uint32_t stall_ms);  // instead of LIMIT_output_stall_ms

#endif
