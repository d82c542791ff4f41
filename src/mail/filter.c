#include "mail/filter_inside.h"

#include "base/clock.h"
#include "base/log.h"
#include "mail/script.h"

bool
filter_wanted(struct account *a)
{
    return filter_rules_run() || (filter_rules_there() && script_is_active(a));
}

void
filter_result_done(struct filter_result *r)
{
    buf_done(&r->reason);
}

// A message that is not like others may not be filtered; it is kept.
static void
keep_unfiltered(struct filter_run *r, const struct fault *why)
{
    log_warning("sieve", "a message is not filtered", log_user(r->account->user),
                log_fault(why));
    r->actions = r->keep = NULL;
    r->keeps = true;
    r->marks.n = 0;
    if (r->stored)
        filter_note_failure(r, 0, "%s", why->why);
}

static enum result
attempt(struct filter_run *r, struct filter_result *out, struct fault *f)
{
    r->marks = (struct filter_marks){.now_s = r->now_s};
    r->failure.there = out->refused = false;
    memset(&r->told, 0, sizeof r->told);
    buf_reset(&out->reason);
    r->changed.header = r->changed.body = SPAN_NONE;
    if (filter_world(r, f) == R_OK)
        filter_run_scripts(r);
    else
        keep_unfiltered(r, f);
    if (r->stored && filter_stored_tell(r))
        return R_OK;
    if (filter_send_before(r, out, f) != R_OK)
        return R_FAIL;
    if (filter_file(r, out, f) != R_OK)
        return R_FAIL;
    if (r->stored && filter_stored_settle(r, f) != R_OK)
        return R_FAIL;
    out->onward = r->told.onward;
    out->asked_on = r->told.asked_on;
    out->rejected = r->told.rejected && out->filed == 0;
    if (!out->refused)
        filter_send_behind(r);
    if (r->failure.there)
        filter_tell(r);
    return R_OK;
}

// Two deliveries that ask the same of `duplicate` at once: who comes second runs the scripts again.
static enum result
attempts(struct filter_run *r, struct filter_result *out, struct fault *f)
{
    enum { MOST = 4 };
    enum result result = R_FAIL;
    for (int i = 0; i < MOST; i++) {
        result = attempt(r, out, f);
        filter_forms_free(r);
        if (result == R_OK || f->kind != FAULT_INUSE)
            break;
    }
    return result;
}

// It comes again: then it does not go out again.
static void
remember_sent(struct filter_run *r)
{
    struct fault f;
    struct intake_along along = {filter_marks_check, filter_marks_put, &r->marks};
    struct intake_spread none = {.along = &along};
    filter_marks_redirected(&r->marks);
    filter_pipes_remember(r);
    if (r->marks.n > 0 && intake_commit_spread(r->account, &none, &f) != R_OK)
        log_warning("sieve", "what went out is not remembered", log_user(r->account->user),
                    log_fault(&f));
}

enum result
filter_carry_out(struct filter_run *r, struct filter_result *out, struct fault *f)
{
    enum result result = attempts(r, out, f);
    if (result != R_OK && r->sent)
        remember_sent(r);
    return result;
}

enum result
filter_deliver(const struct filter_arrival *m, struct filter_result *out, struct fault *f)
{
    struct filter_run r = {.in = m,
                           .account = m->account,
                           .rules = filter_rules_now(),
                           .home = filter_home_now(),
                           .arena = arena_new(),
                           .now_s = clock_wall_s()};
    *out = (struct filter_result){0};
    buf_init(&out->reason, LIMIT_sieve_text);
    must(r.rules != NULL);
    enum result result = filter_carry_out(&r, out, f);
    mail_user_close(&r.user);
    filter_rules_unref(&r.rules);
    arena_free(&r.arena);
    if (result != R_OK)
        filter_result_done(out);
    return result;
}
