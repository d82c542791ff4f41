#include "relay/smtp_inside.h"
#include "base/clock.h"
#include "base/limits.h"

#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdarg.h>

enum { INPUT_MAX = 131072 };

// ---- talk ----

void
smtp_say(struct smtp *s, const char *fmt, ...)
{
    va_list args;
    char text[4 * LIMIT_relay_parameter + 2 * LIMIT_sieve_address + 514];
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    must(n >= 0 && (size_t)n + 2 <= sizeof text);  // 0: SASL's empty response
    text[n] = '\r';
    text[n + 1] = '\n';
    conn_write(s->conn, span_of(text, (size_t)n + 2));
    explicit_bzero(text, sizeof text);  // it may have been a password
}

// Why the handshake ended, where it did by the certificate; NULL: it did not.
static const char *
certificate_fault(const struct smtp *s)
{
    SSL *ssl = conn_ssl(s->conn);
    long verdict =
        ssl && !SSL_is_init_finished(ssl) ? SSL_get_verify_result(ssl) : X509_V_OK;
    return verdict == X509_V_OK ? NULL : X509_verify_cert_error_string(verdict);
}

static enum result
gone(struct smtp *s, const char *why, struct fault *f)
{
    const char *certificate = certificate_fault(s);
    s->broken = true;
    if (certificate)
        return fault_set(f, FAULT_PRIVACY,
                         "the smarthost's certificate is not one for %s: %s", s->host->name,
                         certificate);
    return fault_set(f, FAULT_CLOSED, "%s", conn_why(s->conn)[0] ? conn_why(s->conn) : why);
}

static uint32_t
deadline_of(const struct smtp *s, uint32_t usual_ms)
{
    uint32_t patience = s->host->patience_ms;
    return patience > 0 && patience < usual_ms ? patience : usual_ms;
}

// A whole reply at the front of the input, however slowly it comes.
static enum result
await_reply(struct smtp *s, uint64_t until_ms, size_t *used_out, struct fault *f)
{
    for (;;) {
        struct span input = conn_input(s->conn);
        if (smtp_reply_take(input, &s->reply, used_out, f) != R_OK) {
            s->broken = true;
            return R_FAIL;
        }
        if (*used_out > 0)
            return R_OK;
        uint64_t now_ms = clock_mono_ms();
        if (now_ms >= until_ms)
            return gone(s, "the smarthost took too long to answer", f);
        if (input.n >= INPUT_MAX)
            return gone(s, "the smarthost's answer has no end", f);
        if (conn_wait_input(s->conn, input.n + 1, (uint32_t)(until_ms - now_ms)) != R_OK &&
            conn_eof(s->conn) && conn_input(s->conn).n == input.n)
            return gone(s, "the smarthost closed the connection", f);
    }
}

enum result
smtp_listen(struct smtp *s, uint32_t usual_ms, struct fault *f)
{
    size_t used = 0;
    smtp_reply_none(&s->reply, "4.4.2", "no answer");
    if (await_reply(s, clock_mono_ms() + deadline_of(s, usual_ms), &used, f) != R_OK)
        return R_FAIL;
    conn_consume(s->conn, used);
    s->heard++;
    if (s->reply.code == 421) {
        s->broken = true;
        return fault_set(f, FAULT_CLOSED, "the smarthost: 421 %.150s", s->reply.words);
    }
    return R_OK;
}

enum result
smtp_expect(struct smtp *s, unsigned class, uint32_t usual_ms, struct fault *f)
{
    if (smtp_listen(s, usual_ms, f) != R_OK)
        return R_FAIL;
    if (s->reply.code / 100 == class)
        return R_OK;
    return fault_set(f, FAULT_UNAVAILABLE, "the smarthost: %u %.150s", s->reply.code,
                     s->reply.words);
}

// ---- opening ----

