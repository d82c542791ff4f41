#include "mime/quoted_printable.h"

enum { LINE_OCTETS = 76 };

static bool
stands_for_itself(char c)
{
    return c == '\t' || (c >= ' ' && c <= '~' && c != '=');
}

static bool
must_quote(struct span line, size_t at, size_t column)
{
    char c = line.p[at];
    if (!stands_for_itself(c))
        return true;
    if ((c == ' ' || c == '\t') && at + 1 == line.n)
        return true;
    return column == 0 && (c == '.' || c == '-' || c == 'F');
}

static void
put_line(struct buf *out, struct span line)
{
    size_t column = 0;
    for (size_t i = 0; i < line.n; i++) {
        size_t width = must_quote(line, i, column) ? 3 : 1;
        if (column + width > LINE_OCTETS - 1) {
            buf_put_str(out, "=\r\n");
            column = 0;
            width = must_quote(line, i, column) ? 3 : 1;
        }
        if (width == 1)
            buf_put_char(out, line.p[i]);
        else
            buf_printf(out, "=%02X", (unsigned char)line.p[i]);
        column += width;
    }
    buf_put_str(out, "\r\n");
}

void
mime_encode_quoted_printable(struct buf *out, struct span text)
{
    struct span line;
    if (span_ends(text, SPAN("\n")))
        text.n--;
    while (span_next_field(&text, '\n', &line) == R_OK)
        put_line(out, span_ends(line, SPAN("\r")) ? span_slice(line, 0, line.n - 1) : line);
}
