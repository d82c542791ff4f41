// What addresses come to: rows, and random tables against a small model.
#include "auth/resolve.h"
#include "auth/user_key.h"
#include "auth/verbs.h"
#include "base/hash.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

static char dir[64];
static struct userdb *db;
static const struct lookup_rules rules = {.domains = {"x.org y.org", 11},
                                          .delimiters = {"+-", 2}};

static int
setup(void **state)
{
    struct fault f;
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/posthorn-address-XXXXXX");
    return mkdtemp(dir) && userdb_open(dir, &db, &f) == R_OK ? 0 : -1;
}

static int
teardown(void **state)
{
    (void)state;
    DIR *d = opendir(dir);
    char path[512];
    userdb_close(&db);
    must(d != NULL);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        if (e->d_name[0] != '.')
            (void)!unlink(path);
    }
    closedir(d);
    return rmdir(dir);
}

static uint64_t
add_user(const char *name)
{
    struct fault f;
    uint64_t account = 0;
    assert_int_equal(userdb_add(db, span_str(name), SPAN("{PLAIN}x"), NULL, &account, &f),
                     R_OK);
    return account;
}

static enum result
verb(const char *words, const char *a, const char *b, struct buf *text, struct fault *f)
{
    const struct span args[] = {span_str(a), span_str(b)};
    buf_reset(text);
    return verbs_run(
        db,
        &(struct verbs_call){
            .verb = span_str(words), .args = args, .n = b ? 2 : 1, .rules = &rules},
        text, f);
}

static void
add(const char *address, const char *targets)
{
    struct buf text;
    struct fault f;
    buf_init(&text, SIZE_MAX);
    assert_int_equal(verb("address add", address, targets, &text, &f), R_OK);
    buf_done(&text);
}

static void
set(const char *user, const char *words)
{
    struct buf text;
    struct fault f;
    buf_init(&text, SIZE_MAX);
    assert_int_equal(verb("user set", user, words, &text, &f), R_OK);
    buf_done(&text);
}

// "ann/lists r@z.org": users with their details, and what is elsewhere; "-": nobody; "!": refused.
static void
resolve(const char *address, enum resolve_wish wish, struct buf *out)
{
    struct arena *a = arena_new();
    struct resolve how = {.db = db, .rules = &rules, .arena = a, .wish = wish};
    struct resolve_target *t;
    size_t n = 0;
    struct fault f;
    enum result r = resolve_address(&how, span_str(address), &t, &n, &f);
    buf_put_str(out, r == R_NONE ? "-" : r == R_FAIL ? "!" : "");
    for (size_t i = 0; r == R_OK && i < n; i++) {
        buf_printf(out, "%s%.*s", i > 0 ? " " : "", SPAN_ARG(t[i].name));
        if (t[i].detail.n > 0)
            buf_printf(out, "/%.*s", SPAN_ARG(t[i].detail));
    }
    arena_free(&a);
}

static void
comes_to(const char *address, enum resolve_wish wish, const char *want)
{
    struct buf got;
    buf_init(&got, SIZE_MAX);
    resolve(address, wish, &got);
    buf_put_char(&got, '\0');
    assert_string_equal(got.p, want);
    buf_done(&got);
}

static void
test_users(void **state)
{
    (void)state;
    static const struct {
        const char *domains, *address, *want, *want_detail;
    } rows[] = {
        {"example.org", "ann@example.org", "ann", ""},
        {"example.org", "ANN@EXAMPLE.ORG", "ann", ""},
        {"example.org", "ann+lists@example.org", "ann", "lists"},
        {"example.org", "ann+a+b@example.org", "ann", "a+b"},
        {"example.org", "ann", "ann", ""},
        {"example.org", "ann+x", "ann", "x"},
        {"example.org", "ann@example.net", NULL, NULL},
        {"", "ann@example.net", "ann", ""},
        {"example.org example.net", "ann@example.net", "ann", ""},
        {"example.org", "bob@example.com", "bob@example.com", ""},
        {"example.org", "bob+x@example.com", "bob@example.com", "x"},
        {"example.org", "bob@example.org", NULL, NULL},
        {"example.org", "c+d@example.com", "c+d@example.com", ""},
        {"example.org", "c+d+e@example.com", NULL, NULL},
        {"example.org", "off@example.org", NULL, NULL},
        {"example.org", "+x@example.org", NULL, NULL},
        {"example.org", "@example.org", NULL, NULL},
        {"example.org", "", NULL, NULL},
        {"example.org", "a b@example.org", NULL, NULL},
    };
    struct fault f;
    add_user("ann");
    add_user("bob@example.com");
    add_user("c+d@example.com");
    add_user("off");
    assert_int_equal(userdb_disable(db, SPAN("off"), true, &f), R_OK);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct lookup_rules plus = {span_str(rows[i].domains), SPAN("+"), NULL, NULL};
        struct user u;
        struct span detail = SPAN_NONE;
        enum result r =
            lookup_recipient(db, &plus, span_str(rows[i].address), &u, &detail, &f);
        assert_int_equal(r, rows[i].want ? R_OK : R_NONE);
        if (r == R_OK) {
            assert_string_equal(u.name.text, rows[i].want);
            assert_true(span_eq(detail, span_str(rows[i].want_detail)));
        }
    }
}

