#include "main/process.h"
#include "base/limits.h"
#include "base/log.h"
#include <stdarg.h>

// Every role that is ready is pinged in rounds. Rounds are counted, not time: after a pause of the whole machine
// nobody is late.

enum { ROUND_MIN_MS = 200, ROUND_MAX_MS = 5000, LATE_MS = 30000, ROUNDS = 4, TEXT = 512 };

// Where nobody is ended for it, the service manager's patience counts.
static uint64_t
late_ms(const struct supervisor *s)
{
    uint64_t setting = s->options.config->role_timeout * 1000;
    if (setting > 0)
        return setting;
    return s->notify.watchdog_ms > 0 ? s->notify.watchdog_ms / 2 : LATE_MS;
}

static uint32_t
round_ms(const struct supervisor *s)
{
    uint64_t ms = late_ms(s) / ROUNDS;
    if (s->notify.watchdog_ms > 0 && s->notify.watchdog_ms / ROUNDS < ms)
        ms = s->notify.watchdog_ms / ROUNDS;
    return (uint32_t)(ms < ROUND_MIN_MS   ? ROUND_MIN_MS
                      : ms > ROUND_MAX_MS ? ROUND_MAX_MS
                                          : ms);
}

void
watch_tell(struct supervisor *s, const char *fmt, ...)
{
    char text[TEXT];
    struct fault f;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (notify_send(&s->notify, text, &f) != R_OK)
        log_warning("main", "the service manager cannot be told", log_fault(&f));
}

void
watch_ping(struct process *p)
{
    struct ping ping = {p->supervisor->pinged};
    struct buf b;
    if (p->channel == NULL)
        return;
    buf_init(&b, 64);
    ping_put(&b, &ping);
    channel_send(p->channel, MESSAGE_PING, buf_span(&b), -1);
    buf_done(&b);
}

static bool
is_late(const struct process *p)
{
    return p->missed * (uint64_t)round_ms(p->supervisor) >= late_ms(p->supervisor);
}

static void
end_hung(struct process *p)
{
    log_error("main", "a role has not answered: it is ended and started again",
              PROCESS_FIELDS(p),
              field_number("seconds", "seconds=%", late_ms(p->supervisor) / 1000));
    p->hung = true;
    process_kill(p);
}

static void
look_at(struct process *p)
{
    struct supervisor *s = p->supervisor;
    p->missed = p->ready && p->ponged < s->pinged ? p->missed + 1 : 0;
    if (p->ready && !p->hung && s->options.config->role_timeout > 0 && is_late(p))
        end_hung(p);
}

// The service manager hears of us only while every role that is ready has answered lately.
static void
on_round(void *arg)
{
    struct supervisor *s = arg;
    bool late = false;
    if (s->draining)
        return;
    for (size_t i = 0; i < s->process_count; i++) {
        look_at(&s->processes[i]);
        late |= is_late(&s->processes[i]);
    }
    s->pinged++;
    for (size_t i = 0; i < s->process_count; i++)
        if (s->processes[i].ready)
            watch_ping(&s->processes[i]);
    if (!late && s->notify.watchdog_ms > 0)
        watch_tell(s, "WATCHDOG=1");
    timer_set(&s->watch, round_ms(s));
}

void
watch_open(struct supervisor *s)
{
    struct fault f;
    if (notify_open(&s->notify, &f) != R_OK)
        log_warning("main", "the service manager will not be told", log_fault(&f));
    watch_tell(s, "STATUS=starting");
}

void
watch_begin(struct supervisor *s)
{
    timer_init(&s->watch, on_round, s);
    timer_set(&s->watch, round_ms(s));
}

void
watch_close(struct supervisor *s)
{
    timer_clear(&s->watch);
    notify_close(&s->notify);
}
