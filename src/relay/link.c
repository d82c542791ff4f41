#include "relay/link.h"
#include "relay/envelope.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory_file.h"
#include "io/ask.h"
#include "io/message.h"

#include <fcntl.h>
#include <unistd.h>

struct question {
    struct ask_question ask;  // first
    uint8_t fault;
    uint64_t id;
    struct buf *text;  // of a verb
    char why[sizeof((struct fault *)0)->why];
};

static bool is_set;
static _Thread_local struct ask_way way = {.role = "relay"};
static _Thread_local struct relay_link_ops way_ops;

void
relay_set(bool set)
{
    is_set = set;
}

bool
relay_is_set(void)
{
    return is_set;
}

// ---- the channel ----

static struct question *
find(uint64_t request)
{
    return (struct question *)ask_find(&way, request);
}

static enum result
take_taken(struct span body)
{
    struct relay_taken m;
    if (relay_taken_get(body, &m) != R_OK)
        return R_FAIL;
    struct question *q = find(m.request);
    if (q == NULL || q->text != NULL)
        return R_FAIL;
    q->fault = m.fault;
    q->id = m.id;
    snprintf(q->why, sizeof q->why, "%.*s", SPAN_ARG(m.why));
    ask_finish(&way, &q->ask);
    return R_OK;
}

static enum result
take_rows(struct span body)
{
    struct admin_reply m;
    if (admin_reply_get(body, &m) != R_OK)
        return R_FAIL;
    struct question *q = find(m.request);
    if (q == NULL || q->text == NULL)
        return R_FAIL;
    if (m.failed == ADMIN_FAILED) {
        struct unpack u = unpack_of(m.text);
        q->fault = unpack_u8(&u);
        if (u.bad || q->fault >= FAULT_COUNT)
            return R_FAIL;
        snprintf(q->why, sizeof q->why, "%.*s", SPAN_ARG(u.rest));
    } else {
        buf_put(q->text, m.text);
    }
    if (m.failed != ADMIN_MORE)
        ask_finish(&way, &q->ask);
    return R_OK;
}

static enum result
take_return(struct span body, int fd)
{
    struct relay_return m;
    if (relay_return_get(body, &m) != R_OK || fd < 0)
        return R_FAIL;
    way_ops.returned(way_ops.arg, m.request, m.address, fd, m.at, m.size);
    return R_OK;
}

static void
on_message(struct channel *c, uint16_t type, struct span body, int fd, void *arg)
{
    enum result r = R_FAIL;
    (void)c, (void)arg;
    if (type == MESSAGE_RELAY_RETURN && take_return(body, fd) == R_OK)
        return;
    if (fd < 0 && type == MESSAGE_RELAY_TAKEN)
        r = take_taken(body);
    else if (fd < 0 && type == MESSAGE_ADMIN_REPLY)
        r = take_rows(body);
    if (r == R_OK)
        return;
    log_error("mail", "a message from relay is malformed");
    if (fd >= 0)
        close(fd);
    ask_close(&way);
}

void
relay_link_open(int fd, const struct relay_link_ops *ops)
{
    way_ops = *ops;
    way.lost = ops->lost;
    way.arg = ops->arg;
    ask_open(&way, fd, on_message);
}

void
relay_link_close(void)
{
    ask_close(&way);
}

void
relay_link_returned(uint64_t request, uint8_t verdict)
{
    struct buf b;
    if (way.channel == NULL)
        return;
    buf_init(&b, 64);
    relay_returned_put(&b, &(struct relay_returned){request, verdict});
    channel_send(way.channel, MESSAGE_RELAY_RETURNED, buf_span(&b), -1);
    buf_done(&b);
}

// ---- questions ----

static enum result
await_answer(struct question *q, struct fault *f)
{
    if (ask_await(&way, &q->ask, f) != R_OK)
        return R_FAIL;
    return q->fault == FAULT_COUNT ? R_OK : fault_set(f, q->fault, "%s", q->why);
}

