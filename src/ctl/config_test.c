#include "ctl/config.h"
#include "base/limits.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <unistd.h>

struct row {
    const char *file;      // contents
    const char *want_why;  // part of the fault's text; NULL: it loads
};

static const struct row rows[] = {
    {"", NULL},
    {"version = 1\nhostname = \"mail.example.org\"\ndata = \"/tmp/x\"\n", NULL},
    {"plaintext_auth = true\nimap = { \"0.0.0.0:143\", \"[::]:143\" }\n", NULL},
    {"plaintext_auth = true\nimap = \"127.0.0.1:143\"\n", NULL},
    {"tls { certificate = \"/a\" key = \"/b\" }\nimaps = { \"*:993\" }\n", NULL},
    {"retention = 30d\nmemory_soft = 10M\nmemory_hard = 2G\n", NULL},
    {"\nimapss = { \"0.0.0.0:1\" }\n",
     ":2: there is no setting 'imapss'; did you mean 'imaps'?"},
    {"tls { certifikate = \"/a\" }\n",
     ":1: there is no setting 'certifikate'; did you mean 'tls.certificate'?"},
    {"zzzzzzzzzz = 1\n", "there is no setting 'zzzzzzzzzz'; remove it"},
    {"\n\nplaintext_auth = maybe\n",
     ":3: 'plaintext_auth' cannot be 'maybe'; use true or false"},
    {"search_index = sometimes\n",
     ":1: 'search_index' cannot be 'sometimes'; use one of: true asked false"},
    {"folder_language = \"fr\"\n",
     ":1: 'folder_language' cannot be 'fr'; use one of: en de"},
    {"retention = soon\n", "'retention' cannot be 'soon'; write it like 30m, 12h or 14d"},
    {"message_size_max = 99999999999999999999\n", "write it like 500M or 2G"},
    {"mail_threads = -1\n", "use a whole number"},
    {"imaps = { \"0.0.0.0:993\" }\n", "imaps needs tls"},
    {"https = { \"0.0.0.0:443\" }\n", "https needs tls"},
    {"imap = { \"0.0.0.0:143\" }\n", "nobody could log in"},
    {"plaintext_auth = true\nimap = { \"143\" }\n", "imap: '143' is no address"},
    {"plaintext_auth = true\nimap = \"127.0.0.1:143, 127.0.0.1:144\"\n", "is no address"},
    {"plaintext_auth = true\nimap = { \"::1:143\" }\n", "imap: '::1:143' is no address"},
    {"plaintext_auth = true\nimap = { \"[::1]:143\", \"localhost:143\" }\n", NULL},
    {"tls.key = \"/a\"\n", ":1: 'tls.key' is written tls { key = ... }"},
    {"certificate = \"/a\"\n",
     "there is no setting 'certificate'; did you mean tls { certificate = ... }?"},
    {"lmtp_networks = { \"10.0.0.0/33\" }\n", "a prefix has 0 to 32 bits"},
    {"proxy_networks = { \"10.0.0.0/33\" }\n", "proxy_networks: "},
    {"trusted_networks = { \"x\" }\n", "trusted_networks: "},
    {"lmtp = { \"127.0.0.1:24 proxy\" }\n", "needs proxy_networks"},
    {"lmtp = { \"127.0.0.1:24 prox\" }\nproxy_networks = { \"local\" }\n", "is no address"},
    {"lmtp = { \"127.0.0.1:24 proxy\", \"unix:/a proxy\" }\nproxy_networks = { \"::1\" }\n",
     NULL},
    {"oauth_scope = \"\xfc\"\n", ":1: 'oauth_scope' is not UTF-8"},
    {"local_domains = { \"a.example\", \"\xfc\" }\n", "'local_domains' is not UTF-8"},
    {"oauth_jwks_url = \"http://id.example/keys\"\n", "https://"},
    {"oauth_jwks_url = \"https://id.example/keys\"\n", "go with"},
    {"oauth_issuer = \"x\"\n", "go with"},
    {"policy_senders = \"reject\"\n", "needs local_domains"},
    {"policy_senders = \"reject\"\nlocal_domains = \"a.example\"\n", NULL},
    {"auth_deny = { \"10.0.0.0/33\" }\n", "auth_deny: "},
    {"auth_allow = { \"local\", \"x\" }\n", "auth_allow: "},
    {"auth_master_separator = \"**\"\n", "one character"},
    {"expire = { \"Trash 30d\", \"My News 90d\" }\nexpire_keep = { \"$keep\" }\n", NULL},
    {"expire = { \"\\Junk 12h\" }\n", NULL},
    {"expire = { \"Trash 30\" }\n", "expire: 'Trash 30' is no folder and age"},
    {"expire = { \"30d\" }\n", "is no folder and age"},
    {"expire = { \"Trash 0d\" }\n", "is no folder and age"},
    {"expire = { \"Trash soon\" }\n", "is no folder and age"},
    {"expire = { \" 3d\" }\n", "is no folder and age"},
    {"intake_keywords = { \"$hasattachment\", \"imported\" }\n", NULL},
    {"intake_keywords = \"$Junk\"\n", "'$Junk' is none that the server sets"},
    {"private_flags = { \"\\Seen\", \"\\\\Flagged\" }\n", NULL},
    {"private_flags = { \"\\Deleted\" }\n", "cannot be each user's own"},
    {"private_flags = \"$Work\"\n", "'$Work' cannot be each user's own"},
    {"filters = { \"boss UNSEEN FROM \\\"b@example.org\\\"\" }\nfilter_descriptions = "
     "\"boss From the boss\"\n",
     NULL},
    {"filters = { \"boss\" }\n", "filters: 'boss' is no name and what it stands for"},
    {"filters = { \" UNSEEN\" }\n", "is no name and what it stands for"},
    {"filters = { \"boss  \" }\n", "is no name and what it stands for"},
    {"filters = { \"a/b UNSEEN\" }\n", "is no name and what it stands for"},
    {"filter_descriptions = \"ä-b Ärger\"\n", "filter_descriptions: "},
    {"version = 2\n", "newer Posthorn"},
    {"data = \"relative\"\n", "must be an absolute path"},
    {"hostname = \"x\n", ":"},
};

