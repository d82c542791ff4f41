// The command reader in two cuts, then the tokens over what it framed: no crash, and the cut makes no difference.
#include "base/limits.h"
#include "wire/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum command_state
frame(struct span in, size_t cut, size_t *size_out)
{
    struct command_reader r;
    command_reader_init(&r, LIMIT_line, LIMIT_command);
    enum command_state state = COMMAND_MORE;
    for (size_t n = cut; state == COMMAND_MORE && n <= in.n; n = n < in.n ? in.n : n + 1)
        while ((state = command_reader_feed(&r, span_slice(in, 0, n), size_out)) ==
               COMMAND_CONTINUE)
            ;
    return state;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_of(data, size);
    size_t whole = 0, cut = 0;
    enum command_state state = frame(in, size, &whole);
    must(frame(in, size / 2, &cut) == state && cut == whole);
    struct arena *a = arena_new();
    struct parse p;
    uint64_t offset, count;
    parse_init(&p, span_slice(in, 0, whole), a, size & 1);
    parse_tag(&p);
    while (parse_try(&p, ' ') && !parse_at_end(&p)) {
        if (parse_try_text(&p, "BODY["))
            parse_section(&p), parse_partial(&p, &offset, &count);
        else if (parse_try(&p, 'm'))
            parse_mailbox(&p);
        else
            parse_skip_value(&p);
    }
    arena_free(&a);
    return 0;
}
