#include "main/auth_pace.h"
#include "main/auth_inside.h"
#include "auth/password.h"
#include "base/clock.h"
#include "base/log.h"

enum { STEP_MS = 50, WINDOW_MS = 120 * 1000, SCHEMES = 24, OF_EACH = 3 };

static void
turn_windows(struct pace *p, uint64_t now_ms)
{
    uint64_t passed = now_ms - p->since_ms;
    if (passed < WINDOW_MS)
        return;
    p->before_ms = passed < 2 * WINDOW_MS ? p->now_ms : 0;
    p->now_ms = 0;
    p->since_ms = now_ms;
}

void
pace_learn(struct pace *p, uint64_t took_ms, uint64_t now_ms)
{
    turn_windows(p, now_ms);
    if (took_ms > p->now_ms)
        p->now_ms = (uint32_t)took_ms;
}

uint32_t
pace_leave_ms(struct pace *p, uint64_t spent_ms, uint64_t now_ms)
{
    turn_windows(p, now_ms);
    uint64_t least = spent_ms;
    least = p->floor_ms > least ? p->floor_ms : least;
    least = p->now_ms > least ? p->now_ms : least;
    least = p->before_ms > least ? p->before_ms : least;
    return (uint32_t)((least / STEP_MS + 1) * STEP_MS);
}

// ---- measuring ----

struct sample {
    char hash[LIMIT_password_hash];
    size_t n;
};

struct measuring {
    struct auth_role *role;
    struct span schemes[SCHEMES];
    unsigned of_each[SCHEMES];
    struct sample *samples;
    size_t n, at;
    uint64_t took_ms;
    uint32_t slowest_ms;
};

static struct span
scheme_text(struct span hash)
{
    return span_slice(hash, 0, span_find_char(hash, '}'));
}

static size_t
scheme_at(const struct measuring *m, struct span scheme)
{
    size_t i = 0;
    while (i < SCHEMES && m->schemes[i].n > 0 && !span_ieq(m->schemes[i], scheme))
        i++;
    return i;
}

static bool
take_sample(const struct user *u, void *arg)
{
    struct measuring *m = arg;
    struct span hash = user_hash(u);
    size_t i = scheme_at(m, scheme_text(hash));
    if (hash.n == 0 || i == SCHEMES || m->of_each[i] == OF_EACH ||
        password_cost(hash) == PASSWORD_FAST)
        return true;
    struct sample *s = &m->samples[m->n++];
    memcpy(s->hash, hash.p, hash.n);
    s->n = hash.n;
    m->schemes[i] = scheme_text(span_of(s->hash, s->n));
    m->of_each[i]++;
    return true;
}

static void
judge_sample(void *arg)
{
    struct measuring *m = arg;
    const struct sample *s = &m->samples[m->at];
    struct fault f;
    uint64_t began = clock_mono_ms();
    // only the time counts
    (void)!password_verify(span_of(s->hash, s->n), SPAN("nobody's password"), &f);
    m->took_ms = clock_mono_ms() - began;
}

static void
judge_samples(void *arg)
{
    struct measuring *m = arg;
    for (m->at = 0; m->at < m->n; m->at++) {
        pool_run(m->role->pool, judge_sample, m);
        if (m->took_ms > m->slowest_ms)
            m->slowest_ms = (uint32_t)m->took_ms;
        if (m->slowest_ms > m->role->pace.floor_ms)
            m->role->pace.floor_ms = m->slowest_ms;
    }
    m->role->pace.floor_ms = m->slowest_ms;
    m->role->measuring = false;
    explicit_bzero(m->samples, SCHEMES * OF_EACH * sizeof *m->samples);
    free(m->samples);
    free(m);
}

void
pace_measure(struct auth_role *role)
{
    struct fault f;
    if (role->measuring)
        return;
    struct measuring *m = calloc(1, sizeof *m);
    must(m != NULL);
    m->role = role;
    m->samples = calloc((size_t)SCHEMES * OF_EACH, sizeof *m->samples);
    must(m->samples != NULL);
    role->measuring = true;
    if (userdb_each(role->db, take_sample, m, &f) != R_OK)
        log_error("auth", "the user database failed", log_fault(&f));
    task_start(judge_samples, m);
}
