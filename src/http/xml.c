#include "http/xml.h"

void
xml_put_text(struct buf *out, struct span text)
{
    for (size_t i = 0; i < text.n; i++)
        switch (text.p[i]) {
        case '<':
            buf_put_str(out, "&lt;");
            break;
        case '>':
            buf_put_str(out, "&gt;");
            break;
        case '&':
            buf_put_str(out, "&amp;");
            break;
        case '"':
            buf_put_str(out, "&quot;");
            break;
        default:
            buf_put_char(out, text.p[i]);
        }
}

void
xml_put(struct buf *out, unsigned depth, const char *name, struct span text)
{
    buf_printf(out, "%*s<%s>", (int)depth * 2, "", name);
    xml_put_text(out, text);
    buf_printf(out, "</%s>\n", name);
}

void
xml_put_number(struct buf *out, unsigned depth, const char *name, unsigned number)
{
    char digits[12];
    snprintf(digits, sizeof digits, "%u", number);
    xml_put(out, depth, name, span_str(digits));
}
