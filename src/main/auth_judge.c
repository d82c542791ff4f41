#include "main/auth_inside.h"
#include "auth/password.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/log.h"

// Is it the password of this user? Judged by a hash on the pool, or by the database that knows the user.

enum {
    PACE_MAX_MS = 2000
};  // what is slower is a database in trouble, and no measure for refusals

const char *
login_unknown_why(const struct login *l)
{
    return l->is.elsewhere ? "the user may not log in from there"
                           : "unknown or disabled user";
}

void
login_look_up(struct login *l)
{
    struct fault f;
    if (who_find_judged(l, buf_span(&l->sent_user), &f) == R_OK) {
        login_judge(l);
    } else if (l->outer.ask.waiting) {
        login_asks(l, login_look_up);
    } else {
        log_error("auth", "the user database failed", log_session(l->session),
                  log_fault(&f));
        login_deny(l, FAULT_UNAVAILABLE, f.why);
    }
}

// Of what the password is judged by.
static uint64_t
digest_of(const struct login *l)
{
    uint64_t who = l->is.known ? l->user.account : 0;
    return (hash_keyed(user_hash(&l->user)) ^ who) | 1;
}

// What was kept from before may be old: a wrong password, or a name that nobody had, asks again, once. So it takes as long
// for a known name as for one that is not.
static bool
asks_once_more(struct login *l)
{
    if (!l->outer.ask.kept || l->outer.ask.fresh)
        return false;
    l->outer.judged = digest_of(l);
    ask_anew(&l->outer.ask);
    login_look_up(l);
    return true;
}

// A refusal that waits for no outer database takes no less.
static void
learn_pace(struct login *l)
{
    uint64_t now_ms = clock_mono_ms();
    uint64_t took_ms = now_ms - (l->outer.ask.count > 0 ? l->asked_ms : l->outer.judge_ms);
    pace_learn(&l->role->pace, took_ms < PACE_MAX_MS ? took_ms : PACE_MAX_MS, now_ms);
}

static void
judged(struct login *l)
{
    struct user user = l->user;
    learn_pace(l);
    if (l->verdict != R_OK && l->fault.kind != FAULT_AUTHFAILED) {
        log_error("auth", "a password cannot be judged", log_user(name_span(&user.name)),
                  log_session(l->session), log_fault(&l->fault));
        login_deny(l, FAULT_UNAVAILABLE, l->fault.why);
    } else if (l->verdict != R_OK || !l->is.known || l->is.hashless) {
        if (!asks_once_more(l))
            login_deny(l, FAULT_AUTHFAILED,
                       l->is.known ? "wrong password" : login_unknown_why(l));
    } else {
        if (l->service.trial == NULL)
            login_upgrade(l->role, &user, buf_span(&l->password));
        login_granted(l);
    }
}

static void
hash_on_pool(void *arg)
{
    struct login *l = arg;
    l->verdict = password_verify(user_hash(&l->user), buf_span(&l->password), &l->fault);
}

static void
after_hash(void *arg)
{
    struct login *l = arg;
    l->role->hashing--;
    if (l->at == NULL)
        login_free(l);
    else
        judged(l);
}

static void
hash_task(void *arg)
{
    struct login *l = arg;
    pool_run(l->role->pool, hash_on_pool, l);
    loop_post(l->role->loop, after_hash, l);  // SQLite wants more stack than a task has
}

// Guessers from many addresses do not fill the queue to its end: the rest is for who has been here before.
static unsigned
queue_room(const struct login *l)
{
    return l->attempt.good ? LIMIT_auth_queue : LIMIT_auth_queue / 4 * 3;
}

static void
judge_hash(struct login *l)
{
    if (l->outer.judged == digest_of(l)) {
        judged(l);  // as a moment ago
    } else if (password_cost(user_hash(&l->user)) == PASSWORD_FAST) {
        hash_on_pool(l);
        judged(l);
    } else if (l->role->hashing >= queue_room(l)) {
        login_deny(l, FAULT_UNAVAILABLE, "too many logins wait for a password hash");
    } else {
        l->state = LOGIN_HASHING;
        l->role->hashing++;
        task_start(hash_task, l);
    }
}

static void
verified(struct login *l)
{
    switch (l->outer.ask.verdict) {
    case DIRECTORY_FOUND:
        l->verdict = R_OK;
        break;
    case DIRECTORY_LATER:
        l->verdict =
            fault_set(&l->fault, FAULT_UNAVAILABLE, "the user database '%s' failed",
                      user_source_name(l->user.source));
        break;
    default:
        l->outer.ask.kept = false;  // it was asked just now
        l->verdict = fault_set(&l->fault, FAULT_AUTHFAILED, "wrong password");
    }
    judged(l);
}

static void
judge_there(struct login *l)
{
    struct fault f;
    l->outer.ask.count++;
    if (outer_verify(l->role, &l->user, buf_span(&l->password), buf_span(&l->remote),
                     &l->outer.ask, &f) == R_OK)
        login_asks(l, verified);
    else
        login_deny_for(l, &f);
}

void
login_judge(struct login *l)
{
    struct fault f;
    enum result app = app_judge(l, &f);
    l->outer.judge_ms = clock_mono_ms();
    if (app == R_OK)
        login_granted(l);
    else if (app == R_FAIL)
        login_deny_for(l, &f);
    else if (l->user.there && l->is.known)
        judge_there(l);
    else
        judge_hash(l);
}

static void
check_certificate(struct login *l)
{
    struct fault f;
    if (who_by_certificate(l, &f) == R_OK)
        login_granted(l);
    else if (l->outer.ask.waiting)
        login_asks(l, check_certificate);
    else
        login_deny_for(l, &f);
}

void
login_by_certificate(struct login *l, struct span user, struct span authzid)
{
    buf_put(&l->sent_user, user);
    buf_put(&l->acting.target, authzid);
    check_certificate(l);
}
