#include "main/process.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"

// A reload is read and checked whole before anything changes: the file, the certificates, the new sockets.
struct plan {
    struct config *config;
    struct secrets secrets;
    struct socket_table sockets;
    bool certificates;  // they have changed
    struct buf scripts;
    bool other_scripts;
    struct buf live, restart;  // names of settings that differ
};

static bool
is_running(const struct process *p, const char *role)
{
    return p->channel != NULL && span_eq(span_str(p->role->name), span_str(role));
}

static void
answer(struct supervisor *s, uint64_t request, bool failed, struct span text)
{
    struct admin_reply reply = {request, failed ? ADMIN_FAILED : ADMIN_DONE, text};
    for (size_t i = 0; i < s->process_count; i++) {
        if (!is_running(&s->processes[i], "mail"))
            continue;
        struct buf b;
        buf_init(&b, LIMIT_channel_message);
        admin_reply_put(&b, &reply);
        must(!b.over);
        channel_send(s->processes[i].channel, MESSAGE_RELOADED, buf_span(&b), -1);
        buf_done(&b);
    }
}

static void
answer_now(struct supervisor *s, bool failed)
{
    struct reload *r = &s->reload;
    for (size_t i = 0; i < r->asked_now; i++)
        answer(s, r->asked[i], failed, buf_span(&r->text));
    r->asked_count -= r->asked_now;
    memmove(r->asked, r->asked + r->asked_now, r->asked_count * sizeof r->asked[0]);
    r->asked_now = 0;
}

static enum result
check_size(const struct config *c, struct fault *f)
{
    struct buf b;
    buf_init(&b, LIMIT_config_packed);
    config_put(&b, c);
    bool over = b.over;
    buf_done(&b);
    return over ? fault_set(f, FAULT_LIMIT, "the configuration is larger than %d octets",
                            LIMIT_config_packed)
                : R_OK;
}

static void
plan_done(struct plan *p)
{
    config_free(&p->config);
    buf_done(&p->scripts);
    buf_done(&p->live);
    buf_done(&p->restart);
}

static enum result
plan_make(const struct supervisor *s, struct plan *p, struct fault *f)
{
    if (s->options.load(s->options.load_arg, &p->config, f) != R_OK)
        return R_FAIL;
    sockets_name_given(s, p->config);
    config_follow(p->config, s->options.config, &p->live, &p->restart);
    if (check_size(p->config, f) != R_OK ||
        scripts_read(p->config, &p->scripts, f) != R_OK ||
        secrets_follow(&p->secrets, p->config, &s->secrets, &p->certificates, f) != R_OK)
        return R_FAIL;
    p->other_scripts = !span_eq(buf_span(&p->scripts), buf_span(&s->scripts));
    if (sockets_plan(s, p->config, &p->sockets, f) == R_OK)
        return R_OK;
    secrets_free(&p->secrets);
    return R_FAIL;
}

// Nothing of this can fail. Certificates go before the sockets that need them.
static void
plan_commit(struct supervisor *s, struct plan *p)
{
    config_free(&s->owned);
    s->options.config = s->owned = p->config;
    p->config = NULL;
    config_log_open(s->options.config, "supervisor");
    secrets_free(&s->secrets);
    s->secrets = p->secrets;
    if (p->live.n > 0)
        wiring_settings(s);
    if (p->other_scripts) {
        struct buf was = s->scripts;
        s->scripts = p->scripts;
        p->scripts = was;
        wiring_scripts(s);
    }
    if (p->certificates)
        wiring_certificates(s);
    sockets_commit(s, &p->sockets);
}

