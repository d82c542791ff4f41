#include "relay/text.h"

enum { LINE_MAX_OCTETS = 998 };

void
relay_lines_init(struct relay_lines *l, bool dots)
{
    *l = (struct relay_lines){.dots = dots};
}

static void
put(struct relay_lines *l, struct span s, struct buf *out)
{
    l->octets += s.n;
    if (out != NULL)
        buf_put(out, s);
}

static void
end_line(struct relay_lines *l, struct buf *out)
{
    put(l, SPAN("\r\n"), out);
    l->body |= l->line == 0;
    l->line = 0;
}

static void
look(struct relay_lines *l, struct span run)
{
    for (size_t i = 0; i < run.n; i++) {
        if ((unsigned char)run.p[i] > 127)
            l->traits |=
                l->body ? RELAY_TRAIT_8BIT : RELAY_TRAIT_8BIT | RELAY_TRAIT_HEADER8;
        else if (run.p[i] == '\0')
            l->traits |= RELAY_TRAIT_NUL;
    }
    l->line += run.n;
    if (l->line > LINE_MAX_OCTETS)
        l->traits |= RELAY_TRAIT_LONG;
}

// A run without CR and LF.
static void
put_run(struct relay_lines *l, struct span run, struct buf *out)
{
    if (run.n == 0)
        return;
    if (l->line == 0 && run.p[0] == '.' && l->dots && out != NULL)
        buf_put_char(out, '.');
    look(l, run);
    put(l, run, out);
}

static void
mend_cr(struct relay_lines *l, struct buf *out)
{
    l->held_cr = false;
    l->traits |= RELAY_TRAIT_BARE;
    put_run(l, SPAN(" "), out);
}

static void
take_end(struct relay_lines *l, char c, struct buf *out)
{
    if (c == '\r') {
        if (l->held_cr)
            mend_cr(l, out);
        l->held_cr = true;
        return;
    }
    if (!l->held_cr)
        l->traits |= RELAY_TRAIT_BARE;
    l->held_cr = false;
    end_line(l, out);
}

void
relay_lines_feed(struct relay_lines *l, struct span in, struct buf *out)
{
    while (in.n > 0) {
        size_t n = 0;
        while (n < in.n && in.p[n] != '\r' && in.p[n] != '\n')
            n++;
        if (n > 0 && l->held_cr)
            mend_cr(l, out);
        put_run(l, span_slice(in, 0, n), out);
        if (n < in.n)
            take_end(l, in.p[n++], out);
        in = span_skip(in, n);
    }
}

void
relay_lines_end(struct relay_lines *l, struct buf *out)
{
    if (l->held_cr || l->line > 0) {
        l->held_cr = false;
        end_line(l, out);
    }
}
