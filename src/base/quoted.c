#include "base/quoted.h"

void
quoted_put(struct buf *out, struct span s)
{
    buf_put_char(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '"' || s.p[i] == '\\')
            buf_put_char(out, '\\');
        buf_put_char(out, s.p[i]);
    }
    buf_put_char(out, '"');
}

// atext of RFC 5322, and what is not ASCII (RFC 6531).
static bool
is_atext(char c)
{
    return ascii_is_alpha(c) || ascii_is_digit(c) || (unsigned char)c >= 0x80 ||
           span_find_char(SPAN("!#$%&'*+-/=?^_`{|}~"), c) < SPAN("!#$%&'*+-/=?^_`{|}~").n;
}

static bool
is_dot_string(struct span s)
{
    for (size_t i = 0; i < s.n; i++) {
        bool inner = i > 0 && i + 1 < s.n && s.p[i - 1] != '.';
        if (!is_atext(s.p[i]) && !(s.p[i] == '.' && inner))
            return false;
    }
    return s.n > 0;
}

void
quoted_put_local(struct buf *out, struct span local)
{
    if (local.n == 0 || is_dot_string(local))
        buf_put(out, local);
    else
        quoted_put(out, local);
}
