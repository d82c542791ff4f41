#include "auth/group.h"
#include "auth/address.h"
#include "auth/passwd_file.h"
#include "auth/password.h"
#include "auth/userdb_scene.h"
#include "auth/verbs.h"
#include "base/field.h"
#include "base/pack.h"

#include <setjmp.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

static struct userdb *
open_db(void)
{
    struct userdb *db = NULL;
    struct fault f = {0};
    if (userdb_open(dir, &db, &f))
        fail_msg("%s", f.why);
    return db;
}

static uint64_t
add(struct userdb *db, const char *name, const char *hash)
{
    uint64_t account = 0;
    struct fault f = {0};
    if (userdb_add(db, span_str(name), span_str(hash), NULL, &account, &f))
        fail_msg("%s", f.why);
    assert_int_not_equal(account, 0);
    return account;
}

static void
test_life_of_a_user(void **state)
{
    (void)state;
    struct userdb *db = open_db();
    struct user u;
    struct fault f;
    struct scram_set keys;
    assert_int_equal(userdb_find(db, SPAN("ann"), &u, &f), R_NONE);
    uint64_t account = add(db, "ann", "{PLAIN}x"), again = 0;
    assert_int_equal(userdb_add(db, SPAN("ann"), SPAN("{PLAIN}y"), NULL, &again, &f),
                     R_FAIL);
    assert_int_equal(f.kind, FAULT_ALREADYEXISTS);
    assert_int_equal(scram_new(SPAN("z"), &keys, &f), R_OK);
    assert_int_equal(userdb_set(db, SPAN("ann"), SPAN("{PLAIN}z"), &keys, &f), R_OK);
    assert_int_equal(userdb_disable(db, SPAN("ann"), true, &f), R_OK);
    userdb_close(&db);

    db = open_db();
    assert_int_equal(userdb_find(db, SPAN("ann"), &u, &f), R_OK);
    assert_true(span_eq(user_hash(&u), SPAN("{PLAIN}z")));
    assert_int_equal(u.account, account);
    assert_true(u.disabled);
    assert_memory_equal(&u.scram, &keys, sizeof keys);
    assert_int_equal(userdb_find_account(db, account, &u, &f), R_OK);
    assert_string_equal(u.name.text, "ann");
    assert_int_equal(userdb_delete(db, SPAN("ann"), false, &f), R_OK);
    assert_int_equal(userdb_delete(db, SPAN("ann"), false, &f), R_FAIL);
    assert_int_equal(f.kind, FAULT_NONEXISTENT);
    assert_int_equal(userdb_set(db, SPAN("ann"), SPAN("{PLAIN}z"), NULL, &f), R_FAIL);
    assert_int_equal(userdb_count(db), 0);
    assert_int_not_equal(add(db, "ann", "{PLAIN}x"), account);
    userdb_close(&db);
}

static void
test_names_are_opaque_to_sql(void **state)
{
    (void)state;
    struct userdb *db = open_db();
    struct user u;
    struct fault f;
    add(db, "ann", "{PLAIN}x");
    assert_int_equal(userdb_find(db, SPAN("x'or'1'='1"), &u, &f), R_NONE);
    assert_int_equal(userdb_find(db, SPAN("ann%"), &u, &f), R_NONE);
    assert_int_equal(userdb_find(db, SPAN("ANN"), &u, &f), R_NONE);
    assert_int_equal(userdb_find(db, SPAN("ann\0x"), &u, &f), R_NONE);
    userdb_close(&db);
}

static void
test_transaction_can_be_dropped(void **state)
{
    (void)state;
    struct userdb *db = open_db();
    struct user u;
    struct fault f;
    assert_int_equal(userdb_begin(db, &f), R_OK);
    add(db, "ann", "{PLAIN}x");
    userdb_abort(db);
    assert_int_equal(userdb_count(db), 0);
    assert_int_equal(userdb_find(db, SPAN("ann"), &u, &f), R_NONE);
    userdb_close(&db);
}

