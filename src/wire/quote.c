#include "wire/quote.h"

#include "base/limits.h"
#include "base/quoted.h"
#include "wire/mutf7.h"
#include "base/utf8.h"

enum { QUOTED_MAX = 1024 };  // longer strings travel as literals, so that lines stay short

enum form { FORM_ATOM, FORM_QUOTED, FORM_LITERAL };

// An atom of RFC 9051 section 9 (ASTRING-CHAR, so ']' is allowed). '%' and '*' are not, nor '\'.
static bool
atom_char(char c)
{
    return (unsigned char)c > ' ' && (unsigned char)c < 0x7F && !strchr("(){%*\"\\", c);
}

static enum form
form_of(struct span s, bool utf8)
{
    bool high = false, atom = s.n > 0;
    if (s.n > QUOTED_MAX)
        return FORM_LITERAL;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '\r' || c == '\n' || c == '\0')
            return FORM_LITERAL;
        high |= (unsigned char)c >= 0x80;
        atom &= atom_char(c);
    }
    if (high && !(utf8 && utf8_valid(s)))
        return FORM_LITERAL;
    return atom ? FORM_ATOM : FORM_QUOTED;
}

static void
put_literal(struct buf *b, struct span s)
{
    buf_printf(b, "{%zu}\r\n", s.n);
    size_t start = b->n;
    buf_put(b, s);
    for (size_t i = start; i < b->n; i++)
        if (b->p[i] == '\0')
            b->p[i] = (char)0x80;
}

static void
put_form(struct buf *b, struct span s, enum form form)
{
    if (form == FORM_ATOM)
        buf_put(b, s);
    else if (form == FORM_QUOTED)
        quoted_put(b, s);
    else
        put_literal(b, s);
}

void
quote_string(struct buf *b, struct span s, bool utf8)
{
    enum form form = form_of(s, utf8);
    put_form(b, s, form == FORM_ATOM ? FORM_QUOTED : form);
}

void
quote_astring(struct buf *b, struct span s, bool utf8)
{
    // NIL as an atom is read as nothing by many clients.
    enum form form = form_of(s, utf8);
    put_form(b, s, form == FORM_ATOM && span_ieq(s, SPAN("NIL")) ? FORM_QUOTED : form);
}

void
quote_nstring(struct buf *b, struct span s, bool utf8)
{
    if (s.p == NULL)
        buf_put_str(b, "NIL");
    else
        quote_string(b, s, utf8);
}

void
quote_mailbox(struct buf *b, struct span name, bool utf8)
{
    if (utf8) {
        quote_astring(b, name, true);
        return;
    }
    struct buf encoded;
    buf_init(&encoded, name.n * 8 + 8);
    mutf7_from_utf8(name, &encoded);
    quote_astring(b, buf_span(&encoded), false);
    buf_done(&encoded);
}
