#include "sieve/run.h"

#include <stdarg.h>

enum result(sieve_fail)(struct sieve_run *r, const struct sieve_call *call, const char *fmt,
                        ...)
{
    struct sieve_error *e = &r->out->error;
    if (r->out->failed)
        return R_FAIL;  // the first says why
    va_list args;
    struct span name = r->frame ? span_slice(r->frame->name, 0, 60) : SPAN_NONE;
    int n = name.n
                ? snprintf(e->text, sizeof e->text, "in the script %.*s: ", SPAN_ARG(name))
                : 0;
    va_start(args, fmt);
    vsnprintf(e->text + n, sizeof e->text - (size_t)n, fmt, args);
    va_end(args);
    e->line = call ? call->line : 0;
    e->column = call ? call->column : 0;
    r->out->failed = true;
    return R_FAIL;
}

const struct sieve_world *
sieve_world(const struct sieve_run *r)
{
    return r->world;
}

enum result
sieve_work(struct sieve_run *r, uint64_t units)
{
    if (units <= r->work_max - r->work) {
        bool due = (r->work + units) / STEPS_REST > r->work / STEPS_REST;
        r->work += units;
        if (due && r->world->rest)
            r->world->rest(r->world->arg);
        return R_OK;
    }
    r->work = r->work_max;
    return sieve_fail(r, NULL, "the script takes more work than it may");
}

struct sieve_steps
sieve_steps_begin(const struct sieve_run *r)
{
    return (struct sieve_steps){r->work_max - r->work, r->world->rest, r->world->arg};
}

enum result
sieve_steps_end(struct sieve_run *r, const struct sieve_steps *s, bool whole)
{
    r->work = r->work_max - s->left;
    return whole ? R_OK : sieve_work(r, s->left + 1);
}

struct arena *
sieve_scratch(struct sieve_run *r)
{
    return r->scratch;
}

struct arena *
sieve_scratch_begin(struct sieve_run *r)
{
    struct arena *before = r->scratch;
    r->held += arena_used(before);
    r->scratch = arena_new();
    return before;
}

void
sieve_scratch_end(struct sieve_run *r, struct arena *before)
{
    arena_free(&r->scratch);
    r->scratch = before;
    r->held -= arena_used(before);
}

struct arena *
sieve_kept(struct sieve_run *r)
{
    return r->arena;
}

enum result
sieve_room(struct sieve_run *r, size_t octets)
{
    size_t used = arena_used(r->arena) + arena_used(r->scratch) + r->held;
    if (octets <= LIMIT_sieve_memory && used + octets <= LIMIT_sieve_memory)
        return R_OK;
    return sieve_fail(r, NULL, "the script takes more memory than it may");
}

enum result
sieve_take(struct sieve_run *r, struct buf *b, struct span *out)
{
    enum result result =
        b->over ? sieve_fail(r, NULL, "a text is too long") : sieve_room(r, b->n);
    if (result == R_OK)
        *out = b->n ? arena_dup(r->scratch, buf_span(b)) : SPAN("");
    buf_done(b);
    return result;
}

bool
sieve_is_enabled(const struct sieve_run *r, enum sieve_ext_number ext)
{
    return r->frame->program->enabled[ext];
}

void **
sieve_state(struct sieve_run *r, enum sieve_ext_number ext)
{
    return &r->state[ext];
}

void
sieve_stop(struct sieve_run *r)
{
    r->stopped = true;
}

struct span
sieve_header(const struct sieve_run *r)
{
    return r->message.header;
}

void
sieve_header_set(struct sieve_run *r, struct span header)
{
    r->message.header = header;
    r->message.edited = true;
}

void
sieve_note(struct sieve_run *r, unsigned line, const char *fmt, ...)
{
    char text[400];
    if (r->world->trace == NULL)
        return;
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    r->world->trace(r->world->arg, line, span_str(text));
}

const struct sieve_value *
sieve_tag(const struct sieve_call *call, const char *name)
{
    for (const struct sieve_tagged *t = call->tags; t; t = t->next)
        if (span_eq(span_str(t->tag->name), span_str(name)))
            return &t->value;
    return NULL;
}

// What a wildcard took; variables beyond those of the last match are empty.
static struct span
capture(const struct sieve_frame *f, unsigned number)
{
    if (number >= f->captures)
        return SPAN_NONE;
    size_t from = number ? f->capture_end[number - 1] : 0;
    return span_slice(buf_span(&f->capture_text), from, f->capture_end[number]);
}

static void
put_held(struct sieve_run *r, struct buf *b, struct span s)
{
    size_t before = b->cap;
    buf_put(b, s);
    r->held += b->cap - before;
}