// For the log, and as rows for the verb.
static void
plan_tell(const struct plan *p, struct buf *rows)
{
    struct span live = buf_span(&p->live), restart = buf_span(&p->restart);
    const char *also = live.n > 0 ? "; other certificates" : ": other certificates";
    const struct field fields[] = {
        field_if(live.n > 0, field_text("changed", ": changed %", live)),
        field_flag("certificates", also, p->certificates),
        field_flag("scripts",
                   p->certificates || live.n > 0 ? "; other Sieve scripts"
                                                 : ": other Sieve scripts",
                   p->other_scripts),
        field_if(
            live.n == 0 && !p->certificates && !p->other_scripts,
            field_str(NULL, ": nothing that can change without a restart has changed", "")),
    };
    const struct field needs[] = {field_text("settings", "needs a restart: %", restart)};
    log_put('i', "main", "reloaded", fields, 4);
    field_put_row(rows, SPAN("reloaded"), SPAN("reloaded"), fields, 4);
    if (restart.n == 0)
        return;
    log_put('w', "main", "reload", needs, 1);
    field_put_row(rows, SPAN("needs_restart"), SPAN_NONE, needs, 1);
}

static void
finish(struct supervisor *s, bool failed)
{
    struct reload *r = &s->reload;
    answer_now(s, failed);
    r->running = false;
    watch_tell(s, "READY=1\nSTATUS=%s",
               failed ? "the last reload failed, see the log" : "serving");
    if (r->again) {
        r->again = false;
        reload_start(s);
    }
}

static void
fail(struct supervisor *s, const struct fault *f)
{
    log_error("main", "reload: the old configuration stays", log_fault(f));
    buf_printf(&s->reload.text, "the old configuration stays: %s", f->why);
    finish(s, true);
}

static void
ping_all(struct supervisor *s)
{
    s->reload.serial = ++s->pinged;
    for (size_t i = 0; i < s->process_count; i++)
        if (s->processes[i].ready)
            watch_ping(&s->processes[i]);
}

static void
run(struct supervisor *s)
{
    struct plan p = {0};
    struct fault f;
    buf_init(&p.live, LIMIT_channel_message / 4);
    buf_init(&p.restart, LIMIT_channel_message / 4);
    if (plan_make(s, &p, &f) == R_OK) {
        plan_commit(s, &p);
        plan_tell(&p, &s->reload.text);
        ping_all(s);
        reload_check(s);
    } else {
        fail(s, &f);
    }
    plan_done(&p);
}

void
reload_start(struct supervisor *s)
{
    struct reload *r = &s->reload;
    if (s->draining)
        return;
    if (r->running || !s->said_ready) {
        r->again = true;
        return;
    }
    r->running = true;
    r->asked_now = r->asked_count;
    buf_done(&r->text);
    buf_init(&r->text, LIMIT_channel_message - 64);
    watch_tell(s, "RELOADING=1\nMONOTONIC_USEC=%llu\nSTATUS=reloading",
               (unsigned long long)clock_mono_us());
    run(s);
}

void
reload_ask(struct supervisor *s, uint64_t request)
{
    struct reload *r = &s->reload;
    if (s->draining) {
        answer(s, request, true, SPAN("the server ends"));
    } else if (r->asked_count == RELOADS_WAITING) {
        answer(s, request, true, SPAN("too many reloads are asked for at once"));
    } else {
        r->asked[r->asked_count++] = request;
        reload_start(s);
    }
}

void
reload_check(struct supervisor *s)
{
    struct reload *r = &s->reload;
    for (size_t i = 0; r->running && i < s->process_count; i++)
        if (s->processes[i].ready && s->processes[i].ponged < r->serial)
            return;
    if (r->running) {
        finish(s, false);
    } else if (r->again) {  // asked for before the server was ready
        r->again = false;
        reload_start(s);
    }
}

void
reload_forget(struct supervisor *s)
{
    s->reload.asked_now = s->reload.asked_count = 0;
}

void
reload_refuse(struct supervisor *s)
{
    for (size_t i = 0; i < s->reload.asked_count; i++)
        answer(s, s->reload.asked[i], true, SPAN("the server ends"));
    s->reload = (struct reload){.text = s->reload.text};
}

void
reload_free(struct supervisor *s)
{
    buf_done(&s->reload.text);
    config_free(&s->owned);
}
