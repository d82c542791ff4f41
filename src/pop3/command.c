#include "pop3/capability.h"
#include "pop3/inside.h"
#include "base/limits.h"
#include "base/log.h"

enum { REPLY_MAX = 512, LIST_FLUSH = 16384 };

// ---- answers ----

void
pop3_say(struct pop3_session *s, bool ok, const char *code, const char *text)
{
    struct buf b;
    buf_init(&b, REPLY_MAX);
    pop3_reply_put(&b, s->language, ok, code, text);
    conn_write(s->conn, buf_span(&b));
    buf_done(&b);
}

// RFC 2449 section 8, RFC 3206.
void
pop3_say_fault(struct pop3_session *s, const struct fault *f)
{
    const struct fault_info *info = fault_info(f->kind);
    const char *text = f->kind == FAULT_CORRUPTION ? "The message is damaged"
                       : f->kind == FAULT_NOPERM   ? "Not allowed"
                                                   : "Temporary failure, try again later";
    pop3_say(s, false, info->pop3_code, text);
}

static void
say_bad(struct pop3_session *s, const char *text)
{
    pop3_say(s, false, "", text);
    if (++s->bad < LIMIT_bad_commands)
        return;
    pop3_say(s, false, "", "Too many bad commands");
    s->ending = "Too many bad commands";
}

// ---- arguments ----

// A message's number. False: it was answered.
static bool
read_number(struct pop3_session *s, struct span word, uint32_t *n_out)
{
    uint32_t n;
    if (span_to_u32(word, &n) != R_OK)
        say_bad(s, "Invalid arguments");
    else if (n == 0 || n > maildrop_last(s->drop))
        pop3_say(s, false, "", "No such message");
    else if (maildrop_is_deleted(s->drop, n))
        pop3_say(s, false, "", "The message is deleted");
    else {
        *n_out = n;
        return true;
    }
    return false;
}

static bool
has_none(struct pop3_session *s, struct span argument)
{
    if (argument.n == 0)
        return true;
    say_bad(s, "Invalid arguments");
    return false;
}

// ---- what is there ----

static void
run_stat(struct pop3_session *s, struct span argument)
{
    if (has_none(s, argument))
        conn_printf(s->conn, "+OK %u %llu\r\n", maildrop_count(s->drop),
                    (unsigned long long)maildrop_octets(s->drop));
}

// A scan listing or a unique-id listing.
typedef void line_fn(const struct maildrop *d, uint32_t n, struct buf *b);

static void
put_size(const struct maildrop *d, uint32_t n, struct buf *b)
{
    buf_put_u64(b, maildrop_size(d, n));
}

static void
put_line(const struct maildrop *d, uint32_t n, line_fn *put, struct buf *b)
{
    buf_put_u64(b, n);
    buf_put_char(b, ' ');
    put(d, n, b);
    buf_put_str(b, "\r\n");
}

static void
list_all(struct pop3_session *s, line_fn *put, struct buf *b)
{
    uint32_t last = maildrop_last(s->drop);
    for (uint32_t n = 1; n <= last && !conn_failed(s->conn); n++) {
        if (!maildrop_is_deleted(s->drop, n))
            put_line(s->drop, n, put, b);
        if (b->n < LIST_FLUSH)
            continue;
        conn_write(s->conn, buf_span(b));
        buf_reset(b);
    }
    buf_put_str(b, ".\r\n");
}

static void
list(struct pop3_session *s, struct span argument, line_fn *put)
{
    struct buf b;
    uint32_t n;
    buf_init(&b, LIST_FLUSH + REPLY_MAX);
    if (argument.n == 0) {
        buf_printf(&b, "+OK %u (%llu)\r\n", maildrop_count(s->drop),
                   (unsigned long long)maildrop_octets(s->drop));
        list_all(s, put, &b);
    } else if (read_number(s, argument, &n)) {
        buf_put_str(&b, "+OK ");
        put_line(s->drop, n, put, &b);
    }
    conn_write(s->conn, buf_span(&b));
    buf_done(&b);
}

static void
run_list(struct pop3_session *s, struct span argument)
{
    list(s, argument, put_size);
}

static void
run_uidl(struct pop3_session *s, struct span argument)
{
    list(s, argument, maildrop_uidl);
}

