#include "relay/smtp_inside.h"
#include "relay/text.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "io/loop.h"
#include "io/task.h"
#include "store/disk.h"

enum { PIECE = 65536 };

// ---- commands ----

// RFC 3461 section 4.
static void
put_xtext(struct buf *b, struct span s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c > ' ' && c <= '~' && c != '+' && c != '=')
            buf_put_char(b, (char)c);
        else
            buf_printf(b, "+%02X", c);
    }
}

static void
put_by(const struct smtp_mail *m, struct buf *b)
{
    const struct relay_envelope *e = &m->mail->envelope;
    int64_t left = e->by_s - m->now_s;
    left = left > 999999999 ? 999999999 : left < -999999999 ? -999999999 : left;
    buf_printf(b, " BY=%lld;%c%s", (long long)left,
               e->by_mode == RELAY_BY_RETURN ? 'R' : 'N', e->by_trace ? "T" : "");
}

static void
say_mail(struct smtp *s, const struct smtp_mail *m, const struct smtp_text *t)
{
    const struct queue_mail *q = m->mail;
    const struct relay_envelope *e = &q->envelope;
    struct buf b;
    buf_init(&b, LIMIT_relay_line);
    buf_printf(&b, "MAIL FROM:<%.*s>", SPAN_ARG(e->from));
    if (s->offer.caps & SMTP_SIZE)
        buf_printf(&b, " SIZE=%llu", (unsigned long long)(t->binary ? t->n : t->wire_n));
    if (t->binary)
        buf_put_str(&b, " BODY=BINARYMIME");
    else if (t->traits & RELAY_TRAIT_8BIT)
        buf_put_str(&b, " BODY=8BITMIME");
    if (t->utf8)
        buf_put_str(&b, " SMTPUTF8");
    if ((s->offer.caps & SMTP_DSN) && e->ret != RELAY_RET_UNSAID)
        buf_put_str(&b, e->ret == RELAY_RET_FULL ? " RET=FULL" : " RET=HDRS");
    if ((s->offer.caps & SMTP_DSN) && e->envid.n > 0 && ascii_only(e->envid)) {
        buf_put_str(&b, " ENVID=");
        put_xtext(&b, e->envid);
    }
    if ((s->offer.caps & SMTP_DELIVERBY) && e->by_mode != RELAY_BY_UNSAID)
        put_by(m, &b);
    must(!b.over);
    smtp_say(s, "%.*s", SPAN_ARG(buf_span(&b)));
    buf_done(&b);
}

// RFC 2852 section 4.1.4.2: where nobody behind keeps the deadline, delays are told.
static uint8_t
notify_of(const struct smtp *s, const struct relay_envelope *e,
          const struct relay_recipient *r)
{
    if (e->by_mode != RELAY_BY_NOTIFY || (s->offer.caps & SMTP_DELIVERBY) ||
        r->notify == RELAY_NOTIFY_NEVER)
        return r->notify;
    return r->notify == 0 ? RELAY_NOTIFY_FAILURE | RELAY_NOTIFY_DELAY
                          : r->notify | RELAY_NOTIFY_DELAY;
}

static void
put_notify(struct buf *b, uint8_t notify)
{
    if (notify == 0)
        return;
    buf_put_str(b, " NOTIFY=");
    relay_notify_put(b, notify);
}

static void
say_rcpt(struct smtp *s, const struct smtp_mail *m, size_t i)
{
    const struct relay_recipient *r = &m->mail->envelope.to[m->which[i]];
    struct buf b;
    buf_init(&b, LIMIT_relay_line);
    buf_printf(&b, "RCPT TO:<%.*s>", SPAN_ARG(r->address));
    if (s->offer.caps & SMTP_DSN) {
        put_notify(&b, notify_of(s, &m->mail->envelope, r));
        size_t semicolon = span_find_char(r->orcpt, ';');
        if (r->orcpt.n > 0 && ascii_only(r->orcpt)) {
            buf_printf(&b, " ORCPT=%.*s;", (int)semicolon, r->orcpt.p);
            put_xtext(&b, span_skip(r->orcpt, semicolon + 1));
        }
    }
    must(!b.over);
    smtp_say(s, "%.*s", SPAN_ARG(buf_span(&b)));
    buf_done(&b);
}

// ---- the text ----

struct sending {
    struct smtp *s;
    const struct smtp_mail *m;
    const struct smtp_text *text;
    struct relay_lines lines;
    uint64_t done;
    bool early;  // there was an answer before the last piece
    size_t n;
    char piece[PIECE];
    struct fault fault;
    enum result result;
};