static void
make_world(void)
{
    struct fault f;
    add_user("ann");
    add_user("bob@x.org");
    add_user("off");
    add_user("eve");
    assert_int_equal(userdb_disable(db, SPAN("off"), true, &f), R_OK);
    add("sales@x.org", "ann bob@x.org");
    add("all@x.org", "sales@x.org eve send=no");
    add("Mixed@X.org", "ann r@z.org");
    add("ann@y.org", "bob@x.org");
    add("postmaster", "ann");
    add("\"odd(one\"@x.org", "eve");
    add("@old.org", "@x.org");
    add("@y.org", "eve");
    add("dead@x.org", "nobody@x.org off ann");
    add("off@z.org", "off");
    add("m\xc3\xbcller@x.org", "ann");
}

static void
test_rows(void **state)
{
    (void)state;
    static const struct {
        const char *address;
        enum resolve_wish wish;
        const char *want;
    } rows[] = {
        {"ann@x.org", RESOLVE_ALL, "ann"},
        {"ANN@X.ORG", RESOLVE_ALL, "ann"},
        {"ann+Lists@x.org", RESOLVE_ALL, "ann/Lists"},
        {"ann-a+b@x.org", RESOLVE_ALL, "ann/a+b"},
        {"sales@x.org", RESOLVE_ALL, "ann bob@x.org"},
        {"Sales+q@x.org", RESOLVE_ALL, "ann/q bob@x.org/q"},
        {"all@x.org", RESOLVE_ALL, "eve ann bob@x.org"},
        {"all@x.org", RESOLVE_SENDERS, "-"},
        {"sales@x.org", RESOLVE_SENDERS, "ann bob@x.org"},
        {"mixed@x.org", RESOLVE_ALL, "ann r@z.org"},
        {"mixed+q@x.org", RESOLVE_ALL, "ann/q r+q@z.org"},
        {"mixed@x.org", RESOLVE_SENDERS, "ann"},
        // the whole address comes before the local part alone
        {"ann@y.org", RESOLVE_ALL, "bob@x.org"},
        {"postmaster@x.org", RESOLVE_ALL, "ann"},
        {"postmaster@y.org", RESOLVE_ALL, "ann"},
        {"postmaster@z.org", RESOLVE_ALL, "-"},
        {"odd(one@x.org", RESOLVE_ALL, "eve"},
        {"ann@old.org", RESOLVE_ALL, "ann"},
        {"sales+q@old.org", RESOLVE_ALL, "ann/q bob@x.org/q"},
        {"nobody@old.org", RESOLVE_ALL, "-"},
        {"whoever@y.org", RESOLVE_ALL, "eve"},
        {"whoever@y.org", RESOLVE_SENDERS, "-"},
        // a catch-all hides no disabled user, and a target who is gone no other
        {"off@y.org", RESOLVE_ALL, "-"},
        {"off+x@y.org", RESOLVE_ALL, "-"},
        {"dead@x.org", RESOLVE_ALL, "ann"},
        {"off@z.org", RESOLVE_ALL, "-"},
        {"M\xc3\x9cLLER@x.org", RESOLVE_ALL, "ann"},
        {"mu\xcc\x88ller@x.org", RESOLVE_ALL, "ann"},
        {"nobody@x.org", RESOLVE_ALL, "-"},
        {"nobody@z.org", RESOLVE_ALL, "-"},
        {"nobody@z.org", RESOLVE_SENDERS, "-"},
        {"@y.org", RESOLVE_ALL, "-"},
        {"+x@y.org", RESOLVE_ALL, "eve"},
        {"", RESOLVE_ALL, "-"},
        {"@", RESOLVE_ALL, "-"},
        {"ann@", RESOLVE_ALL, "ann"},
        {"\xff@x.org", RESOLVE_ALL, "-"},
    };
    make_world();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        comes_to(rows[i].address, rows[i].wish, rows[i].want);
}