enum result
sieve_captures_set(struct sieve_matching *m, const struct span *texts, size_t n)
{
    struct sieve_run *r = m->run;
    struct sieve_frame *f = r->frame;
    if (!f->program->has_variables || m->is_silent)
        return R_OK;
    buf_reset(&f->capture_text);
    f->captures = n > LIMIT_sieve_captures ? LIMIT_sieve_captures : (unsigned)n;
    for (unsigned i = 0; i < f->captures; i++) {
        put_held(r, &f->capture_text, span_slice(texts[i], 0, LIMIT_sieve_variable));
        f->capture_end[i] = f->capture_text.n;
    }
    return sieve_work(r, f->capture_text.n / 16);
}

struct span
sieve_variable(const struct sieve_run *r, unsigned number)
{
    return buf_span(r->frame->variables[number]);
}

enum result
sieve_variable_set(struct sieve_run *r, unsigned number, struct span value)
{
    struct buf *b = r->frame->variables[number];
    buf_reset(b);
    size_t n = value.n < LIMIT_sieve_variable ? value.n : LIMIT_sieve_variable;
    while (n < value.n && n > 0 && ((unsigned char)value.p[n] & 0xC0) == 0x80)
        n--;  // RFC 5229 section 4: cut, but not within a character
    put_held(r, b, span_slice(value, 0, n));
    return sieve_work(r, n / 16);
}

static enum result
piece_text(struct sieve_run *r, const struct sieve_piece *p, struct span *out)
{
    switch (p->kind) {
    case PIECE_TEXT:
        *out = p->text;
        break;
    case PIECE_VARIABLE:
        *out = sieve_variable(r, p->number);
        break;
    case PIECE_MATCH:
        *out = capture(r->frame, p->number);
        break;
    case PIECE_OUTSIDE:
        return sieve_exts[p->number]->outside(r, p->text, out);
    }
    return R_OK;
}

enum result
sieve_text(struct sieve_run *r, const struct sieve_string *s, struct span *out)
{
    struct buf b;
    struct span text = SPAN_NONE;
    if (s->pieces == NULL) {
        *out = s->text;
        return R_OK;
    }
    buf_init(&b, LIMIT_sieve_text);
    for (const struct sieve_piece *p = s->pieces; p; p = p->next) {
        if (piece_text(r, p, &text) != R_OK) {
            buf_done(&b);
            return R_FAIL;
        }
        buf_put(&b, text);
    }
    if (sieve_work(r, b.n / 16 + 1) != R_OK) {
        buf_done(&b);
        return R_FAIL;
    }
    return sieve_take(r, &b, out);
}

enum result
sieve_texts(struct sieve_run *r, const struct sieve_value *v, struct span **out)
{
    if (sieve_room(r, v->n * sizeof(struct span)) != R_OK || sieve_work(r, v->n) != R_OK)
        return R_FAIL;
    *out = arena_array(r->scratch, v->n + 1, sizeof(struct span));
    for (size_t i = 0; i < v->n; i++)
        if (sieve_text(r, &v->strings[i], &(*out)[i]) != R_OK)
            return R_FAIL;
    return R_OK;
}

enum result
sieve_one(struct sieve_run *r, const struct sieve_value *v, struct span *out)
{
    must(v->n == 1);
    return sieve_text(r, &v->strings[0], out);
}

static void
free_value(void *arg)
{
    buf_done(arg);
}

static struct buf *
new_value(struct sieve_run *r, struct buf *b)
{
    buf_init(b, LIMIT_sieve_variable);
    arena_on_end(r->arena, free_value, b);
    return b;
}

static struct buf *
shared_value(struct sieve_run *r, struct span name)
{
    for (struct sieve_shared *s = r->shared; s; s = s->next)
        if (span_eq(s->name, name))
            return &s->value;
    struct sieve_shared *s = ARENA_NEW(r->arena, struct sieve_shared);
    s->name = arena_dup(r->arena, name);
    s->next = r->shared;
    r->shared = s;
    return new_value(r, &s->value);
}

// RFC 6785 section 3.11.
static enum result
check_stage(struct sieve_run *r, const struct sieve_program *p)
{
    static const char *const places[] = {[SIEVE_DELIVERY] = "when mail is delivered",
                                         [SIEVE_EVENT] =
                                             "in a script that an IMAP command runs",
                                         [SIEVE_ASKED] = "when stored mail is filtered"};
    const char *capability = sieve_out_of_place(p, r->world->stage);
    if (capability == NULL)
        return R_OK;
    return sieve_fail(r, NULL, "\"%s\" does not work %s", capability,
                      places[r->world->stage]);
}

