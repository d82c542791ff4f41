// Lines of Dovecot's authentication protocol: what is read is what a line made of it reads as again, nothing behind resp=
// counts, and escaping has a reverse and leaves no octet that ends a parameter or a line.
#include "wire/auth_line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
put(struct buf *b, const char *name, struct span value)
{
    if (value.p == NULL)
        return;
    buf_printf(b, "\t%s=", name);
    auth_line_escape(value, b);
}

static void
print(const struct auth_line *l, struct buf *b)
{
    static const char *const names[] = {"VERSION", "CPID", "AUTH", "CONT", "CANCEL"};
    buf_printf(b, "%s\t%u", names[l->kind],
               l->kind == AUTH_LINE_VERSION ? l->major : l->id);
    if (l->kind == AUTH_LINE_VERSION)
        buf_printf(b, "\t%u", l->minor);
    if (l->kind == AUTH_LINE_CONT)
        buf_printf(b, "\t%.*s", SPAN_ARG(l->response));
    if (l->kind != AUTH_LINE_AUTH)
        return;
    buf_put_char(b, '\t');
    auth_line_escape(l->mechanism, b);
    put(b, "service", l->service);
    put(b, "rip", l->remote);
    put(b, "lip", l->local);
    put(b, "session", l->session);
    put(b, "local_name", l->server_name);
    buf_put_str(b, l->secured ? "\tsecured" : "");
    buf_put_str(b, l->final_ok ? "\tfinal-resp-ok" : "");
    if (l->response.p != NULL)
        buf_printf(b, "\tresp=%.*s", SPAN_ARG(l->response));
}

static bool
same(const struct auth_line *a, const struct auth_line *b)
{
    return a->kind == b->kind && a->major == b->major && a->minor == b->minor &&
           a->id == b->id && a->secured == b->secured && a->final_ok == b->final_ok &&
           span_eq(a->mechanism, b->mechanism) && span_eq(a->service, b->service) &&
           span_eq(a->remote, b->remote) && span_eq(a->local, b->local) &&
           span_eq(a->session, b->session) && span_eq(a->server_name, b->server_name) &&
           span_eq(a->response, b->response) && !a->response.p == !b->response.p;
}

static void
check_escaping(struct span in, struct arena *a)
{
    struct buf b;
    buf_init(&b, 2 * in.n);
    auth_line_escape(in, &b);
    struct span out = buf_span(&b);
    if (b.over || !span_eq(auth_line_unescape(out, a), in))
        abort();
    for (size_t i = 0; i < out.n; i++)
        if (strchr("\t\r\n", out.p[i]) != NULL)
            abort();
    buf_done(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct span in = span_of((const char *)data, n);
    struct arena *a = arena_new();
    struct auth_line l, again;
    struct fault f;
    check_escaping(in, a);
    if (auth_line_parse(span_slice(in, 0, span_find_char(in, '\n')), a, &l, &f) == R_OK) {
        struct buf b;
        buf_init(&b, 16 * n + 256);
        print(&l, &b);
        if (b.over || auth_line_parse(buf_span(&b), a, &again, &f) != R_OK ||
            !same(&l, &again))
            abort();
        buf_put_str(&b, "\tsecured\tservice=other\trip=1");
        bool sealed = l.kind == AUTH_LINE_AUTH && l.response.p != NULL;
        if (sealed &&
            (auth_line_parse(buf_span(&b), a, &again, &f) != R_OK || !same(&l, &again)))
            abort();
        buf_done(&b);
    }
    arena_free(&a);
    return 0;
}
