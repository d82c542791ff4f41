#include "pop3/stuff.h"

enum { NUL_SHOWN = 0x80, BLOCK = 64 };

static void
put_text(struct span text, struct buf *out)
{
    size_t at = out->n;
    buf_put(out, text);
    for (size_t i = at; i < out->n; i++)
        if (out->p[i] == '\0')
            out->p[i] = (char)NUL_SHOWN;
}

static void
end_line(struct pop3_stuff *s, struct buf *out)
{
    buf_put_str(out, s->cr ? "\n" : "\r\n");
    s->in_line = s->cr = false;
}

// A line's text up to its LF, or as much of it as is there.
static void
feed_text(struct pop3_stuff *s, struct span text, struct buf *out)
{
    if (text.n == 0)
        return;
    if (!s->in_line && text.p[0] == '.')
        buf_put_char(out, '.');
    put_text(text, out);
    s->in_line = true;
    s->cr = text.p[text.n - 1] == '\r';
}

// With what was put of it before, the line is empty or a CR alone.
static bool
is_empty(const struct pop3_stuff *s, struct span text)
{
    if (s->in_line)
        return s->only_cr && text.n == 0;
    return text.n == 0 || span_eq(text, SPAN("\r"));
}

bool
pop3_stuff_feed(struct pop3_stuff *s, struct span in, struct buf *out)
{
    while (in.n > 0) {
        if (s->in_body && s->limited && s->left == 0)
            return true;
        size_t n = span_find_char(in, '\n');
        struct span text = span_slice(in, 0, n);
        bool empty = is_empty(s, text);
        s->only_cr = !s->in_line && span_eq(text, SPAN("\r"));
        feed_text(s, text, out);
        if (n == in.n)
            return false;
        end_line(s, out);
        if (s->in_body && s->limited)
            s->left--;
        s->in_body = s->in_body || empty;
        s->only_cr = false;
        in = span_skip(in, n + 1);
    }
    return s->in_body && s->limited && s->left == 0;
}

void
pop3_stuff_end(struct pop3_stuff *s, struct buf *out)
{
    if (s->in_line)
        buf_put_str(out, s->cr ? "\n" : "\r\n");
    if (!s->in_body)
        buf_put_str(out, "\r\n");
    buf_put_str(out, ".\r\n");
}

size_t
pop3_header_size(struct span in)
{
    size_t at = 0;
    while (at < in.n) {
        size_t n = span_find_char(span_skip(in, at), '\n');
        struct span line = span_slice(in, at, at + n);
        if (at + n == in.n)
            return in.n;
        at += n + 1;
        if (line.n == 0 || span_eq(line, SPAN("\r")))
            return at;
    }
    return in.n;
}

// Octets that stand at their place by the two before: neither NUL, nor a dot behind LF, nor a LF without its CR. In blocks of a
// known size, so that the compiler makes vectors of it.
static bool
is_plain_block(const char *p)
{
    unsigned bad = 0;
    for (int i = 0; i < BLOCK; i++)
        bad |= (unsigned)(p[i] == '\0') | (unsigned)((p[i] == '\n') & (p[i - 1] != '\r')) |
               (unsigned)((p[i] == '.') & (p[i - 1] == '\n'));
    return bad == 0;
}

static bool
is_plain_octet(const char *p)
{
    return p[0] != '\0' && (p[0] != '\n' || p[-1] == '\r') &&
           (p[0] != '.' || p[-1] != '\n');
}

static bool
has_header_end(struct span m)
{
    return span_starts(m, SPAN("\r\n")) || span_find(m, SPAN("\r\n\r\n")) < m.n;
}

bool
pop3_is_plain(struct span m)
{
    size_t i = 1;
    if (m.n < 2 || !span_ends(m, SPAN("\r\n")) || m.p[0] == '.' || m.p[0] == '\0' ||
        m.p[0] == '\n')
        return false;
    for (; i + BLOCK <= m.n; i += BLOCK)
        if (!is_plain_block(m.p + i))
            return false;
    for (; i < m.n; i++)
        if (!is_plain_octet(m.p + i))
            return false;
    return has_header_end(m);
}
