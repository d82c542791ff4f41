#include "ctl/uidl_format.h"

#include <openssl/evp.h>

enum { MODIFIERS_MOST = 4, VALUE_MAX = 1024, NUMBER_MAX = 256 };

struct piece {
    struct span text;  // that stands as it is; n 0: a variable
    size_t offset, width;
    bool from_end, zeros;  // the offset counts from the value's end; the width is filled up
    struct span modifiers;
    char variable;
};

// ---- reading ----

static size_t
take_number(struct span *rest)
{
    size_t n = 0;
    for (; rest->n > 0 && ascii_is_digit(rest->p[0]); *rest = span_skip(*rest, 1))
        n = n < NUMBER_MAX ? n * 10 + (size_t)(rest->p[0] - '0') : n;
    return n;
}

static bool
take_char(struct span *rest, char c)
{
    bool is = rest->n > 0 && rest->p[0] == c;
    *rest = span_skip(*rest, is);
    return is;
}

static void
take_bounds(struct span *rest, struct piece *p)
{
    p->from_end = take_char(rest, '-');
    p->zeros = take_char(rest, '0');
    p->width = take_number(rest);
    if (!take_char(rest, '.')) {
        p->from_end = false;
        return;
    }
    p->offset = p->width;
    p->zeros = take_char(rest, '0');
    p->width = take_number(rest);
}

// R_NONE: that was all.
static enum result
next_piece(struct span *rest, struct piece *out)
{
    *out = (struct piece){0};
    if (rest->n == 0)
        return R_NONE;
    size_t n = span_find_char(*rest, '%');
    if (n > 0) {
        out->text = span_slice(*rest, 0, n);
        *rest = span_skip(*rest, n);
        return R_OK;
    }
    *rest = span_skip(*rest, 1);
    take_bounds(rest, out);
    while (out->modifiers.n < rest->n && out->modifiers.n < MODIFIERS_MOST &&
           strchr("LUXMR", rest->p[out->modifiers.n]) != NULL)
        out->modifiers = span_slice(*rest, 0, out->modifiers.n + 1);
    *rest = span_skip(*rest, out->modifiers.n);
    out->variable = rest->n > 0 ? rest->p[0] : '\0';
    *rest = span_skip(*rest, 1);
    if (out->variable == '%')
        out->text = SPAN("%");
    return R_OK;
}

enum result
uidl_format_check(struct span format, const char *known, struct fault *f)
{
    struct piece p;
    bool message = false;  // something in it is the message's
    for (struct span rest = format; next_piece(&rest, &p) == R_OK;) {
        if (p.text.n > 0)
            continue;
        if (p.variable == '\0' || strchr("uvfg", p.variable) == NULL)
            return fault_set(f, FAULT_BAD,
                             "--uidl-format: only the variables u, v, f and g, and the "
                             "modifiers L, U, X, M and R are known");
        if (strchr(known, p.variable) == NULL)
            return fault_set(f, FAULT_BAD,
                             "--uidl-format: IMAP does not tell %%%c; import the Maildir "
                             "from that server's disk",
                             p.variable);
        message |= p.variable != 'v';
    }
    return message ? R_OK
                   : fault_set(f, FAULT_BAD,
                               "--uidl-format: all messages would have the same id");
}

bool
uidl_format_has(struct span format, char variable)
{
    struct piece p;
    for (struct span rest = format; next_piece(&rest, &p) == R_OK;)
        if (p.text.n == 0 && p.variable == variable)
            return true;
    return false;
}

// ---- writing ----

static void
put_value(const struct uidl_facts *facts, char variable, struct buf *out)
{
    if (variable == 'u')
        buf_printf(out, "%u", facts->uid);
    else if (variable == 'v')
        buf_printf(out, "%u", facts->uidvalidity);
    else
        buf_put(out, variable == 'f' ? facts->file : facts->guid);
}

static void
make_hexadecimal(struct buf *b)
{
    uint64_t number = 0;
    if (span_to_u64(buf_span(b), &number) != R_OK)
        number = 0;
    buf_reset(b);
    buf_printf(b, "%llx", (unsigned long long)number);
}

static void
make_md5(struct buf *b)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    must(EVP_Digest(b->p, b->n, digest, &size, EVP_md5(), NULL) == 1);
    buf_reset(b);
    buf_put_hex(b, digest, size);
}

static void
modify(struct buf *b, char modifier)
{
    if (modifier == 'X')
        make_hexadecimal(b);
    if (modifier == 'M')
        make_md5(b);
    for (size_t i = 0; i < b->n; i++) {
        if (modifier == 'L')
            b->p[i] = ascii_lower(b->p[i]);
        if (modifier == 'U')
            b->p[i] = ascii_upper(b->p[i]);
        if (modifier == 'R' && i < b->n - 1 - i) {
            char c = b->p[i];
            b->p[i] = b->p[b->n - 1 - i];
            b->p[b->n - 1 - i] = c;
        }
    }
}

// A width cuts, and with zeros it fills up instead.
static void
put_bounded(const struct piece *p, struct span value, struct buf *out)
{
    if (p->from_end && p->offset > 0)
        value = span_skip(value, value.n > p->offset ? value.n - p->offset : 0);
    else
        value = span_skip(value, p->offset);
    for (size_t n = value.n; p->zeros && n < p->width; n++)
        buf_put_char(out, '0');
    buf_put(out, p->zeros || p->width == 0 ? value : span_slice(value, 0, p->width));
}

void
uidl_format_put(struct span format, const struct uidl_facts *facts, struct buf *out)
{
    struct piece p;
    struct buf value;
    buf_init(&value, VALUE_MAX);
    for (struct span rest = format; next_piece(&rest, &p) == R_OK;) {
        if (p.text.n > 0) {
            buf_put(out, p.text);
            continue;
        }
        buf_reset(&value);
        put_value(facts, p.variable, &value);
        for (size_t i = 0; i < p.modifiers.n; i++)
            modify(&value, p.modifiers.p[i]);
        put_bounded(&p, buf_span(&value), out);
    }
    buf_done(&value);
}
