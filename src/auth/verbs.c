#include "auth/verbs_inside.h"
#include "auth/nets.h"
#include "auth/passwd_file.h"
#include "auth/password.h"
#include "base/hash.h"
#include "base/pack.h"
#define HASH_FUNCTION(key, size, value)                                                    \
    ((value) = (unsigned)hash_keyed(span_of((key), (size))))
#include "base/table.h"
#include "base/arena.h"
#include "base/field.h"

enum result
verbs_credentials(struct span password, struct buf *hash_out, struct scram_set *scram_out,
                  struct fault *f)
{
    struct fault unfit;
    if (password_new(password, hash_out, f))
        return R_FAIL;
    if (scram_new(password, scram_out, &unfit))
        memset(scram_out, 0, sizeof *scram_out);
    return R_OK;
}

void
verbs_put_change(struct buf *rows, const char *what, const char *change,
                 const struct name *name)
{
    field_put_row(rows, span_str(what), SPAN_NONE,
                  FIELDS(field_str("change", "%", change),
                         field_text("name", " %", name_span(name))));
}

static enum result
run_add(struct userdb *db, struct verbs_call *c, struct buf *rows, struct fault *f)
{
    struct name name;
    uint64_t account = 0;
    if (name_of(c->args[0], &name, f) ||
        userdb_add(db, name_span(&name), buf_span(&c->hash), &c->scram, &account, f))
        return R_FAIL;
    verbs_put_change(rows, "user", "added", &name);
    return R_OK;
}

static enum result
refuse_foreign(struct userdb *db, struct span name, struct fault *f)
{
    struct user user;
    enum result r = userdb_find(db, name, &user, f);
    if (r == R_OK && user.source != USER_OWN)
        return fault_set(f, FAULT_CANNOT, "the user is known by the user database '%s'",
                         user_source_name(user.source));
    return r == R_FAIL ? R_FAIL : R_OK;
}

static enum result
run_passwd(struct userdb *db, struct verbs_call *c, struct buf *rows, struct fault *f)
{
    struct name name;
    struct user user;
    if (name_of(c->args[0], &name, f) || refuse_foreign(db, name_span(&name), f) ||
        userdb_set(db, name_span(&name), buf_span(&c->hash), &c->scram, f))
        return R_FAIL;
    if (userdb_find(db, name_span(&name), &user, f) == R_OK)
        c->ended_account = user.account;
    verbs_put_change(rows, "user", "changed", &name);
    return R_OK;
}

static enum result
set_disabled(struct userdb *db, struct verbs_call *c, bool disabled, struct buf *rows,
             struct fault *f)
{
    struct name name;
    struct user user;
    if (name_of(c->args[0], &name, f) || userdb_disable(db, name_span(&name), disabled, f))
        return R_FAIL;
    if (disabled && userdb_find(db, name_span(&name), &user, f) == R_OK)
        c->ended_account = user.account;
    verbs_put_change(rows, "user", disabled ? "disabled" : "enabled", &name);
    return R_OK;
}

static enum result
run_disable(struct userdb *db, struct verbs_call *c, struct buf *rows, struct fault *f)
{
    return set_disabled(db, c, true, rows, f);
}

static enum result
run_enable(struct userdb *db, struct verbs_call *c, struct buf *rows, struct fault *f)
{
    return set_disabled(db, c, false, rows, f);
}

static enum result
run_networks(struct userdb *db, struct verbs_call *c, struct buf *rows, struct fault *f)
{
    struct name name;
    struct user user;
    struct buf nets;
    bool any = span_ieq(c->args[1], SPAN("any"));
    if (name_of(c->args[0], &name, f))
        return R_FAIL;
    buf_init(&nets, LIMIT_user_networks);
    enum result r = any ? R_OK : nets_check(c->args[1], &nets, f);
    if (r == R_OK && !any && nets.n == 0)
        r = fault_set(f, FAULT_BAD, "no networks; \"any\" is everywhere");
    if (r == R_OK)
        r = userdb_set_nets(db, name_span(&name), buf_span(&nets), f);
    if (r == R_OK && !any && userdb_find(db, name_span(&name), &user, f) == R_OK) {
        c->ended_account = user.account;
        buf_put(&c->keep, buf_span(&nets));
    }
    if (r == R_OK)
        field_put_row(
            rows, SPAN("user"), SPAN_NONE,
            FIELDS(field_text("name", "%", name_span(&name)),
                   field_text("networks", " from %", any ? SPAN("any") : buf_span(&nets))));
    buf_done(&nets);
    return r;
}

struct listing {
    struct userdb *db;
    struct buf *rows;
    struct fault *fault;
    enum result result;
};

