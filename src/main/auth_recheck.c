#include "main/auth_inside.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"

// Users of outer databases who logged in are looked for again now and then: whoever is gone, disabled, or has another password
// there ends their sessions, as one of our own does; of other groups or another quota than before mail is told.

enum { TICK_MS = 500, AT_ONCE = 64 };

struct granted {
    UT_hash_handle hh;
    struct auth_role *role;
    uint64_t account, digest, identity;
    uint64_t checked_ms;  // 0: at once
    struct ask ask;
    struct name name;
};

struct recheck {
    struct auth_role *role;
    struct granted *granted;
    struct timer tick;
    uint64_t pause_ms;
};

static void
granted_free(struct recheck *r, struct granted *g)
{
    HASH_DEL(r->granted, g);
    ask_cancel(&g->ask);
    free(g);
}

void
auth_tell_changed(struct auth_role *role, uint64_t account)
{
    struct buf b;
    buf_init(&b, LIMIT_channel_message);
    identity_changed_put(&b, &(struct identity_changed){account});
    for (struct auth_channel *c = role->channels; c; c = c->next)
        if (c->to_mail)
            channel_send(c->channel, MESSAGE_IDENTITY_CHANGED, buf_span(&b), -1);
    buf_done(&b);
}

// Of a user whom the database has just found.
static void
compare_identity(struct granted *g, const struct user *u)
{
    uint64_t identity = outer_identity_digest(g->role, u);
    bool others = g->identity != 0 && g->identity != identity;
    g->identity = identity;
    if (others)
        auth_tell_changed(g->role, g->account);
}

// digest: of logins that go on; 0: none do.
static void
end_sessions(struct granted *g, uint64_t digest, const char *why)
{
    log_info("auth", "Sessions end", log_user(name_span(&g->name)), log_why(why));
    auth_revoke_older(g->role, g->account, digest);
    granted_free(g->role->bases.recheck, g);
}

// Again when a database has answered.
static void
look(void *arg)
{
    struct granted *g = arg;
    struct user now;
    struct fault f;
    enum result r = who_find_name(g->role, &g->ask, name_span(&g->name), &now, &f);
    if (g->ask.waiting)
        return;
    g->checked_ms = clock_mono_ms();
    if (r == R_FAIL)
        return;  // a lost database ends nothing
    if (r == R_NONE || now.account != g->account)
        end_sessions(g, 0, "the user is gone from the user database");
    else if (now.disabled)
        end_sessions(g, 0, "the user is disabled in the user database");
    else if (outer_digest(g->role, &now) != g->digest)
        end_sessions(g, outer_digest(g->role, &now), "the user has another password");
    else
        compare_identity(g, &now);
}

// So that all have their turn in time.
static unsigned
at_once(const struct recheck *r)
{
    uint64_t ticks = r->pause_ms / TICK_MS + 1;
    return AT_ONCE + (unsigned)(2 * HASH_COUNT(r->granted) / ticks);
}

static void
on_tick(void *arg)
{
    struct recheck *r = arg;
    struct granted *g, *next;
    uint64_t now_ms = clock_mono_ms();
    unsigned started = 0, most = at_once(r);
    HASH_ITER(hh, r->granted, g, next)
    {
        bool due = g->checked_ms == 0 || now_ms - g->checked_ms >= r->pause_ms;
        if (g->ask.waiting || !due)
            continue;
        if (started++ == most)
            break;
        ask_anew(&g->ask);
        look(g);
    }
    timer_set(&r->tick, TICK_MS);
}

static struct granted *
granted_new(struct recheck *r, const struct user *u)
{
    if (HASH_COUNT(r->granted) >= LIMIT_directory_known)
        granted_free(r, r->granted);  // the oldest
    struct granted *g = calloc(1, sizeof *g);
    must(g != NULL);
    *g = (struct granted){.role = r->role,
                          .account = u->account,
                          .name = u->name,
                          .checked_ms = clock_mono_ms()};
    ask_init(&g->ask, look, g);
    HASH_ADD(hh, r->granted, account, sizeof g->account, g);
    return g;
}

// NULL: one of our own.
static struct granted *
granted_get(struct auth_role *role, const struct user *u)
{
    struct recheck *r = role->bases.recheck;
    struct granted *g;
    if (r == NULL || u->source == USER_OWN)
        return NULL;
    HASH_FIND(hh, r->granted, &u->account, sizeof u->account, g);
    if (g == NULL)
        g = granted_new(r, u);
    compare_identity(g, u);
    return g;
}

bool
recheck_granted(struct auth_role *role, const struct user *u)
{
    struct granted *g = granted_get(role, u);
    if (g == NULL)
        return false;
    uint64_t digest = outer_digest(role, u);
    bool other = g->digest != 0 && g->digest != digest;
    if (other)
        auth_revoke_older(role, u->account, digest);
    g->digest = digest;
    return other;
}

void
recheck_seen(struct auth_role *role, const struct user *u)
{
    struct granted *g = granted_get(role, u);
    if (g != NULL && g->digest == 0)
        g->digest = outer_digest(role, u);
}

void
recheck_missed(struct auth_role *role, struct span name)
{
    struct user u;
    struct fault f;
    if (role->bases.recheck != NULL && userdb_find(role->db, name, &u, &f) == R_OK &&
        u.source != USER_OWN)
        auth_revoke(role, u.account, 0);
}

void
recheck_all(struct auth_role *role)
{
    struct granted *g, *next;
    if (role->bases.recheck == NULL)
        return;
    HASH_ITER(hh, role->bases.recheck->granted, g, next)
    g->checked_ms = 0;
}

void
recheck_settings(struct auth_role *role, const struct config *c)
{
    if (role->bases.recheck == NULL)
        return;
    role->bases.recheck->pause_ms =
        c->test_recheck_ms > 0 ? c->test_recheck_ms : c->userdb_recheck * 1000;
}

void
recheck_start(struct auth_role *role)
{
    if (role->bases.outer == NULL)
        return;
    struct recheck *r = calloc(1, sizeof *r);
    must(r != NULL);
    r->role = role;
    role->bases.recheck = r;
    recheck_settings(role, role->start->config);
    timer_init(&r->tick, on_tick, r);
    timer_set(&r->tick, TICK_MS);
}

void
recheck_stop(struct auth_role *role)
{
    struct recheck *r = role->bases.recheck;
    struct granted *g, *next;
    if (r == NULL)
        return;
    timer_clear(&r->tick);
    HASH_ITER(hh, r->granted, g, next)
    granted_free(r, g);
    free(r);
    role->bases.recheck = NULL;
}
