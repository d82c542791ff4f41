#ifndef BASE_SPAN_H
#define BASE_SPAN_H

// A span is a borrowed run of bytes: pointer and length, never NUL-terminated.
// Owner: whoever owns the bytes; a span never frees. Trust: none, bytes may be anything.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/fault.h"

struct span {
    const char *p;
    size_t n;
};

#define SPAN(lit) ((struct span){"" lit, sizeof(lit) - 1})
#define SPAN_NONE ((struct span){NULL, 0})
#define SPAN_ARG(s) (int)(s).n, (s).p  // for "%.*s"

static inline struct span
span_of(const void *p, size_t n)
{
    return (struct span){(const char *)p, n};
}

static inline struct span
span_str(const char *cstr)
{
    return (struct span){cstr, cstr ? strlen(cstr) : 0};
}

// Bytes [from, to) clipped to the span.
static inline struct span
span_slice(struct span s, size_t from, size_t to)
{
    if (to > s.n)
        to = s.n;
    if (from > to)
        from = to;
    return s.p ? span_of(s.p + from, to - from) : s;
}

static inline struct span
span_skip(struct span s, size_t n)
{
    return span_slice(s, n, s.n);
}

struct span span_trim(struct span s);  // white space (SP, HTAB, CR, LF) off both ends

bool span_eq(struct span a, struct span b);
bool span_ieq(struct span a, struct span b);  // ASCII case-insensitive
int span_cmp(struct span a, struct span b);   // octet order, shorter first
int span_icmp(struct span a, struct span b);
bool span_starts(struct span s, struct span prefix);
bool span_istarts(struct span s, struct span prefix);
bool span_ends(struct span s, struct span suffix);
bool span_within(struct span name, struct span above);  // itself or below it: "a/b" of "a"

// Index of the first match, or s.n when there is none.
size_t span_find_char(struct span s, char c);
size_t span_find(struct span s, struct span needle);
size_t span_ifind(struct span s, struct span needle);
// Index behind the last match, or 0 when there is none.
size_t span_behind_last(struct span s, char c);

// Takes the bytes before the next `c` off the front of *rest (and the `c` itself); the whole rest
// when there is no `c`. R_NONE when *rest is SPAN_NONE (nothing was left).
enum result span_next_field(struct span *rest, char c, struct span *field_out);

// Whole span as unsigned decimal, digits only, no sign; R_FAIL on overflow or anything else.
enum result span_to_u32(struct span s, uint32_t *out);
enum result span_to_u64(struct span s, uint64_t *out);

// ASCII classes, independent of locale.
static inline bool
ascii_is_digit(char c)
{
    return c >= '0' && c <= '9';
}
static inline bool
ascii_is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
static inline char
ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}
static inline char
ascii_upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
}
static inline bool
ascii_is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

#endif
