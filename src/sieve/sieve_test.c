// Limits of the compiler and of runs, and :matches beside a plain model of it.

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <pthread.h>

#include "base/limits.h"
#include "sieve/glob.h"
#include "sieve/regex.h"

enum { WORK = 5000000 };  // the sanitizers are slow

static void
repeat(struct buf *b, const char *text, size_t n)
{
    while (n-- > 0)
        buf_put_str(b, text);
}

static enum result
compile(struct arena *a, const struct buf *script, struct sieve_program **p,
        struct sieve_error *e)
{
    assert_false(script->over);
    return sieve_compile(a, SIEVE_USER, buf_span(script), p, e);
}

static void
expect_refused(const struct buf *script, const char *text)
{
    struct arena *a = arena_new();
    struct sieve_program *p;
    struct sieve_error e;
    assert_int_equal(compile(a, script, &p, &e), R_FAIL);
    assert_string_equal(e.text, text);
    arena_free(&a);
}

// Nesting, counts and sizes end in an error, never in a stack or memory that is gone.
static void
compile_limits(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 1 << 24);
    repeat(&b, "if true { ", LIMIT_sieve_depth);
    repeat(&b, "not ", 100000);
    expect_refused(&b, "blocks and tests are nested too deep");
    buf_reset(&b);
    repeat(&b, "if not not not not true {", 100000 / 25);
    expect_refused(&b, "blocks and tests are nested too deep");
    buf_reset(&b);
    repeat(&b, "keep;", LIMIT_sieve_nodes + 1);
    expect_refused(&b, "the script has too many commands and tests");
    buf_reset(&b);
    buf_put_str(&b, "if exists [\"a\"");
    repeat(&b, ",\"\"", LIMIT_sieve_strings);
    expect_refused(&b, "the script has too many strings");
    buf_reset(&b);
    repeat(&b, "# 4567", LIMIT_sieve_script / 6 + 1);
    expect_refused(&b, "the script is larger than 1048576 octets");
    buf_reset(&b);
    buf_put_str(&b, "keep; # \xff");
    expect_refused(&b, "this line is no UTF-8");
    buf_done(&b);
}

// RFC 5228 section 2.10.7: fifteen levels of blocks and of tests are there.
static void
compile_depth(void **state)
{
    struct arena *a = arena_new();
    struct sieve_program *p;
    struct sieve_error e;
    struct buf b;
    (void)state;
    buf_init(&b, 65536);
    repeat(&b, "if true {", 15);
    buf_put_str(&b, "if ");
    repeat(&b, "anyof (", 15);
    buf_put_str(&b, "true");
    repeat(&b, ")", 15);
    buf_put_str(&b, "{ discard; }");
    repeat(&b, "}", 15);
    assert_int_equal(compile(a, &b, &p, &e), R_OK);
    buf_done(&b);
    arena_free(&a);
}

static void
run_script(struct arena *a, const struct buf *script, struct span message,
           struct sieve_outcome *out)
{
    struct sieve_program *p;
    struct sieve_error e;
    struct sieve_world world;
    assert_int_equal(compile(a, script, &p, &e), R_OK);
    sieve_world_of(a, message, &world);
    world.work_max = WORK;
    sieve_run(a, p, &world, out);
}

// The mail is kept, and the script told why.
static void
expect_stopped(const struct buf *script, struct span message, const char *text)
{
    struct arena *a = arena_new();
    struct sieve_outcome out;
    run_script(a, script, message, &out);
    assert_true(out.failed);
    assert_string_equal(out.error.text, text);
    assert_true(out.error.line > 0);
    assert_true(out.work <= WORK);
    assert_non_null(out.actions);
    assert_true(out.actions->implicit && out.actions->next == NULL);
    arena_free(&a);
}

static void
bomb_matches(void **state)
{
    struct buf b, m;
    (void)state;
    buf_init(&b, 1 << 20);
    buf_init(&m, 1 << 22);
    buf_put_str(&b, "discard;");
    for (int i = 0; i < 10; i++) {
        buf_put_str(&b, "if header :matches \"subject\" \"*");
        repeat(&b, "a", 4000);
        buf_put_str(&b, "b\" { keep; }\n");
    }
    buf_put_str(&m, "Subject: ");
    repeat(&m, "a", 100000);
    buf_put_str(&m, "\n\n");
    expect_stopped(&b, buf_span(&m), "the script takes more work than it may");
    buf_done(&b);
    buf_done(&m);
}

