// ManageSieve sessions after login: any octets are answered by whole responses, the same in whatever pieces they come, and what
// is stored afterwards is scripts that compile, one active at most. Where the password may only read all stays as it is.
#include "base/limits.h"
#include "mail/script.h"
#include "managesieve/grammar.h"
#include "managesieve/inside.h"
#include "served.h"
#include "sieve/sieve.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    struct span in;
    size_t step;
    struct buf *out;
    bool read_only;
};

static void
start(struct served *s, struct conn *server)
{
    struct mail_user *user;
    struct fault f;
    must(mail_user_open(s->mail, 7, SPAN("alice"), &user, &f) == R_OK);
    struct handover h = {.service = SPAN("managesieve")};
    const struct input *i = s->arg;
    managesieve_session_start(
        server, user, &h, &(struct managesieve_host){.arg = s, .read_only = i->read_only});
}

// Takes a string off the front.
static bool
skip_string(struct span *rest)
{
    size_t n = 1;
    uint32_t size;
    if (span_starts(*rest, SPAN("\""))) {
        while (n < rest->n && rest->p[n] != '"')
            n += rest->p[n] == '\\' ? 2 : 1;
        must(n < rest->n && n <= 2 * 1024 + 1);
        *rest = span_skip(*rest, n + 1);
        return true;
    }
    if (!span_starts(*rest, SPAN("{")))
        return false;
    n = span_find_char(*rest, '}');
    must(n < rest->n && span_to_u32(span_slice(*rest, 1, n), &size) == R_OK);
    *rest = span_skip(*rest, n + 1);
    must(span_starts(*rest, SPAN("\r\n")) && rest->n >= size + 2);
    *rest = span_skip(*rest, size + 2);
    return true;
}

static void
skip(struct span *rest, struct span what)
{
    if (span_starts(*rest, what))
        *rest = span_skip(*rest, what.n);
}

static void
check_answers(struct span rest)
{
    while (rest.n > 0) {
        if (skip_string(&rest)) {
            skip(&rest, SPAN(" "));
            if (!skip_string(&rest))
                skip(&rest, SPAN("ACTIVE"));
        } else {
            bool status = span_starts(rest, SPAN("OK")) || span_starts(rest, SPAN("NO")) ||
                          span_starts(rest, SPAN("BYE"));
            must(status);
            rest = span_skip(rest, rest.p[0] == 'B' ? 3 : 2);
            if (span_starts(rest, SPAN(" ("))) {
                rest = span_skip(rest, 2);
                while (rest.n > 0 && rest.p[0] != ')' && !skip_string(&rest))
                    rest = span_skip(rest, 1);
                must(span_starts(rest, SPAN(")")));
                rest = span_skip(rest, 1);
            }
            skip(&rest, SPAN(" "));
            (void)skip_string(&rest);
        }
        must(span_starts(rest, SPAN("\r\n")));
        rest = span_skip(rest, 2);
    }
}

static void
check_scripts(struct served *s, struct buf *out)
{
    struct arena *arena = arena_new();
    struct account *a;
    struct script_info *scripts;
    struct fault f;
    size_t n, active = 0;
    must(account_open(s->mail, 7, SPAN("alice"), true, &a, &f) == R_OK);
    script_list(a, arena, &scripts, &n);
    for (size_t i = 0; i < n; i++) {
        struct sieve_program *p;
        struct sieve_error e;
        struct buf text;
        struct span name;
        buf_init(&text, LIMIT_sieve_script);
        must(script_name(arena, scripts[i].name, &name, &f) == R_OK);
        must(script_read(a, name, &text) == R_OK && text.n == scripts[i].size);
        must(sieve_compile(arena, SIEVE_USER, buf_span(&text), &p, &e) == R_OK);
        buf_put(out, name);
        buf_put(out, buf_span(&text));
        active += scripts[i].active;
        buf_done(&text);
    }
    must(active <= 1);
    account_close(&a);
    arena_free(&arena);
}

static void
session(struct served *s)
{
    struct input *i = s->arg;
    struct buf said;
    buf_init(&said, SIZE_MAX);
    served_talk(s, start, i->in, i->step, &said);
    must(managesieve_session_count() == 0);
    check_answers(buf_span(&said));
    buf_put(i->out, buf_span(&said));
    size_t at = i->out->n;
    check_scripts(s, i->out);
    buf_reset(&said);
    i->read_only = true;
    served_talk(s, start, i->in, i->step, &said);
    check_answers(buf_span(&said));
    buf_reset(&said);
    check_scripts(s, &said);
    must(span_eq(buf_span(&said), span_skip(buf_span(i->out), at)));
    buf_done(&said);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf whole, cut;
    must(!managesieve_is_known(span_of(data, size)) ||
         !span_istarts(span_of(data, size), SPAN("AUTHENTICATE ")));
    buf_init(&whole, SIZE_MAX);
    buf_init(&cut, SIZE_MAX);
    served_run(session, &(struct input){span_of(data, size), size + 1, &whole, false});
    served_run(session, &(struct input){span_of(data, size), size / 7 + 1, &cut, false});
    must(span_eq(buf_span(&whole), buf_span(&cut)));
    buf_done(&whole);
    buf_done(&cut);
    return 0;
}