static void
test_decoy(void **state)
{
    (void)state;
    struct userdb *db = open_db();
    struct user first, u;
    struct fault f;
    char name[16];
    bool seen[8] = {false};
    assert_int_equal(userdb_decoy(db, SPAN("who"), &u, &f), R_NONE);
    for (int i = 0; i < 8; i++) {
        snprintf(name, sizeof name, "user%d", i);
        add(db, name, "{PLAIN}x");
    }
    assert_int_equal(userdb_decoy(db, SPAN("who"), &first, &f), R_OK);
    for (int i = 0; i < 400; i++) {
        snprintf(name, sizeof name, "unknown%d", i);
        assert_int_equal(userdb_decoy(db, span_str(name), &u, &f), R_OK);
        seen[u.name.text[4] - '0'] = true;
    }
    assert_int_equal(userdb_decoy(db, SPAN("who"), &u, &f), R_OK);
    assert_string_equal(u.name.text, first.name.text);
    int different = 0;
    for (int i = 0; i < 8; i++)
        different += seen[i];
    assert_true(different >= 4);
    userdb_close(&db);
}

static void
test_foreign_file_is_refused(void **state)
{
    (void)state;
    char path[128];
    struct userdb *db = NULL;
    struct fault f;
    snprintf(path, sizeof path, "%s/users.db", dir);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (int i = 0; i < 400; i++)
        fputs("this is no database ", file);
    fclose(file);
    assert_int_equal(userdb_open(dir, &db, &f), R_FAIL);
    assert_int_equal(f.kind, FAULT_CORRUPTION);
    assert_null(db);
}

static void
test_passwd_lines(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        enum result want;
        const char *want_name, *want_hash;
        bool want_disabled;
    } rows[] = {
        {"", R_NONE, 0, 0, false},
        {"   ", R_NONE, 0, 0, false},
        {"# ann:{PLAIN}x", R_NONE, 0, 0, false},
        {"ann:{PLAIN}x", R_OK, "ann", "{PLAIN}x", false},
        {"ann:{PLAIN}x\r", R_OK, "ann", "{PLAIN}x", false},
        {"Ann@Example.org:{plain}x:1000:1000:Ann:/home/ann:/bin/sh:userdb_mail=maildir:~/"
         "Maildir",
         R_OK, "ann@example.org", "{plain}x", false},
        {"ann:$1$CIVOuNJF$nWpOvCQq122GE9yYQGpq40::::::", R_OK, "ann",
         "{CRYPT}$1$CIVOuNJF$nWpOvCQq122GE9yYQGpq40", false},
        {"ann:{PLAIN}x::::::nologin", R_OK, "ann", "{PLAIN}x", true},
        {"ann:*:", R_OK, "ann", "", true},
        {"ann:!{PLAIN}x", R_OK, "ann", "", true},
        {"ann::1000:1000", R_OK, "ann", "", true},
        {"ann:{PLAIN}x::::::user_x=y allow_nets=10.0.0.0/8", R_OK, "ann", "{PLAIN}x",
         false},
        {"ann:{PLAIN}x::::::allow_nets=10.0.0.0/33", R_FAIL, 0, 0, false},
        {"ann:{PLAIN}x::::::nopassword=y", R_FAIL, 0, 0, false},
        {"ann", R_FAIL, 0, 0, false},
        {":{PLAIN}x", R_FAIL, 0, 0, false},
        {"a/b:{PLAIN}x", R_FAIL, 0, 0, false},
        {"ann:secret", R_FAIL, 0, 0, false},
        {"ann:{MYSTERY}secret", R_FAIL, 0, 0, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct passwd_line l = {0};
        struct fault f = {0};
        buf_init(&l.hash, LIMIT_password_hash);
        buf_init(&l.nets, LIMIT_user_networks);
        enum result r = passwd_line_parse(span_str(rows[i].line), &l, &f);
        if (r != rows[i].want)
            fail_msg("%s: %d %s", rows[i].line, r, f.why);
        if (r == R_OK) {
            assert_string_equal(l.name.text, rows[i].want_name);
            assert_true(span_eq(buf_span(&l.hash), span_str(rows[i].want_hash)));
            assert_int_equal(l.disabled, rows[i].want_disabled);
        }
        buf_done(&l.hash);
        buf_done(&l.nets);
    }
}

// The rows as lines of text; good until the next call.
static struct span
in_words(const struct buf *rows)
{
    static char words[4096];
    struct field_row row;
    struct span rest = buf_span(rows);
    size_t n = 0;
    while (rest.n > 0) {
        struct buf b;
        buf_init(&b, 1024);
        assert_int_equal(field_get_row(&rest, &row), R_OK);
        fields_text(&b, row.event, row.fields, row.n);
        n +=
            (size_t)snprintf(words + n, sizeof words - n, "%.*s\n", SPAN_ARG(buf_span(&b)));
        buf_done(&b);
    }
    return span_of(words, n);
}