static void
bomb_headers(void **state)
{
    struct buf b, m;
    (void)state;
    buf_init(&b, 1 << 20);
    buf_init(&m, 1 << 22);
    repeat(&b, "if header :contains \"subject\" [\"x\",\"y\",\"z\"] { keep; }\n", 6000);
    for (int i = 0; i < 3000; i++)
        buf_put_str(&m, "Subject: =?utf-8?q?=C3=BC?= and some more words\n");
    buf_put_str(&m, "\n");
    expect_stopped(&b, buf_span(&m), "the script takes more work than it may");
    buf_done(&b);
    buf_done(&m);
}

// To decode words takes longer than to compare them.
static void
bomb_words(void **state)
{
    struct buf b, m;
    (void)state;
    buf_init(&b, 1 << 20);
    buf_init(&m, 1 << 20);
    repeat(&b, "if header :comparator \"i;octet\" :is \"subject\" \"x\" { keep; }\n", 60);
    buf_put_str(&m, "Subject: ");
    repeat(&m, "=?utf-8?q?=C3=BC?= ", 5500);
    buf_put_str(&m, "\n\n");
    expect_stopped(&b, buf_span(&m), "the script takes more work than it may");
    buf_done(&b);
    buf_done(&m);
}

static void
bomb_variables(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 1 << 20);
    buf_put_str(&b, "require \"variables\"; set \"a\" \"0123456789abcdef\";\n");
    repeat(&b, "set \"a\" \"${a}${a}${a}${a}${a}${a}${a}${a}${a}${a}${a}${a}${a}${a}\";\n",
           12000);
    expect_stopped(&b, SPAN("Subject: x\n\n"), "the script takes more work than it may");
    buf_done(&b);
}

static void
bomb_memory(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 1 << 20);
    buf_put_str(&b,
                "require [\"variables\", \"fileinto\"]; set \"a\" \"0123456789abcdef\";\n");
    repeat(&b, "set \"a\" \"${a}${a}${a}${a}\";\n", 8);
    buf_put_str(&b, "if string :comparator \"i;octet\" [\"x\"");
    repeat(&b, ",\"${a}${a}${a}${a}${a}${a}${a}${a}\"", 200);
    buf_put_str(&b, "] \"y\" { keep; }");
    expect_stopped(&b, SPAN("Subject: x\n\n"), "the script takes more memory than it may");
    buf_done(&b);
}

// Keys count while texts are looked at.
static void
bomb_keys(void **state)
{
    struct buf b, m;
    (void)state;
    buf_init(&b, 1 << 20);
    buf_init(&m, 1 << 23);
    buf_put_str(&b, "require [\"variables\", \"body\"]; set \"a\" \"0123456789abcdef\";\n");
    repeat(&b, "set \"a\" \"${a}${a}${a}${a}\";\n", 6);
    buf_put_str(&b, "if body :comparator \"i;octet\" :is [\"x\"");
    repeat(&b, ",\"${a}${a}${a}${a}${a}${a}${a}${a}\"", 50);
    buf_put_str(&b, "] { keep; }");
    buf_put_str(&m, "Subject: x\n\n");
    repeat(&m, "a line of a long text with many words that says nothing at all\n", 80000);
    expect_stopped(&b, buf_span(&m), "the script takes more memory than it may");
    buf_done(&b);
    buf_done(&m);
}

// Texts that are kept count, wherever they are.
static void
bomb_kept(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 1 << 20);
    buf_put_str(&b, "require \"variables\"; set \"a\" \"0123456789abcdef\";\n");
    repeat(&b, "set \"a\" \"${a}${a}${a}${a}${a}${a}${a}${a}\";\n", 4);
    for (int i = 0; i < 900; i++)
        buf_printf(&b, "set \"v%d\" \"${a}\";\n", i);
    expect_stopped(&b, SPAN("Subject: x\n\n"), "the script takes more memory than it may");
    buf_done(&b);
}

