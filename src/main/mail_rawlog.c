#include "main/mail_role.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "main/rawlog.h"
#include <utlist.h>

// Whose sessions are written down: an account of this home, until the timer.
struct rawlog_wish {
    struct rawlog_wish *prev, *next;
    struct home *home;
    uint64_t account;
    struct timer end;
};

static struct rawlog_wish *
wish_find(const struct home *h, uint64_t account)
{
    struct rawlog_wish *w = h->rawlogs;
    while (w != NULL && w->account != account)
        w = w->next;
    return w;
}

static void
on_said(void *arg, bool by_client, struct span s)
{
    rawlog_put(arg, by_client, s);
}

static void
begin(struct session *s)
{
    struct served_recorder *recorder = &s->rawlog.recorder;
    struct buf head;
    if (s->rawlog.file != NULL || s->served.of == NULL)
        return;
    buf_init(&head, 4096);
    fields_text(&head, SPAN("posthorn rawlog"),
                FIELDS(log_user(span_str(s->user)),
                       field_str("service", "service=%", s->service),
                       field_str("rip", "rip=%", s->remote), log_session(s->id)));
    buf_put_char(&head, '\n');
    s->rawlog.file =
        rawlog_begin(s->home->role->rawlog, span_str(s->user), s->id, buf_span(&head));
    *recorder = (struct served_recorder){on_said, s->rawlog.file};
    s->served.ops->record(s->served.of, recorder);
    buf_done(&head);
}

void
mail_rawlog_begin(struct session *s)
{
    if (s->home->rawlogs != NULL && wish_find(s->home, s->account) != NULL)
        begin(s);
}

void
mail_rawlog_end(struct session *s)
{
    if (s->rawlog.file == NULL)
        return;
    s->served.ops->record(s->served.of, NULL);
    rawlog_end(&s->rawlog.file);
}

static void
wish_free(struct rawlog_wish *w)
{
    DL_DELETE(w->home->rawlogs, w);
    timer_clear(&w->end);
    free(w);
}

static unsigned
apply(struct home *h, uint64_t account, bool on)
{
    unsigned n = 0;
    for (struct session *s = h->sessions; s != NULL; s = s->next) {
        if (s->account != account || s->served.of == NULL)
            continue;
        if (on)
            begin(s);
        else
            mail_rawlog_end(s);
        n++;
    }
    return n;
}

static void
on_end(void *arg)
{
    struct rawlog_wish *w = arg;
    struct home *h = w->home;
    log_info("mail", "rawlog has run out",
             field_number("account", ": account=%", w->account),
             field_number("sessions", ", sessions=%", apply(h, w->account, false)));
    wish_free(w);
}

static struct rawlog_wish *
wish_new(struct home *h, uint64_t account)
{
    struct rawlog_wish *w = calloc(1, sizeof *w);
    must(w != NULL);
    w->home = h;
    w->account = account;
    timer_init(&w->end, on_end, w);
    DL_APPEND(h->rawlogs, w);
    return w;
}

enum result
mail_rawlog_set(struct home *h, uint64_t account, int64_t until_s, unsigned *sessions_out,
                struct fault *f)
{
    struct rawlog_wish *w = wish_find(h, account), *each;
    int64_t left_s = until_s - clock_wall_s();
    unsigned count = 0;
    DL_COUNT(h->rawlogs, each, count);
    if (left_s <= 0) {
        if (w != NULL)
            wish_free(w);
        *sessions_out = apply(h, account, false);
        return R_OK;
    }
    if (w == NULL && count >= LIMIT_rawlog_users)
        return fault_set(f, FAULT_LIMIT, "the sessions of %u users are written already",
                         count);
    w = w != NULL ? w : wish_new(h, account);
    timer_set(&w->end, (uint32_t)left_s * 1000);
    *sessions_out = apply(h, account, true);
    return R_OK;
}

void
mail_rawlog_close(struct home *h)
{
    struct rawlog_wish *w, *next;
    for (w = h->rawlogs; w != NULL; w = next) {
        next = w->next;
        wish_free(w);
    }
}