static void
test_passwd_file(void **state)
{
    (void)state;
    struct userdb *db = open_db();
    struct buf report, ended;
    struct passwd_counts counts = {.ended = &ended};
    struct user u;
    struct fault f;
    buf_init(&report, 4096);
    buf_init(&ended, 4096);
    uint64_t account = add(db, "ann", "{PLAIN}old");
    bool without = false;
    assert_int_equal(
        passwd_file_load(
            db,
            SPAN(
                "ann:{PLAIN}new\nbad line\n# x\nbob:*\n"
                "carol:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=:::::\n"
                "dave:{SCRAM-SHA-256}4096,ktrfKy7IyoLPgNRRtECpww==,k1djuB4xPhZKTNSjXBqASHM8"
                "NMsVtBB6l0tfAquBStE=,CasWcJCw26j9cTx5zIgUL2XxPdgiC2LpDNYVFK6VxWM="),
            1, &report, &counts, &f),
        R_OK);
    assert_int_equal(counts.added, 3);
    assert_int_equal(counts.changed, 1);
    assert_int_equal(counts.lines_bad, 1);
    assert_true(span_starts(in_words(&report), SPAN("line 2: ")));
    assert_int_equal(userdb_find(db, SPAN("ann"), &u, &f), R_OK);
    assert_int_equal(u.account, account);
    assert_true(span_eq(user_hash(&u), SPAN("{PLAIN}new")));
    assert_int_equal(userdb_find(db, SPAN("bob"), &u, &f), R_OK);
    assert_true(u.disabled);
    assert_int_equal(userdb_find(db, SPAN("dave"), &u, &f), R_OK);
    assert_true(scram_has(&u.scram, SCRAM_SHA_256) && !scram_has(&u.scram, SCRAM_SHA_1));
    assert_int_equal(userdb_some_without(db, SCRAM_SHA_256, &without, &f), R_OK);
    assert_true(without && ended.n == 0);
    // what the administrator did since is left as it is; what the file takes away ends
    assert_int_equal(userdb_disable(db, SPAN("carol"), true, &f), R_OK);
    assert_int_equal(userdb_set_nets(db, SPAN("carol"), SPAN("10.0.0.0/8"), &f), R_OK);
    assert_int_equal(
        passwd_file_load(db,
                         SPAN("bob:*\ncarol:{PLAIN}x\nann:{PLAIN}x::::::nologin\n"
                              "dave:{PLAIN}x::::::allow_nets=127.0.0.1"),
                         1, &report, &counts, &f),
        R_OK);
    assert_int_equal(userdb_find(db, SPAN("carol"), &u, &f), R_OK);
    assert_true(u.disabled && span_eq(user_hash(&u), SPAN("{PLAIN}x")));
    buf_reset(&report);
    assert_int_equal(userdb_nets(db, u.account, &report, &f), R_OK);
    assert_true(span_eq(buf_span(&report), SPAN("10.0.0.0/8")));
    struct unpack accounts = unpack_of(buf_span(&ended));
    assert_int_equal(unpack_u64(&accounts), account);
    assert_int_equal(unpack_end(&accounts), R_OK);
    buf_done(&ended);
    buf_done(&report);
    userdb_close(&db);
}

static enum result
verb(struct userdb *db, const char *words, const char *a, const char *b, struct buf *text,
     struct fault *f)
{
    const struct span args[] = {span_str(a), span_str(b)};
    buf_reset(text);
    return verbs_run(db,
                     &(struct verbs_call){.verb = span_str(words),
                                          .args = args,
                                          .n = b   ? 2
                                               : a ? 1
                                                   : 0},
                     text, f);
}

// The groups of an account, with spaces between them.
static void
groups_are(struct userdb *db, uint64_t account, const char *want)
{
    struct buf packed, text;
    struct fault f = {0};
    buf_init(&packed, 4096);
    buf_init(&text, 4096);
    if (group_of(db, account, &packed, &f))
        fail_msg("%s", f.why);
    struct unpack u = unpack_of(buf_span(&packed));
    while (u.rest.n > 0 && !u.bad) {
        struct span one = unpack_span(&u);
        buf_printf(&text, "%s%.*s", text.n > 0 ? " " : "", SPAN_ARG(one));
    }
    assert_int_equal(unpack_end(&u), R_OK);
    if (!span_eq(buf_span(&text), span_str(want)))
        fail_msg("groups: %.*s", SPAN_ARG(buf_span(&text)));
    buf_done(&packed);
    buf_done(&text);
}