enum result
sieve_push(struct sieve_run *r, const struct sieve_program *p)
{
    if (check_stage(r, p) != R_OK)
        return R_FAIL;
    if (sieve_room(r, sizeof(struct sieve_frame) + p->variables * 128) != R_OK)
        return R_FAIL;
    struct sieve_frame *f = ARENA_NEW(r->arena, struct sieve_frame);
    f->program = p;
    f->variables = arena_array(r->arena, p->variables + 1, sizeof(struct buf *));
    for (unsigned i = 0; i < p->variables; i++) {
        const struct sieve_name *name = &p->variable_names[i];
        f->variables[i] = name->global ? shared_value(r, name->name)
                                       : new_value(r, ARENA_NEW(r->arena, struct buf));
    }
    buf_init(&f->capture_text, SIZE_MAX >> 1);
    arena_on_end(r->arena, free_value, &f->capture_text);
    f->below = r->frame;
    f->loops = r->state[SIEVE_EXT_foreverypart];
    r->frame = f;
    return R_OK;
}

static void
give_back(struct sieve_run *r, struct buf *b)
{
    r->held -= b->cap;
    buf_done(b);
}

void
sieve_pop(struct sieve_run *r)
{
    struct sieve_frame *f = r->frame;
    for (unsigned i = 0; f->below && i < f->program->variables; i++)
        if (!f->program->variable_names[i].global)
            give_back(r, f->variables[i]);
    give_back(r, &f->capture_text);
    f->captures = 0;
    r->state[SIEVE_EXT_foreverypart] = r->frame->loops;
    if (r->frame->below)
        r->frame = r->frame->below;
    else
        r->stopped = true;
}

static void
trace_test(struct sieve_run *r, const struct sieve_instruction *i)
{
    struct span s = i->call->source;
    if (r->world->trace)
        sieve_note(r, i->line, "%.*s%s: %s", (int)(s.n < 300 ? s.n : 300), s.p,
                   s.n < 300 ? "" : "...", r->frame->flag ? "true" : "false");
}

static enum result
step(struct sieve_run *r, const struct sieve_instruction *i)
{
    struct sieve_frame *f = r->frame;
    switch (i->op) {
    case OP_TEST:
        f->flag = false;
        if (i->call->command->test(r, i->call, &f->flag) != R_OK)
            return sieve_fail(r, i->call, "%s failed", i->call->command->name);
        trace_test(r, i);
        break;
    case OP_DO:
        if (i->call->command->act(r, i->call) != R_OK)
            return sieve_fail(r, i->call, "%s failed", i->call->command->name);
        break;
    case OP_NOT:
        f->flag = !f->flag;
        break;
    case OP_SET:
        f->flag = i->target != 0;
        break;
    case OP_JUMP:
        f->pc = i->target;
        break;
    case OP_JUMP_FALSE:
    case OP_JUMP_TRUE:
        if (f->flag == (i->op == OP_JUMP_TRUE))
            f->pc = i->target;
        break;
    case OP_ERROR:
        sieve_fail(r, NULL, "%s", i->text);
        r->out->error.line = i->line;
        return R_FAIL;
    case OP_END:
        sieve_pop(r);
        break;
    }
    return R_OK;
}

// The error's line where the failing call did not say it.
static void
place_error(struct sieve_run *r, const struct sieve_instruction *i)
{
    if (r->out->error.line == 0)
        r->out->error.line = i->line;
}

static void
execute(struct sieve_run *r)
{
    while (!r->stopped) {
        const struct sieve_instruction *i = &r->frame->program->code[r->frame->pc++];
        if (sieve_work(r, 16) != R_OK || step(r, i) != R_OK || sieve_room(r, 0) != R_OK) {
            place_error(r, i);
            return;
        }
        if (arena_used(r->scratch) > 0)
            arena_reset(r->scratch);
    }
}

void
sieve_run(struct arena *a, const struct sieve_program *p, const struct sieve_world *world,
          struct sieve_outcome *out)
{
    *out = (struct sieve_outcome){0};
    struct arena *own = arena_new();
    struct sieve_run *r = ARENA_NEW(own, struct sieve_run);
    r->arena = a;
    r->scratch = arena_new();
    r->world = world;
    r->out = out;
    r->last = &out->actions;
    r->message = (struct sieve_message){.header = world->header,
                                        .body = SPAN_NONE,
                                        .size = world->size,
                                        .root = world->root,
                                        .read_arg = world->read_arg,
                                        .read = world->read};
    r->work_max = world->work_max ? world->work_max : LIMIT_sieve_work;
    if (sieve_push(r, p) == R_OK)
        execute(r);
    if (out->failed)
        sieve_fail_finish(r);
    else
        sieve_finish(r);
    out->work = r->work;
    arena_free(&r->scratch);
    arena_free(&own);
}
