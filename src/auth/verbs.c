#include "auth/verbs.h"
#include "auth/passwd_file.h"
#include "auth/password.h"
#include "base/field.h"

enum result
verbs_credentials(struct span password, struct buf *hash_out, struct scram_keys *scram_out,
                  bool *has_scram_out, struct fault *f)
{
    struct fault unfit;
    if (password_new(password, hash_out, f))
        return R_FAIL;
    *has_scram_out = scram_new(password, scram_out, &unfit) == R_OK;
    return R_OK;
}

struct credentials {
    struct name name;
    struct buf hash;
    struct scram_keys keys;
    bool has_scram;
};

// The two arguments NAME PASSWORD; c->hash is to be freed in any case.
static enum result
read_credentials(const struct span *args, struct credentials *c, struct fault *f)
{
    buf_init(&c->hash, LIMIT_password_hash);
    if (name_of(args[0], &c->name, f))
        return R_FAIL;
    return verbs_credentials(args[1], &c->hash, &c->keys, &c->has_scram, f);
}

static void
put_change(struct buf *rows, const char *change, const struct name *name)
{
    field_put_row(rows, SPAN("user"), SPAN_NONE,
                  FIELDS(field_str("change", "%", change),
                         field_text("name", " %", name_span(name))));
}

static enum result
run_add(struct userdb *db, const struct span *args, struct buf *rows, struct fault *f)
{
    struct credentials c = {0};
    uint64_t account = 0;
    enum result r = read_credentials(args, &c, f);
    if (r == R_OK)
        r = userdb_add(db, name_span(&c.name), buf_span(&c.hash),
                       c.has_scram ? &c.keys : NULL, &account, f);
    if (r == R_OK)
        put_change(rows, "added", &c.name);
    buf_done(&c.hash);
    return r;
}

static enum result
run_passwd(struct userdb *db, const struct span *args, struct buf *rows, struct fault *f)
{
    struct credentials c = {0};
    enum result r = read_credentials(args, &c, f);
    if (r == R_OK)
        r = userdb_set(db, name_span(&c.name), buf_span(&c.hash),
                       c.has_scram ? &c.keys : NULL, f);
    if (r == R_OK)
        put_change(rows, "changed", &c.name);
    buf_done(&c.hash);
    return r;
}

static bool
list_one(const struct user *u, void *arg)
{
    struct buf *rows = arg;
    field_put_row(rows, SPAN("user"), SPAN_NONE,
                  FIELDS(field_text("name", "%", name_span(&u->name)),
                         field_flag("disabled", "\tdisabled", u->disabled)));
    return !rows->over;
}

static enum result
run_list(struct userdb *db, const struct span *args, struct buf *rows, struct fault *f)
{
    (void)args;
    return userdb_each(db, list_one, rows, f);
}

static enum result
run_delete(struct userdb *db, const struct span *args, struct buf *rows, struct fault *f)
{
    struct name name;
    if (name_of(args[0], &name, f) || userdb_delete(db, name_span(&name), f))
        return R_FAIL;
    put_change(rows, "deleted", &name);
    return R_OK;
}

static enum result
run_load(struct userdb *db, const struct span *args, struct buf *rows, struct fault *f)
{
    struct passwd_counts counts = {0};
    uint64_t line = 0;
    if (span_to_u64(args[0], &line))
        return fault_set(f, FAULT_BAD, "not a line number");
    if (passwd_file_load(db, args[1], line, rows, &counts, f))
        return R_FAIL;
    field_put_row(
        rows, SPAN("loaded"), SPAN_NONE,
        FIELDS(field_number("added", "% added", counts.added),
               field_number("changed", ", % changed", counts.changed),
               field_number("unused", counts.lines_bad ? ", % lines not used" : "",
                            counts.lines_bad)));
    return R_OK;
}

// A line of the dump: U or R, name, account id, flags, SCRAM keys, hash; tabs between. The hash is last,
// since {PLAIN} may hold anything but the end of a line.
static bool
dump_one(const struct user *u, void *arg)
{
    struct buf *text = arg;
    buf_printf(text, "U\t%s\t%llu\t%s\t", u->name.text, (unsigned long long)u->account,
               u->disabled ? "d" : "");
    if (u->has_scram)
        scram_print(&u->scram, text);
    buf_put_char(text, '\t');
    buf_put(text, user_hash(u));
    buf_put_char(text, '\n');
    return !text->over;
}

static void
dump_retired(struct span name, uint64_t account, void *arg)
{
    buf_printf(arg, "R\t%.*s\t%llu\n", SPAN_ARG(name), (unsigned long long)account);
}

static enum result
run_dump(struct userdb *db, const struct span *args, struct buf *text, struct fault *f)
{
    (void)args;
    if (userdb_each(db, dump_one, text, f) ||
        userdb_each_retired(db, dump_retired, text, f))
        return R_FAIL;
    return R_OK;
}

static const struct {
    const char *words;
    size_t args;
    enum result (*run)(struct userdb *db, const struct span *args, struct buf *text,
                       struct fault *f);
} rows[] = {
    {"user add", 2, run_add},   {"user passwd", 2, run_passwd},
    {"user list", 0, run_list}, {"user delete", 1, run_delete},
    {"user load", 2, run_load}, {"user dump", 0, run_dump},
};

enum result
verbs_run(struct userdb *db, struct span verb, const struct span *args, size_t n,
          struct buf *text, struct fault *f)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (!span_eq(verb, span_str(rows[i].words)))
            continue;
        if (n != rows[i].args)
            return fault_set(f, FAULT_BAD, "%s takes %zu arguments", rows[i].words,
                             rows[i].args);
        if (rows[i].run(db, args, text, f))
            return R_FAIL;
        return text->over ? fault_set(f, FAULT_TOOBIG, "too many users for one answer")
                          : R_OK;
    }
    return fault_set(f, FAULT_BAD, "unknown verb %.*s", SPAN_ARG(verb));
}

static enum result
restore_line(struct userdb *db, struct span line, struct fault *f)
{
    struct span kind, name, account, flags, scram, rest = line;
    struct user u = {0};
    if (span_next_field(&rest, '\t', &kind) != R_OK ||
        span_next_field(&rest, '\t', &name) != R_OK || name_of(name, &u.name, f) ||
        span_next_field(&rest, '\t', &account) != R_OK || span_to_u64(account, &u.account))
        return fault_set(f, FAULT_BAD, "malformed line in the list of users");
    if (span_eq(kind, SPAN("R")))
        return userdb_restore_retired(db, name, u.account, f);
    if (!span_eq(kind, SPAN("U")) || span_next_field(&rest, '\t', &flags) != R_OK ||
        span_next_field(&rest, '\t', &scram) != R_OK || rest.n > sizeof u.hash ||
        (scram.n > 0 && scram_parse(scram, &u.scram)))
        return fault_set(f, FAULT_BAD, "malformed line in the list of users");
    u.disabled = span_eq(flags, SPAN("d"));
    u.has_scram = scram.n > 0;
    u.hash_n = rest.n;
    if (rest.n > 0)
        memcpy(u.hash, rest.p, rest.n);
    return userdb_restore(db, &u, f);
}

enum result
verbs_restore(struct userdb *db, struct span dump, struct fault *f)
{
    struct span line;
    if (userdb_begin(db, f))
        return R_FAIL;
    while (span_next_field(&dump, '\n', &line) == R_OK) {
        if (line.n > 0 && restore_line(db, line, f)) {
            userdb_abort(db);
            return R_FAIL;
        }
    }
    return userdb_commit(db, f);
}
