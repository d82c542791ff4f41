#include "base/hash.h"
#include "base/limits.h"
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <cmocka.h>

// Lines are logged into a file in memory and read back with a parser that knows no mercy.
static int sink = -1;

static struct span
logged(char out[LIMIT_log_line + 1])
{
    ssize_t n = pread(sink, out, LIMIT_log_line + 1, 0);
    assert_true(n > 0 && n <= LIMIT_log_line);
    assert_int_equal(ftruncate(sink, 0), 0);
    assert_int_equal(lseek(sink, 0, SEEK_SET), 0);
    return span_of(out, (size_t)n);
}

static int
open_log(void **state)
{
    (void)state;
    sink = memfd_create("log", 0);
    return sink < 0 || dup2(sink, STDERR_FILENO) < 0 ? -1 : 0;
}

// ---- reading JSON: one object of strings, numbers, booleans ----

static char
next(struct span *s)
{
    assert_true(s->n > 0);
    char c = s->p[0];
    *s = span_skip(*s, 1);
    return c;
}

static uint32_t
hex4(struct span *s)
{
    char digits[5] = {next(s), next(s), next(s), next(s), 0};
    char *end;
    unsigned long v = strtoul(digits, &end, 16);
    assert_ptr_equal(end, digits + 4);
    return (uint32_t)v;
}

static void
put_point(struct buf *b, uint32_t v)
{
    if (v < 0x80) {
        buf_put_char(b, (char)v);
    } else if (v < 0x800) {
        buf_put_char(b, (char)(0xc0 | v >> 6));
        buf_put_char(b, (char)(0x80 | (v & 0x3f)));
    } else {
        buf_put_char(b, (char)(0xe0 | v >> 12));
        buf_put_char(b, (char)(0x80 | (v >> 6 & 0x3f)));
        buf_put_char(b, (char)(0x80 | (v & 0x3f)));
    }
}

static void
read_escape(struct span *s, struct buf *out)
{
    static const char from[] = "bfnrt\"\\/", to[] = "\b\f\n\r\t\"\\/";
    char c = next(s);
    const char *at = c == 'u' ? NULL : strchr(from, c);
    if (at == NULL) {
        assert_int_equal(c, 'u');
        put_point(out, hex4(s));
    } else {
        buf_put_char(out, to[at - from]);
    }
}

static void
read_string(struct span *s, struct buf *out)
{
    assert_int_equal(next(s), '"');
    for (char c; (c = next(s)) != '"';) {
        assert_true((unsigned char)c >= 0x20 && c != 0x7f);
        if (c == '\\')
            read_escape(s, out);
        else
            buf_put_char(out, c);
    }
}

// The value of the member `name`; SPAN_NONE when there is none. The whole line is read.
static bool
read_line(struct span line, const char *name, struct buf *value)
{
    bool found = false;
    struct buf key, text;
    buf_init(&key, 4096);
    buf_init(&text, 65536);
    assert_int_equal(next(&line), '{');
    do {
        buf_reset(&key);
        buf_reset(&text);
        read_string(&line, &key);
        assert_int_equal(next(&line), ':');
        if (line.p[0] == '"')
            read_string(&line, &text);
        else
            while (line.p[0] != ',' && line.p[0] != '}')
                buf_put_char(&text, next(&line));
        if (span_eq(buf_span(&key), span_str(name))) {
            found = true;
            buf_put(value, buf_span(&text));
        }
    } while (next(&line) == ',');
    assert_true(span_eq(line, SPAN("\n")));
    buf_done(&key);
    buf_done(&text);
    return found;
}

static bool
is_utf8(struct span s)
{
    for (size_t i = 0; i < s.n;) {
        unsigned char c = (unsigned char)s.p[i];
        size_t n = c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : (c & 0xf0) == 0xe0 ? 3 : 4;
        if ((n == 4 && (c < 0xf0 || c > 0xf4)) || i + n > s.n)
            return false;
        for (size_t k = 1; k < n; k++)
            if ((s.p[i + k] & 0xc0) != 0x80)
                return false;
        unsigned char second = n > 1 ? (unsigned char)s.p[i + 1] : 0;
        if ((c == 0xe0 && second < 0xa0) || (c == 0xed && second >= 0xa0) ||
            (c == 0xf0 && second < 0x90) || (c == 0xf4 && second >= 0x90))
            return false;
        i += n;
    }
    return true;
}

// ---- what comes from outside ----

static const char *const pieces[] = {"a",
                                     "\"",
                                     "\\",
                                     "\n",
                                     "\r\n",
                                     "\x1b[2J",
                                     "\xc2\x9b"
                                     "2J",
                                     "\xff",
                                     "\xc3\xa4",
                                     "\xe2\x80\xa8",
                                     "\xe2\x80\xa9",
                                     "\xed\xa0\x80",
                                     "\xc0\xaf",
                                     "\xf0\x9f\x93\xaf",
                                     "\xf4\x90\x80\x80",
                                     "\xe2\x80",
                                     "\x7f",
                                     "\xc2\x85",
                                     ">, rip=::1",
                                     "\",\"user\":\"x",
                                     "\\u0000",
                                     "}"};