static void
run_retr(struct pop3_session *s, struct span argument)
{
    struct fault f;
    uint32_t n;
    if (!read_number(s, argument, &n))
        return;
    if (pop3_retrieve(s, n, &f) != R_OK) {
        pop3_say_fault(s, &f);
        return;
    }
    maildrop_fetched(s->drop, n);
    pop3_ahead_expect(s, n);
    s->fetched++;
}

static void
run_top(struct pop3_session *s, struct span argument)
{
    struct span rest = argument, word;
    struct fault f;
    uint64_t lines;
    uint32_t n;
    if (span_next_field(&rest, ' ', &word) != R_OK ||
        span_to_u64(span_trim(rest), &lines) != R_OK)
        say_bad(s, "Invalid arguments");
    else if (read_number(s, word, &n) && pop3_top(s, n, lines, &f) != R_OK)
        pop3_say_fault(s, &f);
}

// ---- deleting ----

static void
run_dele(struct pop3_session *s, struct span argument)
{
    uint32_t n;
    if (s->host.policy.read_only) {
        pop3_say(s, false, "", "This password may only read");
    } else if (read_number(s, argument, &n)) {
        maildrop_delete(s->drop, n);
        pop3_say(s, true, "", "Marked to be deleted");
    }
}

static void
run_rset(struct pop3_session *s, struct span argument)
{
    if (!has_none(s, argument))
        return;
    maildrop_undelete_all(s->drop);
    pop3_say(s, true, "", "Nothing is marked to be deleted");
}

static void
run_noop(struct pop3_session *s, struct span argument)
{
    if (has_none(s, argument))
        pop3_say(s, true, "", "Nothing done");
}

// ---- the session ----

static void
run_capa(struct pop3_session *s, struct span argument)
{
    struct pop3_capability c = {.expire_days = s->host.policy.expire_days,
                                .login_delay_s = s->host.login_delay_s};
    struct buf b;
    if (!has_none(s, argument))
        return;
    buf_init(&b, LIMIT_channel_message);
    pop3_reply_put(&b, s->language, true, "", "Capability list follows");
    pop3_capability_put(&b, &c);
    buf_put_str(&b, s->offered);
    buf_put_str(&b, ".\r\n");
    conn_write(s->conn, buf_span(&b));
    buf_done(&b);
}

static void
run_lang(struct pop3_session *s, struct span argument)
{
    struct buf b;
    buf_init(&b, LIMIT_channel_message);
    pop3_language_run(&b, argument, &s->language);
    conn_write(s->conn, buf_span(&b));
    buf_done(&b);
}

// The UPDATE state. Flags are a thing of their own: where they cannot be kept, the deletions fail by themselves.
static void
run_quit(struct pop3_session *s, struct span argument)
{
    struct fault f;
    if (!has_none(s, argument))
        return;
    s->ending = "Logged out";
    pop3_see(s);
    if (maildrop_update(s->drop, &s->gone, &f) == R_OK) {
        pop3_say(s, true, "", "Logging out");
        return;
    }
    log_line(fault_info(f.kind)->level, "pop3", "nothing is deleted", log_session(s->id),
             log_fault(&f));
    const char *code = fault_info(f.kind)->pop3_code;
    pop3_say(s, false, code[0] != '\0' ? code : "SYS/PERM", "Nothing was deleted");
}

static const struct {
    const char *name;
    void (*run)(struct pop3_session *s, struct span argument);
} verbs[] = {
    {"RETR", run_retr}, {"DELE", run_dele}, {"TOP", run_top},   {"LIST", run_list},
    {"UIDL", run_uidl}, {"STAT", run_stat}, {"NOOP", run_noop}, {"RSET", run_rset},
    {"QUIT", run_quit}, {"CAPA", run_capa}, {"LANG", run_lang},
};
enum { VERBS = sizeof verbs / sizeof verbs[0] };

static size_t
find(struct span line)
{
    struct span verb = span_slice(line, 0, span_find_char(line, ' '));
    size_t i = 0;
    while (i < VERBS && !span_ieq(verb, span_str(verbs[i].name)))
        i++;
    return i;
}

bool
pop3_is_known(struct span line)
{
    return find(line) < VERBS;
}

void
pop3_command(struct pop3_session *s, struct span line)
{
    size_t i = find(line);
    if (i == VERBS) {
        say_bad(s, "Unknown command");
        return;
    }
    uint8_t before = s->bad;
    verbs[i].run(s, span_trim(span_skip(line, span_find_char(line, ' ') + 1)));
    if (s->bad == before)
        s->bad = 0;
}
