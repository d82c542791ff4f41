// Lines of LMTP: parsed paths print and parse again, xtext is bounded; DATA gives the same octets and the same end at every
// cut, and only CRLF.CRLF (or .CRLF at once) is an end.
#include "wire/smtp.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t
unstuff(struct span in, size_t step, struct buf *out, bool *done_out)
{
    struct smtp_data d;
    size_t used = 0;
    smtp_data_init(&d);
    while (used < in.n && !d.done) {
        struct span piece;
        used += smtp_data_next(&d, span_slice(in, used, used + step), &piece);
        buf_put(out, piece);
    }
    *done_out = d.done;
    return used;
}

static void
body(struct span in)
{
    struct buf one, all;
    bool one_done, all_done;
    buf_init(&one, in.n + 1);
    buf_init(&all, in.n + 1);
    size_t used = unstuff(in, 1, &one, &one_done), at = span_find(in, SPAN("\r\n.\r\n"));
    must(unstuff(in, in.n + 1, &all, &all_done) == used && one_done == all_done);
    must(span_eq(buf_span(&one), buf_span(&all)));
    size_t end = span_starts(in, SPAN(".\r\n")) ? 3 : at < in.n ? at + 5 : 0;
    must(one_done == (end > 0) && (!one_done || used == end));
    buf_done(&one);
    buf_done(&all);
}

static void
envelope(struct span args, const char *keyword, struct arena *a)
{
    struct smtp_envelope e;
    struct fault f;
    if (smtp_envelope_parse(args, keyword, a, &e, &f) != R_OK)
        return;
    must(utf8_valid(e.path.address) && e.path.address.n <= args.n &&
         e.param_count <= SMTP_PARAMS_MAX);
    must(e.path.local.n + e.path.domain.n <= e.path.address.n);
    must(!memchr(e.path.address.n ? e.path.address.p : "", '\n', e.path.address.n));
    for (unsigned i = 0; i < e.param_count; i++)
        must(e.params[i].name.n > 0);
}

static void
line(struct span in, struct arena *a)
{
    struct smtp_command c;
    struct buf text;
    size_t n = smtp_line(in);
    must(n <= in.n && (n == 0 || in.p[n - 1] == '\n'));
    if (smtp_command_parse(span_slice(in, 0, n), &c) == R_OK) {
        must(c.verb.n > 0 && c.verb.n + c.args.n <= n);
        envelope(c.args, "FROM", a);
    }
    buf_init(&text, in.n);
    if (smtp_xtext_decode(in, &text) == R_OK)
        must(text.n <= in.n);
    buf_done(&text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_of(data, size);
    struct arena *a = arena_new();
    envelope(in, "TO", a);
    line(in, a);
    body(in);
    arena_free(&a);
    return 0;
}
