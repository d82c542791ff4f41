#include "wire/smtp.h"

#include "base/utf8.h"

size_t
smtp_line(struct span input)
{
    for (size_t at = 0; at < input.n; at++) {
        at += span_find_char(span_skip(input, at), '\n');
        if (at > 0 && at < input.n && input.p[at - 1] == '\r')
            return at + 1;
    }
    return 0;
}

bool
smtp_line_is_clean(struct span line)
{
    for (size_t i = 0; i + 2 < line.n; i++)
        if ((unsigned char)line.p[i] < ' ' || line.p[i] == 0x7F)
            return false;
    return true;
}

enum result
smtp_chunk_parse(struct span args, uint64_t *size_out, bool *last_out)
{
    size_t at = span_find_char(args, ' ');
    struct span rest = span_trim(span_skip(args, at));
    *last_out = span_ieq(rest, SPAN("LAST"));
    if (rest.n > 0 && !*last_out)
        return R_FAIL;
    return span_to_u64(span_slice(args, 0, at), size_out);
}

static struct span
without_line_end(struct span line)
{
    if (span_ends(line, SPAN("\n")))
        line.n--;
    if (span_ends(line, SPAN("\r")))
        line.n--;
    return line;
}

enum result
smtp_command_parse(struct span line, struct smtp_command *c_out)
{
    line = without_line_end(line);
    if (span_find_char(line, '\0') < line.n)
        return R_FAIL;
    size_t n = span_find_char(line, ' ');
    if (n == 0)
        return R_FAIL;
    *c_out = (struct smtp_command){span_slice(line, 0, n), span_trim(span_skip(line, n))};
    return line.n > 0 ? R_OK : R_FAIL;
}

static bool
take_char(struct span *s, char c)
{
    if (s->n == 0 || s->p[0] != c)
        return false;
    *s = span_skip(*s, 1);
    return true;
}

static bool
is_control(char c)
{
    return (unsigned char)c < 0x20 || c == 0x7F;
}

// RFC 5321 section 4.1.2 Quoted-string, RFC 6531: the inside without backslashes.
static enum result
take_quoted(struct span *s, struct buf *out)
{
    *s = span_skip(*s, 1);
    while (s->n > 0 && s->p[0] != '"') {
        if (s->p[0] == '\\')
            *s = span_skip(*s, 1);
        if (s->n == 0 || is_control(s->p[0]))
            return R_FAIL;
        buf_put_char(out, s->p[0]);
        *s = span_skip(*s, 1);
    }
    return take_char(s, '"') && out->n > 0 ? R_OK : R_FAIL;
}

// Atoms and dots. Dots anywhere are tolerated: such addresses exist and are delivered to.
static enum result
take_dot_string(struct span *s, struct buf *out)
{
    while (s->n > 0 && !is_control(s->p[0]) && !strchr(" <>()[]\\,;:@\"", s->p[0])) {
        buf_put_char(out, s->p[0]);
        *s = span_skip(*s, 1);
    }
    return out->n > 0 ? R_OK : R_FAIL;
}

static bool
domain_char(char c)
{
    return ascii_is_alpha(c) || ascii_is_digit(c) || c == '-' || c == '.' || c == '_' ||
           (unsigned char)c >= 0x80;
}

static enum result
take_domain(struct span *s, struct buf *out)
{
    size_t start = out->n;
    if (s->n > 0 && s->p[0] == '[') {
        size_t end = span_find_char(*s, ']');
        for (size_t i = 1; i < end && end < s->n; i++)
            if (!domain_char(s->p[i]) && s->p[i] != ':')
                return R_FAIL;
        buf_put(out, span_slice(*s, 0, end + 1));
        bool whole = end < s->n && end > 1;
        *s = span_skip(*s, end + 1);
        return whole ? R_OK : R_FAIL;
    }
    while (s->n > 0 && domain_char(s->p[0])) {
        buf_put_char(out, s->p[0]);
        *s = span_skip(*s, 1);
    }
    bool dots_ok = out->n > start && out->p[start] != '.' && out->p[out->n - 1] != '.';
    return dots_ok ? R_OK : R_FAIL;
}

// "@a,@b:" of RFC 5321 appendix C: must be accepted, and ignored.
static enum result
skip_route(struct span *s)
{
    if (s->n == 0 || s->p[0] != '@')
        return R_OK;
    size_t end = span_find_char(*s, ':');
    if (end == s->n || span_find_char(*s, '>') < end)
        return R_FAIL;
    *s = span_skip(*s, end + 1);
    return R_OK;
}

// What stands between "<" and ">": local@domain collected in `out`; *local_out tells how much of it is local.
static enum result
take_mailbox(struct span *s, struct buf *out, size_t *local_out)
{
    if (skip_route(s) != R_OK)
        return R_FAIL;
    bool quoted = s->n > 0 && s->p[0] == '"';
    if ((quoted ? take_quoted(s, out) : take_dot_string(s, out)) != R_OK)
        return R_FAIL;
    *local_out = out->n;
    if (!take_char(s, '@'))
        return R_OK;
    buf_put_char(out, '@');
    return take_domain(s, out);
}

static enum result
take_path(struct span *s, struct arena *a, struct smtp_path *path_out)
{
    struct smtp_path path = {.null = span_starts(*s, SPAN("<>"))};
    if (!take_char(s, '<'))
        return R_FAIL;
    if (!path.null) {
        struct buf text;
        size_t local = 0;
        buf_init(&text, s->n + 1);
        enum result r = take_mailbox(s, &text, &local);
        path.address = arena_dup(a, buf_span(&text));
        buf_done(&text);
        if (r != R_OK || !utf8_valid(path.address))
            return R_FAIL;
        path.local = span_slice(path.address, 0, local);
        path.domain = span_skip(path.address, local + 1);
        path.utf8 = !ascii_only(path.address);
    }
    if (!take_char(s, '>'))
        return R_FAIL;
    *path_out = path;
    return R_OK;
}

