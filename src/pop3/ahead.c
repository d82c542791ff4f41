#include "pop3/inside.h"
#include "base/budget.h"
#include "base/limits.h"

static void
charge(struct pop3_ahead *a)
{
    budget_give(BUDGET_OUTPUT, a->charged);
    a->charged = a->answer.cap;
    budget_force(BUDGET_OUTPUT, a->charged);
}

void
pop3_ahead_drop(struct pop3_ahead *a)
{
    a->number = 0;
    timer_clear(&a->timer);
    buf_done(&a->answer);
    charge(a);
}

static void
on_timer(void *arg)
{
    pop3_ahead_drop(arg);
}

void
pop3_ahead_init(struct pop3_ahead *a)
{
    buf_init(&a->answer, LIMIT_pop3_ahead);
    timer_init(&a->timer, on_timer, a);
}

void
pop3_ahead_expect(struct pop3_session *s, uint32_t n)
{
    s->ahead.wanted = n < maildrop_last(s->drop) ? n + 1 : 0;
}

static bool
is_worth_reading(struct pop3_session *s, uint32_t n)
{
    conn_send_now(s->conn);
    return conn_queued(s->conn) == 0 && !conn_failed(s->conn) && !budget_over_soft() &&
           !maildrop_is_deleted(s->drop, n);
}

void
pop3_ahead_read(struct pop3_session *s)
{
    struct pop3_ahead *a = &s->ahead;
    uint32_t n = a->wanted;
    a->wanted = 0;
    if (a->number > 0 && (n == 0 || n == a->number))
        return;
    a->number = 0;
    timer_clear(&a->timer);
    buf_reset(&a->answer);
    if (n == 0 || !is_worth_reading(s, n) || !pop3_compose(s, n, &a->answer)) {
        pop3_ahead_drop(a);
        return;
    }
    a->number = n;
    charge(a);
    timer_set(&a->timer, LIMIT_pop3_ahead_ms);
}

bool
pop3_ahead_send(struct pop3_session *s, uint32_t n)
{
    struct pop3_ahead *a = &s->ahead;
    if (a->number != n)
        return false;
    a->number = 0;
    timer_clear(&a->timer);  // conn_write may suspend
    conn_write(s->conn, buf_span(&a->answer));
    return true;
}
