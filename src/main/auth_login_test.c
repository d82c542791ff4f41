#include "main/auth_inside.h"
#include "auth/password.h"
#include "auth/verbs.h"
#include "base/clock.h"
#include "base/limits.h"

#include <gsasl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

// The role's logins on a real database and loop; what would go to the gate is kept here.
static struct {
    unsigned count;
    struct auth_reply last;
    char data[1024], user[256], ticket[1024];
} got;
static struct auth_role role;
static struct config settings = {.tls_client_ca = ""};
static struct role_start role_start = {.config = &settings};
static struct auth_channel gate;
static char dir[64];
static const char ticket_key[32] = "0123456789abcdef0123456789abcdef";

// Nobody tries a login here.
void
trial_granted(struct login *l)
{
    fail_msg("a trial of %p", (void *)l);
}

void
trial_refused(struct login *l)
{
    fail_msg("a trial of %p", (void *)l);
}

void
trial_note(struct login *l, const char *why)
{
    fail_msg("a trial of %p: %s", (void *)l, why);
}

void
trial_free(struct trial **t)
{
    assert_null(*t);
}

void
auth_reply_send(struct auth_channel *at, const struct auth_reply *r)
{
    assert_ptr_equal(at, &gate);
    got.count++;
    got.last = *r;
    memcpy(got.data, r->data.p ? r->data.p : "", r->data.n);
    memcpy(got.user, r->user.p ? r->user.p : "", r->user.n);
    memcpy(got.ticket, r->ticket.p ? r->ticket.p : "", r->ticket.n);
    got.last.data = span_of(got.data, r->data.n);
    got.last.user = span_of(got.user, r->user.n);
    got.last.ticket = span_of(got.ticket, r->ticket.n);
}

void
auth_offer_update(struct auth_role *r)
{
    (void)r;
}

static uint64_t deadline_ms;
static unsigned wanted_count;
static struct timer tick;

static void
on_tick(void *arg)
{
    (void)arg;
    if (got.count < wanted_count || role.hashing > 0) {
        assert_true(clock_mono_ms() < deadline_ms);
        timer_set(&tick, 5);
    } else {
        loop_stop(role.loop);
    }
}

// Runs the loop until n replies came and no hash is under way.
static void
wait_replies(unsigned n)
{
    wanted_count = n;
    deadline_ms = clock_mono_ms() + 10000;
    timer_init(&tick, on_tick, NULL);
    loop_post(role.loop, on_tick, NULL);
    loop_run(role.loop);
}

static const char *from = "127.0.0.1";
static struct auth_start next_start;

static void
do_start(void *arg)
{
    (void)arg;
    login_start(&gate, &next_start);
}

static void
start(uint64_t exchange, const char *mechanism, struct span initial, const char *user,
      const char *password)
{
    next_start = (struct auth_start){
        .exchange = exchange,
        .service = SPAN("imap"),
        .mechanism = span_str(mechanism),
        .has_initial = initial.p != NULL,
        .initial = initial,
        .user = span_str(user),
        .password = span_str(password),
        .remote = span_str(from),
    };
    loop_post(role.loop, do_start, NULL);
    wait_replies(got.count + 1);
}

static struct auth_step next_step;

static void
do_step(void *arg)
{
    (void)arg;
    login_step(&gate, &next_step);
}

static void
step(uint64_t exchange, struct span response)
{
    next_step = (struct auth_step){exchange, response};
    loop_post(role.loop, do_step, NULL);
    wait_replies(got.count + 1);
}

static void
load(const char *lines)
{
    struct buf text;
    struct fault f;
    const struct span args[] = {SPAN("1"), span_str(lines)};
    buf_init(&text, 4096);
    assert_int_equal(
        verbs_run(role.db,
                  &(struct verbs_call){.verb = SPAN("user load"), .args = args, .n = 2},
                  &text, &f),
        R_OK);
    buf_done(&text);
}

