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