// The offer is read from the input itself: a reply keeps too little of it.
static enum result
greet(struct smtp *s, struct fault *f)
{
    size_t used = 0;
    smtp_say(s, "EHLO %s", s->host->hostname);
    if (await_reply(s, clock_mono_ms() + deadline_of(s, LIMIT_relay_answer_ms), &used, f) !=
        R_OK)
        return R_FAIL;
    if (s->reply.code == 250)
        smtp_offer_read(span_slice(conn_input(s->conn), 0, used), &s->offer);
    conn_consume(s->conn, used);
    if (s->reply.code == 250)
        return R_OK;
    s->broken = s->reply.code == 421;
    if (s->reply.code / 100 != 5 || s->host->tls == SMTP_TLS_STARTTLS)
        return fault_set(f, FAULT_UNAVAILABLE, "the smarthost: EHLO: %u %.150s",
                         s->reply.code, s->reply.words);
    // RFC 5321 section 3.2
    s->offer = (struct smtp_offer){0};
    smtp_say(s, "HELO %s", s->host->hostname);
    return smtp_expect(s, 2, LIMIT_relay_answer_ms, f);
}

static SSL *
new_ssl(const struct smarthost *host)
{
    SSL *ssl = SSL_new(host->trust);
    must(ssl != NULL);
    bool number = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host->name) == 1;
    must(number || SSL_set1_host(ssl, host->name) == 1);
    if (!number)
        (void)SSL_set_tlsext_host_name(ssl, host->name);
    SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);
    SSL_set_connect_state(ssl);
    return ssl;
}

// What comes in the clear behind the 220 was put there by somebody else (CVE-2011-0411).
static enum result
start_tls(struct smtp *s, struct fault *f)
{
    struct buf unread;
    if (!(s->offer.caps & SMTP_STARTTLS))
        return fault_set(f, FAULT_PRIVACY, "the smarthost offers no STARTTLS");
    smtp_say(s, "STARTTLS");
    if (smtp_expect(s, 2, LIMIT_relay_answer_ms, f) != R_OK)
        return R_FAIL;
    conn_await_sent(s->conn);
    if (conn_input(s->conn).n > 0 || conn_eof(s->conn) || conn_queued(s->conn) > 0)
        return gone(s, "the smarthost says more before TLS than it may", f);
    buf_init(&unread, INPUT_MAX);
    int fd = conn_detach(&s->conn, &unread);
    buf_done(&unread);
    s->conn = conn_new_tls(fd, new_ssl(s->host), NULL, NULL);
    conn_input_max(s->conn, INPUT_MAX);
    s->offer = (struct smtp_offer){0};
    return greet(s, f);
}

static enum result
begin(struct smtp *s, struct fault *f)
{
    if (smtp_expect(s, 2, LIMIT_relay_greeting_ms, f) != R_OK || greet(s, f) != R_OK)
        return R_FAIL;
    if (s->host->tls == SMTP_TLS_STARTTLS && start_tls(s, f) != R_OK)
        return R_FAIL;
    return s->host->user[0] ? smtp_authenticate(s, f) : R_OK;
}

enum result
smtp_open(const struct smarthost *host, int fd, struct smtp **out, struct fault *f)
{
    struct smtp *s = calloc(1, sizeof *s);
    must(s != NULL);
    s->host = host;
    s->conn = host->tls == SMTP_TLS_IMPLICIT ? conn_new_tls(fd, new_ssl(host), NULL, NULL)
                                             : conn_new(fd, NULL, NULL);
    conn_input_max(s->conn, INPUT_MAX);
    enum result result = begin(s, f);
    if (result == R_OK)
        *out = s;
    else
        smtp_close(&s);
    return result;
}

const struct smtp_offer *
smtp_offers(const struct smtp *s)
{
    return &s->offer;
}

bool
smtp_alive(const struct smtp *s)
{
    return !s->broken && !conn_eof(s->conn) && conn_input(s->conn).n == 0;
}

bool
smtp_heard(const struct smtp *s)
{
    return s->heard > 1 || (s->heard == 1 && s->reply.code != 421);
}

bool
smtp_unsure(const struct smtp *s)
{
    return s->unsure;
}

unsigned
smtp_mails(const struct smtp *s)
{
    return s->mails;
}

// Nobody waits for the answer to QUIT: what was sent is written down by now.
void
smtp_close(struct smtp **sp)
{
    struct smtp *s = *sp;
    if (s == NULL)
        return;
    *sp = NULL;
    if (!s->broken && !conn_failed(s->conn))
        conn_write(s->conn, SPAN("QUIT\r\n"));
    conn_finish(&s->conn);
    free(s);
}
