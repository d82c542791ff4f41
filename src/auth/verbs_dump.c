#include "auth/verbs_inside.h"
#include "auth/address.h"
#include "auth/app_password.h"
#include "auth/encode.h"
#include "auth/group.h"
#include "auth/nets.h"
#include "auth/user_key.h"

#include <sodium.h>

struct group_dump {
    struct buf *text, last;
};

// K: the other SCRAM keys, by account. In a line of its own: a program that knows no SCRAM-SHA-1 says which line it cannot read.
static void
dump_scram_1(const struct user *u, struct buf *text)
{
    if (!scram_has(&u->scram, SCRAM_SHA_1))
        return;
    buf_printf(text, "K\t%s\t%llu\t", u->name.text, (unsigned long long)u->account);
    scram_print(SCRAM_SHA_1, &u->scram.of[SCRAM_SHA_1], text);
    buf_put_char(text, '\n');
}

// A line of the dump: U or R, name, account id, flags, SCRAM keys, hash; tabs between. The hash is last,
// since {PLAIN} may hold anything but the end of a line.
static bool
dump_one(const struct user *u, void *arg)
{
    struct buf *text = arg;
    buf_printf(text, "U\t%s\t%llu\t%s\t", u->name.text, (unsigned long long)u->account,
               u->disabled ? "d" : "");
    if (scram_has(&u->scram, SCRAM_SHA_256))
        scram_print(SCRAM_SHA_256, &u->scram.of[SCRAM_SHA_256], text);
    buf_put_char(text, '\t');
    buf_put(text, user_hash(u));
    buf_put_char(text, '\n');
    dump_scram_1(u, text);
    if (u->source != USER_OWN)  // B: the database that knows the user
        buf_printf(text, "B\t%s\t%llu\t%s\n", u->name.text, (unsigned long long)u->account,
                   user_source_name(u->source));
    return !text->over;
}

static void
dump_retired(struct span name, uint64_t account, void *arg)
{
    buf_printf(arg, "R\t%.*s\t%llu\n", SPAN_ARG(name), (unsigned long long)account);
}

// D: one whose name is kept, and the database that knew it.
static void
dump_kept(struct span name, uint64_t account, struct span source, void *arg)
{
    buf_printf(arg, "D\t%.*s\t%llu\t%.*s\n", SPAN_ARG(name), (unsigned long long)account,
               SPAN_ARG(source));
}

struct nets_dump {
    struct userdb *db;
    struct buf *text;
    struct fault *fault;
    enum result result;
};

// N: networks of a user, by account.
static bool
dump_nets(const struct user *u, void *arg)
{
    struct nets_dump *d = arg;
    struct buf nets;
    buf_init(&nets, LIMIT_user_networks);
    d->result = userdb_nets(d->db, u->account, &nets, d->fault);
    if (nets.n > 0)
        buf_printf(d->text, "N\t%s\t%llu\t%.*s\n", u->name.text,
                   (unsigned long long)u->account, SPAN_ARG(buf_span(&nets)));
    buf_done(&nets);
    return d->result == R_OK;
}

// G: a group; M: a member of one, by account. Behind the users, who must be there first.
static void
dump_group(struct span name, struct span user, uint64_t account, void *arg)
{
    struct group_dump *d = arg;
    if (!span_eq(name, buf_span(&d->last))) {
        buf_printf(d->text, "G\t%.*s\n", SPAN_ARG(name));
        buf_reset(&d->last);
        buf_put(&d->last, name);
    }
    if (user.p)
        buf_printf(d->text, "M\t%.*s\t%llu\n", SPAN_ARG(name), (unsigned long long)account);
}

static enum result
dump_groups(struct userdb *db, struct buf *text, struct fault *f)
{
    struct group_dump d = {.text = text};
    buf_init(&d.last, NAME_MAX_SIZE);
    enum result r = group_each(db, dump_group, &d, f);
    buf_done(&d.last);
    return r;
}

// A: an app password of an account. The label is last; it holds no tab.
static void
dump_app_password(const struct app_password *p, const uint8_t digest[APP_PASSWORD_DIGEST],
                  void *arg)
{
    struct buf *text = arg;
    char hex[2 * APP_PASSWORD_DIGEST + 1];
    sodium_bin2hex(hex, sizeof hex, digest, APP_PASSWORD_DIGEST);
    buf_printf(text, "A\t%llu\t%s\t%s\t%s\t%lld\t%lld\t%lld\t%s\t%s\n",
               (unsigned long long)p->account, hex, p->protocols, p->read_only ? "r" : "",
               (long long)p->expires_s, (long long)p->created_s, (long long)p->used_s,
               p->used_from, p->label.text);
}