static void
read_piece(void *arg)
{
    struct sending *t = arg;
    const struct smtp_text *text = t->text;
    uint64_t left = text->n - t->done;
    t->n = left < PIECE ? (size_t)left : PIECE;
    t->result = disk_read(text->fd, text->at + t->done, t->piece, t->n, false, &t->fault);
    if (t->result == R_NONE)
        t->result = fault_set(&t->fault, FAULT_CORRUPTION, "the queue's file is cut");
}

static bool
is_answered(const struct smtp *s)
{
    return conn_input(s->conn).n > 0 || conn_failed(s->conn);
}

static void
write_piece(struct sending *t, struct buf *out)
{
    struct span piece = span_of(t->piece, t->n);
    if (!t->text->binary)
        relay_lines_feed(&t->lines, piece, out);
    t->early = t->early || is_answered(t->s);
    conn_write(t->s->conn, t->text->binary ? piece : buf_span(out));
    buf_reset(out);
}

static enum result
send_pieces(struct sending *t)
{
    struct buf out;
    buf_init(&out, 2 * PIECE + 16);
    relay_lines_init(&t->lines, true);
    t->result = R_OK;
    while (t->done < t->text->n && !conn_failed(t->s->conn)) {
        pool_run(t->m->pool, read_piece, t);
        if (t->result != R_OK)
            break;
        t->done += t->n;
        write_piece(t, &out);
    }
    if (!t->text->binary)
        relay_lines_end(&t->lines, &out);
    conn_write(t->s->conn, buf_span(&out));
    buf_done(&out);
    return t->result;
}

static void
on_slow(void *arg)
{
    conn_fail(arg);
}

// However slowly it takes them: a whole text has its time.
static uint32_t
text_ms(const struct smtp *s, const struct smtp_text *t)
{
    uint64_t ms = LIMIT_relay_block_ms + t->wire_n * 1000 / LIMIT_relay_octets_ms;
    if (s->host->patience_ms > 0)
        ms = s->host->patience_ms;
    return ms < UINT32_MAX / 2 ? (uint32_t)ms : UINT32_MAX / 2;
}

// An answer before the end of the text is none to it, unless it refuses.
static enum result
end_text(struct smtp *s, bool early, struct fault *f)
{
    s->unsure = !early;
    if (smtp_listen(s, LIMIT_relay_end_ms, f) != R_OK)
        return R_FAIL;
    s->unsure = false;
    if (!early)
        return R_OK;
    s->broken = true;
    if (s->reply.code >= 400)
        return R_OK;
    return fault_set(f, FAULT_BAD, "the smarthost answered before the end of the text");
}

static enum result
end_lines(struct smtp *s, struct fault *f)
{
    bool early = is_answered(s);
    if (!early)
        conn_write(s->conn, SPAN(".\r\n"));
    return end_text(s, early, f);
}

static enum result
send_text(struct smtp *s, const struct smtp_mail *m, const struct smtp_text *text,
          struct fault *f)
{
    struct sending *t = calloc(1, sizeof *t);
    struct timer patience;
    must(t != NULL);
    t->s = s;
    t->m = m;
    t->text = text;
    timer_init(&patience, on_slow, s->conn);
    timer_set(&patience, text_ms(s, text));
    enum result r = send_pieces(t);
    conn_await_sent(s->conn);
    timer_clear(&patience);
    struct fault why = t->fault;
    bool early = t->early;
    free(t);
    if (r == R_OK)
        return text->binary ? end_text(s, early, f) : end_lines(s, f);
    s->broken = true;  // in the middle of a text: only the end of the connection ends it
    *f = why;
    conn_fail(s->conn);
    return R_FAIL;
}

// ---- the transaction ----

static void
answer_all(const struct smtp_mail *m, const struct smtp_reply *r, bool accepted_only)
{
    for (size_t i = 0; i < m->n; i++)
        if (!accepted_only || m->replies[i].code / 100 == 2)
            m->replies[i] = *r;
}

static size_t
accepted(const struct smtp_mail *m)
{
    size_t n = 0;
    for (size_t i = 0; i < m->n; i++)
        n += m->replies[i].code / 100 == 2;
    return n;
}

// RFC 5321 section 4.5.3.1.10: 552 to one of many means too many.
static void
soften(const struct smtp_mail *m)
{
    for (size_t i = 0; accepted(m) > 0 && i < m->n; i++)
        if (m->replies[i].code == 552 && !strstr(m->replies[i].status, ".2."))
            m->replies[i].code = 452;
}

static enum result
reset(struct smtp *s, struct fault *f)
{
    smtp_say(s, "RSET");
    return smtp_expect(s, 2, LIMIT_relay_answer_ms, f);
}