// What many keys and many fields take is given back, or was never taken.
static void
many_matches(void **state)
{
    struct arena *a = arena_new();
    struct sieve_outcome out;
    struct buf b, m;
    (void)state;
    buf_init(&b, 1 << 20);
    buf_init(&m, 1 << 20);
    buf_put_str(
        &b,
        "require \"regex\"; if header :matches :comparator \"i;octet\" \"subject\" [\"y\"");
    repeat(&b, ",\"y\"", 400);
    buf_put_str(
        &b, "] { discard; }\nif header :regex \"subject\" \"(x{200}){15}\" { discard; }");
    repeat(&m, "Subject: x\n", 400);
    buf_put_str(&m, "\n");
    run_script(a, &b, buf_span(&m), &out);
    assert_false(out.failed);
    assert_true(out.actions->implicit);
    arena_free(&a);
    buf_done(&b);
    buf_done(&m);
}

// Texts that are each small enough are read, however many there are.
static void
many_texts(void **state)
{
    struct arena *a = arena_new();
    struct sieve_outcome out;
    struct sieve_world world;
    struct sieve_program *p;
    struct sieve_error e;
    struct buf b, m;
    (void)state;
    buf_init(&b, 1000);
    buf_init(&m, 1 << 25);
    buf_put_str(&b, "require \"body\"; if body :comparator \"i;octet\" :contains "
                    "\"needle\" { discard; }");
    buf_put_str(&m, "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n");
    for (int i = 0; i < 4; i++) {
        buf_put_str(&m, "--b\n\n");
        repeat(&m, "a line of a long text with many words that says nothing at all\n",
               80000);
    }
    buf_put_str(&m, "--b\n\nneedle\n--b--\n");
    assert_false(m.over);
    assert_int_equal(compile(a, &b, &p, &e), R_OK);
    sieve_world_of(a, buf_span(&m), &world);
    sieve_run(a, p, &world, &out);
    assert_false(out.failed);
    assert_int_equal(out.actions->kind, SIEVE_DISCARD);
    arena_free(&a);
    buf_done(&b);
    buf_done(&m);
}

static void
bomb_regexes(void **state)
{
    struct arena *a = arena_new();
    struct buf b;
    const char *why = NULL;
    (void)state;
    buf_init(&b, 1 << 20);
    buf_put_str(&b, "(a{255}){15}");
    repeat(&b, "{1}", 1000);
    assert_null(sieve_regex_compile(a, buf_span(&b), COLLATION_ASCII, &why));
    assert_string_equal(why, "it is too long");
    assert_true(arena_used(a) < 1000000);
    buf_reset(&b);
    buf_put_str(&b, "require \"regex\"; if header :regex \"subject\" [\"x\"");
    repeat(&b, ",\"a\"", 7000);
    buf_put_str(&b, "] { keep; }");
    expect_refused(&b, "the script has too many regular expressions");
    buf_done(&b);
    arena_free(&a);
}

// The model: what the RFC says, by recursion.
static bool
model(struct span p, struct span v)
{
    if (p.n == 0)
        return v.n == 0;
    if (*p.p == '*')
        return model(span_skip(p, 1), v) || (v.n > 0 && model(p, span_skip(v, 1)));
    if (v.n == 0)
        return false;
    if (*p.p == '?')
        return model(span_skip(p, 1), span_skip(v, 1));
    if (*p.p == '\\' && p.n > 1)
        p = span_skip(p, 1);
    return *p.p == *v.p && model(span_skip(p, 1), span_skip(v, 1));
}

static void
glob_model(void **state)
{
    static const char letters[] = "ab*?\\";
    uint64_t x = 88172645463325252ULL;
    (void)state;
    for (int i = 0; i < 200000; i++) {
        char p[8], v[10];
        size_t np, nv;
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        np = x % 8, nv = (x >> 8) % 10;
        for (size_t k = 0; k < np; k++)
            p[k] = letters[(x >> (16 + 3 * k)) % 5];
        for (size_t k = 0; k < nv; k++)
            v[k] = letters[(x >> (37 + 2 * k)) % 2];
        struct sieve_steps steps = {.left = 200};
        struct sieve_glob g = {
            .pattern = span_of(p, np), .value = span_of(v, nv), .steps = &steps};
        bool yes;
        assert_int_equal(sieve_glob(&g, &yes), R_OK);
        assert_int_equal(yes, model(g.pattern, g.value));
    }
}