static void
test_verbs(void **state)
{
    (void)state;
    struct userdb *db = open_db();
    struct buf text, dump;
    struct user before, after;
    struct fault f = {0};
    buf_init(&text, 65536);
    buf_init(&dump, 65536);
    assert_int_equal(verb(db, "user add", "Ann", "se cret", &text, &f), R_OK);
    assert_int_equal(verb(db, "user add", "ann", "x", &text, &f), R_FAIL);
    assert_int_equal(f.kind, FAULT_ALREADYEXISTS);
    assert_int_equal(verb(db, "user add", "a/b", "x", &text, &f), R_FAIL);
    assert_int_equal(verb(db, "user add", "bob", "", &text, &f), R_FAIL);
    assert_int_equal(verb(db, "user add", "bob", NULL, &text, &f), R_FAIL);
    assert_int_equal(verb(db, "user add", "bob", "x", &text, &f), R_OK);
    assert_int_equal(verb(db, "user passwd", "carol", "x", &text, &f), R_FAIL);
    assert_int_equal(f.kind, FAULT_NONEXISTENT);
    assert_int_equal(
        verb(db, "user load", "1", "carol:{PLAIN}pass word\ndave:*\nx\n", &text, &f), R_OK);
    assert_true(span_ends(in_words(&text), SPAN("2 added, 0 changed, 1 lines not used\n")));
    assert_int_equal(verb(db, "user delete", "bob", NULL, &text, &f), R_OK);
    assert_int_equal(verb(db, "user list", NULL, NULL, &text, &f), R_OK);
    assert_true(span_eq(in_words(&text), SPAN("ann\ncarol\ndave\tdisabled\n")));
    assert_int_equal(verb(db, "user frob", NULL, NULL, &text, &f), R_FAIL);
    assert_int_equal(verb(db, "group add", "none", NULL, &text, &f), R_OK);
    assert_int_equal(verb(db, "group add", "staff", NULL, &text, &f), R_OK);
    assert_int_equal(verb(db, "group member add", "staff", "ann", &text, &f), R_OK);
    assert_int_equal(verb(db, "user networks", "ann", "10.0.0.0/8, ::1", &text, &f), R_OK);
    assert_int_equal(verb(db, "user networks", "ann", "10.0.0.0/33", &text, &f), R_FAIL);
    assert_int_equal(verb(db, "user networks", "ann", "", &text, &f), R_FAIL);
    assert_int_equal(verb(db, "user list", NULL, NULL, &text, &f), R_OK);
    assert_true(span_starts(in_words(&text), SPAN("ann\tfrom 10.0.0.0/8 ::1\n")));
    const struct span app[] = {SPAN("ann"), SPAN("my phone"), SPAN("imap,lmtp"),
                               SPAN("5000000000"), SPAN("read-only")};
    assert_int_equal(verbs_run(db,
                               &(struct verbs_call){
                                   .verb = SPAN("user password add"), .args = app, .n = 5},
                               &text, &f),
                     R_OK);
    assert_int_equal(userdb_find(db, SPAN("ann"), &before, &f), R_OK);
    assert_true(scram_is_whole(&before.scram) && password_is_own(user_hash(&before)));
    assert_int_equal(password_verify(user_hash(&before), SPAN("se cret"), &f), R_OK);

    assert_int_equal(verb(db, "user dump", NULL, NULL, &dump, &f), R_OK);
    assert_int_equal(verbs_restore(db, buf_span(&dump), &f), R_FAIL);  // not empty
    userdb_close(&db);
    teardown(NULL);
    setup(NULL);
    db = open_db();
    assert_int_equal(verbs_restore(db, buf_span(&dump), &f), R_OK);
    assert_int_equal(userdb_count(db), 3);
    assert_int_equal(userdb_find(db, SPAN("ann"), &after, &f), R_OK);
    assert_memory_equal(&before, &after, sizeof before);
    assert_int_equal(verb(db, "user dump", NULL, NULL, &text, &f), R_OK);
    assert_true(span_eq(buf_span(&text), buf_span(&dump)));
    groups_are(db, after.account, "staff");
    static const char *const bad[] = {"U\tx\n", "X\tx\t1\n", "G\t\n", "M\tstaff\t5\n",
                                      "M\tstaff\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(verbs_restore(db, span_str(bad[i]), &f), R_FAIL);
    userdb_close(&db);
    buf_done(&text);
    buf_done(&dump);
}

static void
test_groups(void **state)
{
    (void)state;
    static const struct {
        const char *words, *a, *b;
        enum fault_kind want;  // FAULT_COUNT: it works
        const char *want_ann;
    } rows[] = {
        {"group add", "Staff", NULL, FAULT_COUNT, ""},
        {"group add", "staff", NULL, FAULT_ALREADYEXISTS, ""},
        {"group add", "$staff", NULL, FAULT_BAD, ""},
        {"group add", "-staff", NULL, FAULT_BAD, ""},
        {"group add", "a b", NULL, FAULT_BAD, ""},
        {"group add", "", NULL, FAULT_BAD, ""},
        {"group add", "all", NULL, FAULT_COUNT, ""},
        {"group member add", "staff", "ANN", FAULT_COUNT, "staff"},
        {"group member add", "staff", "ann", FAULT_ALREADYEXISTS, "staff"},
        {"group member add", "staff", "nobody", FAULT_NONEXISTENT, "staff"},
        {"group member add", "none", "ann", FAULT_NONEXISTENT, "staff"},
        {"group member add", "all", "ann", FAULT_COUNT, "all staff"},
        {"group member add", "all", "bob", FAULT_COUNT, "all staff"},
        {"group member delete", "staff", "ann", FAULT_COUNT, "all"},
        {"group member delete", "staff", "ann", FAULT_NONEXISTENT, "all"},
        {"group delete", "none", NULL, FAULT_NONEXISTENT, "all"},
    };
    struct userdb *db = open_db();
    struct buf text;
    struct fault f = {0};
    uint64_t ann = add(db, "ann", "{PLAIN}x"), bob = add(db, "bob", "{PLAIN}x");
    buf_init(&text, 65536);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        f.kind = FAULT_COUNT;
        (void)!verb(db, rows[i].words, rows[i].a, rows[i].b, &text, &f);
        assert_int_equal(f.kind, rows[i].want);
        groups_are(db, ann, rows[i].want_ann);
    }
    assert_int_equal(verb(db, "group list", NULL, NULL, &text, &f), R_OK);
    assert_true(span_eq(in_words(&text), SPAN("all\tann bob\nstaff\n")));
    assert_int_equal(verb(db, "user delete", "bob", NULL, &text, &f), R_OK);
    groups_are(db, bob, "");
    assert_int_equal(verb(db, "group delete", "all", NULL, &text, &f), R_OK);
    groups_are(db, ann, "");
    buf_done(&text);
    userdb_close(&db);
}

