#include "relay/smtp_inside.h"
#include "auth/sasl_client.h"
#include "base/limits.h"
#include "wire/base64.h"

// AUTH (RFC 4954), with the best mechanism that both sides have.

enum { STEPS_MAX = 8 };

static const char *
choose(const struct smtp *s)
{
    static const char *const mechanisms[] = {"SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN",
                                             "LOGIN"};
    for (size_t i = 0; i < sizeof mechanisms / sizeof mechanisms[0]; i++)
        if (smtp_offer_has(&s->offer, mechanisms[i]))
            return mechanisms[i];
    return NULL;
}

static enum result
respond(struct smtp *s, struct sasl_client *c, struct span challenge, const char *before,
        struct fault *f)
{
    struct buf octets, text;
    buf_init(&octets, LIMIT_relay_line);
    buf_init(&text, LIMIT_relay_line);
    enum result r = sasl_client_step(c, challenge, &octets, f);
    base64_encode(buf_span(&octets), &text);
    if (r == R_OK && (octets.over || text.over || text.n > 2000))
        r = fault_set(f, FAULT_TOOBIG, "what AUTH says is too long");
    if (r == R_OK)
        smtp_say(s, "%s%.*s", before, (int)text.n, text.n > 0 ? text.p : "");
    buf_wipe(&octets);
    buf_wipe(&text);
    return r;
}

// 334 and the challenge in base64.
static enum result
take_challenge(struct smtp *s, struct sasl_client *c, struct fault *f)
{
    struct buf challenge;
    buf_init(&challenge, LIMIT_relay_line);
    enum result r = base64_decode(span_str(s->reply.words), &challenge);
    if (r != R_OK)
        fault_set(f, FAULT_AUTHFAILED, "the challenge is no base64");
    else
        r = respond(s, c, buf_span(&challenge), "", f);
    buf_done(&challenge);
    return r;
}

static enum result
converse(struct smtp *s, struct sasl_client *c, struct fault *f)
{
    for (unsigned step = 0; step < STEPS_MAX; step++) {
        if (smtp_listen(s, LIMIT_relay_answer_ms, f) != R_OK)
            return R_FAIL;
        if (s->reply.code != 334)
            break;
        if (take_challenge(s, c, f) != R_OK)
            return R_FAIL;
    }
    if (s->reply.code != 235)
        return fault_set(f, FAULT_AUTHFAILED, "the smarthost: AUTH: %u %.150s",
                         s->reply.code, s->reply.words);
    return sasl_client_done(c)
               ? R_OK
               : fault_set(f, FAULT_AUTHFAILED, "the smarthost did not prove who it is");
}

enum result
smtp_authenticate(struct smtp *s, struct fault *f)
{
    const char *mechanism = choose(s);
    struct sasl_client *c = NULL;
    char before[64];
    if (mechanism == NULL)
        return fault_set(f, FAULT_AUTHFAILED,
                         "the smarthost offers no AUTH that is known here");
    struct sasl_login login = {mechanism, s->host->user, s->host->password};
    if (sasl_client_new(&login, &c, f) != R_OK)
        return R_FAIL;
    snprintf(before, sizeof before, "AUTH %s ", mechanism);
    enum result r = R_OK;
    if (sasl_client_first(mechanism))
        r = respond(s, c, SPAN_NONE, before, f);
    else
        smtp_say(s, "AUTH %s", mechanism);
    if (r == R_OK)
        r = converse(s, c, f);
    sasl_client_free(&c);
    return r;
}
