#include "auth/admin.h"
#include "auth/passwd_file.h"
#include "auth/password.h"

#include <errno.h>
#include <sys/stat.h>

struct request {
    struct userdb *db;
    const struct span *args;
    size_t n;
    struct buf *text;
};

struct row {
    const char *verb;
    size_t args;
    enum result (*run)(struct request *r, struct fault *f);
};

// What both `add` and `passwd` store: a hash, and keys where the password allows them (SASLprep, RFC 4013).
struct secret {
    struct buf hash;
    struct scram_keys keys;
    bool has_keys;
};

static enum result
secret_make(struct span password, struct secret *s, struct fault *f)
{
    struct fault unfit;
    buf_init(&s->hash, LIMIT_password_hash);
    if (password.n == 0 || password.n > LIMIT_password)
        return fault_set(f, FAULT_BAD, "a password has 1 to %d octets", LIMIT_password);
    if (password_new(password, &s->hash, f) != R_OK)
        return R_FAIL;
    s->has_keys = scram_new(password, &s->keys, &unfit) == R_OK;
    return R_OK;
}

static const struct scram_keys *
keys_of(const struct secret *s)
{
    return s->has_keys ? &s->keys : NULL;
}

static void
secret_done(struct secret *s)
{
    buf_done(&s->hash);
    explicit_bzero(&s->keys, sizeof s->keys);
}

static void
warn_without_keys(struct request *r, const struct secret *s)
{
    if (!s->has_keys)
        buf_put_str(
            r->text,
            "note: this password cannot be used with SCRAM (RFC 4013), only with PLAIN\n");
}

static enum result
add(struct request *r, struct fault *f)
{
    struct name name;
    struct secret s;
    uint64_t account;
    if (name_of(r->args[0], &name, f) != R_OK)
        return R_FAIL;
    enum result done = secret_make(r->args[1], &s, f);
    if (done == R_OK)
        done = userdb_add(r->db, name_span(&name), buf_span(&s.hash), keys_of(&s), &account,
                          f);
    if (done == R_OK) {
        buf_printf(r->text, "added %.*s\n", SPAN_ARG(name_span(&name)));
        warn_without_keys(r, &s);
    }
    secret_done(&s);
    return done;
}

static enum result
passwd(struct request *r, struct fault *f)
{
    struct name name;
    struct secret s;
    if (name_of(r->args[0], &name, f) != R_OK)
        return R_FAIL;
    enum result done = secret_make(r->args[1], &s, f);
    if (done == R_OK)
        done = userdb_set(r->db, name_span(&name), buf_span(&s.hash), keys_of(&s), f);
    if (done == R_OK) {
        buf_printf(r->text, "changed the password of %.*s\n", SPAN_ARG(name_span(&name)));
        warn_without_keys(r, &s);
    }
    secret_done(&s);
    return done;
}

static bool
list_one(const struct user *u, void *arg)
{
    struct buf *text = arg;
    size_t scheme = span_find_char(user_hash(u), '}');
    buf_printf(text, "%.*s\taccount=%lu\t%.*s}%s%s\n", SPAN_ARG(name_span(&u->name)),
               (unsigned long)u->account, (int)scheme, u->hash,
               u->has_scram ? " SCRAM" : "", u->disabled ? " disabled" : "");
    return true;
}

static enum result
list(struct request *r, struct fault *f)
{
    return userdb_each(r->db, list_one, r->text, f);
}

static enum result delete (struct request *r, struct fault *f) {
    struct name name; if (name_of(r->args[0], &name, f) != R_OK ||
                          userdb_delete(r->db, name_span(&name), f) != R_OK) return R_FAIL;
    buf_printf(r->text, "deleted %.*s\n", SPAN_ARG(name_span(&name)));
    return R_OK;
}

static enum result
load(struct request *r, struct fault *f)
{
    uint64_t line;
    struct passwd_counts counts = {0};
    if (span_to_u64(r->args[0], &line) != R_OK)
        return fault_set(f, FAULT_BAD, "user load: a line number is missing");
    if (passwd_file_load(r->db, r->args[1], line, r->text, &counts, f) != R_OK)
        return R_FAIL;
    buf_printf(r->text, "%lu added, %lu changed, %lu lines not used\n",
               (unsigned long)counts.added, (unsigned long)counts.changed,
               (unsigned long)counts.lines_bad);
    return R_OK;
}

static enum result
dump(struct request *r, struct fault *f)
{
    return userdb_image(r->db, r->text, f);
}

static const struct row rows[] = {
    {"user add", 2, add},       {"user passwd", 2, passwd}, {"user list", 0, list},
    {"user delete", 1, delete}, {"user load", 2, load},     {"user dump", 0, dump},
};

enum result
admin_users(struct userdb *db, struct span verb, const struct span *args, size_t n,
            struct buf *text, struct fault *f)
{
    struct request r = {db, args, n, text};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (!span_eq(verb, span_str(rows[i].verb)))
            continue;
        if (n != rows[i].args)
            return fault_set(f, FAULT_BAD, "%s takes %zu arguments", rows[i].verb,
                             rows[i].args);
        return rows[i].run(&r, f);
    }
    return fault_set(f, FAULT_BAD, "there is no verb '%.*s'",
                     SPAN_ARG(span_slice(verb, 0, 60)));
}

// ---- restore ----

static enum result
write_image(int fd, struct span image, struct fault *f)
{
    while (image.n > 0) {
        ssize_t n = write(fd, image.p, image.n);
        if (n < 0 && errno != EINTR)
            return fault_errno(f, FAULT_DISK, "user database");
        image = span_skip(image, n > 0 ? (size_t)n : 0);
    }
    return fsync(fd) == 0 ? R_OK : fault_errno(f, FAULT_DISK, "user database");
}

enum result
admin_users_restore(const char *dir, struct span image, struct fault *f)
{
    char path[4200];
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return fault_errno(f, FAULT_DISK, dir);
    snprintf(path, sizeof path, "%s/users.db", dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EEXIST)
        return fault_set(f, FAULT_ALREADYEXISTS, "%.150s is there already", path);
    if (fd < 0)
        return fault_errno(f, FAULT_DISK, path);
    enum result r = write_image(fd, image, f);
    close(fd);
    return r;
}