static int
setup(void **state)
{
    (void)state;
    struct fault f;
    memset(&role, 0, sizeof role);
    memset(&got, 0, sizeof got);
    role.start = &role_start;
    role.bases.order[role.bases.n++] = USER_OWN;
    snprintf(dir, sizeof dir, "/tmp/auth_login_test.XXXXXX");
    if (!mkdtemp(dir) || userdb_open(dir, &role.db, &f) ||
        throttle_new(true, SPAN("127.0.0.0/8"), &role.throttle, &f))
        return -1;
    buf_init(&role.ticket_key, 64);
    buf_init(&role.domains, 64);
    buf_init(&role.settings.masters, 64);
    buf_init(&role.settings.allow, 64);
    buf_init(&role.settings.deny, 64);
    buf_init(&role.decoy_hash, LIMIT_password_hash);
    buf_put(&role.ticket_key, span_of(ticket_key, sizeof ticket_key));
    buf_put_str(&role.domains, "example.org second.example");
    role.loop = loop_new();
    role.pool = pool_new(2);
    gate = (struct auth_channel){.role = &role};
    role.channels = &gate;
    return password_new(SPAN("x"), &role.decoy_hash, &f) == R_OK ? 0 : -1;
}

static int
teardown(void **state)
{
    (void)state;
    char command[128];
    login_abort_all(&gate);
    userdb_close(&role.db);
    throttle_free(&role.throttle);
    pool_free(&role.pool);
    loop_free(&role.loop);
    buf_done(&role.ticket_key);
    buf_done(&role.domains);
    buf_done(&role.settings.masters);
    buf_done(&role.settings.allow);
    buf_done(&role.settings.deny);
    buf_done(&role.decoy_hash);
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

static void
test_passwords(void **state)
{
    (void)state;
    static const struct {
        const char *mechanism;
        struct span initial;
        const char *user, *password;
        enum auth_verdict want;
        enum fault_kind want_fault;
        const char *want_user;
    } rows[] = {
        {"", SPAN_NONE, "ann", "secret", AUTH_OK, 0, "ann"},
        {"", SPAN_NONE, "ANN", "secret", AUTH_OK, 0, "ann"},
        {"", SPAN_NONE, "ann", "Secret", AUTH_REFUSED, FAULT_AUTHFAILED, 0},
        {"", SPAN_NONE, "ann", "", AUTH_REFUSED, FAULT_AUTHFAILED, 0},
        {"", SPAN_NONE, "nobody", "secret", AUTH_REFUSED, FAULT_AUTHFAILED, 0},
        {"", SPAN_NONE, "a/b", "secret", AUTH_REFUSED, FAULT_AUTHFAILED, 0},
        {"", SPAN_NONE, "off", "secret", AUTH_REFUSED, FAULT_AUTHFAILED, 0},
        {"", SPAN_NONE, "none", "secret", AUTH_REFUSED, FAULT_AUTHFAILED, 0},
        {"", SPAN_NONE, "eve", "secret", AUTH_OK, 0, "eve@example.org"},
        {"", SPAN_NONE, "slow", "pass word", AUTH_OK, 0, "slow"},
        {"", SPAN_NONE, "slow", "pass", AUTH_REFUSED, FAULT_AUTHFAILED, 0},
        {"PLAIN", SPAN("\0ann\0secret"), 0, 0, AUTH_OK, 0, "ann"},
        {"PLAIN", SPAN("bob\0ann\0secret"), 0, 0, AUTH_REFUSED, FAULT_AUTHZFAILED, 0},
        {"PLAIN", SPAN("slow\0ann\0secret"), 0, 0, AUTH_REFUSED, FAULT_AUTHZFAILED, 0},
        {"PLAIN", SPAN("slow\0ann\0wrong"), 0, 0, AUTH_REFUSED, FAULT_AUTHFAILED, 0},
        {"PLAIN", SPAN("slow\0root\0toor"), 0, 0, AUTH_OK, 0, "slow"},
        {"PLAIN", SPAN("slow\0root\0wrong"), 0, 0, AUTH_REFUSED, FAULT_AUTHFAILED, 0},
        {"PLAIN", SPAN("nobody\0root\0toor"), 0, 0, AUTH_REFUSED, FAULT_AUTHZFAILED, 0},
        {"PLAIN", SPAN("off\0root\0toor"), 0, 0, AUTH_REFUSED, FAULT_AUTHZFAILED, 0},
        {"PLAIN", SPAN("root\0root\0toor"), 0, 0, AUTH_OK, 0, "root"},
        {"", SPAN_NONE, "slow*root", "toor", AUTH_OK, 0, "slow"},
        {"", SPAN_NONE, "slow*root", "wrong", AUTH_REFUSED, FAULT_AUTHFAILED, 0},
        {"", SPAN_NONE, "slow*ann", "secret", AUTH_REFUSED, FAULT_AUTHZFAILED, 0},
        {"", SPAN_NONE, "*root", "toor", AUTH_REFUSED, FAULT_AUTHFAILED, 0},
        {"", SPAN_NONE, "slow*", "toor", AUTH_REFUSED, FAULT_AUTHFAILED, 0},
        {"", SPAN_NONE, "away", "secret", AUTH_REFUSED, FAULT_AUTHFAILED, 0},
        {"", SPAN_NONE, "home", "secret", AUTH_OK, 0, "home"},
        {"PLAIN", SPAN("x"), 0, 0, AUTH_REFUSED, FAULT_BAD, 0},
        {"CRAM-MD5", SPAN_NONE, 0, 0, AUTH_REFUSED, FAULT_CANNOT, 0},
    };
    buf_put_str(&role.settings.masters, "x Root");
    role.settings.separator = '*';
    load("root:{PLAIN}toor\naway:{PLAIN}secret::::::allow_nets=10.0.0.0/8\n"
         "home:{PLAIN}secret::::::allow_nets=10.0.0.0/8,127.0.0.1\n"
         "ann:{PLAIN}secret\noff:{PLAIN}secret::::::nologin\nnone:*\neve@example.org:{"
         "PLAIN}secret\n"
         "slow:{SHA256-CRYPT}$5$FPOFLBnWrDc.rWAY$agrQo1zh6d/"
         "pQd7KY2MlrOB9yP.fkXQiHYjQ923A2O2");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ticket t;
        start(i + 1, rows[i].mechanism, rows[i].initial, rows[i].user, rows[i].password);
        assert_int_equal(got.last.verdict, rows[i].want);
        assert_int_equal(got.last.exchange, i + 1);
        if (rows[i].want == AUTH_OK) {
            assert_true(span_eq(got.last.user, span_str(rows[i].want_user)));
            assert_int_equal(ticket_open(got.last.ticket, span_of(ticket_key, 32),
                                         (int64_t)clock_mono_ms(), &t),
                             R_OK);
            assert_int_equal(t.account, got.last.account);
            assert_true(t.issued_ms <= (int64_t)clock_mono_ms());  // no clock that is set
        } else {
            assert_int_equal(got.last.fault, rows[i].want_fault);
            assert_int_equal(got.last.ticket.n, 0);
        }
        assert_int_equal(HASH_COUNT(gate.logins), 0);
    }
}

