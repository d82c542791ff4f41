#include "main/auth_inside.h"
#include "auth/nets.h"
#include "base/clock.h"
#include "base/limits.h"
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

// Who has it and uses it where it is not good is no guesser (FAULT_EXPIRED, FAULT_NOPERM), nobody is banned for it.
enum result
app_judge(struct login *l, struct fault *f)
{
    struct app_password found;
    enum result r = look_up(l, &found, f);
    if (r != R_OK)
        return r;
    if (found.expires_s > 0 && found.expires_s <= clock_wall_s())
        return fault_set(f, FAULT_EXPIRED, "the app password '%s' has expired",
                         found.label.text);
    if (!app_password_is_for(&found, span_str(l->service.name)))
        return fault_set(f, FAULT_NOPERM, "the app password '%s' is not for %s",
                         found.label.text, l->service.name);
    if (found.read_only && l->service.verdict_only)
        return fault_set(f, FAULT_NOPERM, "the app password '%s' is read-only",
                         found.label.text);
    l->app = found;
    if (l->service.trial == NULL)
        note_use(l);
    return R_OK;
}

// What was looked up before is not to become a ticket that is younger than the revocation.
static void
revoke_logins(struct auth_channel *at, const struct revoked *r, uint64_t digest)
{
    struct login *l, *next;
    HASH_ITER(hh, at->logins, l, next)
    {
        bool of = l->user.account == r->account || l->acting.account == r->account;
        if (of && (digest == 0 || l->outer.digest != digest) &&
            (r->password == 0 || l->app.id == r->password) &&
            !nets_have(r->keep, buf_span(&l->remote)))
            l->is.revoked = true;
    }
}

// digest: of logins that go on; 0: none do.
static void
end_all(struct auth_role *role, const struct revoked *what, uint64_t digest)
{
    struct revoked m = *what;
    struct buf b;
    m.before_ms = (int64_t)clock_mono_ms();
    buf_init(&b, LIMIT_channel_message);
    revoked_put(&b, &m);
    for (struct auth_channel *c = role->channels; c != NULL; c = c->next) {
        revoke_logins(c, &m, digest);
        if (c->to_mail)
            channel_send(c->channel, MESSAGE_REVOKED, buf_span(&b), -1);
    }
    buf_done(&b);
}

void
auth_revoke_but(struct auth_role *role, const struct revoked *what)
{
    end_all(role, what, 0);
}

void
auth_revoke(struct auth_role *role, uint64_t account, uint64_t password)
{
    end_all(role, &(struct revoked){.account = account, .password = password}, 0);
}

void
auth_revoke_older(struct auth_role *role, uint64_t account, uint64_t digest)
{
    end_all(role, &(struct revoked){.account = account}, digest);
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