static void
test_a_user_has_a_bounded_number_of_groups(void **state)
{
    (void)state;
    struct userdb *db = open_db();
    struct fault f = {0};
    char name[16];
    add(db, "ann", "{PLAIN}x");
    for (int i = 0; i <= LIMIT_groups_of_user; i++) {
        snprintf(name, sizeof name, "g%d", i);
        assert_int_equal(group_add(db, span_str(name), &f), R_OK);
        assert_int_equal(group_member_add(db, span_str(name), SPAN("ann"), &f),
                         i < LIMIT_groups_of_user ? R_OK : R_FAIL);
    }
    assert_int_equal(f.kind, FAULT_LIMIT);
    userdb_close(&db);
}

static void
test_a_name_is_kept(void **state)
{
    (void)state;
    struct userdb *db = open_db();
    struct buf text, dump;
    struct user eve, now;
    struct fault f = {0};
    buf_init(&text, 65536);
    buf_init(&dump, 65536);
    assert_int_equal(userdb_adopt(db, SPAN("eve"), USER_SQL, &eve, &f), R_OK);
    assert_int_equal(verb(db, "user delete", "eve", NULL, &text, &f), R_OK);
    assert_int_equal(userdb_adopt(db, SPAN("eve"), USER_LDAP, &now, &f), R_NONE);
    assert_int_equal(verb(db, "user dump", NULL, NULL, &dump, &f), R_OK);
    userdb_close(&db);
    teardown(NULL);
    setup(NULL);
    db = open_db();
    assert_int_equal(verbs_restore(db, buf_span(&dump), &f), R_OK);
    assert_int_equal(userdb_adopt(db, SPAN("eve"), USER_SQL, &now, &f), R_NONE);
    assert_int_equal(verb(db, "user undelete", "eve", "", &text, &f), R_OK);
    assert_int_equal(userdb_adopt(db, SPAN("eve"), USER_LDAP, &now, &f), R_OK);
    assert_true(now.account == eve.account && now.source == USER_LDAP);
    assert_int_equal(userdb_count(db), 1);
    userdb_close(&db);
    buf_done(&text);
    buf_done(&dump);
}