// The local part alone, in a domain of ours where nobody has the whole name.
static void
test_names(void **state)
{
    (void)state;
    static const struct {
        const char *user, *password, *want_user;  // NULL: refused
    } rows[] = {
        {"ann@example.org", "secret", "ann"},
        {"Ann@Second.Example", "secret", "ann"},
        {"ann@elsewhere.example", "secret", NULL},
        {"ann@", "secret", NULL},
        {"ann@x@example.org", "secret", NULL},
        {"off@example.org", "secret", NULL},
        {"eve", "secret", "eve@example.org"},
        {"eve@second.example", "secret", NULL},
        {"two@example.org", "whole", "two@example.org"},
        {"two@example.org", "bare", NULL},
        {"two@second.example", "bare", "two"},
        {"two", "bare", "two"},
        {"eve@example.org*ann@example.org", "secret", "eve@example.org"},
        {"two@second.example*ann@second.example", "secret", "two"},
    };
    buf_put_str(&role.settings.masters, "ann");
    role.settings.separator = '*';
    load(
        "ann:{PLAIN}secret\noff:{PLAIN}secret::::::nologin\neve@example.org:{PLAIN}secret\n"
        "two:{PLAIN}bare\ntwo@example.org:{PLAIN}whole");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        start(i + 1, "", SPAN_NONE, rows[i].user, rows[i].password);
        assert_int_equal(got.last.verdict, rows[i].want_user ? AUTH_OK : AUTH_REFUSED);
        if (rows[i].want_user)
            assert_true(span_eq(got.last.user, span_str(rows[i].want_user)));
    }
}