static void
glob_captures(void **state)
{
    static const struct {
        const char *pattern, *value, *want;  // what wildcards took, with | behind each
    } rows[] = {
        {"*<*@*", "Acme <list@example.org>", "Acme |list|example.org>|"},
        {"[*] *", "[acme-users] [fwd] version", "acme-users|[fwd] version|"},
        {"coyote@**.com", "coyote@ACME.Example.com", "|ACME.Example|"},
        {"?*?", "abc", "a|b|c|"},
        {"*a*", "xxayya", "xx|yya|"},
        {"*", "", "|"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sieve_steps steps = {.left = 10000};
        struct sieve_glob g = {.pattern = span_str(rows[i].pattern),
                               .value = span_str(rows[i].value),
                               .steps = &steps};
        struct buf b;
        bool yes;
        buf_init(&b, 1000);
        assert_int_equal(sieve_glob(&g, &yes), R_OK);
        assert_true(yes);
        for (size_t k = 1; k < g.n; k++) {
            buf_put(&b, g.taken[k]);
            buf_put_char(&b, '|');
        }
        buf_put_char(&b, '\0');
        assert_string_equal(b.p, rows[i].want);
        buf_done(&b);
    }
}

static void
count_rest(void *arg)
{
    ++*(unsigned *)arg;
}

// What takes others for ever: the steps are at most those of the expression for each character.
static void
regex_linear(void **state)
{
    static const char *const rows[] = {"(a+)+$", "((a*)*)*b", "(a|a|aa)*z$",
                                       "(.*)(.*)(.*)(.*)x", "(a?){50}b"};
    struct buf text;
    unsigned rests = 0;
    (void)state;
    buf_init(&text, 1 << 20);
    repeat(&text, "a", 5000);
    buf_put_char(&text, '!');
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena *a = arena_new();
        const char *why;
        struct span taken[32];
        struct sieve_steps steps = {text.n * 2000, count_rest, &rests};
        struct sieve_regex *x =
            sieve_regex_compile(a, span_str(rows[i]), COLLATION_ASCII, &why);
        assert_non_null(x);
        assert_int_equal(sieve_regex_find(x, a, buf_span(&text), taken, &steps), R_NONE);
        steps.left = 1000;
        assert_int_equal(sieve_regex_find(x, a, buf_span(&text), taken, &steps), R_FAIL);
        arena_free(&a);
    }
    assert_true(rests > 5);  // others have their turn within one match
    buf_done(&text);
}

static void *
compile_groups(void *text)
{
    struct arena *a = arena_new();
    const char *why;
    bool good = sieve_regex_compile(a, buf_span(text), COLLATION_ASCII, &why) != NULL;
    arena_free(&a);
    return good ? text : NULL;
}

// On no more stack than a task has: the frames of the sanitizers are larger than the server's.
static void
regex_stack(void **state)
{
    struct buf b;
    pthread_attr_t small;
    pthread_t thread;
    void *good;
    (void)state;
    buf_init(&b, 4096);
    repeat(&b, "(", LIMIT_sieve_regex_depth);
    buf_put_str(&b, "a|b");
    repeat(&b, "){1,2}", 4);
    repeat(&b, ")", LIMIT_sieve_regex_depth - 4);
    assert_int_equal(pthread_attr_init(&small), 0);
    assert_int_equal(pthread_attr_setstacksize(&small, LIMIT_task_stack), 0);
    assert_int_equal(pthread_create(&thread, &small, compile_groups, &b), 0);
    assert_int_equal(pthread_join(thread, &good), 0);
    assert_ptr_equal(good, &b);
    pthread_attr_destroy(&small);
    buf_done(&b);
}

static const char two_parts[] =
    "From: a@example.org\r\nSubject: s\r\nContent-Type: multipart/mixed; boundary=b\r\n"
    "\r\n--b\r\n\r\none\r\n--b\r\nContent-Type: image/png\r\n\r\ntwo\r\n--b--\r\n";

// The message of the n-th action, from its header on; empty where it is as it came.
static void
message_of(const char *script, unsigned n, struct buf *out)
{
    struct arena *a = arena_new();
    struct sieve_program *p;
    struct sieve_error e;
    struct sieve_world w;
    struct sieve_outcome o;
    assert_int_equal(sieve_compile(a, SIEVE_USER, span_str(script), &p, &e), R_OK);
    sieve_world_of(a, span_str(two_parts), &w);
    sieve_run(a, p, &w, &o);
    assert_false(o.failed);
    const struct sieve_action *action = o.actions;
    for (; n > 0; n--)
        action = action->next;
    buf_put(out, action->header);
    buf_put(out, action->body);
    buf_put_char(out, '\0');
    arena_free(&a);
}