static void
test_forwards(void **state)
{
    (void)state;
    make_world();
    set("ann", "forward=r@z.org,bob@x.org");
    comes_to("ann@x.org", RESOLVE_ALL, "r@z.org bob@x.org");
    comes_to("ann@x.org", RESOLVE_HERE, "ann");
    comes_to("ann@x.org", RESOLVE_SENDERS, "ann");
    comes_to("sales@x.org", RESOLVE_ALL, "bob@x.org r@z.org");
    comes_to("sales@x.org", RESOLVE_HERE, "ann bob@x.org");
    set("ann", "keep=yes");
    comes_to("ann+q@x.org", RESOLVE_ALL, "ann/q r@z.org bob@x.org");
    // what comes back is kept, and what would get lost
    set("ann", "keep=no forward=bob@x.org");
    set("bob@x.org", "forward=ann@x.org");
    comes_to("ann@x.org", RESOLVE_ALL, "ann");
    comes_to("bob@x.org", RESOLVE_ALL, "bob@x.org");
    comes_to("sales@x.org", RESOLVE_ALL, "bob@x.org");
    comes_to("all@x.org", RESOLVE_ALL, "eve bob@x.org");
    set("ann", "forward=gone@x.org");
    comes_to("ann@x.org", RESOLVE_ALL, "ann");
    set("ann", "forward=ann@x.org");
    comes_to("ann@x.org", RESOLVE_ALL, "ann");
    set("ann", "forward=default");
    comes_to("bob@x.org", RESOLVE_ALL, "ann");
}

static void
refused(const char *words, const char *a, const char *b, enum fault_kind want)
{
    struct buf text;
    struct fault f;
    buf_init(&text, SIZE_MAX);
    assert_int_equal(verb(words, a, b, &text, &f), R_FAIL);
    assert_int_equal(f.kind, want);
    buf_done(&text);
}

static void
test_refusals(void **state)
{
    (void)state;
    char long_name[300];
    memset(long_name, 'a', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    make_world();
    refused("address add", "sales@x.org", "ann", FAULT_ALREADYEXISTS);
    refused("address add", "ann", "bob@x.org", FAULT_ALREADYEXISTS);
    refused("address add", "a@x.org", "", FAULT_BAD);
    refused("address add", "a@x.org", "@x.org", FAULT_BAD);
    refused("address add", "a@x.org", "a@x.org", FAULT_BAD);
    refused("address add", "a@x.org", "ann send=perhaps", FAULT_BAD);
    refused("address add", "a b@x.org", "ann", FAULT_BAD);
    refused("address add", "a@", "ann", FAULT_BAD);
    refused("address add", "a\xEF\xBC\xA0", "ann", FAULT_BAD);  // U+FF20, a wide @
    refused("address add", "\"a@x.org", "ann", FAULT_BAD);
    refused("address add", long_name, "ann", FAULT_BAD);
    // circles
    add("one@x.org", "two@x.org");
    refused("address add", "two@x.org", "one@x.org", FAULT_BAD);
    refused("address add", "two@x.org", "ann one+d@x.org", FAULT_BAD);
    refused("address add", "@x.org", "@old.org", FAULT_BAD);
    refused("address add", "@y.org", "nobody@y.org", FAULT_BAD);
    comes_to("two@x.org", RESOLVE_ALL, "-");
    refused("address delete", "none@x.org", "", FAULT_NONEXISTENT);
    refused("address delete", "sales@x.org", "eve", FAULT_NONEXISTENT);
    refused("address delete", "sales@x.org", "ann eve", FAULT_NONEXISTENT);
    comes_to("sales@x.org", RESOLVE_ALL, "ann bob@x.org");
    refused("user set", "ann", "forward=@x.org", FAULT_BAD);
    refused("user set", "ann", "keep=perhaps", FAULT_BAD);
    refused("user set", "ann", "colour=red", FAULT_BAD);
    refused("user set", "ann", "protocols=imap,gopher", FAULT_BAD);
    refused("user set", "ann", "forward", FAULT_BAD);
    refused("user set", "nobody", "keep=yes", FAULT_NONEXISTENT);
}

static void
test_limits(void **state)
{
    (void)state;
    struct fault f;
    char name[64], to[64];
    add_user("ann");
    for (int i = 0; i < LIMIT_address_targets; i++) {
        snprintf(to, sizeof to, "r%d@z.org", i);
        assert_int_equal(address_add(db, SPAN("many@x.org"), span_str(to), true, &f), R_OK);
    }
    refused("address add", "many@x.org", "ann", FAULT_LIMIT);
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "d%d@x.org", i);
        snprintf(to, sizeof to, "d%d@x.org", i + 1);
        assert_int_equal(address_add(db, span_str(name), span_str(to), true, &f), R_OK);
    }
    assert_int_equal(address_add(db, SPAN("d20@x.org"), SPAN("ann"), true, &f), R_OK);
    comes_to("d5@x.org", RESOLVE_ALL, "ann");
    comes_to("d4@x.org", RESOLVE_ALL, "!");
    refused("address add", "top@x.org", "d4@x.org", FAULT_LIMIT);
    // 20 x 500
    for (int i = 0; i < 20; i++) {
        snprintf(to, sizeof to, "w%d@x.org", i);
        assert_int_equal(address_add(db, SPAN("wide@x.org"), span_str(to), true, &f), R_OK);
        for (int j = 0; j < LIMIT_address_targets; j++) {
            snprintf(name, sizeof name, "s%d-%d@z.org", i, j);
            assert_int_equal(address_add(db, span_str(to), span_str(name), true, &f), R_OK);
        }
    }
    comes_to("wide@x.org", RESOLVE_ALL, "!");
    // a circle that is in the table all the same ends
    assert_int_equal(address_add(db, SPAN("p@x.org"), SPAN("q@x.org"), true, &f), R_OK);
    assert_int_equal(address_add(db, SPAN("q@x.org"), SPAN("p@x.org"), true, &f), R_OK);
    comes_to("p@x.org", RESOLVE_ALL, "!");
    assert_int_equal(address_add(db, SPAN("p@x.org"), SPAN("ann"), true, &f), R_OK);
    comes_to("p@x.org", RESOLVE_ALL, "ann");
}