static void
test_foreign_hash_is_upgraded(void **state)
{
    (void)state;
    struct user u;
    struct fault f;
    load("slow:{SHA256-CRYPT}$5$FPOFLBnWrDc.rWAY$agrQo1zh6d/"
         "pQd7KY2MlrOB9yP.fkXQiHYjQ923A2O2\nann:{PLAIN}secret");
    start(1, "", SPAN_NONE, "slow", "pass word");
    start(2, "", SPAN_NONE, "ann", "secret");
    assert_int_equal(userdb_find(role.db, SPAN("slow"), &u, &f), R_OK);
    assert_true(password_is_own(user_hash(&u)) && scram_is_whole(&u.scram));
    assert_int_equal(userdb_find(role.db, SPAN("ann"), &u, &f), R_OK);
    assert_true(span_eq(user_hash(&u), SPAN("{PLAIN}secret")));
    start(3, "", SPAN_NONE, "slow", "pass word");
    assert_int_equal(got.last.verdict, AUTH_OK);
}

static int
client_property(Gsasl *g, Gsasl_session *session, Gsasl_property p)
{
    (void)g;
    if (p == GSASL_AUTHID)
        return gsasl_property_set(session, p, "ann");
    return p == GSASL_PASSWORD ? gsasl_property_set(session, p, "secret")
                               : GSASL_NO_CALLBACK;
}

static uint64_t
account_of(const char *name)
{
    struct user u;
    struct fault f;
    assert_int_equal(userdb_find(role.db, span_str(name), &u, &f), R_OK);
    return u.account;
}

// Ann's SCRAM, with a revocation of `account` before her step of that number; 0: none.
static void
run_scram(unsigned revoke_at, uint64_t account, const char *authzid)
{
    Gsasl *g = NULL;
    Gsasl_session *client = NULL;
    char *out = NULL;
    size_t n = 0;
    assert_int_equal(gsasl_init(&g), GSASL_OK);
    gsasl_callback_set(g, client_property);
    assert_int_equal(gsasl_client_start(g, "SCRAM-SHA-256", &client), GSASL_OK);
    if (authzid != NULL)
        assert_int_equal(gsasl_property_set(client, GSASL_AUTHZID, authzid), GSASL_OK);
    assert_int_equal(gsasl_step(client, "", 0, &out, &n), GSASL_NEEDS_MORE);
    start(1, "SCRAM-SHA-256", span_of(out, n), NULL, NULL);
    gsasl_free(out);
    assert_int_equal(got.last.verdict, AUTH_CONTINUE);
    assert_int_equal(gsasl_step(client, got.data, got.last.data.n, &out, &n),
                     GSASL_NEEDS_MORE);
    if (revoke_at == 1)
        auth_revoke(&role, account, 0);
    step(1, span_of(out, n));
    gsasl_free(out);
    assert_int_equal(got.last.verdict, AUTH_CONTINUE);
    assert_int_equal(gsasl_step(client, got.data, got.last.data.n, &out, &n), GSASL_OK);
    gsasl_free(out);
    if (revoke_at == 2)
        auth_revoke(&role, account, 0);
    step(1, SPAN_NONE);
    gsasl_finish(client);
    gsasl_done(g);
}

static void
test_scram_has_a_last_challenge(void **state)
{
    (void)state;
    load("ann:{PLAIN}secret");
    run_scram(0, 0, NULL);
    assert_int_equal(got.last.verdict, AUTH_OK);
    assert_true(span_eq(got.last.user, SPAN("ann")));
}

static void
expect_refusal(void)
{
    assert_int_equal(got.last.verdict, AUTH_REFUSED);
    assert_int_equal(got.last.fault, FAULT_AUTHFAILED);
    assert_int_equal(got.last.ticket.n, 0);
    assert_int_equal(HASH_COUNT(gate.logins), 0);
}

