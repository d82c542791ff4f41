#include "served.h"

#include "base/log.h"
#include "imap/session.h"
#include "io/task.h"

#include <sys/socket.h>

enum { ALICE = 7, INPUT_ROOM = 1 << 26, TURNS = 4, PATIENCE_MS = 20000, ENOUGH = 100000 };

struct run {
    struct served served;
    void (*test)(struct served *s);
};

static void
wake(void *task)
{
    task_wake(task);
}

void
served_turns(struct served *s, unsigned turns)
{
    for (; turns > 0; turns--) {
        loop_post(s->loop, wake, task_self());
        task_suspend();
    }
}

static void
run_task(void *arg)
{
    struct run *r = arg;
    r->test(&r->served);
    served_turns(&r->served, TURNS * 2);  // what was posted at the end still runs
    loop_stop(r->served.loop);
}

static void
run_start(void *arg)
{
    task_start(run_task, arg);
}

void
served_run(void (*test)(struct served *s), void *arg)
{
    struct run r = {.served = {.loop = loop_new(), .arg = arg}, .test = test};
    struct store_options so = {
        .path = "", .engine = "mem", .codec = "identity", .retention_s = 1000};
    struct store *store;
    struct fault f;
    log_open("fuzz", 'e', LOG_TEXT);
    must(r.served.loop != NULL && store_open(&so, &store, &f) == R_OK);
    struct mail_options mo = {.store = store,
                              .homes = &r.served.loop,
                              .home_count = 1,
                              .message_size_max = 1 << 20};
    r.served.mail = mail_new(&mo);
    loop_post(r.served.loop, run_start, &r);
    loop_run(r.served.loop);
    mail_free(&r.served.mail);
    store_close(&store);
    loop_free(&r.served.loop);
}

void
served_deliver(struct served *s, uint64_t account, const char *text, uint16_t flags)
{
    struct intake_params p = {
        .flags = flags, .has_internal_date = true, .internal_date = 1234567890};
    struct intake *in = intake_begin(s->mail);
    struct intake_result result;
    struct mailbox_ref inbox;
    struct account *a;
    struct fault f;
    must(account_open(s->mail, account, SPAN("alice"), true, &a, &f) == R_OK);
    must(intake_delivery_target(a, SPAN(""), &inbox, &f) == R_OK);
    must(intake_write(in, span_str(text), &f) == R_OK && intake_finish(in, &f) == R_OK);
    must(intake_commit(in, &inbox, &p, &result, &f) == R_OK);
    intake_free(&in);
    account_close(&a);
}

// ---- a connection ----

static void
on_nothing(struct conn *c, void *arg)
{
    (void)c, (void)arg;
}

static void
on_gone(void *arg)
{
    *(bool *)arg = true;
}

static void
send_pieces(struct served *s, struct conn *client, int fd, struct span in, size_t step)
{
    for (; in.n > 0; in = span_skip(in, step)) {
        conn_write(client, span_slice(in, 0, step));
        served_turns(s, TURNS);
    }
    while (conn_queued(client) > 0 && !conn_failed(client))
        served_turns(s, 1);
    (void)shutdown(fd, SHUT_WR);  // fails when the server went first
}

void
served_talk(struct served *s, served_start_fn *start, struct span in, size_t step,
            struct buf *out)
{
    bool gone = false;
    int fds[2];
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    struct conn *client = conn_new(fds[0], on_nothing, NULL),
                *server = conn_new(fds[1], on_nothing, NULL);
    conn_input_max(client, INPUT_ROOM);
    conn_on_end(server, on_gone, &gone);
    start(s, server);
    send_pieces(s, client, fds[0], in, step);
    while (conn_wait_input(client, conn_input(client).n + 1, PATIENCE_MS) == R_OK)
        must(conn_input(client).n < INPUT_ROOM);
    must(conn_eof(client));  // else it hangs
    buf_put(out, conn_input(client));
    conn_close(&client);
    unsigned turns = 0;
    while (!gone && turns++ < ENOUGH)
        served_turns(s, 1);
    must(gone);
    must(imap_session_count() == 0);
}

// URLs with the server "h" are of alice, and of nobody else.
static enum result
open_user(struct span name, struct mail_user **out, void *arg, struct fault *f)
{
    struct served *s = arg;
    return span_ieq(name, SPAN("alice")) ? mail_user_find(s->mail, ALICE, name, out, f)
                                         : R_NONE;
}

static enum result
is_own(struct span name, void *arg, struct fault *f)
{
    (void)arg;
    (void)f;
    return span_ieq(name, SPAN("alice")) ? R_OK : R_NONE;
}

static bool
is_here(struct span host, uint16_t port, void *arg)
{
    (void)arg;
    return span_ieq(host, SPAN("h")) && port == 0;
}

static bool
submits(void *arg)
{
    (void)arg;
    return true;
}

static bool
administers(void *arg)
{
    (void)arg;
    return true;
}

const struct mail_url_users served_url_users = {open_user, is_own, is_here, submits};

void
served_imap(struct served *s, struct conn *server)
{
    static const struct imap_host_ops ops = {.users = &served_url_users,
                                             .administers = administers};
    struct mail_user *user;
    struct fault f;
    must(mail_user_open(s->mail, ALICE, SPAN("alice"), &user, &f) == R_OK);
    struct handover h = {.tag = SPAN("t")};
    imap_session_start(server, user, &h, &(struct imap_host){.ops = &ops, .arg = s});
}

void
served_put_law(struct buf *in, char tag, const char *law, struct span x)
{
    struct span rest = span_str(law), piece;
    buf_printf(in, "%c ", tag);
    for (bool first = true; span_next_field(&rest, 'X', &piece) == R_OK; first = false) {
        if (!first)
            buf_put(in, x);
        buf_put(in, piece);
    }
    buf_put_str(in, "\r\n");
}

