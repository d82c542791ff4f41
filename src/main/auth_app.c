#include "main/auth_inside.h"
#include "base/clock.h"
#include "base/log.h"

enum { USED_STEP_S = 60, EXPIRY_ROUND_MS = 2000 };

static enum result
look_up(struct login *l, struct app_password *out, struct fault *f)
{
    uint8_t digest[APP_PASSWORD_DIGEST];
    if (app_password_digest(buf_span(&l->password), digest) != R_OK)
        return R_NONE;
    enum result r = app_password_find(l->role->db, l->user.account, digest, out, f);
    explicit_bzero(digest, sizeof digest);
    return r == R_OK && !l->is.known ? R_NONE : r;
}

// Written at most once a minute from the same address: a device logs in all the time.
static void
note_use(struct login *l)
{
    struct fault f;
    int64_t now_s = clock_wall_s();
    if (now_s - l->app.used_s < USED_STEP_S &&
        span_eq(span_str(l->app.used_from), buf_span(&l->remote)))
        return;
    if (app_password_used(l->role->db, l->app.id, now_s, buf_span(&l->remote), &f))
        log_error("auth", "the use of an app password could not be stored",
                  log_user(name_span(&l->user.name)), log_fault(&f));
}

enum result
app_judge(struct login *l, struct fault *f)
{
    struct app_password found;
    enum result r = look_up(l, &found, f);
    if (r != R_OK)
        return r;
    if (found.expires_s > 0 && found.expires_s <= clock_wall_s())
        return fault_set(f, FAULT_AUTHFAILED, "the app password '%s' has expired",
                         found.label.text);
    if (!app_password_is_for(&found, span_str(l->service.name)))
        return fault_set(f, FAULT_AUTHFAILED, "the app password '%s' is not for %s",
                         found.label.text, l->service.name);
    l->app = found;
    note_use(l);
    return R_OK;
}

// What was looked up before is not to become a ticket that is younger than the revocation.
static void
revoke_logins(struct auth_channel *at, uint64_t account, uint64_t password)
{
    struct login *l, *next;
    HASH_ITER(hh, at->logins, l, next)
    {
        bool of = l->user.account == account || l->acting.account == account;
        if (of && (password == 0 || l->app.id == password))
            l->is.revoked = true;
    }
}

void
auth_revoke(struct auth_role *role, uint64_t account, uint64_t password)
{
    struct revoked m = {account, password, clock_wall_ms()};
    struct buf b;
    buf_init(&b, 64);
    revoked_put(&b, &m);
    for (struct auth_channel *c = role->channels; c != NULL; c = c->next) {
        revoke_logins(c, account, password);
        if (c->to_mail)
            channel_send(c->channel, MESSAGE_REVOKED, buf_span(&b), -1);
    }
    buf_done(&b);
}

static void
revoke_expired(const struct app_password *p, const uint8_t digest[APP_PASSWORD_DIGEST],
               void *arg)
{
    (void)digest;
    auth_revoke(arg, p->account, p->id);
}

// Sessions do not outlive the password that they came by.
static void
on_round(void *arg)
{
    struct auth_role *role = arg;
    struct fault f;
    int64_t now_s = clock_wall_s();
    if (app_password_expired(role->db, role->expired_s, now_s, revoke_expired, role, &f))
        log_error("auth", "the user database failed", log_fault(&f));
    else
        role->expired_s = now_s;
    timer_set(&role->rounds, EXPIRY_ROUND_MS);
}

void
app_watch_start(struct auth_role *role)
{
    role->expired_s = clock_wall_s();
    timer_init(&role->rounds, on_round, role);
    timer_set(&role->rounds, EXPIRY_ROUND_MS);
}