// Who was disabled between two steps gets no ticket that is younger than that.
static void
test_revoked_between_steps(void **state)
{
    (void)state;
    load("ann:{PLAIN}secret\nbob:{PLAIN}other");
    for (unsigned at = 1; at <= 2; at++) {
        run_scram(at, account_of("ann"), NULL);
        expect_refusal();
        run_scram(at, account_of("bob"), NULL);
        assert_int_equal(got.last.verdict, AUTH_OK);
    }
    buf_put_str(&role.settings.masters, "ann");
    run_scram(2, account_of("bob"), "bob");
    expect_refusal();
    run_scram(2, account_of("ann"), "bob");
    expect_refusal();
}

// Enabled, with no password: neither that of his decoy nor what nobody's hash is made of opens anything.
static void
test_without_a_password(void **state)
{
    (void)state;
    static const char *const names[] = {"b1", "b2", "b3", "b4"};
    struct fault f;
    struct app_password p = {0};
    char text[APP_PASSWORD_TEXT];
    uint8_t digest[APP_PASSWORD_DIGEST];
    load("b1:*\nb2:*\nb3:*\nb4:*");
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(userdb_disable(role.db, span_str(names[i]), false, &f), R_OK);
    start(1, "PLAIN", SPAN("\0b1\0x"), NULL, NULL);
    expect_refusal();
    load("carol:{PLAIN}secret");
    for (size_t i = 0; i < 4; i++) {
        start(i + 2, "", SPAN_NONE, names[i], i % 2 ? "" : "secret");
        expect_refusal();
    }
    app_password_new(text, digest);
    p.account = account_of("b1");
    assert_int_equal(name_of(SPAN("phone"), &p.label, &f), R_OK);
    assert_int_equal(app_password_add(role.db, &p, digest, &f), R_OK);
    start(6, "", SPAN_NONE, "b1", text);
    assert_int_equal(got.last.verdict, AUTH_OK);
    assert_int_equal(got.last.account, p.account);
    start(7, "", SPAN_NONE, "b2", text);
    expect_refusal();
}

static uint32_t
penalty_ms(const char *user)
{
    struct attempt a;
    uint64_t now_ms = clock_mono_ms();
    uint32_t ms = throttle_start(role.throttle, span_str(from), span_str(user), now_ms, &a);
    throttle_cancel(role.throttle, &a);
    return ms;
}

// The right app password, too late, is no guess; a wrong one is.
static void
test_expired_is_no_guess(void **state)
{
    (void)state;
    struct fault f;
    struct app_password p = {.expires_s = 1};
    char text[APP_PASSWORD_TEXT];
    uint8_t digest[APP_PASSWORD_DIGEST];
    load("carol:{PLAIN}secret");
    app_password_new(text, digest);
    p.account = account_of("carol");
    assert_int_equal(name_of(SPAN("phone"), &p.label, &f), R_OK);
    assert_int_equal(app_password_add(role.db, &p, digest, &f), R_OK);
    from = "192.0.2.7";  // 127.0.0.1 is exempt
    for (uint64_t i = 1; i <= 5; i++) {
        start(i, "", SPAN_NONE, "carol", text);
        assert_int_equal(got.last.verdict, AUTH_REFUSED);
        assert_int_equal(got.last.fault, FAULT_EXPIRED);
    }
    assert_int_equal(penalty_ms("carol"), 0);
    start(6, "", SPAN_NONE, "carol", "Secret");
    expect_refusal();
    assert_true(penalty_ms("carol") > 0);
    from = "127.0.0.1";
}

static void
abort_two(void *arg)
{
    (void)arg;
    login_start(&gate, &next_start);
    login_abort(&gate, next_start.exchange);
}

static void
test_aborted_exchanges_are_freed(void **state)
{
    (void)state;
    load("slow:{SHA256-CRYPT}$5$FPOFLBnWrDc.rWAY$agrQo1zh6d/"
         "pQd7KY2MlrOB9yP.fkXQiHYjQ923A2O2");
    for (uint64_t i = 0; i < 20; i++) {
        next_start = (struct auth_start){.exchange = i,
                                         .mechanism = i % 2 ? SPAN("LOGIN") : SPAN("")};
        next_start.user = SPAN("slow");
        next_start.password = SPAN("x");
        loop_post(role.loop, abort_two, NULL);
        wait_replies(0);
        assert_int_equal(HASH_COUNT(gate.logins), 0);
    }
}

