#include "wire/auth_line.h"

enum { ESCAPE = '\001' };

// What stands behind an escape for what.
static const struct {
    char letter, octet;
} escapes[] = {{'0', '\0'}, {'1', ESCAPE}, {'t', '\t'}, {'r', '\r'}, {'n', '\n'}};
enum { ESCAPES = sizeof escapes / sizeof escapes[0] };

void
auth_line_escape(struct span text, struct buf *out)
{
    for (size_t i = 0; i < text.n; i++) {
        size_t k = 0;
        while (k < ESCAPES && escapes[k].octet != text.p[i])
            k++;
        if (k < ESCAPES)
            buf_put_char(out, ESCAPE);
        buf_put_char(out, k < ESCAPES ? escapes[k].letter : text.p[i]);
    }
}

static char
unescaped(char letter)
{
    for (size_t k = 0; k < ESCAPES; k++)
        if (escapes[k].letter == letter)
            return escapes[k].octet;
    return letter;
}

struct span
auth_line_unescape(struct span text, struct arena *a)
{
    if (span_find_char(text, ESCAPE) == text.n)
        return text;
    char *p = arena_alloc(a, text.n);
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        bool escaped = text.p[i] == ESCAPE;
        i += escaped;
        if (i < text.n)
            p[n++] = escaped ? unescaped(text.p[i]) : text.p[i];
    }
    return span_of(p, n);
}

// ---- parameters ----

static bool
is_resp(struct span parameter)
{
    return span_starts(parameter, SPAN("resp=")) || span_eq(parameter, SPAN("resp"));
}

static void
take(struct auth_line *l, struct span name, struct span value)
{
    const struct {
        struct span name;
        struct span *text;
        bool *flag;
    } known[] = {
        {SPAN("service"), &l->service, NULL},
        {SPAN("rip"), &l->remote, NULL},
        {SPAN("lip"), &l->local, NULL},
        {SPAN("session"), &l->session, NULL},
        {SPAN("local_name"), &l->server_name, NULL},
        {SPAN("secured"), NULL, &l->secured},
        {SPAN("final-resp-ok"), NULL, &l->final_ok},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (!span_eq(known[i].name, name))
            continue;
        if (known[i].text != NULL)
            *known[i].text = value;
        else
            *known[i].flag = true;
    }
}

// resp is the last one: what comes behind it is not looked at, in case a client puts what a stranger sent into it as it is.
static void
take_parameters(struct auth_line *l, struct span rest, struct arena *a)
{
    struct span parameter;
    while (l->response.p == NULL && span_next_field(&rest, '\t', &parameter) == R_OK) {
        size_t at = span_find_char(parameter, '=');
        struct span name = span_slice(parameter, 0, at),
                    value = span_skip(parameter, at + 1);
        if (is_resp(parameter))
            l->response = value.n > 0 ? value : SPAN("");
        else
            take(l, auth_line_unescape(name, a), auth_line_unescape(value, a));
    }
}

// ---- commands ----

static enum result
bad(struct fault *f, const char *what)
{
    return fault_set(f, FAULT_BAD, "%s", what);
}

static enum result
take_number(struct span *rest, uint32_t *out, struct fault *f)
{
    struct span word;
    if (span_next_field(rest, '\t', &word) != R_OK || span_to_u32(word, out) != R_OK)
        return bad(f, "a number is missing");
    return R_OK;
}

static enum result
version(struct auth_line *l, struct span *rest, struct arena *a, struct fault *f)
{
    (void)a;
    return take_number(rest, &l->major, f) == R_OK ? take_number(rest, &l->minor, f)
                                                   : R_FAIL;
}

static enum result
number_only(struct auth_line *l, struct span *rest, struct arena *a, struct fault *f)
{
    (void)a;
    return take_number(rest, &l->id, f);
}

static enum result
auth(struct auth_line *l, struct span *rest, struct arena *a, struct fault *f)
{
    if (take_number(rest, &l->id, f) != R_OK)
        return R_FAIL;
    struct span mechanism;
    if (span_next_field(rest, '\t', &mechanism) == R_OK)
        l->mechanism = auth_line_unescape(mechanism, a);
    take_parameters(l, *rest, a);
    if (l->mechanism.n == 0)
        return bad(f, "AUTH without a mechanism");
    return l->service.n > 0 ? R_OK : bad(f, "AUTH without a service");
}

static enum result
cont(struct auth_line *l, struct span *rest, struct arena *a, struct fault *f)
{
    (void)a;
    if (take_number(rest, &l->id, f) != R_OK)
        return R_FAIL;
    if (span_next_field(rest, '\t', &l->response) != R_OK || l->response.n == 0)
        l->response = SPAN("");
    return R_OK;
}

static const struct {
    const char *name;
    enum result (*take)(struct auth_line *l, struct span *rest, struct arena *a,
                        struct fault *f);
} commands[] = {
    [AUTH_LINE_VERSION] = {"VERSION", version},
    [AUTH_LINE_CPID] = {"CPID", number_only},
    [AUTH_LINE_AUTH] = {"AUTH", auth},
    [AUTH_LINE_CONT] = {"CONT", cont},
    [AUTH_LINE_CANCEL] = {"CANCEL", number_only},
};

enum result
auth_line_parse(struct span line, struct arena *a, struct auth_line *out, struct fault *f)
{
    struct auth_line l = {.id = 0};
    struct span rest = line, name = SPAN_NONE;
    if (line.n == 0 || memchr(line.p, '\0', line.n) != NULL)
        return bad(f, "an empty line, or one with NUL");
    if (span_next_field(&rest, '\t', &name) != R_OK)
        return bad(f, "no command");
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (!span_eq(name, span_str(commands[i].name)))
            continue;
        l.kind = (enum auth_line_kind)i;
        if (commands[i].take(&l, &rest, a, f) != R_OK)
            return R_FAIL;
        *out = l;
        return R_OK;
    }
    return bad(f, "an unknown command");
}