static bool
list_one(const struct user *u, void *arg)
{
    struct listing *l = arg;
    struct arena *a = arena_new_small();
    struct field all[FIELDS_MAX];
    size_t n = 0;
    struct buf nets;
    buf_init(&nets, LIMIT_user_networks);
    l->result = userdb_nets(l->db, u->account, &nets, l->fault);
    all[n++] = field_text("name", "%", name_span(&u->name));
    all[n++] = field_if(u->source != USER_OWN,
                        field_str("source", "\tof %", user_source_name(u->source)));
    all[n++] = field_flag("disabled", "\tdisabled", u->disabled);
    all[n++] = field_if(nets.n > 0, field_text("networks", "\tfrom %", buf_span(&nets)));
    if (l->result == R_OK)
        l->result = verbs_user_fields(l->db, u->account, a, all, &n, l->fault);
    field_put_row(l->rows, SPAN("user"), SPAN_NONE, all, n);
    buf_done(&nets);
    arena_free(&a);
    return l->result == R_OK && !l->rows->over;
}

static void
list_kept(struct span name, uint64_t account, struct span source, void *arg)
{
    (void)account;
    field_put_row(arg, SPAN("deleted"), SPAN_NONE,
                  FIELDS(field_text("name", "%", name),
                         field_text("source", "\tof %", source),
                         field_flag("deleted", "\tdeleted", true)));
}

// Of outer databases: who was not here yet.
struct newcomer {
    UT_hash_handle hh;
    struct span name;
};

// R_NONE: somebody else of this name was told of.
static enum result
list_new(struct userdb *db, struct arena *a, struct newcomer **seen, struct span name,
         struct fault *f)
{
    struct user here;
    struct newcomer *n;
    HASH_FIND(hh, *seen, name.p, name.n, n);
    if (n != NULL)
        return R_NONE;
    enum result r = userdb_find(db, name, &here, f);
    if (r == R_NONE)
        r = userdb_is_kept(db, name, f);
    if (r != R_NONE)
        return r == R_OK ? R_NONE : R_FAIL;
    n = ARENA_NEW(a, struct newcomer);
    n->name = name;
    HASH_ADD_KEYPTR(hh, *seen, n->name.p, n->name.n, n);
    return R_OK;
}

static enum result
list_outer(struct userdb *db, struct span listed, struct buf *rows, struct fault *f)
{
    struct arena *a = arena_new();
    struct newcomer *seen = NULL;
    struct unpack u = unpack_of(listed);
    enum result r = R_OK;
    while (r != R_FAIL && u.rest.n > 0 && !u.bad) {
        const char *source = user_source_name((enum user_source)unpack_u8(&u));
        struct span name = unpack_span(&u);
        r = list_new(db, a, &seen, name, f);
        if (r == R_OK)
            field_put_row(rows, SPAN("user"), SPAN_NONE,
                          FIELDS(field_text("name", "%", name),
                                 field_str("source", "\tof %", source),
                                 field_flag("new", "\tnever here", true)));
    }
    HASH_CLEAR(hh, seen);
    arena_free(&a);
    return r == R_FAIL ? R_FAIL : R_OK;
}

static enum result
run_list(struct userdb *db, struct verbs_call *c, struct buf *rows, struct fault *f)
{
    struct listing l = {.db = db, .rows = rows, .fault = f};
    if (userdb_each(db, list_one, &l, f) || l.result != R_OK)
        return R_FAIL;
    return list_outer(db, c->listed, rows, f) == R_OK
               ? userdb_each_kept(db, list_kept, rows, f)
               : R_FAIL;
}

static enum result
run_delete(struct userdb *db, struct verbs_call *c, struct buf *rows, struct fault *f)
{
    struct user user;
    struct name name;
    bool kept = c->outer;
    if (name_of(c->args[0], &name, f))
        return R_FAIL;
    if (userdb_find(db, name_span(&name), &user, f) == R_OK) {
        c->ended_account = user.account;
        kept |= user.source != USER_OWN;
    }
    if (userdb_delete(db, name_span(&name), kept, f))
        return R_FAIL;
    verbs_put_change(rows, "user", "deleted", &name);
    return verbs_address_leftovers(db, c, name_span(&name), rows, f);
}

// With the account that was theirs; "new": the account stays retired, and who has the name in an outer database gets another.
static enum result
run_undelete(struct userdb *db, struct verbs_call *c, struct buf *rows, struct fault *f)
{
    struct name name;
    enum user_source source = USER_SQL;
    bool fresh = span_ieq(c->args[1], SPAN("new"));
    if (name_of(c->args[0], &name, f))
        return R_FAIL;
    if (!fresh && c->args[1].n > 0)
        return fault_set(f, FAULT_BAD, "what comes behind the name can be \"new\" only");
    if ((fresh ? userdb_unkeep(db, name_span(&name), f)
               : userdb_undelete(db, name_span(&name), &source, f)) != R_OK)
        return R_FAIL;
    verbs_put_change(rows, "user", fresh ? "freed" : "undeleted", &name);
    if (source == USER_OWN)
        field_put_row(rows, SPAN("hint"), SPAN_NONE,
                      FIELDS(field_text("name", "% has no password: posthorn user passwd",
                                        name_span(&name))));
    return R_OK;
}