// ---- random tables: whatever is in them, resolution ends, and gives whom a plain search over the graph gives

enum { NODES = 8 };

struct graph {
    bool edge[NODES][NODES];
    bool user[NODES], keep[NODES], forward[NODES];
};

static void
node_name(const struct graph *g, int i, char out[32])
{
    snprintf(out, 32, g->user[i] ? "u%d" : "n%d@x.org", i);
}

static void
draw(struct graph *g, int round)
{
    char from[32], to[32], list[256];
    struct fault f;
    memset(g, 0, sizeof *g);
    for (int i = 0; i < NODES; i++) {
        g->user[i] = random_u64() % 3 == 0;
        node_name(g, i, from);
        if (g->user[i])
            add_user(from);
    }
    for (int i = 0; i < NODES; i++) {
        node_name(g, i, from);
        list[0] = '\0';
        for (int j = 0; j < NODES; j++) {
            g->edge[i][j] = i != j && random_u64() % 8 < (uint64_t)(1 + round % 3);
            if (!g->edge[i][j])
                continue;
            node_name(g, j, to);
            g->forward[i] |= g->user[i];
            if (g->user[i])
                snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s",
                         list[0] ? "," : "", to);
            else
                assert_int_equal(address_add(db, span_str(from), span_str(to), true, &f),
                                 R_OK);
        }
        g->keep[i] = !g->forward[i] || random_u64() % 2 == 0;
        char words[300];
        snprintf(words, sizeof words, "forward=%s keep=%s", list,
                 g->keep[i] ? "yes" : "no");
        if (g->forward[i])
            set(from, words);
    }
}

static void
reach(const struct graph *g, int i, bool seen[NODES])
{
    if (seen[i])
        return;
    seen[i] = true;
    for (int j = 0; j < NODES; j++)
        if (g->edge[i][j])
            reach(g, j, seen);
}

// Who is reached and keeps mail gets it; who is not reached does not; and where users are reached some of them do.
static void
check(const struct graph *g, int from)
{
    bool seen[NODES] = {false}, users = false, some = false;
    char name[32];
    struct buf got;
    buf_init(&got, SIZE_MAX);
    node_name(g, from, name);
    reach(g, from, seen);
    resolve(name, RESOLVE_ALL, &got);
    buf_put_char(&got, ' ');
    for (int i = 0; i < NODES; i++) {
        char user[32];
        snprintf(user, sizeof user, "u%d ", i);
        bool has = span_find(buf_span(&got), span_str(user)) < got.n;
        assert_true(!has || (seen[i] && g->user[i]));
        if (seen[i] && g->user[i] && g->keep[i])
            assert_true(has);
        users |= seen[i] && g->user[i];
        some |= has;
    }
    assert_int_equal(some, users);
    buf_done(&got);
}

