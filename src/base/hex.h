#ifndef BASE_HEX_H
#define BASE_HEX_H

#include "base/span.h"

// What a hexadecimal digit of either case stands for; -1: it is none.
static inline int
hex_digit(char c)
{
    if (ascii_is_digit(c))
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// The 16 digits of an id, as field_id tells it.
static inline bool
hex_id(struct span text, uint64_t *out)
{
    uint64_t id = 0;
    for (size_t i = 0; i < text.n; i++) {
        int digit = hex_digit(text.p[i]);
        if (digit < 0)
            return false;
        id = id << 4 | (uint64_t)digit;
    }
    *out = id;
    return text.n == 16;
}

#endif
