#include "directory/template.h"

struct span
template_value(enum template_var v, struct span name)
{
    size_t at = span_find_char(name, '@');
    if (v == TEMPLATE_USER)
        return name;
    return v == TEMPLATE_LOCAL ? span_slice(name, 0, at) : span_skip(name, at + 1);
}

bool
template_has_domain(struct span text)
{
    for (size_t at; (at = span_find_char(text, '%')) + 1 < text.n;
         text = span_skip(text, at + 2))
        if (text.p[at + 1] == 'u' || text.p[at + 1] == 'd')
            return true;
    return false;
}

// The letter behind '%', or '%' itself.
static enum result
read_var(struct span rest, enum template_var *out, struct fault *f)
{
    static const char letters[TEMPLATE_VARS] = {'u', 'n', 'd'};
    for (int i = 0; rest.n > 1 && i < TEMPLATE_VARS; i++) {
        if (rest.p[1] == letters[i]) {
            *out = (enum template_var)i;
            return R_OK;
        }
    }
    return fault_set(f, FAULT_BAD,
                     "'%.2s' is no variable; %%u, %%n and %%d are, %%%% is a per cent sign",
                     rest.n > 1 ? rest.p : "%");
}

static bool
is_percent(struct span rest)
{
    return rest.n > 1 && rest.p[0] == '%' && rest.p[1] == '%';
}

// ---- SQL ----

struct sql {
    struct span rest;
    char sign;
    struct buf *out;
    struct template_params params;
    struct fault *fault;
};

static enum result
put_param(struct sql *s)
{
    enum template_var v = TEMPLATE_USER;
    size_t i = 0;
    if (read_var(s->rest, &v, s->fault))
        return R_FAIL;
    while (i < s->params.n && s->params.order[i] != v)
        i++;
    if (i == s->params.n)
        s->params.order[s->params.n++] = v;
    buf_printf(s->out, "%c%zu", s->sign, i + 1);
    s->rest = span_skip(s->rest, 2);
    return R_OK;
}

// The octets of a literal up to its end, with '' for a quote; *end_out is behind the closing quote.
static enum result
literal_end(struct span rest, size_t *end_out)
{
    for (size_t i = 1; i < rest.n; i++) {
        if (rest.p[i] != '\'')
            continue;
        if (i + 1 >= rest.n || rest.p[i + 1] != '\'') {
            *end_out = i + 1;
            return R_OK;
        }
        i++;
    }
    return R_FAIL;
}

static bool
has_var(struct span s)
{
    for (size_t at; (at = span_find_char(s, '%')) < s.n; s = span_skip(s, at + 2))
        if (!is_percent(span_skip(s, at)))
            return true;
    return false;
}

// Its text without the variables: "%%" is '%'.
static void
put_plain(struct buf *out, struct span *s)
{
    while (s->n > 0 && (s->p[0] != '%' || is_percent(*s))) {
        buf_put_char(out, s->p[0]);
        *s = span_skip(*s, is_percent(*s) ? 2 : 1);
    }
}

static enum result
put_pieces(struct sql *s, struct span inside)
{
    buf_put_char(s->out, '(');
    for (bool first = true; inside.n > 0; first = false) {
        buf_put_str(s->out, first ? "" : " || ");
        if (inside.p[0] == '%' && !is_percent(inside)) {
            s->rest = inside;
            if (put_param(s))
                return R_FAIL;
            inside = s->rest;
            continue;
        }
        buf_put_char(s->out, '\'');
        put_plain(s->out, &inside);
        buf_put_char(s->out, '\'');
    }
    buf_put_char(s->out, ')');
    return R_OK;
}

static enum result
put_literal(struct sql *s)
{
    size_t end = 0;
    if (literal_end(s->rest, &end))
        return fault_set(s->fault, FAULT_BAD, "a ' without its end");
    struct span behind = span_skip(s->rest, end), inside = span_slice(s->rest, 1, end - 1);
    char before = s->out->n > 0 ? s->out->p[s->out->n - 1] : ' ';
    if (has_var(inside)) {
        if (ascii_is_alpha(before) || before == '&')
            return fault_set(s->fault, FAULT_BAD,
                             "a variable cannot stand in a literal with a prefix");
        if (put_pieces(s, inside))
            return R_FAIL;
    } else {
        buf_put_char(s->out, '\'');
        put_plain(s->out, &inside);
        buf_put_char(s->out, '\'');
    }
    s->rest = behind;
    return R_OK;
}

