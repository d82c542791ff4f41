#include "base/percent.h"
#include "base/hex.h"
#include "base/utf8.h"

void
percent_encode(struct buf *b, struct span s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (ascii_is_alpha(c) || ascii_is_digit(c) || (c != '\0' && strchr("-._~", c)))
            buf_put_char(b, c);
        else
            buf_printf(b, "%%%02X", (unsigned char)c);
    }
}

bool
percent_decode(struct arena *a, struct span s, struct span *out)
{
    char *p = arena_alloc(a, s.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++, n++) {
        p[n] = s.p[i];
        if (s.p[i] != '%')
            continue;
        if (i + 2 >= s.n || hex_digit(s.p[i + 1]) < 0 || hex_digit(s.p[i + 2]) < 0)
            return false;
        p[n] = (char)(hex_digit(s.p[i + 1]) << 4 | hex_digit(s.p[i + 2]));
        i += 2;
    }
    *out = span_of(p, n);
    return utf8_valid(*out) && span_find_char(*out, '\0') == n;
}
