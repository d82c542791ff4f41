#include "auth/app_password.h"
#include "auth/userdb_scene.h"

#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

static void
test_app_password_forms(void **state)
{
    (void)state;
    char text[APP_PASSWORD_TEXT], again[APP_PASSWORD_TEXT], sent[64];
    uint8_t digest[APP_PASSWORD_DIGEST], got[APP_PASSWORD_DIGEST];
    app_password_new(text, digest);
    app_password_new(again, got);
    assert_memory_not_equal(digest, got, sizeof got);
    assert_int_equal(strlen(text), APP_PASSWORD_TEXT - 1);
    snprintf(sent, sizeof sent, " %.6s%s ", text, text + 6);
    assert_int_equal(app_password_digest(span_str(sent), got), R_OK);
    assert_memory_equal(digest, got, sizeof got);
    for (size_t n = 0; n < strlen(text); n++)
        assert_int_equal(app_password_digest(span_of(text, n), got), R_FAIL);
    snprintf(sent, sizeof sent, "%sa", text);
    assert_int_equal(app_password_digest(span_str(sent), got), R_FAIL);
    snprintf(sent, sizeof sent, "0%s", text + 1);
    assert_int_equal(app_password_digest(span_str(sent), got), R_FAIL);
    assert_int_equal(app_password_digest(SPAN_NONE, got), R_FAIL);
}

static void
test_app_passwords_are_bounded(void **state)
{
    (void)state;
    struct userdb *db = NULL;
    struct fault f = {0};
    struct app_password p = {.account = 77, .label.n = 1}, found;
    uint8_t digest[APP_PASSWORD_DIGEST];
    char text[APP_PASSWORD_TEXT];
    assert_int_equal(userdb_open(dir, &db, &f), R_OK);
    for (int i = 0; i <= LIMIT_app_passwords; i++) {
        p.label.text[0] = (char)('!' + i);
        p.label.n = 1;
        app_password_new(text, digest);
        assert_int_equal(app_password_add(db, &p, digest, &f),
                         i < LIMIT_app_passwords ? R_OK : R_FAIL);
        assert_int_equal(app_password_find(db, p.account + 1, digest, &found, &f), R_NONE);
    }
    assert_int_equal(f.kind, FAULT_LIMIT);
    userdb_close(&db);
}

static void
test_protocols(void **state)
{
    (void)state;
    static const struct {
        const char *list, *want;  // NULL: refused
    } rows[] = {
        {"", ""},
        {"imap", "imap"},
        {"imap,lmtp", "imap lmtp"},
        {" imap , pop3 ", "imap pop3"},
        {"ftp", NULL},
        {"imap,,lmtp", NULL},
        {",", NULL},
        {"imap lmtp", NULL},
        {"imap,imap,imap,imap,imap,imap,imap,imap,imap,imap,imap,imap,imap,imap", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct app_password p;
        struct fault f;
        enum result r = app_password_protocols(span_str(rows[i].list), p.protocols, &f);
        assert_int_equal(r, rows[i].want ? R_OK : R_FAIL);
        if (r != R_OK)
            continue;
        assert_string_equal(p.protocols, rows[i].want);
        assert_int_equal(app_password_is_for(&p, SPAN("lmtp")),
                         !rows[i].want[0] || strstr(rows[i].want, "lmtp"));
        assert_int_equal(app_password_is_for(&p, SPAN("lm")), !rows[i].want[0]);
    }
}

int
main(void)
{
    must(sodium_init() >= 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_app_password_forms),
        cmocka_unit_test(test_protocols),
        cmocka_unit_test_setup_teardown(test_app_passwords_are_bounded, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