// ---- what came ----

static bool
is_hex(char c)
{
    c = ascii_lower(c);
    return ascii_is_digit(c) || (c >= 'a' && c <= 'f');
}

void
served_mask(struct span in, struct buf *out)
{
    const struct span date = SPAN("INTERNALDATE \""), token = SPAN(":internal:"),
                      asked = SPAN("* OK Still searching\r\n");  // of who ended its side
    for (size_t i = 0, n; i < in.n; i += n) {
        struct span rest = span_skip(in, i);
        for (n = 0; n < rest.n && ascii_is_digit(rest.p[n]); n++)
            ;
        if (span_starts(rest, asked)) {
            n = asked.n;
            continue;
        }
        if (span_starts(rest, date))
            n = date.n + span_find_char(span_skip(rest, date.n), '"');
        else if (span_istarts(rest, token))
            for (n = token.n; n < rest.n && is_hex(rest.p[n]); n++)
                ;
        else if (n < 6)
            buf_put(out, span_slice(rest, 0, n = n ? n : 1));
        if (n >= 6)
            buf_put_char(out, '#');
    }
}

// One response with its literals off the front.
static struct span
take_response(struct span *rest)
{
    size_t n = 0;
    for (bool more = true; more;) {
        size_t end = n + span_find_char(span_skip(*rest, n), '\n'), open = end - 1;
        uint64_t literal = 0;
        must(end < rest->n && end > n && rest->p[end - 1] == '\r');
        while (open > n && rest->p[open - 1] != '{')
            open--;
        more = open > n && rest->p[end - 2] == '}' &&
               span_to_u64(span_slice(*rest, open, end - 2), &literal) == R_OK;
        must(literal <= rest->n - end - 1);
        n = end + 1 + literal;
    }
    struct span response = span_slice(*rest, 0, n);
    *rest = span_skip(*rest, n);
    return response;
}

// Past a quoted string or a literal that begins at i; i when none does.
static size_t
skip_string(struct span s, size_t i)
{
    uint64_t literal;
    size_t end = i;
    if (s.p[i] == '"') {
        for (end++; end < s.n && s.p[end] != '"'; end++)
            end += s.p[end] == '\\';
        must(end < s.n);
        return end + 1;
    }
    if (s.p[i] == '{')
        end += span_find_char(span_skip(s, i), '\n');
    bool is = end > i + 2 && end < s.n && s.p[end - 2] == '}' &&
              span_to_u64(span_slice(s, i + 1, end - 2), &literal) == R_OK;
    return is ? end + 1 + literal : i;
}

// Parentheses outside strings; what OK, NO, BAD and BYE say to humans apart.
static void
check_balanced(struct span response)
{
    int depth = 0;
    for (size_t i = 0; i < response.n; i++) {
        size_t after = skip_string(response, i);
        if (after > i) {
            i = after - 1;
            continue;
        }
        depth += (response.p[i] == '(') - (response.p[i] == ')');
        must(depth >= 0);
    }
    must(depth == 0);
}

static bool
is_condition(struct span response)
{
    return span_starts(response, SPAN("* OK ")) || span_starts(response, SPAN("* NO ")) ||
           span_starts(response, SPAN("* BAD ")) || span_starts(response, SPAN("* BYE ")) ||
           span_starts(response, SPAN("* PREAUTH "));
}

static void
check_tagged(struct span response)
{
    size_t space = span_find_char(response, ' ');
    struct span rest = span_skip(response, space + 1);
    must(space > 0 && (span_starts(rest, SPAN("OK ")) || span_starts(rest, SPAN("NO ")) ||
                       span_starts(rest, SPAN("BAD "))));
}

void
served_check_imap(struct span out)
{
    while (out.n > 0) {
        struct span response = take_response(&out);
        if (is_condition(response) || span_starts(response, SPAN("+ ")))
            continue;
        if (span_starts(response, SPAN("* ")))
            check_balanced(response);
        else
            check_tagged(response);
    }
}

// "* 3 FETCH (UID 7)", one after the other from 1 on; how many there are.
static uint32_t
check_uids(struct span text)
{
    uint32_t count = 0, uid, last = 0;
    struct span line;
    while (span_next_field(&text, '\n', &line) == R_OK) {
        size_t at = span_find(line, SPAN(" FETCH (UID "));
        if (at == line.n)
            continue;
        struct span number = span_skip(line, at + SPAN(" FETCH (UID ").n);
        must(span_to_u32(span_slice(number, 0, span_find_char(number, ')')), &uid) == R_OK);
        must(uid > last);
        last = uid;
        count++;
    }
    return count;
}

void
served_check_inbox(struct served *s)
{
    struct buf out;
    uint32_t exists = 0;
    buf_init(&out, SIZE_MAX);
    served_talk(s, served_imap,
                SPAN("a EXAMINE INBOX\r\nb FETCH 1:* (UID)\r\nc LOGOUT\r\n"), SIZE_MAX,
                &out);
    struct span text = buf_span(&out), line, rest = text;
    while (span_next_field(&rest, '\n', &line) == R_OK)
        if (span_ends(line, SPAN(" EXISTS\r")))
            must(span_to_u32(span_slice(line, 2, line.n - SPAN(" EXISTS\r").n), &exists) ==
                 R_OK);
    served_check_imap(text);
    must(check_uids(text) == exists);
    must(span_find(text, SPAN("\r\na OK ")) < text.n);
    must(span_find(text, SPAN("\r\nc OK ")) < text.n);
    buf_done(&out);
}
