#ifndef BASE_BUF_H
#define BASE_BUF_H

// A buf owns bytes and has a maximum. Putting past the maximum changes nothing and sets `over`,
// which stays set: write many, check once.
// Owner: the struct that embeds it (buf_init .. buf_done). Memory exists only while it holds bytes.

#include "base/span.h"

struct buf {
    char *p;
    size_t n, cap, max;
    bool over;
};

void buf_init(struct buf *b, size_t max);
void buf_done(struct buf *b);
void buf_wipe(
    struct buf *
        b);  // the same, and nothing is left of the octets: they are secrets   // frees the memory; the buf stays usable (empty)
void buf_reset(struct buf *b);  // n = 0 and over = false, memory kept

void buf_put_u64(struct buf *b, uint64_t v);  // decimal
void buf_put_hex(struct buf *b, const void *octets,
                 size_t n);  // two digits each, lower case
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);

// Room for n more bytes at p + n (not yet counted), or NULL and `over` when past the maximum.
char *buf_reserve(struct buf *b, size_t n);
void buf_put_grow(struct buf *b, struct span s);  // buf_put where there is no room yet
void buf_consume(struct buf *b, size_t n);        // drops n bytes from the front

static inline void
buf_put(struct buf *b, struct span s)
{
    if (s.p == NULL || s.n == 0 || s.n > b->cap - b->n || b->over) {
        buf_put_grow(b, s);
        return;
    }
    memcpy(b->p + b->n, s.p, s.n);
    b->n += s.n;
}

static inline void
buf_put_str(struct buf *b, const char *cstr)
{
    buf_put(b, span_str(cstr));
}

static inline void
buf_put_char(struct buf *b, char c)
{
    buf_put(b, span_of(&c, 1));
}

static inline struct span
buf_span(const struct buf *b)
{
    return span_of(b->p, b->n);
}

#endif
