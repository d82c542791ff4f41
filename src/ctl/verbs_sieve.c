#include "ctl/output.h"
#include "ctl/programs.h"
#include "ctl/verbs.h"
#include "base/limits.h"
#include "sieve/sieve.h"
#include <errno.h>

// sieve check and sieve test: what a script says and does, without a server and without any mail being moved.

static enum result
read_file(const char *path, size_t max, struct buf *out, struct fault *f)
{
    char chunk[16384];
    size_t n;
    FILE *file = fopen(path, "rbe");
    if (file == NULL)
        return fault_set(f, FAULT_NONEXISTENT, "%s: %s", path, strerror(errno));
    buf_init(out, max);
    while ((n = fread(chunk, 1, sizeof chunk, file)) > 0 && !out->over)
        buf_put(out, span_of(chunk, n));
    bool broken = ferror(file) != 0;
    fclose(file);
    if (!broken && !out->over)
        return R_OK;
    buf_done(out);
    return broken ? fault_set(f, FAULT_DISK, "%s cannot be read", path)
                  : fault_set(f, FAULT_TOOBIG, "%s is larger than %zu octets", path, max);
}

static int
tell_mistake(const char *path, const struct sieve_error *e)
{
    output_note("mistake",
                FIELDS(field_str("file", "%:", path), field_number("line", "%:", e->line),
                       field_number("column", "%: ", e->column),
                       field_str("message", "%", e->text)));
    return 1;
}

// As the server of these settings would: as a script of the administrator.
static int
offer(const struct verb_options *o)
{
    struct config *c;
    struct fault f;
    if (verb_config(o, &c, &f) != R_OK)
        return output_fault(&f, 1);
    programs_offer(c);
    config_free(&c);
    return 0;
}

// Reads and compiles; not 0: the exit code, and it was told why.
static int
load(const struct verb_options *o, const char *path, struct arena *a,
     struct sieve_program **out)
{
    struct buf script;
    struct fault f;
    struct sieve_error e;
    if (offer(o) != 0)
        return 1;
    if (read_file(path, LIMIT_sieve_script, &script, &f) != R_OK)
        return output_fault(&f, 1);
    enum result r = sieve_compile(a, SIEVE_ADMINISTRATOR, buf_span(&script), out, &e);
    buf_done(&script);
    return r == R_OK ? 0 : tell_mistake(path, &e);
}

int
verb_sieve_check(const struct verb_options *o, const char *const *args, size_t n)
{
    struct arena *a = arena_new();
    struct sieve_program *p = NULL;
    (void)n;
    int code = load(o, args[0], a, &p);
    if (code == 0)
        output_row("script", FIELDS(field_str("file", "%", args[0]),
                                    field_str(NULL, "%", ": no mistakes found")));
    arena_free(&a);
    return code;
}

static void
print_trace(void *arg, unsigned line, struct span text)
{
    (void)arg;
    output_row("trace", FIELDS(field_if(line > 0, field_number("line", "line %: ", line)),
                               field_text("text", "%", text)));
}

static void
print_action(const struct sieve_action *a)
{
    struct buf text;
    buf_init(&text, SIZE_MAX >> 1);
    sieve_action_print(&text, a);
    bool why = a->because.n > 0;
    output_row("action",
               FIELDS(field_str("action", "", sieve_action_name(a->kind)),
                      field_if(a->line > 0, field_number("line", "line %: ", a->line)),
                      field_text("text", "%", buf_span(&text)),
                      field_if(why, field_text("because", ", because of %", a->because)),
                      field_flag("implicit", "", a->implicit)));
    buf_done(&text);
}

static int
print_outcome(const char *path, const struct sieve_outcome *out)
{
    for (const struct sieve_action *a = out->actions; a; a = a->next)
        print_action(a);
    return out->failed ? tell_mistake(path, &out->error) : 0;
}

static void
set_envelope(const struct verb_options *o, struct sieve_world *w)
{
    w->has_envelope = o->envelope.from != NULL || o->envelope.to != NULL;
    w->from = span_str(o->envelope.from ? o->envelope.from : "");
    w->to = span_str(o->envelope.to ? o->envelope.to : "");
    w->trace = print_trace;
}

int
verb_sieve_test(const struct verb_options *o, const char *const *args, size_t n)
{
    struct arena *a = arena_new();
    struct sieve_program *p = NULL;
    struct buf message;
    struct fault f;
    (void)n;
    int code = load(o, args[0], a, &p);
    if (code == 0 && read_file(args[1], LIMIT_message_size, &message, &f) != R_OK) {
        code = output_fault(&f, 1);
    } else if (code == 0) {
        struct sieve_world world;
        struct sieve_outcome out;
        sieve_world_of(a, buf_span(&message), &world);
        set_envelope(o, &world);
        sieve_run(a, p, &world, &out);
        code = print_outcome(args[0], &out);
        buf_done(&message);
    }
    arena_free(&a);
    return code;
}