// RFC 5703 section 5, to the octet.
static void
replaced_part(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 1 << 20);
    message_of("require [\"replace\", \"foreverypart\", \"mime\", \"editheader\"];"
               "addheader \"X\" \"y\";"
               "foreverypart { if header :mime :type \"content-type\" \"image\" { replace "
               "\"\xc3\xa4\"; } }",
               0, &b);
    assert_string_equal(
        b.p, "X: y\r\nFrom: a@example.org\r\nSubject: s\r\nContent-Type: multipart/mixed; "
             "boundary=b\r\n"
             "\r\n--b\r\n\r\none\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n"
             "Content-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A4\r\n--b--\r\n");
    buf_done(&b);
}

// RFC 5703 section 6: what is redirected is not enclosed.
static void
enclosed_not_redirected(void **state)
{
    static const char script[] = "require [\"enclose\", \"copy\"]; enclose \"x\";"
                                 "redirect :copy \"b@example.org\"; keep;";
    struct buf b;
    (void)state;
    buf_init(&b, 1 << 20);
    message_of(script, 0, &b);
    assert_string_equal(b.p, "");
    buf_reset(&b);
    message_of(script, 1, &b);
    assert_non_null(strstr(b.p, "multipart/mixed; boundary=\"=_"));
    assert_non_null(strstr(b.p, two_parts));
    buf_done(&b);
}

// vnd.dovecot.pipe is there for whom it is offered; `ihave` says the same. What it says is in the action.
static void
pipe_offered(void **state)
{
    static const char script[] =
        "require [\"vnd.dovecot.pipe\", \"copy\"]; pipe :copy :try \"p\" [\"a\", \"\"];"
        "pipe \"q\";";
    static const enum sieve_author who[] = {SIEVE_NOBODY, SIEVE_ADMINISTRATOR, SIEVE_USER};
    struct sieve_program *p;
    struct sieve_error e;
    struct sieve_world world;
    struct sieve_outcome out;
    struct buf b;
    (void)state;
    struct arena *a = arena_new();
    for (size_t i = 0; i < 3; i++)
        for (size_t k = 1; k < 3; k++) {
            sieve_offer_pipe(who[i]);
            assert_int_equal(sieve_compile(a, who[k], span_str(script), &p, &e),
                             who[k] <= who[i] ? R_OK : R_FAIL);
            assert_int_equal(
                sieve_compile(
                    a, who[k],
                    SPAN("require \"ihave\"; if ihave \"vnd.dovecot.pipe\" {discard;}"), &p,
                    &e),
                R_OK);
            sieve_world_of(a, SPAN("Subject: x\r\n\r\n"), &world);
            sieve_run(a, p, &world, &out);
            assert_int_equal(out.actions->kind,
                             who[k] <= who[i] ? SIEVE_DISCARD : SIEVE_KEEP);
        }
    assert_int_equal(sieve_compile(a, SIEVE_USER, span_str(script), &p, &e), R_OK);
    sieve_run(a, p, &world, &out);
    buf_init(&b, 4096);
    for (const struct sieve_action *x = out.actions; x; x = x->next) {
        sieve_action_print(&b, x);
        buf_put_str(&b, ";");
    }
    buf_put_char(&b, '\0');
    assert_string_equal(b.p,
                        "pipe :copy :try :argument \"a\" :argument \"\" \"p\";pipe \"q\";");
    buf_done(&b);
    sieve_offer_pipe(SIEVE_NOBODY);
    arena_free(&a);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compile_limits), cmocka_unit_test(compile_depth),
        cmocka_unit_test(bomb_matches),   cmocka_unit_test(bomb_headers),
        cmocka_unit_test(bomb_variables), cmocka_unit_test(bomb_memory),
        cmocka_unit_test(glob_model),     cmocka_unit_test(glob_captures),
        cmocka_unit_test(regex_linear),   cmocka_unit_test(regex_stack),
        cmocka_unit_test(bomb_kept),      cmocka_unit_test(many_matches),
        cmocka_unit_test(bomb_regexes),   cmocka_unit_test(many_texts),
        cmocka_unit_test(bomb_keys),      cmocka_unit_test(bomb_words),
        cmocka_unit_test(replaced_part),  cmocka_unit_test(enclosed_not_redirected),
        cmocka_unit_test(pipe_offered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
