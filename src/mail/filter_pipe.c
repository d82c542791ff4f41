// Programs that get the message (vnd.dovecot.pipe). One that does not take it leaves it where it would be without the script.
#include "mail/filter_inside.h"

#include "base/budget.h"
#include "base/log.h"
#include "base/memory_file.h"
#include "io/task.h"
#include "mime/header.h"
#include "pipe/link.h"

#include <fcntl.h>
#include <unistd.h>

static const char what[] = "a message in memory";

// ---- the message, as the action has it, in a file of memory that nobody can change any more ----

static enum result
put(int fd, struct span text, struct fault *f)
{
    return memory_file_put(fd, text, what, f);
}

static enum result
put_piece(void *fd, struct span piece, struct fault *f)
{
    enum result r = put(*(int *)fd, piece, f);
    task_yield();
    return r;
}

static enum result
put_body(const struct filter_run *r, int fd, struct fault *f)
{
    const struct intake *in = r->in->intake;
    return intake_copy(in, intake_root(in)->header.size, put_piece, &fd, f);
}

static enum result
put_message(struct filter_run *r, const struct sieve_action *a, struct pipe_message *out,
            struct fault *f)
{
    if (put(out->fd, a->header.p ? a->header : r->original, f) != R_OK ||
        (a->body.p ? put(out->fd, a->body, f) : put_body(r, out->fd, f)) != R_OK)
        return R_FAIL;
    off_t size = lseek(out->fd, 0, SEEK_CUR);
    if (size < 0 || fcntl(out->fd, F_ADD_SEALS,
                          F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL))
        return fault_errno(f, FAULT_UNAVAILABLE, what);
    out->size = (uint64_t)size;
    return R_OK;
}

static size_t
room_for(const struct filter_run *r, const struct sieve_action *a)
{
    size_t header = a->header.p ? a->header.n : r->original.n;
    uint64_t body = intake_size(r->in->intake) - r->original.n;
    return header + (a->body.p ? a->body.n : (size_t)body);
}

// ---- the program ----

static struct span
arguments_of(struct filter_run *r, const struct sieve_action *a)
{
    struct buf b;
    buf_init(&b, LIMIT_pipe_about);
    for (const struct sieve_detail *d = a->details; d; d = d->next)
        if (span_eq(span_str(d->name), SPAN("argument")))
            pack_span(&b, d->value);
    struct span packed = b.n ? arena_dup(r->arena, buf_span(&b)) : SPAN("");
    buf_done(&b);
    return packed;
}

// RFC 3461 section 4.2: "rfc822;ann@example.org".
static struct span
original_of(const struct filter_run *r)
{
    struct span orcpt = r->in->envelope.orcpt;
    size_t type = orcpt.p ? span_find_char(orcpt, ';') : 0;
    return orcpt.p && type < orcpt.n ? span_skip(orcpt, type + 1) : r->in->to;
}

// `why`: what went wrong.
static enum result
give(struct filter_run *r, const struct sieve_action *a, const struct pipe_message *text,
     struct buf *why)
{
    const struct pipe_call call = {.program = a->target,
                                   .arguments = arguments_of(r, a),
                                   .user = r->account->user,
                                   .from = r->in->from,
                                   .to = r->in->to,
                                   .original = original_of(r)};
    struct fault f;
    enum pipe_status status = PIPE_FAILED;
    enum result result = pipe_run(&call, text, &status, &f);
    if (result != R_OK)
        buf_put_str(why, f.why);
    else if (status != PIPE_DONE)
        buf_put_str(why, status == PIPE_MISSING ? "there is no such program"
                                                : "the program failed");
    return result == R_OK && status == PIPE_DONE ? R_OK : R_FAIL;
}

static enum result
run(struct filter_run *r, const struct sieve_action *a, struct buf *why)
{
    size_t room = room_for(r, a);
    struct fault f;
    struct pipe_message text = {.fd = -1};
    enum result result = budget_take(BUDGET_INTAKE, room, &f);
    if (result != R_OK) {
        buf_put_str(why, f.why);
        return R_FAIL;
    }
    result = memory_file_new("posthorn-pipe", what, &text.fd, &f);
    if (result == R_OK)
        result = put_message(r, a, &text, &f);
    if (result == R_OK)
        result = give(r, a, &text, why);
    else
        buf_put_str(why, f.why);
    if (text.fd >= 0)
        close(text.fd);
    budget_give(BUDGET_INTAKE, room);
    return result;
}

// ---- once ----

// Of a delivery that failed behind it and comes again: as the same program gets the same message. Empty: it has no Message-ID.
static struct span
id_of(struct filter_run *r, const struct sieve_action *a)
{
    struct mime_header h;
    struct buf b;
    if (mime_header_find(r->original, SPAN("Message-ID"), &h) != R_OK ||
        span_trim(h.value).n == 0)
        return SPAN("");
    buf_init(&b, h.value.n + a->target.n + LIMIT_pipe_about + 2);
    buf_put(&b, span_trim(h.value));
    buf_put_str(&b, "\n|");  // as no address begins
    buf_put(&b, a->target);
    buf_put(&b, arguments_of(r, a));
    struct span id = arena_dup(r->arena, buf_span(&b));
    buf_done(&b);
    return id;
}

static bool
ran_before(struct filter_run *r, struct span id)
{
    struct filter_marks *look = ARENA_NEW(r->arena, struct filter_marks);
    const struct filter_ask ask = {SEEN_REDIRECTED, id, FILTER_SENT_S, false};
    struct fault f;
    bool seen;
    for (const struct filter_sent *s = r->sent; s; s = s->next)
        if (s->pipe && span_eq(s->target, id))
            return true;
    look->now_s = r->now_s;
    return id.n > 0 && filter_seen(r->account, look, &ask, &seen, &f) == R_OK && seen;
}

void
filter_pipes_remember(struct filter_run *r)
{
    for (const struct filter_sent *s = r->sent; s; s = s->next) {
        const struct filter_ask ask = {SEEN_REDIRECTED, s->target, FILTER_SENT_S, false};
        struct fault f;
        bool seen;
        if (s->pipe && filter_seen(r->account, &r->marks, &ask, &seen, &f) != R_OK)
            log_warning("sieve", "a program may get a message twice",
                        log_user(r->account->user), log_fault(&f));
    }
}

enum result
filter_pipe(struct filter_run *r, const struct sieve_action *a, struct buf *why)
{
    struct span id = id_of(r, a);
    if (id.n > 0 && ran_before(r, id)) {
        log_info("sieve", "not piped again", log_user(r->account->user),
                 field_text("program", "program=%", a->target));
        return R_OK;
    }
    if (run(r, a, why) != R_OK)
        return R_FAIL;
    if (id.n > 0) {
        struct filter_sent *s = ARENA_NEW(r->arena, struct filter_sent);
        *s = (struct filter_sent){r->sent, id, true};
        r->sent = s;
    }
    log_info("sieve", "piped", log_user(r->account->user),
             field_text("program", "program=%", a->target),
             field_number("line", "line=%", a->line),
             field_if(a->because.n > 0, field_text("because", "because=%", a->because)));
    return R_OK;
}