static void
write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void
test_rows(void **state)
{
    (void)state;
    char path[64];
    snprintf(path, sizeof path, "/tmp/config_test.%d", getpid());
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        write_file(path, rows[i].file);
        struct config *c = NULL;
        struct fault f = {0};
        enum result r = config_load(path, NULL, &c, &f);
        if (rows[i].want_why == NULL && r != R_OK)
            fail_msg("row %zu: %s", i, f.why);
        if (rows[i].want_why != NULL &&
            (r == R_OK || strstr(f.why, rows[i].want_why) == NULL))
            fail_msg("row %zu: want '%s', got '%s'", i, rows[i].want_why, f.why);
        config_free(&c);
    }
    unlink(path);
}

// A role's copy and a dump that is read again both equal the original.
static void
assert_same(const struct config *a, const struct config *b)
{
    struct buf x, y;
    buf_init(&x, LIMIT_config_packed);
    buf_init(&y, LIMIT_config_packed);
    config_dump(a, &x);
    config_dump(b, &y);
    assert_true(span_eq(buf_span(&x), buf_span(&y)));
    buf_done(&x);
    buf_done(&y);
}

static void
test_round_trips(void **state)
{
    (void)state;
    char path[64];
    snprintf(path, sizeof path, "/tmp/config_test.%d", getpid());
    write_file(path, "hostname = \"a \\\"b\\\" \\\\ c\"\nlocal_domains = { \"a.example\", "
                     "\"b.example\" }\n"
                     "retention = 90m\nmessage_size_max = 1000\ntest_codec = scramble\n");
    struct config *c, *copy, *again;
    struct fault f;
    assert_int_equal(config_load(path, NULL, &c, &f), R_OK);
    assert_string_equal(c->hostname, "a \"b\" \\ c");
    assert_int_equal(c->retention, 5400);
    assert_int_equal(c->local_domains.n, 2);

    struct buf b;
    buf_init(&b, LIMIT_config_packed);
    config_put(&b, c);
    assert_int_equal(config_get(buf_span(&b), &copy), R_OK);
    assert_int_equal(config_get(span_slice(buf_span(&b), 0, b.n - 1), &again), R_FAIL);
    assert_same(c, copy);

    buf_reset(&b);
    config_dump(c, &b);
    buf_put_char(&b, '\0');
    write_file(path, b.p);
    if (config_load(path, NULL, &again, &f) != R_OK)
        fail_msg("dump is not read again: %s", f.why);
    assert_same(c, again);
    buf_done(&b);
    config_free(&c);
    config_free(&copy);
    config_free(&again);
    unlink(path);
}

