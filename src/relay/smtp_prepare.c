#include "relay/smtp_inside.h"
#include "relay/recode.h"
#include "relay/text.h"
#include "base/utf8.h"
#include "io/loop.h"
#include "io/task.h"
#include "store/disk.h"

#include <fcntl.h>
#include <unistd.h>

// Whether a mail may go to this smarthost, and in which form.

static void
refuse(struct smtp_reply *out, uint16_t code, const char *status, const char *words)
{
    smtp_reply_none(out, status, words);
    out->code = code;
}

void
smtp_reply_no_utf8(struct smtp_reply *out)
{
    refuse(out, 550, "5.6.7", "5.6.7 the mail needs SMTPUTF8, which the smarthost lacks");
}

// An address of the transaction is beyond ASCII.
static bool
has_wide_address(const struct smtp_mail *m)
{
    const struct relay_envelope *e = &m->mail->envelope;
    bool plain = ascii_only(e->from);
    for (size_t i = 0; plain && i < m->n; i++)
        plain = ascii_only(e->to[m->which[i]].address);
    return !plain;
}

// RFC 2852 section 4.1.4.1.
static bool
misses_deadline(const struct smtp *s, const struct smtp_mail *m)
{
    const struct relay_envelope *e = &m->mail->envelope;
    if (e->by_mode != RELAY_BY_RETURN)
        return false;
    return !(s->offer.caps & SMTP_DELIVERBY) ||
           e->by_s - m->now_s < (int64_t)s->offer.by_min;
}

static bool
is_binary(const struct queue_mail *m)
{
    const uint32_t odd = RELAY_TRAIT_NUL | RELAY_TRAIT_BARE | RELAY_TRAIT_LONG;
    return m->envelope.body == RELAY_BODY_BINARYMIME && (m->head.traits & odd);
}

// ---- another form ----

struct recoding {
    const struct smtp_mail *mail;
    bool header_only;
    enum recode_aim aim;
    int fd;
    bool utf8;
    struct recoded out;
    struct fault *fault;
    enum result result;
};

// A file that has no name goes with its descriptor.
static enum result
open_nameless(struct recoding *r)
{
    r->fd = openat(r->mail->folder, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    return r->fd >= 0 ? R_OK : fault_errno(r->fault, FAULT_DISK, "room for a recoded text");
}

static void
recode_on_pool(void *arg)
{
    struct recoding *r = arg;
    const struct smtp_mail *m = r->mail;
    if (r->header_only) {
        r->result = relay_header_is_utf8(m->fd, m->mail, &r->utf8, r->fault);
        return;
    }
    r->result = open_nameless(r);
    if (r->result == R_OK)
        r->result = relay_recode(m->fd, m->mail, r->aim, r->fd, &r->out, r->fault);
    if (r->result != R_OK && r->fd >= 0)
        close(r->fd);
}

static enum result
recode(const struct smtp_mail *m, enum recode_aim aim, struct smtp_text *t,
       struct smtp_reply *no, struct fault *f)
{
    struct recoding r = {.mail = m, .aim = aim, .fd = -1, .fault = f};
    char words[SMTP_WORDS];
    pool_run(m->pool, recode_on_pool, &r);
    if (r.result == R_NONE) {
        snprintf(words, sizeof words,
                 "5.6.3 the mail needs %s, which the smarthost lacks: %s",
                 aim == RECODE_7BIT ? "8BITMIME" : "BINARYMIME", r.out.why);
        refuse(no, 554, "5.6.3", words);
    }
    if (r.result != R_OK)
        return r.result;
    t->fd = r.fd;
    t->recoded = true;
    t->at = 0;
    t->n = r.out.n;
    t->wire_n = r.out.wire_n;
    t->traits = r.out.traits;
    return R_OK;
}

// SMTPUTF8 is asked for where an address, or a header, is beyond ASCII (RFC 6531 section 3.4); what the sender said of a text
// of ASCII is not passed on. Where the smarthost lacks it the header is looked at more closely.
static enum result
find_utf8(const struct smtp *s, const struct smtp_mail *m, struct smtp_text *t,
          struct fault *f)
{
    const struct queue_mail *q = m->mail;
    struct recoding r = {.mail = m, .header_only = true, .fault = f, .result = R_OK};
    bool wide = has_wide_address(m);
    t->utf8 = wide || (q->envelope.smtputf8 && (q->head.traits & RELAY_TRAIT_8BIT));
    if (!t->utf8 || (s->offer.caps & SMTP_SMTPUTF8) || wide)
        return R_OK;
    pool_run(m->pool, recode_on_pool, &r);
    t->utf8 = r.utf8;
    return r.result;
}

static enum result
find_form(const struct smtp *s, const struct smtp_mail *m, struct smtp_text *t,
          struct smtp_reply *no, struct fault *f)
{
    const unsigned both = SMTP_CHUNKING | SMTP_BINARYMIME;
    bool odd = is_binary(m->mail);
    t->binary = odd && (s->offer.caps & both) == both;
    if (t->binary)
        return R_OK;
    if ((t->traits & RELAY_TRAIT_8BIT) && !(s->offer.caps & SMTP_8BITMIME))
        return recode(m, RECODE_7BIT, t, no, f);
    return odd ? recode(m, RECODE_NO_BINARY, t, no, f) : R_OK;
}

enum result
smtp_prepare(const struct smtp *s, const struct smtp_mail *m, struct smtp_text *out,
             struct smtp_reply *no, struct fault *f)
{
    const struct queue_mail *q = m->mail;
    struct smtp_text t = {.fd = m->fd,
                          .at = queue_text_at(q),
                          .n = q->head.text_n,
                          .wire_n = q->head.wire_n,
                          .traits = q->head.traits};
    *no = (struct smtp_reply){0};
    enum result r = find_utf8(s, m, &t, f);
    if (r != R_OK)
        return r;
    if (t.utf8 && !(s->offer.caps & SMTP_SMTPUTF8))
        smtp_reply_no_utf8(no);
    else if (misses_deadline(s, m))
        refuse(no, 554, "5.3.3", "5.3.3 the smarthost cannot promise to deliver in time");
    if (no->code != 0)
        return R_NONE;
    r = find_form(s, m, &t, no, f);
    if (r != R_OK)
        return r;
    if (s->offer.size_max > 0 && (t.binary ? t.n : t.wire_n) > s->offer.size_max) {
        refuse(no, 552, "5.3.4", "5.3.4 the mail is larger than the smarthost takes");
        smtp_text_done(&t);
        return R_NONE;
    }
    *out = t;
    return R_OK;
}

void
smtp_text_done(struct smtp_text *t)
{
    if (t->recoded)
        close(t->fd);
    *t = (struct smtp_text){.fd = -1};
}
