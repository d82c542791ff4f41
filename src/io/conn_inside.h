#ifndef IO_CONN_INSIDE_H
#define IO_CONN_INSIDE_H

// The inside of a conn, for src/io/conn*.c and stream.c only.
// Input lies in one buf, of which in_skip octets were consumed; output in a list of chunks.
// Every entry from the loop holds `depth`, so that a conn closed by its handler is freed on the way out.

#include "base/budget.h"
#include "base/limits.h"
#include "io/conn.h"
#include "io/loop_inside.h"

struct chunk {
    struct chunk *next;
    size_t start, end, cap;
    char bytes[];
};

struct conn_flags {
    bool eof, failed, paused, handshake, finishing, draining, dead;
    bool call_due;       // the handler must be told something
    bool write_blocked;  // wait for the descriptor before writing again
    bool write_wants_read, read_wants_write;  // TLS
    bool corked, tcp;
};

struct conn_waiting {
    struct task *writer, *reader;
    size_t octets;   // that the reader wants
    bool cancelled;  // it is to go on
};

struct zip;  // io/conn_zip.h

struct conn {
    struct armed armed;
    struct deferred work, at_end;
    struct timer timer;  // the peer takes no output; or the linger is over
    SSL *ssl;
    conn_fn *fn;
    void *arg;
    struct {
        void (*fn)(void *arg);
        void *arg;
    } on_end;
    struct buf in;
    size_t in_skip, in_max, in_charged;
    struct chunk *out_first, *out_last;
    struct zip *zip;        // NULL: not compressed
    struct chunk *filling;  // between conn_fill and conn_filled
    size_t out_n, out_memory;
    struct conn_waiting waiting;
    struct {
        uint64_t in, out;
        conn_tap_fn *tap;
        void *tap_arg;
    } octets;
    const char *why;
    int fd;
    unsigned short depth;
    struct conn_flags is;
};

// What one attempt to read or write came to, when it moved no octets.
enum stream_end { STREAM_BLOCKED = 0, STREAM_EOF = -1, STREAM_FAILED = -2 };

// Octets moved (> 0) or an enum stream_end; sets the wants_ flags and why.
ssize_t stream_read(struct conn *c, char *p, size_t n);
ssize_t stream_write(struct conn *c);      // from the output chunks
ssize_t stream_handshake(struct conn *c);  // 1 when done
void stream_shutdown(struct conn *c);
void stream_cork(struct conn *c, bool on);  // whether less than a segment waits for more
bool stream_split_reads(void);
bool stream_split_writes(void);

void conn_arm(struct conn *c);  // waits for what this conn needs now
void conn_read_some(struct conn *c);
void conn_read_poke(struct conn *c);  // goes on reading after something made that possible
bool conn_reading(const struct conn *c);
bool conn_pending(const struct conn *c);  // input that the descriptor does not tell of
void conn_input_add(struct conn *c, struct span s);  // behind the unread input
void conn_flush(struct conn *c);
void conn_output_drop(struct conn *c);
// Room at the end of the queue, best for n octets, and its use: never suspends, sends nothing.
char *conn_output_room(struct conn *c, size_t n, size_t *room_out);
void conn_output_add(struct conn *c, size_t n);
void conn_deliver(struct conn *c);  // wakes the reader or calls the handler
void conn_work_later(struct conn *c);
void conn_error(struct conn *c, const char *why);
void conn_output_gone(struct conn *c);  // the last octet was written
uint32_t conn_stall_ms(void);

static inline size_t
conn_unread_count(const struct conn *c)
{
    return c->in.n - c->in_skip;
}

#endif