static void
begin_many(void *arg)
{
    (void)arg;
    for (next_start.exchange = 1; next_start.exchange <= LIMIT_auth_exchanges;
         next_start.exchange++)
        login_start(&gate, &next_start);
}

// Those who begin and say no more keep nobody out.
static void
test_idle_exchanges_make_room(void **state)
{
    (void)state;
    load("ann:{PLAIN}secret");
    next_start = (struct auth_start){
        .service = SPAN("imap"), .mechanism = SPAN("PLAIN"), .remote = span_str(from)};
    loop_post(role.loop, begin_many, NULL);
    wait_replies(LIMIT_auth_exchanges);
    assert_int_equal(HASH_COUNT(gate.logins), LIMIT_auth_exchanges);
    start(LIMIT_auth_exchanges + 1, "", SPAN_NONE, "ann", "secret");
    assert_int_equal(got.last.verdict, AUTH_OK);
    assert_int_equal(HASH_COUNT(gate.logins), LIMIT_auth_exchanges - 1);
    step(2, SPAN("\0ann\0secret"));
    assert_int_equal(got.last.verdict, AUTH_OK);
}

// What was learnt holds for a window and the next one; what was measured holds.
static void
test_pace(void **state)
{
    (void)state;
    enum { WINDOW = 120000 };
    struct pace p = {.floor_ms = 60, .since_ms = 1000};
    assert_int_equal(pace_leave_ms(&p, 0, 1000), 100);
    assert_int_equal(pace_leave_ms(&p, 99, 1000), 100);
    assert_int_equal(pace_leave_ms(&p, 100, 1000), 150);
    pace_learn(&p, 260, 2000);
    pace_learn(&p, 10, 3000);
    assert_int_equal(pace_leave_ms(&p, 0, 3000), 300);
    assert_int_equal(pace_leave_ms(&p, 420, 3000), 450);
    assert_int_equal(pace_leave_ms(&p, 0, 1000 + WINDOW), 300);
    pace_learn(&p, 130, 2000 + WINDOW);
    assert_int_equal(pace_leave_ms(&p, 0, 1000 + 2 * WINDOW), 150);
    assert_int_equal(pace_leave_ms(&p, 0, 1000 + 3 * WINDOW), 100);
}

// The slow one is refused before the fast one is asked; without that, the fast one by what was measured.
static void
test_refusals_take_the_same_time(void **state)
{
    (void)state;
    load("slow:{SHA256-CRYPT}$5$rounds=400000$FPOFLBnWrDc.rWAY$agrQo1zh6d/"
         "pQd7KY2MlrOB9yP.fkXQiHYjQ923A2O2\nann:{PLAIN}secret");
    uint64_t began = clock_mono_ms();
    start(1, "", SPAN_NONE, "slow", "wrong");
    uint64_t slow_ms = clock_mono_ms() - began;
    assert_true(slow_ms > 100);  // else it tells nothing
    for (uint64_t i = 2; i < 6; i++) {
        began = clock_mono_ms();
        start(i, "", SPAN_NONE, i % 2 ? "ann" : "nobody", "wrong");
        assert_int_equal(got.last.verdict, AUTH_REFUSED);
        assert_true(clock_mono_ms() - began + 100 >= slow_ms);
    }
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
    password_warm();
    sasl_init();
    const struct CMUnitTest tests[] = {
        TEST(test_passwords),
        TEST(test_names),
        TEST(test_foreign_hash_is_upgraded),
        TEST(test_scram_has_a_last_challenge),
        TEST(test_revoked_between_steps),
        TEST(test_without_a_password),
        TEST(test_expired_is_no_guess),
        TEST(test_aborted_exchanges_are_freed),
        TEST(test_idle_exchanges_make_room),
        TEST(test_refusals_take_the_same_time),
        cmocka_unit_test(test_pace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