static struct config *
load_text(const char *text)
{
    char path[64];
    struct config *c;
    struct fault f;
    snprintf(path, sizeof path, "/tmp/config_test.%d", getpid());
    write_file(path, text);
    if (config_load(path, NULL, &c, &f) != R_OK)
        fail_msg("%s", f.why);
    unlink(path);
    return c;
}

// A SWITCH takes what a BOOL takes, and a word more; true and false are written as a BOOL writes them.
static void
test_switch(void **state)
{
    static const struct {
        const char *text, *want, *want_dump;
    } switches[] = {
        {"", "true", "\nsearch_index = true\n"},
        {"search_index = true\n", "true", "\nsearch_index = true\n"},
        {"search_index = \"Yes\"\n", "true", "\nsearch_index = true\n"},
        {"search_index = on\n", "true", "\nsearch_index = true\n"},
        {"search_index = no\n", "false", "\nsearch_index = false\n"},
        {"search_index = OFF\n", "false", "\nsearch_index = false\n"},
        {"search_index = false\n", "false", "\nsearch_index = false\n"},
        {"search_index = asked\n", "asked", "\nsearch_index = \"asked\"\n"},
        {"search_index = \"asked\"\n", "asked", "\nsearch_index = \"asked\"\n"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof switches / sizeof switches[0]; i++) {
        struct config *c = load_text(switches[i].text), *copy;
        struct buf b;
        buf_init(&b, LIMIT_config_packed);
        assert_string_equal(c->search_index, switches[i].want);
        config_dump(c, &b);
        buf_put_char(&b, '\0');
        assert_non_null(strstr(b.p, switches[i].want_dump));
        buf_reset(&b);
        config_put(&b, c);
        assert_int_equal(config_get(buf_span(&b), &copy), R_OK);
        assert_string_equal(copy->search_index, switches[i].want);
        buf_done(&b);
        config_free(&c);
        config_free(&copy);
    }
}

struct follow_row {
    const char *now, *next;
    const char *want_live, *want_restart;
};

static const struct follow_row follow_rows[] = {
    {"", "", "", ""},
    {"retention = 1d\n", "retention = 24h\n", "", ""},
    {"search_index = yes\n", "search_index = on\n", "", ""},
    {"search_index = yes\n", "search_index = asked\n", "search_index", ""},
    {"", "log_level = debug\nretention = 1d\n", "retention, log_level", ""},
    {"data = \"/a\"\n", "data = \"/b\"\nuser = \"x\"\n", "", "data, user"},
    {"local_domains = { \"a\", \"b\" }\n", "local_domains = { \"ab\" }\nmail_threads = 3\n",
     "local_domains", "mail_threads"},
};

static void
test_follow(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof follow_rows / sizeof follow_rows[0]; i++) {
        const struct follow_row *row = &follow_rows[i];
        struct config *now = load_text(row->now), *next = load_text(row->next);
        struct buf live, restart;
        buf_init(&live, 4096);
        buf_init(&restart, 4096);
        config_follow(next, now, &live, &restart);
        assert_true(span_eq(buf_span(&live), span_str(row->want_live)));
        assert_true(span_eq(buf_span(&restart), span_str(row->want_restart)));
        assert_string_equal(next->data, now->data);
        assert_int_equal(next->mail_threads, now->mail_threads);
        buf_done(&live);
        buf_done(&restart);
        config_free(&now);
        assert_true(next->data[0] == '/');  // its own copy
        config_free(&next);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows), cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_switch), cmocka_unit_test(test_follow)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
