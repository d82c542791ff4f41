#include "preauth/preauth.h"

#include "base/limits.h"
#include "wire/base64.h"

void
preauth_put_mechanisms(const struct preauth_facts *f, struct buf *b, const char *before,
                       const char *behind)
{
    struct span rest = f->mechanisms, word;
    while (span_next_field(&rest, ' ', &word) == R_OK) {
        if (word.n == 0 || ((!f->tls || f->unbound) && span_ends(word, SPAN("-PLUS"))) ||
            (!f->certificate && span_eq(word, SPAN("EXTERNAL"))))
            continue;
        buf_put_str(b, before);
        buf_put(b, word);
        buf_put_str(b, behind);
    }
}

struct preauth *
preauth_open(const struct preauth_service *service, const struct preauth_facts *facts,
             const struct preauth_ops *ops, void *gate)
{
    struct preauth *m = calloc(1, service->size);
    must(m != NULL);
    m->service = service;
    m->facts = facts;
    m->ops = ops;
    m->gate = gate;
    service->init(m);
    return m;
}

void
preauth_free(struct preauth **m)
{
    if (!*m)
        return;
    (*m)->service->done(*m);
    free(*m);
    *m = NULL;
}

// ---- ends ----

void
preauth_close(struct preauth *m)
{
    m->state = PREAUTH_CLOSED;
    m->ops->close_after_output(m->gate);
}

void
preauth_end(struct preauth *m, enum preauth_end why)
{
    m->service->bye(m, why);
    preauth_close(m);
}

void
preauth_bad(struct preauth *m)
{
    if (++m->bad >= LIMIT_bad_preauth)
        preauth_end(m, PREAUTH_END_BAD);
}

void
preauth_deny(struct preauth *m, enum fault_kind kind)
{
    const struct preauth_service *s = m->service;
    const struct fault_words *w = fault_words_of(s->refusals, s->refusal_count, kind);
    m->state = PREAUTH_READING;
    s->refuse(m, w->code, w->text);
    if (w->kind == FAULT_BAD)
        preauth_bad(m);
}

// ---- TLS ----

void
preauth_start_tls(struct preauth *m)
{
    m->state = PREAUTH_WAITING;
    m->ops->start_tls(m->gate);
}

void
preauth_tls_started(struct preauth *m)
{
    must(m->state == PREAUTH_WAITING && m->facts->tls);
    m->state = PREAUTH_READING;
    m->service->tls_started(m);
}

// ---- exchanges ----

static void
authenticate(struct preauth *m, const struct auth_start *start)
{
    m->state = PREAUTH_WAITING;
    m->is_password = start->mechanism.n == 0;
    m->ops->authenticate(m->gate, start);
}

void
preauth_login(struct preauth *m, struct span user, struct span password)
{
    authenticate(m, &(struct auth_start){.user = user, .password = password});
}

enum result
preauth_exchange(struct preauth *m, struct span mechanism, struct span initial)
{
    bool strings = m->service->sasl_strings;
    struct buf decoded;
    buf_init(&decoded, LIMIT_sasl_response);
    enum result r = !initial.p ? R_OK
                    : strings  ? base64_decode(initial, &decoded)
                               : base64_decode_word(initial, &decoded);
    if (r == R_OK)
        authenticate(m, &(struct auth_start){.mechanism = mechanism,
                                             .has_initial = initial.p != NULL,
                                             .initial = buf_span(&decoded),
                                             .final_ok = strings});
    buf_wipe(&decoded);
    return r;
}

void
preauth_abort(struct preauth *m)
{
    m->in_sasl = false;
    m->ops->auth_abort(m->gate);
}

static enum preauth_response
step(struct preauth *m, struct span text)
{
    struct buf decoded;
    buf_init(&decoded, LIMIT_sasl_response);
    enum result r = base64_decode(text, &decoded);
    if (r == R_OK) {
        m->state = PREAUTH_WAITING;
        m->ops->auth_step(m->gate, buf_span(&decoded));
    } else {
        preauth_abort(m);
    }
    buf_wipe(&decoded);
    return r == R_OK ? PREAUTH_TAKEN : PREAUTH_GARBLED;
}

enum preauth_response
preauth_respond(struct preauth *m, struct span text)
{
    m->in_sasl = false;
    if (span_eq(text, SPAN("*"))) {
        preauth_abort(m);
        return PREAUTH_CANCELLED;
    }
    if (!m->is_lost)
        return step(m, text);
    preauth_deny(m, m->lost_to);
    return PREAUTH_TAKEN;
}

static void
say_challenge(struct preauth *m, struct span base64)
{
    struct buf b;
    buf_init(&b, (size_t)2 * LIMIT_sasl_response);
    buf_printf(&b, "%s%.*s\r\n", m->service->prompt, SPAN_ARG(base64));
    m->ops->write(m->gate, buf_span(&b));
    buf_done(&b);
}

static void
challenge(struct preauth *m, struct span data)
{
    struct buf text;
    buf_init(&text, (size_t)2 * LIMIT_sasl_response);
    base64_encode(data, &text);
    if (m->service->challenge != NULL)
        m->service->challenge(m, buf_span(&text));
    else
        say_challenge(m, buf_span(&text));
    buf_done(&text);
    m->in_sasl = true;
    m->is_lost = false;
    m->state = PREAUTH_READING;
}

// Why an exchange ends by this reply, where only a refusal was to be expected.
static enum fault_kind
fault_of(const struct auth_reply *r)
{
    return r->verdict == AUTH_REFUSED ? r->fault : FAULT_SERVERBUG;
}

void
preauth_auth_reply(struct preauth *m, const struct auth_reply *reply)
{
    // The exchange ended while the client has the word: auth died or lost patience. It is told with its next line.
    if (m->state == PREAUTH_READING && m->in_sasl) {
        m->is_lost = true;
        m->lost_to = fault_of(reply);
        return;
    }
    must(m->state == PREAUTH_WAITING);
    if (reply->verdict == AUTH_OK) {
        if (m->service->granted)
            m->service->granted(m);
        m->state = PREAUTH_DONE;
    } else if (reply->verdict == AUTH_CONTINUE && !m->is_password) {
        challenge(m, reply->data);
    } else {
        preauth_deny(m, fault_of(reply));
    }
}