static size_t
hostile(char *out, size_t max)
{
    size_t n = 0, want = random_u64() % max;
    while (n < want) {
        uint64_t pick = random_u64() % (sizeof pieces / sizeof pieces[0] + 1);
        if (pick == sizeof pieces / sizeof pieces[0]) {
            out[n++] = (char)random_u64();
            continue;
        }
        size_t k = strlen(pieces[pick]);
        if (n + k > max)
            break;
        memcpy(out + n, pieces[pick], k);
        n += k;
    }
    return n;
}

static void
check_value(struct span line, const char *name, struct span given)
{
    struct buf value, cut;
    buf_init(&value, 65536);
    buf_init(&cut, 64);
    bool there = read_line(line, name, &value);
    bool truncated = read_line(line, "truncated", &cut);
    assert_true(there || truncated);
    if (is_utf8(given) && there && truncated)
        assert_true(span_starts(given, buf_span(&value)));
    else if (is_utf8(given))
        assert_true(span_eq(given, buf_span(&value)));
    buf_done(&value);
    buf_done(&cut);
}

static void
test_any_octets(void **state)
{
    (void)state;
    char line[LIMIT_log_line + 1], a[3000], b[200], id[64];
    for (int i = 0; i < 20000; i++) {
        size_t max = i % 4 == 0 ? sizeof a : 100;
        struct span user = span_of(a, hostile(a, max)),
                    rip = span_of(b, hostile(b, sizeof b));
        uint64_t session = random_u64();
        log_open("gate", 'i', LOG_JSON);
        log_info("imap-login", "Login", log_user(user), field_text("rip", "rip=%", rip),
                 log_session(session), field_text("x", "x=%", user),
                 field_text("y", "y=%", user), field_text("z", "z=%", user),
                 field_number("number", "", session));
        struct span said = logged(line);
        assert_true(is_utf8(said));
        assert_true(span_find(said, SPAN("\xe2\x80\xa8")) == said.n);
        check_value(said, "user", user);
        check_value(said, "rip", rip);
        snprintf(id, sizeof id, "%016llx", (unsigned long long)session);
        check_value(said, "session", span_str(id));
        snprintf(id, sizeof id, "%llu", (unsigned long long)session);
        check_value(said, "number", span_str(id));
        log_open("gate", 'i', LOG_TEXT);
        log_info("imap-login", "Login", log_user(user), field_text("x", "x=%", user));
        said = logged(line);
        assert_int_equal(span_find_char(said, '\n'), said.n - 1);
        assert_int_equal(span_find_char(said, '\x1b'), said.n);
        assert_true(is_utf8(said));
        assert_int_equal(span_find(said, SPAN("\xc2\x9b")), said.n);
    }
}

static void
test_text_form(void **state)
{
    (void)state;
    char line[LIMIT_log_line + 1];
    log_open("gate", 'i', LOG_TEXT);
    log_info("imap-login", "Disconnected", field_str("reason", ": %", "Too many"),
             field_number("attempts", " (auth failed, % attempts", 3),
             field_number("seconds", " in % secs)", 5), log_user(SPAN("ann")),
             field_str("rip", "rip=%", "::1"), field_flag("tls", "TLS", true),
             log_session(0x1f));
    struct span said = logged(line);
    assert_true(
        span_ends(said, SPAN(" posthorn imap-login(gate): Info: Disconnected: Too many "
                             "(auth failed, 3 attempts in 5 secs): user=<ann>, rip=::1, "
                             "TLS, session=<000000000000001f>\n")));
    log_info("imap-login", "Login", log_user(SPAN("a\">, rip=192.0.2.1, x=<b")),
             field_str("rip", "rip=%", "::1"));
    assert_true(
        span_ends(logged(line), SPAN(": Login: user=<a\\x22\\x3e, rip\\x3d192.0.2.1, "
                                     "x\\x3d\\x3cb>, rip=::1\n")));
    log_debug("x", "not said");
    assert_int_equal(lseek(sink, 0, SEEK_END), 0);
}

static void
test_json_form(void **state)
{
    (void)state;
    char line[LIMIT_log_line + 1];
    const struct fault f = {FAULT_DISK, "no room"};
    log_open("mail", 'i', LOG_JSON);
    log_error("imap", "IDLE", log_session(1), log_fault(&f),
              field_flag("tls", "TLS", false), field_if(false, field_str("gone", "", "x")));
    struct span said = logged(line);
    assert_true(span_starts(said, SPAN("{\"time\":\"20")));
    assert_true(
        span_ends(said, SPAN(",\"level\":\"error\",\"role\":\"mail\",\"service\":\"imap\","
                             "\"event\":\"IDLE\",\"session\":\"0000000000000001\","
                             "\"tls\":false,\"code\":\"DISK\",\"error\":\"no room\"}\n")));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_form),
        cmocka_unit_test(test_json_form),
        cmocka_unit_test(test_any_octets),
    };
    return cmocka_run_group_tests(tests, open_log, NULL);
}
