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

#endif