static enum result
run_load(struct userdb *db, struct verbs_call *c, struct buf *rows, struct fault *f)
{
    struct passwd_counts counts = {.ended = &c->ended};
    uint64_t line = 0;
    if (span_to_u64(c->args[0], &line))
        return fault_set(f, FAULT_BAD, "not a line number");
    if (passwd_file_load(db, c->args[1], line, rows, &counts, f))
        return R_FAIL;
    field_put_row(
        rows, SPAN("loaded"), SPAN_NONE,
        FIELDS(field_number("added", "% added", counts.added),
               field_number("changed", ", % changed", counts.changed),
               field_number("unused", counts.lines_bad ? ", % lines not used" : "",
                            counts.lines_bad)));
    return R_OK;
}

const struct lookup_rules *
verbs_rules(const struct verbs_call *c)
{
    static const struct lookup_rules none = {.delimiters = {"+", 1}};
    return c->rules ? c->rules : &none;
}

static const struct row {
    const char *words;
    size_t args;
    bool has_password;  // the second
    enum verbs_touch touch;
    verbs_run_fn *run;
} rows[] = {
    {"user add", 2, true, VERBS_NAMES, run_add},
    {"user passwd", 2, true, VERBS_NAMES, run_passwd},
    {"user list", 0, false, VERBS_NOTHING, run_list},
    {"user delete", 1, false, VERBS_IDENTITIES, run_delete},
    {"user undelete", 2, false, VERBS_IDENTITIES, run_undelete},
    {"user disable", 1, false, VERBS_IDENTITIES, run_disable},
    {"user enable", 1, false, VERBS_IDENTITIES, run_enable},
    {"user networks", 2, false, VERBS_NAMES, run_networks},
    {"user load", 2, false, VERBS_IDENTITIES, run_load},
    {"user dump", 0, false, VERBS_NOTHING, verbs_dump},
    {"user password add", 5, false, VERBS_NAMES, verbs_password_add},
    {"user password list", 1, false, VERBS_NOTHING, verbs_password_list},
    {"user password delete", 2, false, VERBS_NAMES, verbs_password_delete},
    {"user set", 2, false, VERBS_NAMES, verbs_user_set},
    {"user show", 1, false, VERBS_NOTHING, verbs_user_show},
    {"address add", 2, false, VERBS_NAMES, verbs_address_add},
    {"address list", 1, false, VERBS_NOTHING, verbs_address_list},
    {"address delete", 2, false, VERBS_NAMES, verbs_address_delete},
    {"address test", 1, false, VERBS_NOTHING, verbs_address_test},
    {"group add", 1, false, VERBS_NAMES, verbs_group_add},
    {"group list", 0, false, VERBS_NOTHING, verbs_group_list},
    {"group delete", 1, false, VERBS_IDENTITIES, verbs_group_delete},
    {"group member add", 2, false, VERBS_NAMES, verbs_member_add},
    {"group member delete", 2, false, VERBS_NAMES, verbs_member_delete},
};

static enum result
row_find(struct span verb, size_t n, const struct row **out, struct fault *f)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (!span_eq(verb, span_str(rows[i].words)))
            continue;
        if (n != rows[i].args)
            return fault_set(f, FAULT_BAD, "%s takes %zu arguments", rows[i].words,
                             rows[i].args);
        *out = &rows[i];
        return R_OK;
    }
    return fault_set(f, FAULT_BAD, "unknown verb %.*s", SPAN_ARG(verb));
}

enum verbs_touch
verbs_touch(struct span verb)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (span_eq(verb, span_str(rows[i].words)))
            return rows[i].touch;
    return VERBS_IDENTITIES;
}

bool
verbs_slow(struct span verb)
{
    struct fault ignored;
    const struct row *row = NULL;
    return row_find(verb, 2, &row, &ignored) == R_OK && row->has_password;
}

enum result
verbs_make(struct verbs_call *c, struct fault *f)
{
    const struct row *row = NULL;
    struct name name;
    buf_init(&c->hash, LIMIT_password_hash);
    buf_init(&c->ended, SIZE_MAX);
    buf_init(&c->keep, LIMIT_user_networks);
    if (row_find(c->verb, c->n, &row, f) != R_OK)
        return R_FAIL;
    if (!row->has_password)
        return R_OK;
    if (name_of(c->args[0], &name, f))
        return R_FAIL;
    return verbs_credentials(c->args[1], &c->hash, &c->scram, f);
}

enum result
verbs_apply(struct userdb *db, struct verbs_call *c, struct buf *text, struct fault *f)
{
    const struct row *row = NULL;
    if (row_find(c->verb, c->n, &row, f) != R_OK || row->run(db, c, text, f) != R_OK)
        return R_FAIL;
    return text->over ? fault_set(f, FAULT_TOOBIG, "too many users for one answer") : R_OK;
}

enum result
verbs_run(struct userdb *db, struct verbs_call *c, struct buf *text, struct fault *f)
{
    enum result r = verbs_make(c, f);
    if (r == R_OK)
        r = verbs_apply(db, c, text, f);
    buf_done(&c->hash);
    buf_done(&c->ended);
    buf_done(&c->keep);
    return r;
}
