#include "ctl/users.h"
#include "auth/lookup.h"
#include "auth/verbs.h"
#include "base/limits.h"

struct users {
    struct userdb *db;
    struct buf domains, delimiters;
    bool outer, stays;
};

static void
directory(const char *data, char out[4200])
{
    snprintf(out, 4200, "%s/users", data);
}

enum result
users_open(const struct config *c, struct users **u_out, struct fault *f)
{
    char dir[4200];
    struct userdb *db;
    directory(c->data, dir);
    if (userdb_open(dir, &db, f) != R_OK)
        return R_FAIL;
    struct users *u = calloc(1, sizeof *u);
    must(u != NULL);
    u->db = db;
    u->stays = c->maps.n == 0 && c->relay_host[0] == '\0';
    u->outer = c->user_databases.n > config_list_has(&c->user_databases, SPAN("own"));
    buf_init(&u->domains, SIZE_MAX);
    for (size_t i = 0; i < c->local_domains.n; i++)
        buf_printf(&u->domains, "%s%s", i ? " " : "", c->local_domains.items[i]);
    buf_init(&u->delimiters, SIZE_MAX);
    buf_put_str(&u->delimiters, c->recipient_delimiter);
    *u_out = u;
    return R_OK;
}

void
users_close(struct users **u)
{
    if (*u == NULL)
        return;
    userdb_close(&(*u)->db);
    buf_done(&(*u)->domains);
    buf_done(&(*u)->delimiters);
    free(*u);
    *u = NULL;
}

static struct lookup_rules
rules_of(const struct users *u)
{
    return (struct lookup_rules){.domains = buf_span(&u->domains),
                                 .delimiters = buf_span(&u->delimiters)};
}

enum result
users_do(void *arg, struct span verb, const struct span *args, size_t n, struct buf *text,
         struct fault *f)
{
    struct users *u = arg;
    struct lookup_rules rules = rules_of(u);
    struct verbs_call c = {.verb = verb,
                           .args = args,
                           .n = n,
                           .rules = &rules,
                           .outer = u->outer,
                           .stays = u->stays};
    return verbs_run(u->db, &c, text, f);
}

enum result
users_find(void *arg, struct span name, uint64_t *account_out, struct buf *user_out,
           struct fault *f)
{
    struct users *u = arg;
    struct lookup_rules rules = rules_of(u);
    struct user found;
    struct span detail;
    enum result r = lookup_recipient(u->db, &rules, name, &found, &detail, f);
    if (r != R_OK)
        return r;
    *account_out = found.account;
    buf_put(user_out, name_span(&found.name));
    return R_OK;
}

enum result
users_restore(const char *data, struct span dump, struct fault *f)
{
    char dir[4200];
    struct userdb *db;
    directory(data, dir);
    if (userdb_open(dir, &db, f) != R_OK)
        return R_FAIL;
    enum result r = verbs_restore(db, dump, f);
    userdb_close(&db);
    return r;
}
