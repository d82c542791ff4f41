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

static void
put_change(struct buf *rows, const char *change, const struct name *name)
{
    field_put_row(rows, SPAN("user"), SPAN_NONE,
                  FIELDS(field_str("change", "%", change),
                         field_text("name", " %", name_span(name))));
}

static const struct scram_keys *
keys_of(const struct verbs_call *c)
{
    return c->has_scram ? &c->scram : NULL;
}

static enum result
run_add(struct userdb *db, const struct verbs_call *c, struct buf *rows, struct fault *f)
{
    struct name name;
    uint64_t account = 0;
    if (name_of(c->args[0], &name, f) ||
        userdb_add(db, name_span(&name), buf_span(&c->hash), keys_of(c), &account, f))
        return R_FAIL;
    put_change(rows, "added", &name);
    return R_OK;
}

static enum result
run_passwd(struct userdb *db, const struct verbs_call *c, struct buf *rows, struct fault *f)
{
    struct name name;
    if (name_of(c->args[0], &name, f) ||
        userdb_set(db, name_span(&name), buf_span(&c->hash), keys_of(c), f))
        return R_FAIL;
    put_change(rows, "changed", &name);
    return R_OK;
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
run_list(struct userdb *db, const struct verbs_call *c, struct buf *rows, struct fault *f)
{
    (void)c;
    return userdb_each(db, list_one, rows, f);
}

static enum result
run_delete(struct userdb *db, const struct verbs_call *c, struct buf *rows, struct fault *f)
{
    struct name name;
    if (name_of(c->args[0], &name, f) || userdb_delete(db, name_span(&name), f))
        return R_FAIL;
    put_change(rows, "deleted", &name);
    return R_OK;
}

static enum result
run_load(struct userdb *db, const struct verbs_call *c, struct buf *rows, struct fault *f)
{
    struct passwd_counts counts = {0};
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
run_dump(struct userdb *db, const struct verbs_call *c, struct buf *text, struct fault *f)
{
    (void)c;
    if (userdb_each(db, dump_one, text, f) ||
        userdb_each_retired(db, dump_retired, text, f))
        return R_FAIL;
    return R_OK;
}

static const struct row {
    const char *words;
    size_t args;
    bool has_password;  // the second
    enum result (*run)(struct userdb *db, const struct verbs_call *c, struct buf *text,
                       struct fault *f);
} rows[] = {
    {"user add", 2, true, run_add},    {"user passwd", 2, true, run_passwd},
    {"user list", 0, false, run_list}, {"user delete", 1, false, run_delete},
    {"user load", 2, false, run_load}, {"user dump", 0, false, run_dump},
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

bool
verbs_slow(struct span verb)
{
    struct fault ignored;
    const struct row *row;
    return row_find(verb, 2, &row, &ignored) == R_OK && row->has_password;
}

enum result
verbs_make(struct verbs_call *c, struct fault *f)
{
    const struct row *row;
    struct name name;
    buf_init(&c->hash, LIMIT_password_hash);
    if (row_find(c->verb, c->n, &row, f) != R_OK)
        return R_FAIL;
    if (!row->has_password)
        return R_OK;
    if (name_of(c->args[0], &name, f))
        return R_FAIL;
    return verbs_credentials(c->args[1], &c->hash, &c->scram, &c->has_scram, f);
}

enum result
verbs_apply(struct userdb *db, const struct verbs_call *c, struct buf *text,
            struct fault *f)
{
    const struct row *row;
    if (row_find(c->verb, c->n, &row, f) != R_OK || row->run(db, c, text, f) != R_OK)
        return R_FAIL;
    return text->over ? fault_set(f, FAULT_TOOBIG, "too many users for one answer") : R_OK;
}

enum result
verbs_run(struct userdb *db, struct span verb, const struct span *args, size_t n,
          struct buf *text, struct fault *f)
{
    struct verbs_call c = {.verb = verb, .args = args, .n = n};
    enum result r = verbs_make(&c, f);
    if (r == R_OK)
        r = verbs_apply(db, &c, text, f);
    buf_done(&c.hash);
    return r;
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
