#include "mail/push.h"

#include "base/json.h"
#include "base/log.h"
#include "base/memory_file.h"
#include "base/metrics.h"
#include "mail/home.h"
#include "mail/name.h"
#include "mime/encoded_word.h"
#include "mime/header.h"
#include "scan/link.h"

#include <stdatomic.h>
#include <unistd.h>
#include <utlist.h>

enum { STEP_MS = 50, TEXT_MAX = 256 };

// A message that is told of with its sender and subject.
struct push_mail {
    struct push_mail *next;
    struct span mailbox, from, subject;
    uint32_t uidvalidity, uid;
};

struct push_mailbox {
    struct push_mailbox *next;
    struct span name;
    uint64_t count;
};

// All that is to be told to one user.
struct push_user {
    struct push_user *prev, *next;
    struct arena *arena;
    uint64_t account;
    struct span name;
    struct push_mailbox *mailboxes;
    struct push_mail *mails, **mails_end;
    uint64_t total;
    unsigned mailbox_count, mail_count, tries;
};

static bool is_on;
static atomic_bool details;
static _Thread_local struct {
    struct push_user *waiting;
    unsigned n;
    bool working, stopping;
} queue;

void
push_set(bool on)
{
    is_on = on;
}

void
push_details(bool on)
{
    atomic_store(&details, on);
}

// ---- what waits ----

static void
user_free(struct push_user *u)
{
    struct arena *a = u->arena;
    arena_free(&a);
}

static struct push_user *
user_of(const struct account *a)
{
    struct push_user *u;
    DL_FOREACH(queue.waiting, u)
    if (u->account == a->id)
        return u;
    if (queue.n >= LIMIT_push_waiting)
        return NULL;
    struct arena *arena = arena_new_small();
    u = ARENA_NEW(arena, struct push_user);
    *u = (struct push_user){
        .arena = arena, .account = a->id, .name = arena_dup(arena, a->user)};
    u->mails_end = &u->mails;
    DL_APPEND(queue.waiting, u);
    queue.n++;
    return u;
}

static struct span
count_in(struct push_user *u, struct span mailbox)
{
    struct push_mailbox *m = u->mailboxes;
    u->total++;
    while (m && !span_eq(m->name, mailbox))
        m = m->next;
    if (m) {
        m->count++;
        return m->name;
    }
    if (u->mailbox_count == LIMIT_push_mailboxes)
        return SPAN_NONE;
    m = ARENA_NEW(u->arena, struct push_mailbox);
    *m = (struct push_mailbox){u->mailboxes, arena_dup(u->arena, mailbox), 1};
    u->mailboxes = m;
    u->mailbox_count++;
    return m->name;
}

static struct span
field(struct arena *a, struct span header, const char *name)
{
    struct mime_header h;
    struct buf line, text;
    if (mime_header_find(header, span_str(name), &h) != R_OK)
        return SPAN("");
    buf_init(&line, LIMIT_mime_header);
    buf_init(&text, LIMIT_mime_header);
    mime_header_unfold(&line, h.value);
    mime_decode_words(&text, buf_span(&line));
    struct span value = arena_dup(a, span_slice(buf_span(&text), 0, TEXT_MAX));
    buf_done(&text);
    buf_done(&line);
    return value;
}

static void
add_mail(struct push_user *u, struct span mailbox, const struct intake_result *at,
         struct span header)
{
    if (u->mail_count == LIMIT_push_messages)
        return;
    struct push_mail *m = ARENA_NEW(u->arena, struct push_mail);
    *m = (struct push_mail){.mailbox = mailbox,
                            .from = field(u->arena, header, "From"),
                            .subject = field(u->arena, header, "Subject"),
                            .uidvalidity = at->uidvalidity,
                            .uid = at->uid};
    *u->mails_end = m;
    u->mails_end = &m->next;
    u->mail_count++;
}

// ---- the text ----

static void
put_name(struct buf *b, const char *name, struct span value)
{
    buf_printf(b, "\"%s\":", name);
    (void)json_put_string(b, value, 4 * TEXT_MAX);
}

static void
put_mailboxes(struct buf *b, const struct push_user *u)
{
    buf_put_str(b, ",\"mailboxes\":[");
    for (const struct push_mailbox *m = u->mailboxes; m; m = m->next) {
        buf_put_str(b, m == u->mailboxes ? "{" : ",{");
        put_name(b, "name", m->name);
        buf_printf(b, ",\"new\":%llu}", (unsigned long long)m->count);
    }
    buf_put_char(b, ']');
}

static void
put_mail(struct buf *b, const struct push_mail *m)
{
    buf_put_char(b, '{');
    put_name(b, "mailbox", m->mailbox);
    buf_printf(b, ",\"uidvalidity\":%u,\"uid\":%u,", m->uidvalidity, m->uid);
    put_name(b, "from", m->from);
    buf_put_char(b, ',');
    put_name(b, "subject", m->subject);
    buf_put_char(b, '}');
}

