#include "main/mail_role.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/table.h"
#include "io/task.h"
#include "mail/attachment.h"

// What mail asks of the role extract.

enum { AWAY_STEP_MS = 50, ASK_MS = 1000, TRIES = 3 };

// A document under way: lives on the stack of the task that waits for its text.
struct reading {
    uint64_t id;
    struct task *task;
    bool done, failed;
    enum extract_verdict verdict;
    uint64_t octets;
    UT_hash_handle hh;
};

static void
finish(struct home *h, struct reading *r)
{
    HASH_DEL(h->readings, r);
    r->done = true;
    task_wake(r->task);
}

static void
on_end(struct channel *c, void *arg)
{
    struct home *h = arg;
    struct reading *r, *next;
    (void)c;
    channel_close(&h->extract);
    HASH_ITER(hh, h->readings, r, next)
    {
        r->failed = true;
        finish(h, r);
    }
}

static enum result
take_reply(struct home *h, struct span body)
{
    struct extract_reply m;
    struct reading *r;
    if (extract_reply_get(body, &m) != R_OK || m.verdict >= EXTRACT_VERDICTS)
        return R_FAIL;
    HASH_FIND(hh, h->readings, &m.request, sizeof m.request, r);
    if (r == NULL)
        return R_FAIL;
    r->verdict = (enum extract_verdict)m.verdict;
    r->octets = m.octets;
    log_debug("mail", "an attachment was read", field_number("ms", "ms=%", m.ms),
              field_number("octets", "octets=%", m.octets),
              field_str("verdict", ": %", extract_verdict_name(r->verdict)));
    finish(h, r);
    return R_OK;
}

static enum result
take_offer(struct home *h, struct span body)
{
    struct extract_offer m;
    if (extract_offer_get(body, &m) != R_OK)
        return R_FAIL;
    h->reads_pdf = m.pdf;
    return R_OK;
}

static void
on_message(struct channel *c, uint16_t type, struct span body, int fd, void *arg)
{
    enum result r = fd >= 0                         ? R_FAIL
                    : type == MESSAGE_EXTRACT_REPLY ? take_reply(arg, body)
                    : type == MESSAGE_EXTRACT_OFFER ? take_offer(arg, body)
                                                    : R_FAIL;
    if (r == R_OK)
        return;
    log_error("mail", "a message from extract is malformed");
    if (fd >= 0)
        close(fd);
    on_end(c, arg);
}

void
mail_extract_link(struct home *h, int fd)
{
    mail_extract_close(h);
    h->extract = channel_new(fd, on_message, on_end, h);
}

void
mail_extract_close(struct home *h)
{
    if (h->extract != NULL)
        on_end(h->extract, h);
}

static void
ask_again(void *arg)
{
    struct home *h = arg;
    role_link_lost(h->role->link, "extract", h->index);
}

// It is started again within a second when it died; when only the channel is gone, the supervisor makes another one. Who asks after it was
// waited for in vain does not wait.
static bool
is_there(struct home *h)
{
    if (h->extract == NULL && h->extract_missed)
        loop_post(h->role->homes[0].loop, ask_again, h);
    for (unsigned waited = 0; h->extract == NULL && !h->draining && !h->extract_missed &&
                              waited < LIMIT_extract_wait_ms;
         waited += AWAY_STEP_MS) {
        if (waited == ASK_MS)
            loop_post(h->role->homes[0].loop, ask_again, h);
        task_sleep(AWAY_STEP_MS);
    }
    h->extract_missed = h->extract == NULL;
    return h->extract != NULL;
}

static int
copy_fd(int fd)
{
    return fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

static bool
send_document(struct home *h, uint64_t id, enum extract_kind kind, int document, int text)
{
    struct buf b;
    int room = copy_fd(text), doc = copy_fd(document);
    if (room < 0 || doc < 0) {
        if (room >= 0)
            close(room);
        if (doc >= 0)
            close(doc);
        return false;
    }
    buf_init(&b, 64);
    extract_room_put(&b, &(struct extract_room){id});
    channel_send(h->extract, MESSAGE_EXTRACT_ROOM, buf_span(&b), room);
    buf_reset(&b);
    extract_request_put(&b, &(struct extract_request){id, (uint8_t)kind});
    channel_send(h->extract, MESSAGE_EXTRACT, buf_span(&b), doc);
    buf_done(&b);
    return true;
}

// R_NONE: the role fell meanwhile.
static enum result
read_once(struct home *h, enum extract_kind kind, int document, int text, struct reading *r)
{
    *r = (struct reading){
        .id = ++h->reading_last, .task = task_self(), .verdict = EXTRACT_UNAVAILABLE};
    if (!is_there(h) || !send_document(h, r->id, kind, document, text))
        return R_OK;
    HASH_ADD(hh, h->readings, id, sizeof r->id, r);
    while (!r->done)
        task_suspend();
    return r->failed ? R_NONE : R_OK;
}

static enum extract_verdict
host_read(void *arg, unsigned index, enum extract_kind kind, int document, int text,
          uint64_t *octets_out)
{
    struct home *h = &((struct mail_role *)arg)->homes[index];
    struct reading r;
    // the tries share the place for the text: the second one begins where the first did
    for (unsigned i = 0; i < TRIES; i++)
        if (read_once(h, kind, document, text, &r) == R_OK || lseek(text, 0, SEEK_SET) != 0)
            break;
    *octets_out = r.octets;
    return r.failed ? EXTRACT_UNAVAILABLE : r.verdict;
}

static bool
host_can(void *arg, unsigned index, enum extract_kind kind)
{
    const struct home *h = &((struct mail_role *)arg)->homes[index];
    return kind != EXTRACT_PDF || h->reads_pdf;
}

void
mail_extract_host(struct mail_role *r)
{
    const struct attachment_reader reader = {host_read, host_can, r};
    if (r->start->config->search_attachments)
        attachments_open(r->mail, &reader);
}