// RFC 5321 section 4.1.2: esmtp-param = esmtp-keyword ["=" esmtp-value].
static enum result
param_parse(struct span field, struct smtp_param *p_out)
{
    size_t n = span_find_char(field, '=');
    struct smtp_param p = {span_slice(field, 0, n), SPAN_NONE};
    if (n < field.n)
        p.value = span_skip(field, n + 1);
    for (size_t i = 0; i < p.name.n; i++)
        if (!ascii_is_alpha(p.name.p[i]) && !ascii_is_digit(p.name.p[i]) &&
            p.name.p[i] != '-')
            return R_FAIL;
    for (size_t i = 0; i < p.value.n; i++)
        if (is_control(p.value.p[i]) || p.value.p[i] == '=')
            return R_FAIL;
    bool empty = p.name.n == 0 || (p.value.p != NULL && p.value.n == 0);
    *p_out = p;
    return empty ? R_FAIL : R_OK;
}

enum result
smtp_envelope_parse(struct span args, const char *keyword, struct arena *a,
                    struct smtp_envelope *e_out, struct fault *f)
{
    struct smtp_envelope e = {.param_count = 0};
    if (!span_istarts(args, span_str(keyword)))
        return fault_set(f, FAULT_BAD, "%s: expected", keyword);
    args = span_skip(args, strlen(keyword));
    if (!take_char(&args, ':'))
        return fault_set(f, FAULT_BAD, "%s: expected", keyword);
    args = span_trim(args);
    if (take_path(&args, a, &e.path) != R_OK || (args.n > 0 && args.p[0] != ' '))
        return fault_set(f, FAULT_BAD, "wrong address");
    struct span field;
    while (span_next_field(&args, ' ', &field) == R_OK) {
        if (field.n == 0)
            continue;
        if (e.param_count == SMTP_PARAMS_MAX)
            return fault_set(f, FAULT_LIMIT, "too many parameters");
        if (param_parse(field, &e.params[e.param_count++]) != R_OK)
            return fault_set(f, FAULT_BAD, "wrong parameter");
    }
    *e_out = e;
    return R_OK;
}

const struct smtp_param *
smtp_param_find(const struct smtp_envelope *e, const char *name)
{
    for (unsigned i = 0; i < e->param_count; i++)
        if (span_ieq(e->params[i].name, span_str(name)))
            return &e->params[i];
    return NULL;
}

static int
hex_value(char c)
{
    if (ascii_is_digit(c))
        return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

enum result
smtp_xtext_decode(struct span in, struct buf *out)
{
    for (size_t i = 0; i < in.n; i++) {
        char c = in.p[i];
        if ((unsigned char)c <= ' ' || c == '=' || c == 0x7F)
            return R_FAIL;
        if (c == '+') {
            int high = i + 2 < in.n ? hex_value(in.p[i + 1]) : -1;
            int low = high >= 0 ? hex_value(in.p[i + 2]) : -1;
            if (low < 0)
                return R_FAIL;
            c = (char)(high << 4 | low);
            i += 2;
        }
        buf_put_char(out, c);
    }
    return out->over ? R_FAIL : R_OK;
}

enum { DATA_START, DATA_TEXT, DATA_CR, DATA_DOT, DATA_DOT_CR };  // START: right after CRLF

void
smtp_data_init(struct smtp_data *d)
{
    *d = (struct smtp_data){.state = DATA_START};
}

// What was held back: a dot at the start of a line, perhaps with a CR behind it. True when it is decided here.
static bool
resolve_dot(struct smtp_data *d, char next, size_t *used, struct span *out)
{
    *out = SPAN_NONE;
    *used = 1;
    if (d->state == DATA_DOT && next == '\r') {
        d->state = DATA_DOT_CR;
        return true;
    }
    if (d->state == DATA_DOT_CR && next == '\n') {
        d->done = true;
        return true;
    }
    *used = 0;
    bool cr = d->state == DATA_DOT_CR;
    d->state = cr ? DATA_CR : DATA_TEXT;
    if (cr)
        *out = SPAN("\r");
    return cr;
}

size_t
smtp_data_next(struct smtp_data *d, struct span input, struct span *out_out)
{
    size_t used, i = 0;
    *out_out = SPAN_NONE;
    if (d->done || input.n == 0)
        return 0;
    if (d->state >= DATA_DOT && resolve_dot(d, input.p[0], &used, out_out))
        return used;
    while (i < input.n) {
        char c = input.p[i];
        if (d->state == DATA_START && c == '.') {
            d->state = DATA_DOT;
            *out_out = span_slice(input, 0, i);
            return i + 1;
        }
        if (d->state == DATA_CR) {
            d->state = c == '\n' ? DATA_START : c == '\r' ? DATA_CR : DATA_TEXT;
            i++;
            continue;
        }
        i += span_find_char(span_skip(input, i), '\r');
        d->state = i < input.n ? DATA_CR : DATA_TEXT;
        i += i < input.n;
    }
    *out_out = input;
    return i;
}

void
smtp_ends_feed(struct smtp_ends *e, struct span input)
{
    for (size_t i = 0; i < input.n; i++) {
        char c = input.p[i];
        e->bare |= e->cr != (c == '\n');
        e->cr = c == '\r';
        e->nul |= c == '\0';
    }
}

void
smtp_ends_end(struct smtp_ends *e)
{
    e->bare |= e->cr;
    e->cr = false;
}