// E: an entry of the table of addresses.
static void
dump_address(const struct address_row *row, void *arg)
{
    buf_printf(arg, "E\t%.*s\t%.*s\t%s\n", SPAN_ARG(row->address), SPAN_ARG(row->target),
               row->send ? "s" : "");
}

struct key_dump {
    struct userdb *db;
    struct buf *text;
    const struct user *user;
    struct fault *fault;
    enum result result;
};

static void
dump_key(struct span name, struct span value, void *arg)
{
    struct key_dump *d = arg;
    buf_printf(d->text, "S\t%s\t%llu\t%.*s\t%.*s\n", d->user->name.text,
               (unsigned long long)d->user->account, SPAN_ARG(name), SPAN_ARG(value));
}

// S: what `user set` said.
static bool
dump_keys(const struct user *u, void *arg)
{
    struct key_dump *d = arg;
    d->user = u;
    d->result = user_key_each(d->db, u->account, dump_key, d, d->fault);
    return d->result == R_OK;
}

static enum result
dump_settings(struct userdb *db, struct buf *text, struct fault *f)
{
    struct key_dump d = {.db = db, .text = text, .fault = f};
    if (userdb_each(db, dump_keys, &d, f) || d.result != R_OK)
        return R_FAIL;
    return address_each(db, dump_address, text, f);
}

enum result
verbs_dump(struct userdb *db, struct verbs_call *c, struct buf *text, struct fault *f)
{
    (void)c;
    struct nets_dump nets = {.db = db, .text = text, .fault = f};
    if (userdb_each(db, dump_one, text, f) || userdb_each(db, dump_nets, &nets, f) ||
        nets.result != R_OK || userdb_each_retired(db, dump_retired, text, f) ||
        userdb_each_kept(db, dump_kept, text, f) || dump_groups(db, text, f) ||
        app_password_each(db, 0, dump_app_password, text, f) || dump_settings(db, text, f))
        return R_FAIL;
    return R_OK;
}

static enum result
malformed(struct fault *f)
{
    return fault_set(f, FAULT_BAD, "malformed line in the list of users");
}

static enum result
read_who(struct span *rest, struct user *u, struct fault *f)
{
    struct span name, account;
    if (span_next_field(rest, '\t', &name) != R_OK || name_of(name, &u->name, f) ||
        span_next_field(rest, '\t', &account) != R_OK || span_to_u64(account, &u->account))
        return malformed(f);
    return R_OK;
}

static enum result
restore_user(struct userdb *db, struct span rest, struct fault *f)
{
    struct span flags, scram;
    struct user u = {0};
    if (read_who(&rest, &u, f) || span_next_field(&rest, '\t', &flags) != R_OK ||
        span_next_field(&rest, '\t', &scram) != R_OK || rest.n > sizeof u.hash ||
        (scram.n > 0 && scram_parse(SCRAM_SHA_256, scram, &u.scram.of[SCRAM_SHA_256])))
        return malformed(f);
    u.disabled = span_eq(flags, SPAN("d"));
    u.hash_n = rest.n;
    if (rest.n > 0)
        memcpy(u.hash, rest.p, rest.n);
    return userdb_restore(db, &u, f);
}

static enum result
restore_scram_1(struct userdb *db, struct span rest, struct fault *f)
{
    struct user in_line = {0}, user;
    if (read_who(&rest, &in_line, f))
        return R_FAIL;
    enum result r = userdb_find_account(db, in_line.account, &user, f);
    if (r == R_NONE ||
        (r == R_OK && scram_parse(SCRAM_SHA_1, rest, &user.scram.of[SCRAM_SHA_1])))
        return malformed(f);
    return r == R_OK
               ? userdb_set(db, name_span(&user.name), user_hash(&user), &user.scram, f)
               : R_FAIL;
}

static enum result
restore_nets(struct userdb *db, struct span rest, struct fault *f)
{
    struct user in_line = {0};
    struct buf nets;
    if (read_who(&rest, &in_line, f))
        return R_FAIL;
    buf_init(&nets, LIMIT_user_networks);
    enum result r = nets_check(rest, &nets, f) || nets.n == 0 ? malformed(f) : R_OK;
    if (r == R_OK)
        r = userdb_set_nets(db, name_span(&in_line.name), buf_span(&nets), f);
    buf_done(&nets);
    return r;
}

static enum result
restore_source(struct userdb *db, struct span rest, struct fault *f)
{
    struct user in_line = {0};
    enum user_source source;
    if (read_who(&rest, &in_line, f) || user_source_from(rest, &source))
        return malformed(f);
    return userdb_set_source(db, name_span(&in_line.name), source, f);
}

static enum result
restore_retired(struct userdb *db, struct span rest, struct fault *f)
{
    struct user u = {0};
    if (read_who(&rest, &u, f))
        return R_FAIL;
    return userdb_restore_retired(db, name_span(&u.name), u.account, f);
}