// What version 1 of the schema was: as the program wrote it then.
static const char version_1[] =
    "CREATE TABLE users (name TEXT PRIMARY KEY, account INTEGER NOT NULL UNIQUE,"
    " disabled INTEGER NOT NULL, hash TEXT NOT NULL, scram TEXT, changed INTEGER NOT NULL)"
    " WITHOUT ROWID, STRICT;"
    "CREATE TABLE retired (account INTEGER PRIMARY KEY, name TEXT NOT NULL,"
    " since INTEGER NOT NULL) STRICT;"
    "CREATE TABLE secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID, "
    "STRICT;"
    "PRAGMA user_version = 1;"
    "PRAGMA application_id = 1346917715;"
    "INSERT INTO users VALUES ('ann', 77, 0, '{PLAIN}x', NULL, 1);"
    "INSERT INTO users VALUES ('bob', 78, 1, '{PLAIN}y', NULL, 1);"
    "INSERT INTO retired VALUES (79, 'carol', 1);"
    "INSERT INTO secrets VALUES ('decoy', zeroblob(32));";

static void
make_old(const char *sql)
{
    char path[128];
    sqlite3 *file = NULL;
    snprintf(path, sizeof path, "%s/users.db", dir);
    assert_int_equal(sqlite3_open(path, &file), SQLITE_OK);
    assert_int_equal(sqlite3_exec(file, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(file), SQLITE_OK);
}

static void
test_version_1_becomes_3(void **state)
{
    (void)state;
    static const char zeros[32];
    struct fault f;
    struct user u;
    make_old(version_1);
    for (int round = 0; round < 2; round++) {
        struct userdb *db = open_db();
        assert_int_equal(userdb_count(db), 2);
        assert_int_equal(userdb_find(db, SPAN("ann"), &u, &f), R_OK);
        assert_int_equal(u.account, 77);
        assert_int_equal(userdb_find(db, SPAN("bob"), &u, &f), R_OK);
        assert_true(u.disabled);
        assert_true(span_eq(userdb_secret(db), span_of(zeros, sizeof zeros)));
        enum result want = round == 0 ? R_OK : R_FAIL;
        assert_int_equal(group_add(db, SPAN("staff"), &f), want);
        assert_int_equal(group_member_add(db, SPAN("staff"), SPAN("ann"), &f), want);
        groups_are(db, 77, "staff");
        assert_int_equal(address_add(db, SPAN("x@y"), SPAN("ann"), true, &f), want);
        userdb_close(&db);
    }
}

static void
test_a_failed_migration_changes_nothing(void **state)
{
    (void)state;
    struct userdb *db = NULL;
    struct fault f;
    make_old(version_1);
    make_old("CREATE TABLE groups (x)");  // in the way of the second step
    assert_int_equal(userdb_open(dir, &db, &f), R_FAIL);
    make_old("DROP TABLE groups");
    db = open_db();
    assert_int_equal(userdb_count(db), 2);
    userdb_close(&db);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
    password_warm();
    const struct CMUnitTest tests[] = {
        TEST(test_life_of_a_user),
        TEST(test_names_are_opaque_to_sql),
        TEST(test_transaction_can_be_dropped),
        TEST(test_decoy),
        TEST(test_foreign_file_is_refused),
        TEST(test_passwd_lines),
        TEST(test_passwd_file),
        TEST(test_verbs),
        TEST(test_groups),
        TEST(test_a_user_has_a_bounded_number_of_groups),
        TEST(test_a_name_is_kept),
        TEST(test_version_1_becomes_3),
        TEST(test_a_failed_migration_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
