// Sieve: a script, NUL, a message. Whatever they are: the printed script prints the same; a run ends within its work, with
// actions, and a failed one with the implicit keep alone.

#include "sieve/sieve.h"

enum { WORK = 2000000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_print(struct span script)
{
    struct buf once, twice;
    struct sieve_error e;
    buf_init(&once, 1 << 24);
    buf_init(&twice, 1 << 24);
    if (sieve_print(script, &once, &e) == R_OK) {
        must(sieve_print(buf_span(&once), &twice, &e) == R_OK);
        must(span_eq(buf_span(&once), buf_span(&twice)));
    }
    buf_done(&once);
    buf_done(&twice);
}

// Every script that is included is what is left of the message.
static enum result
script(void *arg, bool global, struct span name, struct span *out)
{
    const struct span *message = arg;
    if (global)
        return R_NONE;
    *out = span_skip(*message, name.n);
    return R_OK;
}

static void
check_run(struct arena *a, const struct sieve_program *p, struct span message)
{
    struct sieve_world world;
    struct sieve_outcome out;
    sieve_world_of(a, message, &world);
    world.has_envelope = true;
    world.from = SPAN("a+b@example.org");
    world.to = SPAN("c@example.com");
    world.work_max = WORK;
    world.script = script;
    world.arg = &message;
    sieve_run(a, p, &world, &out);
    must(out.work <= WORK && out.actions != NULL);
    must(!out.failed || (out.actions->implicit && out.actions->next == NULL));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span all = span_of(data, size);
    size_t at = span_find_char(all, '\0');
    struct span script = span_slice(all, 0, at);
    struct arena *a = arena_new();
    struct sieve_program *p;
    struct sieve_error e;
    check_print(script);
    if (sieve_compile(a, SIEVE_USER, script, &p, &e) == R_OK)
        check_run(a, p, span_skip(all, at + 1));
    arena_free(&a);
    return 0;
}