static void
test_random_tables(void **state)
{
    for (int round = 0; round < 25; round++) {
        struct graph g;
        if (round > 0)
            assert_int_equal(teardown(state) || setup(state), 0);
        struct fault f;
        assert_int_equal(userdb_begin(db, &f), R_OK);
        userdb_abort(db);
        draw(&g, round);
        for (int i = 0; i < NODES; i++)
            check(&g, i);
    }
}

static void
test_dump_brings_all_back(void **state)
{
    struct buf text, again;
    struct fault f;
    buf_init(&text, SIZE_MAX);
    buf_init(&again, SIZE_MAX);
    make_world();
    set("ann", "forward=r@z.org,bob@x.org keep=yes protocols=imap,lmtp");
    assert_int_equal(
        verbs_run(db,
                  &(struct verbs_call){
                      .verb = SPAN("user dump"), .args = NULL, .n = 0, .rules = &rules},
                  &text, &f),
        R_OK);
    assert_int_equal(teardown(state) || setup(state), 0);
    assert_int_equal(verbs_restore(db, buf_span(&text), &f), R_OK);
    assert_int_equal(
        verbs_run(db,
                  &(struct verbs_call){
                      .verb = SPAN("user dump"), .args = NULL, .n = 0, .rules = &rules},
                  &again, &f),
        R_OK);
    assert_true(span_eq(buf_span(&text), buf_span(&again)));
    comes_to("sales@x.org", RESOLVE_ALL, "ann bob@x.org r@z.org");
    comes_to("all@x.org", RESOLVE_SENDERS, "-");
    struct user u;
    struct user_keys k;
    assert_int_equal(userdb_find(db, SPAN("ann"), &u, &f), R_OK);
    assert_int_equal(user_keys_get(db, u.account, &k, &f), R_OK);
    assert_true(k.keep && user_keys_allow(&k, SPAN("lmtp")) &&
                !user_keys_allow(&k, SPAN("pop3")));
    // they go with the user; what led there is told and stays
    assert_int_equal(verb("user delete", "ann", NULL, &text, &f), R_OK);
    assert_true(span_find(buf_span(&text), SPAN("sales@x.org")) < text.n);
    assert_true(span_find(buf_span(&text), SPAN("all@x.org")) == text.n);
    add_user("ann");
    comes_to("ann@x.org", RESOLVE_ALL, "ann");
    buf_done(&text);
    buf_done(&again);
}

static void
test_quotes(void **state)
{
    (void)state;
    static const struct {
        const char *in, *want, *want_printed;
    } rows[] = {
        {"Ann@X.org", "ann@x.org", "ann@x.org"},
        {"\"ann\"@x.org", "ann@x.org", "ann@x.org"},
        {"\"a\\\"b\"@x.org", "a\"b@x.org", "\"a\\\"b\"@x.org"},
        {"\"a@b\"@x.org", "a@b@x.org", "\"a@b\"@x.org"},
        {"a,b@x.org", "a,b@x.org", "\"a,b\"@x.org"},
        {".a@x.org", ".a@x.org", "\".a\"@x.org"},
        {"a..b@x.org", "a..b@x.org", "\"a..b\"@x.org"},
        {"a.b@x.org", "a.b@x.org", "a.b@x.org"},
        {"@X.org", "@x.org", "@x.org"},
        {"\"a b\"@x.org", NULL, NULL},
        {"\"a@x.org", NULL, NULL},
        {"\"\"@x.org", NULL, NULL},
        {"\"a\"b@x.org", NULL, NULL},
        {"a\r\n@x.org", NULL, NULL},
        {"a@", NULL, NULL},
        {"", NULL, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct name name;
        struct fault f;
        struct buf out;
        enum result r = address_of(span_str(rows[i].in), &name, &f);
        assert_int_equal(r, rows[i].want ? R_OK : R_FAIL);
        if (r != R_OK)
            continue;
        assert_string_equal(name.text, rows[i].want);
        buf_init(&out, SIZE_MAX);
        address_print(name_span(&name), &out);
        assert_true(span_eq(buf_span(&out), span_str(rows[i].want_printed)));
        buf_done(&out);
    }
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_users),
        TEST(test_rows),
        TEST(test_forwards),
        TEST(test_refusals),
        TEST(test_limits),
        TEST(test_random_tables),
        TEST(test_dump_brings_all_back),
        cmocka_unit_test(test_quotes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