static enum result
restore_kept(struct userdb *db, struct span rest, struct fault *f)
{
    struct user in_line = {0};
    enum user_source source;
    if (read_who(&rest, &in_line, f) || user_source_from(rest, &source))
        return malformed(f);
    return userdb_keep(db, in_line.account, source, f);
}

static enum result
restore_group(struct userdb *db, struct span rest, struct fault *f)
{
    struct name name;
    if (group_name_of(rest, &name, f))
        return malformed(f);
    return group_add(db, name_span(&name), f);
}

static enum result
restore_member(struct userdb *db, struct span rest, struct fault *f)
{
    struct user in_line = {0}, user;
    if (read_who(&rest, &in_line, f))
        return R_FAIL;
    enum result r = userdb_find_account(db, in_line.account, &user, f);
    if (r != R_OK)
        return r == R_NONE ? malformed(f) : R_FAIL;
    return group_member_add(db, name_span(&in_line.name), name_span(&user.name), f);
}

static enum result
take_time(struct span *rest, int64_t *out)
{
    struct span field;
    uint64_t v = 0;
    if (span_next_field(rest, '\t', &field) != R_OK || span_to_u64(field, &v) ||
        v > INT64_MAX)
        return R_FAIL;
    *out = (int64_t)v;
    return R_OK;
}

static enum result
take_text(struct span *rest, char *out, size_t max)
{
    struct span field;
    if (span_next_field(rest, '\t', &field) != R_OK || field.n >= max)
        return R_FAIL;
    memcpy(out, field.n > 0 ? field.p : "", field.n);
    out[field.n] = '\0';
    return R_OK;
}

static enum result
restore_app_password(struct userdb *db, struct span rest, struct fault *f)
{
    struct app_password p = {0};
    struct span account, hex, flags;
    uint8_t digest[APP_PASSWORD_DIGEST];
    size_t n = 0;
    if (span_next_field(&rest, '\t', &account) != R_OK ||
        span_to_u64(account, &p.account) || span_next_field(&rest, '\t', &hex) != R_OK ||
        decode_hex(hex, digest, sizeof digest, &n) || n != sizeof digest ||
        take_text(&rest, p.protocols, sizeof p.protocols) ||
        span_next_field(&rest, '\t', &flags) != R_OK || take_time(&rest, &p.expires_s) ||
        take_time(&rest, &p.created_s) || take_time(&rest, &p.used_s) ||
        take_text(&rest, p.used_from, sizeof p.used_from) || rest.n == 0 ||
        rest.n > LIMIT_app_label)
        return malformed(f);
    p.read_only = span_eq(flags, SPAN("r"));
    p.label.n = rest.n;
    memcpy(p.label.text, rest.p, rest.n);
    return app_password_add(db, &p, digest, f);
}

static enum result
restore_address(struct userdb *db, struct span rest, struct fault *f)
{
    struct span address, target;
    struct name from, to;
    if (span_next_field(&rest, '\t', &address) != R_OK ||
        span_next_field(&rest, '\t', &target) != R_OK || name_of(address, &from, f) ||
        name_of(target, &to, f))
        return malformed(f);
    return address_add(db, name_span(&from), name_span(&to), span_eq(rest, SPAN("s")), f);
}

static enum result
restore_key(struct userdb *db, struct span rest, struct fault *f)
{
    struct user in_line = {0}, user;
    struct span name;
    struct buf value;
    if (read_who(&rest, &in_line, f) || span_next_field(&rest, '\t', &name) != R_OK)
        return malformed(f);
    enum result r = userdb_find_account(db, in_line.account, &user, f);
    if (r != R_OK)
        return r == R_NONE ? malformed(f) : R_FAIL;
    buf_init(&value, LIMIT_user_forward);
    r = user_key_check(name, rest, &value, f);
    if (r == R_OK)
        r = user_key_set(db, user.account, name, buf_span(&value), f);
    buf_done(&value);
    return r;
}

static const struct {
    const char *kind;
    enum result (*restore)(struct userdb *db, struct span rest, struct fault *f);
} lines[] = {
    {"U", restore_user},   {"K", restore_scram_1}, {"R", restore_retired},
    {"G", restore_group},  {"M", restore_member},  {"A", restore_app_password},
    {"N", restore_nets},   {"E", restore_address}, {"S", restore_key},
    {"B", restore_source}, {"D", restore_kept},
};

static enum result
restore_line(struct userdb *db, struct span line, struct fault *f)
{
    struct span kind;
    if (span_next_field(&line, '\t', &kind) != R_OK)
        return malformed(f);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        if (span_eq(kind, span_str(lines[i].kind)))
            return lines[i].restore(db, line, f);
    return malformed(f);
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