// Identifiers and comments are copied; no value can stand in them.
static enum result
put_copy(struct sql *s, size_t n)
{
    struct span text = span_slice(s->rest, 0, n);
    if (has_var(text))
        return fault_set(s->fault, FAULT_BAD,
                         "a variable cannot stand in a quoted identifier or a comment");
    put_plain(s->out, &text);
    s->rest = span_skip(s->rest, n);
    return R_OK;
}

static size_t
up_to(struct span s, size_t from, struct span end)
{
    return from + span_find(span_skip(s, from), end) + end.n;
}

static enum result
put_one(struct sql *s)
{
    if (s->rest.p[0] == '\'')
        return put_literal(s);
    if (s->rest.p[0] == '"')
        return put_copy(s, up_to(s->rest, 1, SPAN("\"")));
    if (span_starts(s->rest, SPAN("--")))
        return put_copy(s, up_to(s->rest, 2, SPAN("\n")));
    if (span_starts(s->rest, SPAN("/*")))
        return put_copy(s, up_to(s->rest, 2, SPAN("*/")));
    if (s->rest.p[0] == '%' && !is_percent(s->rest))
        return put_param(s);
    if (s->rest.p[0] == '$' || s->rest.p[0] == '?')
        return fault_set(s->fault, FAULT_BAD,
                         "'%c' cannot stand there: parameters are %%u, %%n and %%d",
                         s->rest.p[0]);
    return put_copy(s, is_percent(s->rest) ? 2 : 1);
}

enum result
template_sql(struct span text, char sign, struct buf *out,
             struct template_params *params_out, struct fault *f)
{
    struct sql s = {.rest = text, .sign = sign, .out = out, .fault = f};
    while (s.rest.n > 0)
        if (put_one(&s))
            return R_FAIL;
    if (out->over)
        return fault_set(f, FAULT_BAD, "the query is too long");
    *params_out = s.params;
    return R_OK;
}

// ---- LDAP ----

static void
put_escaped(struct buf *out, struct span value)
{
    for (size_t i = 0; i < value.n; i++) {
        char c = value.p[i];
        if (strchr("*()\\", c))  // NUL, too
            buf_printf(out, "\\%02x", (unsigned)(unsigned char)c);
        else
            buf_put_char(out, c);
    }
}

enum result
template_ldap_filter(struct span text, struct span name, struct buf *out, struct fault *f)
{
    while (text.n > 0) {
        enum template_var v = TEMPLATE_USER;
        put_plain(out, &text);
        if (text.n == 0)
            break;
        if (read_var(text, &v, f))
            return R_FAIL;
        put_escaped(out, template_value(v, name));
        text = span_skip(text, 2);
    }
    return out->over ? fault_set(f, FAULT_BAD, "the filter is too long") : R_OK;
}

// "uid=%u", "uid:caseIgnoreMatch:=%u"
static void
take_assertion(struct span s, struct template_names *out)
{
    size_t at = span_find_char(s, '='), end = span_find_char(span_slice(s, 0, at), ':');
    struct span attribute = span_trim(span_slice(s, 0, end)), value = span_skip(s, at + 1);
    bool whole = span_eq(value, SPAN("%u")) || span_eq(value, SPAN("%n@%d"));
    if (at == s.n || attribute.n == 0 || attribute.n >= TEMPLATE_ATTRIBUTE ||
        out->n == TEMPLATE_NAMES_MAX || (!whole && !span_eq(value, SPAN("%n"))) ||
        span_find_char(SPAN("~<>"), attribute.p[attribute.n - 1]) < 3)
        return;
    struct template_name *t = &out->list[out->n++];
    memcpy(t->attribute, attribute.p, attribute.n);
    t->attribute[attribute.n] = '\0';
    t->whole = whole;
}

void
template_ldap_names(struct span filter, struct template_names *out)
{
    *out = (struct template_names){0};
    for (size_t i = 0; i < filter.n; i++) {
        struct span rest = span_skip(filter, i + 1);
        size_t end = span_find_char(rest, ')');
        if (filter.p[i] == '(' && end < rest.n && span_find_char(rest, '(') > end)
            take_assertion(span_slice(rest, 0, end), out);
    }
}
