#include "main/auth_inside.h"
#include "auth/password.h"
#include "auth/verbs.h"
#include "base/limits.h"
#include "base/log.h"

// One foreign hash on its way to argon2id and SCRAM keys.
struct upgrade {
    struct auth_role *role;
    struct user user;
    struct buf password, hash;
    struct scram_set scram;
    enum result made;
    struct fault fault;
};

static void
upgrade_free(struct upgrade *u)
{
    buf_wipe(&u->password);
    buf_done(&u->hash);
    free(u);
}

static void
make_on_pool(void *arg)
{
    struct upgrade *u = arg;
    u->made = verbs_credentials(buf_span(&u->password), &u->hash, &u->scram, &u->fault);
}

// Only if the password was not changed meanwhile.
static enum result
write_back(struct upgrade *u, struct fault *f)
{
    struct user now;
    struct userdb *db = u->role->db;
    struct span name = name_span(&u->user.name);
    enum result r = userdb_find(db, name, &now, f);
    if (r != R_OK || now.source != USER_OWN ||
        !span_eq(user_hash(&now), user_hash(&u->user)))
        return r == R_FAIL ? R_FAIL : R_OK;
    return userdb_set(db, name, buf_span(&u->hash), &u->scram, f);
}

static void
after_make(void *arg)
{
    struct upgrade *u = arg;
    u->role->hashing--;
    if (u->made != R_OK || write_back(u, &u->fault) != R_OK)
        log_warning("auth", "a password hash stays as it is",
                    log_user(name_span(&u->user.name)), log_fault(&u->fault));
    else
        auth_offer_update(u->role);
    upgrade_free(u);
}

static void
upgrade_task(void *arg)
{
    struct upgrade *u = arg;
    pool_run(u->role->pool, make_on_pool, u);
    loop_post(u->role->loop, after_make, u);
}

// {PLAIN} is chosen on purpose (tests, other services that need the text) and stays; so does what is another database's.
static bool
is_wanted(const struct user *user)
{
    struct span plain;
    return user->source == USER_OWN &&
           !(password_is_own(user_hash(user)) && scram_is_whole(&user->scram)) &&
           !password_is_plain(user_hash(user), &plain);
}

void
login_upgrade(struct auth_role *role, const struct user *user, struct span password)
{
    // When it is busy the next login will do.
    if (!is_wanted(user) || role->hashing >= LIMIT_auth_queue / 2)
        return;
    struct upgrade *u = calloc(1, sizeof *u);
    must(u != NULL);
    u->role = role;
    u->user = *user;
    buf_init(&u->password, LIMIT_password);
    buf_init(&u->hash, LIMIT_password_hash);
    buf_put(&u->password, password);
    role->hashing++;
    task_start(upgrade_task, u);
}