static enum result
write_text(struct span text, const char *what, int *fd_out, struct fault *f)
{
    if (memory_file_new("posthorn-outgoing", what, fd_out, f) != R_OK)
        return R_FAIL;
    if (memory_file_put(*fd_out, text, what, f) == R_OK)
        return R_OK;
    close(*fd_out);
    return R_FAIL;
}

static enum result
write_envelope(const struct relay_envelope *e, int *fd_out, struct fault *f)
{
    struct buf b;
    buf_init(&b, LIMIT_relay_envelope);
    relay_envelope_put(&b, e);
    enum result r = b.over ? fault_set(f, FAULT_TOOBIG, "the envelope is too long")
                           : write_text(buf_span(&b), "an envelope for relay", fd_out, f);
    buf_done(&b);
    return r;
}

static void
send_both(uint64_t request, int envelope, int text, uint64_t at, uint64_t size)
{
    struct buf b;
    buf_init(&b, 64);
    relay_begin_put(&b, &(struct relay_begin){request});
    channel_send(way.channel, MESSAGE_RELAY_ENVELOPE, buf_span(&b), envelope);
    buf_reset(&b);
    relay_submit_put(&b, &(struct relay_submit){request, at, size});
    channel_send(way.channel, MESSAGE_RELAY_SUBMIT, buf_span(&b), text);
    buf_done(&b);
}

static enum result
copy_text(const struct relay_text *t, int *fd_out, struct fault *f)
{
    if (t->fd < 0)
        return write_text(t->text, "a text for relay", fd_out, f);
    int fd = fcntl(t->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return fault_errno(f, FAULT_UNAVAILABLE, "a text for relay");
    *fd_out = fd;
    return R_OK;
}

static enum result
ask(struct question *q, const struct relay_envelope *e, const struct relay_text *t,
    struct fault *f)
{
    int envelope = -1, text = -1;
    if (ask_await_role(&way, LIMIT_relay_wait_ms, f) != R_OK ||
        write_envelope(e, &envelope, f) != R_OK)
        return R_FAIL;
    if (copy_text(t, &text, f) != R_OK) {
        close(envelope);
        return R_FAIL;
    }
    send_both(ask_number(&way, &q->ask), envelope, text, t->fd < 0 ? 0 : t->at,
              t->fd < 0 ? t->text.n : t->size);
    return await_answer(q, f);
}

enum result
relay_hand_over(const struct relay_envelope *e, const struct relay_text *text,
                uint64_t *id_out, struct fault *f)
{
    struct question q = {0};
    if (!is_set)
        return fault_set(f, FAULT_CANNOT, "no relay_host is set: nothing goes out");
    if (relay_envelope_check(e, f) != R_OK)
        return R_FAIL;
    enum result r = ask_enter(&way, LIMIT_relay_waiting, 0, f);
    if (r != R_OK)
        return r;
    r = ask(&q, e, text, f);
    ask_leave(&way);
    if (r == R_OK && id_out != NULL)
        *id_out = q.id;
    return r;
}

enum result
relay_link_verb(struct span verb, const struct span *args, size_t n, struct buf *rows,
                struct fault *f)
{
    struct question q = {.text = rows, .fault = FAULT_COUNT};
    struct buf b, packed;
    if (!is_set)
        return fault_set(f, FAULT_CANNOT, "no relay_host is set: there is no queue");
    if (ask_await_role(&way, LIMIT_relay_wait_ms, f) != R_OK)
        return R_FAIL;
    buf_init(&b, LIMIT_channel_message);
    buf_init(&packed, LIMIT_channel_message);
    for (size_t i = 0; i < n; i++)
        pack_span(&packed, args[i]);
    uint64_t request = ask_number(&way, &q.ask);
    admin_request_put(&b, &(struct admin_request){request, verb, buf_span(&packed)});
    enum result r = R_FAIL;
    if (b.over || packed.over) {
        fault_set(f, FAULT_TOOBIG, "the arguments are too long");
    } else {
        channel_send(way.channel, MESSAGE_ADMIN, buf_span(&b), -1);
        r = await_answer(&q, f);
    }
    buf_done(&packed);
    buf_done(&b);
    return r;
}