static void
put_text(struct buf *b, const struct push_user *u)
{
    buf_put_str(b, "{\"event\":\"new\",");
    put_name(b, "user", u->name);
    buf_printf(b, ",\"new\":%llu", (unsigned long long)u->total);
    put_mailboxes(b, u);
    if (u->mails)
        buf_put_str(b, ",\"messages\":[");
    for (const struct push_mail *m = u->mails; m; m = m->next) {
        put_mail(b, m);
        buf_put_str(b, m->next ? "," : "]");
    }
    buf_put_str(b, "}\n");
}

// ---- on its way ----

static const char what[] = "a push in memory";

static enum result
ask(struct span text, enum scan_status *status, struct fault *f)
{
    struct buf about, answer;
    int fd;
    if (memory_file_new("posthorn-push", what, &fd, f) != R_OK)
        return R_FAIL;
    if (memory_file_put(fd, text, what, f) != R_OK) {
        close(fd);
        return R_FAIL;
    }
    buf_init(&about, LIMIT_channel_message);
    buf_init(&answer, LIMIT_channel_message);
    scan_envelope_put(&about, &(struct scan_envelope){0});
    const struct scan_text t = {fd, text.n};
    enum result r = scan_ask(SCAN_PUSH, buf_span(&about), &t, &answer, status, f);
    buf_done(&answer);
    buf_done(&about);
    close(fd);
    return r;
}

static enum scan_status
send(const struct push_user *u)
{
    enum scan_status status = SCAN_LATER;
    struct buf text;
    struct fault f;
    buf_init(&text, LIMIT_push_text);
    put_text(&text, u);
    if (text.over)
        status = SCAN_REFUSED;
    else if (ask(buf_span(&text), &status, &f) != R_OK)
        status = SCAN_LATER;
    buf_done(&text);
    return status;
}

static void
pause_for(uint32_t ms)
{
    for (uint32_t waited = 0; waited < ms && !queue.stopping; waited += STEP_MS)
        task_sleep(STEP_MS);
}

static uint32_t
patience(unsigned tries)
{
    uint64_t ms = (uint64_t)LIMIT_push_retry_ms << (tries < 16 ? tries : 16);
    return ms < LIMIT_push_retry_most_ms ? (uint32_t)ms : LIMIT_push_retry_most_ms;
}

static void
drop(struct push_user *u, bool told)
{
    if (!told)
        log_warning("mail", "a push is given up", log_user(u->name),
                    field_number("messages", "messages=%", u->total));
    metric_add(told ? METRIC_pushes_ok : METRIC_pushes_failed, 1);
    DL_DELETE(queue.waiting, u);
    queue.n--;
    user_free(u);
}

// While it is under way it is not in the queue: what comes meanwhile is another push.
static void
tell_first(void)
{
    struct push_user *u = queue.waiting;
    DL_DELETE(queue.waiting, u);
    enum scan_status status = send(u);
    DL_PREPEND(queue.waiting, u);
    if (status == SCAN_LATER && ++u->tries < LIMIT_push_tries && !queue.stopping)
        pause_for(patience(u->tries - 1));
    else
        drop(u, status == SCAN_DONE);
}

static void
work(void *arg)
{
    (void)arg;
    pause_for(LIMIT_push_delay_ms);
    while (queue.waiting)
        tell_first();
    queue.working = false;
}

void
push_new(struct account *a, uint64_t mailbox, const struct intake_result *at,
         const struct intake *in)
{
    const struct mailbox_state *m = state_mailbox(account_state(a), mailbox);
    struct fault f;
    if (!is_on || queue.stopping || !m || m->special_use == USE_JUNK ||
        m->special_use == USE_TRASH)
        return;
    struct arena *arena = arena_new();
    struct span name = name_full(arena, account_state(a), m), header = SPAN_NONE;
    size_t n = (size_t)intake_root(in)->header.size;
    n = n < LIMIT_mime_header ? n : LIMIT_mime_header;
    char *text = arena_alloc(arena, n + 1);
    if (atomic_load(&details) && intake_read(in, 0, text, n, &f) == R_OK)
        header = span_of(text, n);
    struct push_user *u = user_of(a);
    if (!u) {
        metric_add(METRIC_pushes_failed, 1);
        log_warning("mail", "a push is given up: too many wait", log_user(a->user));
    } else {
        struct span kept = count_in(u, name);
        if (header.p && kept.p)
            add_mail(u, kept, at, header);
    }
    arena_free(&arena);
    if (queue.waiting && !queue.working) {
        queue.working = true;
        task_start_helper(0, work, NULL);
    }
}

void
push_stop(void)
{
    struct push_user *u, *next;
    queue.stopping = true;
    DL_FOREACH_SAFE(queue.waiting, u, next)
    {
        DL_DELETE(queue.waiting, u);
        queue.n--;
        user_free(u);
    }
}
