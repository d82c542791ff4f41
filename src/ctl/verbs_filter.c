// sieve filter: the arguments are USER, FOLDER, SCRIPT, "dry-run" and "trace"; the last three are empty where they were not given.
#include "base/limits.h"
#include "ctl/account.h"
#include "ctl/verbs.h"
#include "io/task.h"
#include "mail/filter_stored.h"

enum { ARG_WHO, ARG_WHERE, ARG_SCRIPT, ARG_DRY, ARG_TRACE };

struct filtering {
    struct verb_call *call;
    struct filter_stored *stored;
    bool dry;
    uint32_t uid;
    struct buf rows;     // of one message
    struct buf problem;  // of one message
    uint64_t messages, kept, failed;
};

// ---- in the home ----

static void
put_row(struct filtering *x, const char *type, const struct field *fields, size_t n)
{
    field_put_row(&x->rows, span_str(type), SPAN(""), fields, n);
}

static void
on_trace(void *arg, unsigned line, struct span text)
{
    struct filtering *x = arg;
    if (x->rows.n < LIMIT_sieve_text)
        put_row(x, "trace",
                FIELDS(field_number("uid", "UID %:", x->uid),
                       field_if(line > 0, field_number("line", " line %:", line)),
                       field_text("text", " %", span_slice(text, 0, 4000))));
}

static void
on_action(void *arg, const struct sieve_action *a)
{
    struct filtering *x = arg;
    struct buf text;
    if (a == NULL) {
        put_row(x, "action",
                FIELDS(field_number("uid", "UID %:", x->uid),
                       field_str("action", "", "delete"),
                       field_str(NULL, " not kept", "")));
        return;
    }
    buf_init(&text, SIZE_MAX >> 1);
    sieve_action_print(&text, a);
    x->kept += a->kind == SIEVE_KEEP;
    put_row(x, "action",
            FIELDS(field_number("uid", "UID %:", x->uid),
                   field_str("action", "", sieve_action_name(a->kind)),
                   field_text("text", " %", span_slice(buf_span(&text), 0, 4000)),
                   field_if(a->line > 0, field_number("line", " in line %", a->line)),
                   field_if(a->because.n > 0,
                            field_text("because", ", because of %", a->because)),
                   field_flag("implicit", "", a->implicit)));
    buf_done(&text);
}

// ---- in the verb's task ----

static enum result
tell_message(struct filtering *x, enum result r, const struct fault *f)
{
    struct span rest = buf_span(&x->problem), line;
    struct fault broken;
    if (verb_rows(x->call, buf_span(&x->rows), &broken) != R_OK)
        return R_FAIL;
    if (r == R_FAIL)
        buf_printf(&x->problem, "%s\r\n", f->why);
    rest = buf_span(&x->problem);
    x->failed += rest.n > 0;
    while (rest.n > 0 && span_next_field(&rest, '\n', &line) == R_OK)
        if (span_trim(line).n > 0)
            verb_row(x->call, "problem",
                     FIELDS(field_number("uid", "UID %:", x->uid),
                            field_text("message", " %", span_trim(line))));
    return R_OK;
}

static enum result
one(struct filtering *x, struct fault *f)
{
    buf_init(&x->rows, LIMIT_sieve_text + 1048576);
    buf_init(&x->problem, LIMIT_sieve_text);
    enum result r = filter_stored_run(x->stored, x->uid, SPAN(""), &x->problem, f);
    enum result told = r == R_NONE ? R_OK : tell_message(x, r, f);
    x->messages += r != R_NONE;
    buf_done(&x->rows);
    buf_done(&x->problem);
    task_yield();
    return told;
}

static enum result
all(struct filtering *x, struct fault *f)
{
    enum result r;
    while ((r = filter_stored_next(x->stored, &x->uid, f)) == R_OK)
        if (one(x, f) != R_OK)
            return fault_set(f, FAULT_SERVERBUG, "what the scripts did cannot be told");
    if (r == R_FAIL)
        return R_FAIL;
    verb_row(
        x->call, "filtered",
        FIELDS(field_number("messages", "% messages", x->messages),
               field_str(NULL, x->dry ? " would be filtered" : " filtered", ""),
               field_number("kept", ", % kept", x->kept),
               field_number("failed", x->failed > 0 ? ", % with a problem" : "", x->failed),
               field_flag("dry_run", "", x->dry)));
    return R_OK;
}

static enum result
with_script(struct verb_call *c, struct mail_user *u, struct span script, struct fault *f)
{
    struct filtering x = {.call = c, .dry = verb_arg(c, ARG_DRY).n > 0};
    const struct filter_onlooker onlooker = {
        x.dry, on_action, verb_arg(c, ARG_TRACE).n > 0 ? on_trace : NULL, &x};
    const struct filter_occasion occasion = {
        .cause = FILTER_ASKED,
        .user = mail_user_name(u),
        .which = verb_arg(c, ARG_SCRIPT).n > 0 ? FILTER_SCRIPT : FILTER_DELIVERY,
        .script = script,
        .administrator = true};
    struct mailbox_ref ref;
    if (mail_access(u, verb_arg(c, ARG_WHERE), RIGHT_READ, &ref, f) != R_OK)
        return R_FAIL;
    if (ref.account != mail_user_account(u))
        return fault_set(f, FAULT_NOPERM, "the folder is somebody else's");
    enum result r = filter_stored_open(&ref, &occasion, &x.stored, f);
    if (r != R_OK)
        return r == R_FAIL ? R_FAIL
                           : fault_set(f, FAULT_UNAVAILABLE, "scripts do not run here");
    filter_stored_watch(x.stored, &onlooker);
    r = all(&x, f);
    filter_stored_close(&x.stored);
    return r;
}

enum result
verb_sieve_filter(struct verb_call *c, struct fault *f)
{
    struct mail_user *u;
    struct buf script;
    buf_init(&script, LIMIT_sieve_script);
    enum result r = verb_in_all(c, &script, f);
    if (r == R_OK)
        r = account_of(c, verb_arg(c, ARG_WHO), &u, f);
    if (r == R_OK) {
        r = with_script(c, u, buf_span(&script), f);
        mail_user_close(&u);
    }
    buf_done(&script);
    return r;
}
