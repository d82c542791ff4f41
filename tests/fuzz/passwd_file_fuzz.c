// Lines of a passwd-file: what is accepted has a normal name and a hash that is accepted again as it stands. The same as a whole
// file, taken into a database: each user is there with what the last line of his name says, and a second time nobody is new.
#include "auth/nets.h"
#include "auth/passwd_file.h"
#include "auth/password.h"
#include "base/pack.h"

#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(const struct passwd_line *l)
{
    struct name name;
    struct buf again;
    struct fault f;
    must(name_of(name_span(&l->name), &name, &f) == R_OK);
    must(span_eq(name_span(&name), name_span(&l->name)));
    buf_init(&again, LIMIT_user_networks);
    must(nets_check(buf_span(&l->nets), &again, &f) == R_OK);
    must(span_eq(buf_span(&again), buf_span(&l->nets)));
    buf_done(&again);
    if (l->hash.n == 0)
        return;
    buf_init(&again, LIMIT_password_hash);
    must(password_check(buf_span(&l->hash), &again, &f) == R_OK);
    must(span_eq(buf_span(&again), buf_span(&l->hash)));
    if (password_cost(buf_span(&l->hash)) == PASSWORD_FAST)
        must(password_verify(buf_span(&l->hash), SPAN("x"), &f) == R_OK ||
             f.kind == FAULT_AUTHFAILED);
    buf_done(&again);
}

static char folder[] = "/dev/shm/passwd_file_fuzz.XXXXXX";

static void
remove_folder(void)
{
    static const char *const files[] = {"users.db", "users.db-wal", "users.db-journal"};
    char path[sizeof folder + 32];
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        unlink(path);
    }
    rmdir(folder);
}

static struct userdb *
database(void)
{
    static struct userdb *db;
    struct fault f;
    if (db)
        return db;
    must(mkdtemp(folder) && atexit(remove_folder) == 0);
    must(userdb_open(folder, &db, &f) == R_OK);
    return db;
}

static bool
is_there(const struct user *u, void *arg)
{
    struct name name;
    struct fault f;
    struct buf *names = arg;
    must(name_of(name_span(&u->name), &name, &f) == R_OK);
    pack_span(names, name_span(&u->name));
    return true;
}

// Every user of the database goes; how many there were.
static uint64_t
empty(struct userdb *db)
{
    struct buf names;
    struct fault f;
    uint64_t count = 0;
    buf_init(&names, SIZE_MAX);
    must(userdb_each(db, is_there, &names, &f) == R_OK);
    for (struct unpack u = unpack_of(buf_span(&names)); unpack_end(&u) != R_OK; count++)
        must(userdb_delete(db, unpack_span(&u), false, &f) == R_OK);
    buf_done(&names);
    return count;
}

static void
load(struct userdb *db, struct span text, struct passwd_counts *out)
{
    struct buf report, ended;
    struct fault f;
    buf_init(&report, SIZE_MAX);
    buf_init(&ended, SIZE_MAX);
    *out = (struct passwd_counts){.ended = &ended};
    must(passwd_file_load(db, text, 1, &report, out, &f) == R_OK);
    must((report.n == 0) == (out->lines_bad == 0));
    out->ended = NULL;
    buf_done(&report);
    buf_done(&ended);
}

static void
check_known(struct userdb *db, const struct passwd_line *l)
{
    struct user u;
    struct fault f;
    must(userdb_find(db, name_span(&l->name), &u, &f) == R_OK);
    must(span_eq(user_hash(&u), buf_span(&l->hash)) && (u.disabled || !l->disabled));
}

static void
whole_file(struct span text)
{
    struct userdb *db = database();
    struct passwd_counts first, second;
    struct passwd_line l = {0};
    struct fault f;
    size_t last = span_behind_last(text, '\n');
    load(db, text, &first);
    must(userdb_count(db) == first.added);
    load(db, text, &second);
    must(second.added == 0 && second.changed == first.added + first.changed &&
         second.lines_bad == first.lines_bad);
    buf_init(&l.hash, LIMIT_password_hash);
    buf_init(&l.nets, LIMIT_user_networks);
    if (passwd_line_parse(span_skip(text, last), &l, &f) == R_OK)
        check_known(db, &l);
    buf_done(&l.hash);
    buf_done(&l.nets);
    must(empty(db) == first.added);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct passwd_line l = {0};
    struct fault f;
    buf_init(&l.hash, LIMIT_password_hash);
    buf_init(&l.nets, LIMIT_user_networks);
    if (passwd_line_parse(span_of(data, size), &l, &f) == R_OK)
        check(&l);
    buf_done(&l.hash);
    buf_done(&l.nets);
    whole_file(span_of(data, size));
    return 0;
}
