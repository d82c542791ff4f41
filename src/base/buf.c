#include "base/buf.h"

#include <stdarg.h>

void
buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max};
}

void
buf_done(struct buf *b)
{
    free(b->p);
    buf_init(b, b->max);
}

void
buf_wipe(struct buf *b)
{
    if (b->p != NULL)
        explicit_bzero(b->p, b->cap);
    buf_done(b);
}

void
buf_reset(struct buf *b)
{
    b->n = 0;
    b->over = false;
}

static void
grow(struct buf *b, size_t need)
{
    size_t cap = b->cap > 0 ? b->cap : 64;
    while (cap < need)
        cap = cap <= SIZE_MAX / 2 ? cap * 2 : need;
    if (cap > b->max)
        cap = b->max;
    b->p = realloc(b->p, cap);
    must(b->p != NULL);
    b->cap = cap;
}

char *
buf_reserve(struct buf *b, size_t n)
{
    if (b->over || n > b->max || b->n > b->max - n) {
        b->over = true;
        return NULL;
    }
    if (b->n + n > b->cap || !b->p)
        grow(b, b->n + n > 0 ? b->n + n : 1);
    return b->p + b->n;
}

void
buf_put_grow(struct buf *b, struct span s)
{
    char *room = s.n > 0 ? buf_reserve(b, s.n) : NULL;
    if (!room)
        return;
    memcpy(room, s.p, s.n);
    b->n += s.n;
}

// Two digits at a time.
void
buf_put_u64(struct buf *b, uint64_t v)
{
    static const char pairs[] = "00010203040506070809101112131415161718192021222324"
                                "25262728293031323334353637383940414243444546474849"
                                "50515253545556575859606162636465666768697071727374"
                                "75767778798081828384858687888990919293949596979899";
    char digits[20];
    size_t at = sizeof digits;
    for (; v >= 10; v /= 100) {
        at -= 2;
        memcpy(digits + at, pairs + v % 100 * 2, 2);
    }
    if (v > 0 || at == sizeof digits)
        digits[--at] = (char)('0' + v);
    buf_put(b, span_of(digits + at, sizeof digits - at));
}

void
buf_put_hex(struct buf *b, const void *octets, size_t n)
{
    const unsigned char *p = octets;
    for (size_t i = 0; i < n; i++)
        buf_printf(b, "%02x", p[i]);
}

void
buf_printf(struct buf *b, const char *fmt, ...)
{
    char small[256];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(small, sizeof small, fmt, ap);
    va_end(ap);
    must(n >= 0);
    if ((size_t)n < sizeof small) {
        buf_put(b, span_of(small, (size_t)n));
        return;
    }
    char *room = buf_reserve(b, (size_t)n + 1);
    if (!room)
        return;
    va_start(ap, fmt);
    vsnprintf(room, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->n += (size_t)n;
}

void
buf_consume(struct buf *b, size_t n)
{
    must(n <= b->n);
    b->n -= n;
    if (b->n > 0 && n > 0)
        memmove(b->p, b->p + n, b->n);
}