static enum result
hear_rcpt(struct smtp *s, const struct smtp_mail *m, size_t i, bool refused,
          struct fault *f)
{
    if (smtp_listen(s, LIMIT_relay_answer_ms, f) != R_OK)
        return R_FAIL;
    if (!refused)
        m->replies[i] = s->reply;
    return R_OK;
}

static enum result
end_data(struct smtp *s, const struct smtp_mail *m, const struct smtp_text *t,
         struct fault *f)
{
    if (smtp_listen(s, LIMIT_relay_data_ms, f) != R_OK)
        return R_FAIL;
    soften(m);
    if (s->reply.code != 354) {
        if (s->reply.code < 400 && accepted(m) > 0) {
            s->broken = true;
            return fault_set(f, FAULT_BAD, "the smarthost: DATA: %u", s->reply.code);
        }
        answer_all(m, &s->reply, true);
        return reset(s, f);
    }
    bool any = accepted(m) > 0;
    enum result r = any ? send_text(s, m, t, f) : end_lines(s, f);  // RFC 2920 section 3.1
    if (r != R_OK)
        return R_FAIL;
    if (any)
        answer_all(m, &s->reply, true);
    s->mails++;
    return s->broken ? fault_set(f, FAULT_CLOSED, "the smarthost cut the text off") : R_OK;
}

// RFC 3030 section 2: one chunk, which says how long it is; nobody has to look for its end.
static enum result
send_chunk(struct smtp *s, const struct smtp_mail *m, const struct smtp_text *t,
           struct fault *f)
{
    soften(m);
    if (accepted(m) == 0)
        return reset(s, f);
    smtp_say(s, "BDAT %llu LAST", (unsigned long long)t->n);
    if (send_text(s, m, t, f) != R_OK)
        return R_FAIL;
    answer_all(m, &s->reply, true);
    s->mails++;
    return s->broken ? fault_set(f, FAULT_CLOSED, "the smarthost cut the text off") : R_OK;
}

static enum result
pipeline(struct smtp *s, const struct smtp_mail *m, const struct smtp_text *t,
         struct fault *f)
{
    say_mail(s, m, t);
    for (size_t i = 0; i < m->n; i++)
        say_rcpt(s, m, i);
    if (!t->binary)
        smtp_say(s, "DATA");
    if (smtp_listen(s, LIMIT_relay_answer_ms, f) != R_OK)
        return R_FAIL;
    bool refused = s->reply.code / 100 != 2;
    if (refused)
        answer_all(m, &s->reply, false);
    for (size_t i = 0; i < m->n; i++)
        if (hear_rcpt(s, m, i, refused, f) != R_OK)
            return R_FAIL;
    return t->binary ? send_chunk(s, m, t, f) : end_data(s, m, t, f);
}

static enum result
step_by_step(struct smtp *s, const struct smtp_mail *m, const struct smtp_text *t,
             struct fault *f)
{
    say_mail(s, m, t);
    if (smtp_listen(s, LIMIT_relay_answer_ms, f) != R_OK)
        return R_FAIL;
    if (s->reply.code / 100 != 2) {
        answer_all(m, &s->reply, false);
        return reset(s, f);
    }
    for (size_t i = 0; i < m->n; i++) {
        say_rcpt(s, m, i);
        if (hear_rcpt(s, m, i, false, f) != R_OK)
            return R_FAIL;
    }
    if (t->binary)
        return send_chunk(s, m, t, f);
    if (accepted(m) == 0)
        return reset(s, f);
    smtp_say(s, "DATA");
    return end_data(s, m, t, f);
}

// What was accepted, but not to its end, was not sent.
static void
forget_accepted(const struct smtp_mail *m, const struct fault *f)
{
    struct smtp_reply none;
    smtp_reply_none(&none, "4.4.2", f->why);
    for (size_t i = 0; i < m->n; i++)
        if (m->replies[i].code == 0 || m->replies[i].code / 100 == 2)
            m->replies[i] = none;
}

enum result
smtp_send(struct smtp *s, const struct smtp_mail *m, const struct smtp_text *t,
          struct fault *f)
{
    unsigned before = s->mails;
    s->heard = 0;
    s->unsure = false;
    memset(m->replies, 0, m->n * sizeof *m->replies);
    enum result r = R_FAIL;
    if (conn_input(s->conn).n > 0 || conn_eof(s->conn)) {
        s->broken = true;
        fault_set(f, FAULT_CLOSED, "the smarthost ended the connection meanwhile");
    } else {
        r = s->offer.caps & SMTP_PIPELINING ? pipeline(s, m, t, f)
                                            : step_by_step(s, m, t, f);
    }
    if (r != R_OK)
        s->broken = true;
    if (r != R_OK && s->mails == before) {
        soften(m);
        forget_accepted(m, f);
    }
    return r;
}
