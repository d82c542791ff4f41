#include "doctor/greet.h"
#include "base/clock.h"
#include "base/limits.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <unistd.h>

// What is said and heard before a login, protocol by protocol.
struct words {
    const char *greeting, *ask, *starttls, *yes;
    const char *end;          // what the last line of the answer to `ask` begins with
    const char *login[3];     // a line that has one of these offers a way to log in
    const char *plain[2];     // and one of these lets a password be sent as it is
    const char *open, *shut;  // so does a line with `open`, unless one has `shut`
    bool greeting_is_list;  // the greeting ends as the answer does, and TLS brings another
};
static const struct {
    const char *protocol;
    struct words words;
} protocols[] = {
    {"imap",  // RFC 9051 sections 6.1.1, 6.2.1
     {"* ",
      "a CAPABILITY\r\n",
      "b STARTTLS\r\n",
      "b OK",
      "a ",
      {"AUTH="},
      {"AUTH=PLAIN", "AUTH=LOGIN"},
      "IMAP4rev",
      "LOGINDISABLED",
      false}},
    {"pop3",  // RFC 2449 section 5, RFC 2595 section 4
     {"+OK",
      "CAPA\r\n",
      "STLS\r\n",
      "+OK",
      ".",
      {"SASL "},
      {"USER", " PLAIN"},
      "USER",
      NULL,
      false}},
    {"smtp",  // RFC 5321 section 4.1.1.1, RFC 3207 section 4
     {"220",
      "EHLO doctor.invalid\r\n",
      "STARTTLS\r\n",
      "220",
      "250 ",
      {"250-AUTH ", "250 AUTH "},
      {" PLAIN", " LOGIN"},
      NULL,
      NULL,
      false}},
    {NULL,  // ManageSieve: RFC 5804 sections 1.7, 2.2
     {"OK",
      "CAPABILITY\r\n",
      "STARTTLS\r\n",
      "OK",
      "OK",
      {"\"SASL\" \"P", "\"SASL\" \"S", "\"SASL\" \"O"},
      {"PLAIN", "LOGIN"},
      NULL,
      NULL,
      true}},
};

struct talk {
    const struct offer *offer;
    const struct words *words;
    int fd;
    SSL *tls;
    uint64_t until_ms;
    struct buf in;
    char line[LIMIT_doctor_line];
};

static enum result
wait_for(struct talk *t, short events, struct fault *f)
{
    struct pollfd p = {.fd = t->fd, .events = events};
    uint64_t now_ms = clock_mono_ms();
    if (now_ms >= t->until_ms || poll(&p, 1, (int)(t->until_ms - now_ms)) <= 0)
        return fault_set(f, FAULT_UNAVAILABLE, "no answer in %d s", LIMIT_doctor_ms / 1000);
    return R_OK;
}

static enum result
connect_one(struct talk *t, const struct name_address *to, struct fault *f)
{
    int error = 0;
    socklen_t n = sizeof error;
    t->fd = socket(to->at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (t->fd < 0)
        return fault_errno(f, FAULT_UNAVAILABLE, "socket");
    enum result r = R_OK;
    if (connect(t->fd, (const struct sockaddr *)&to->at, to->length) != 0)
        error = errno;
    if (error == EINPROGRESS) {
        r = wait_for(t, POLLOUT, f);
        if (r == R_OK && getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &error, &n) != 0)
            error = errno;
    }
    if (r == R_OK && error != 0)
        r = fault_set(f, FAULT_UNAVAILABLE, "cannot connect: %s", strerrordesc_np(error));
    if (r != R_OK) {
        close(t->fd);
        t->fd = -1;
    }
    return r;
}

static enum result
connect_any(struct talk *t, struct names *n, struct fault *f)
{
    struct arena *a = arena_new();
    struct name_addresses found = {0};
    enum result r = names_addresses(n, a, t->offer->host, t->offer->port, &found, f);
    if (r == R_NONE)
        r = fault_set(f, FAULT_NONEXISTENT, "this name has no address in the DNS");
    for (size_t i = 0; i < found.n; i++) {
        r = connect_one(t, &found.list[i], f);
        if (r == R_OK)
            break;
    }
    arena_free(&a);
    return r;
}

static enum result
tls_fault(struct talk *t, struct fault *f)
{
    long verdict = SSL_get_verify_result(t->tls);
    if (verdict != X509_V_OK)
        return fault_set(f, FAULT_PRIVACY, "the certificate is not good for this name: %s",
                         X509_verify_cert_error_string(verdict));
    const char *why = ERR_reason_error_string(ERR_peek_last_error());
    return fault_set(f, FAULT_UNAVAILABLE, "TLS failed: %s",
                     why ? why : "the connection ended");
}

// An operation of OpenSSL ended with `code`: go on (R_OK) once the descriptor is ready.
static enum result
tls_wait(struct talk *t, int code, struct fault *f)
{
    switch (SSL_get_error(t->tls, code)) {
    case SSL_ERROR_WANT_READ:
        return wait_for(t, POLLIN, f);
    case SSL_ERROR_WANT_WRITE:
        return wait_for(t, POLLOUT, f);
    default:
        return tls_fault(t, f);
    }
}

static enum result
begin_tls(struct talk *t, SSL_CTX *trust, struct fault *f)
{
    char host[256];
    snprintf(host, sizeof host, "%.*s", SPAN_ARG(t->offer->host));
    ERR_clear_error();
    t->tls = SSL_new(trust);
    must(t->tls != NULL && SSL_set_fd(t->tls, t->fd) == 1);
    must(SSL_set_tlsext_host_name(t->tls, host) == 1 && SSL_set1_host(t->tls, host) == 1);
    for (;;) {
        int code = SSL_connect(t->tls);
        if (code == 1)
            return R_OK;
        if (tls_wait(t, code, f) != R_OK)
            return R_FAIL;
    }
}

static enum result
send_text(struct talk *t, const char *text, struct fault *f)
{
    size_t n = strlen(text);
    if (t->tls == NULL) {  // a few octets, on a fresh connection
        if (send(t->fd, text, n, MSG_NOSIGNAL) == (ssize_t)n)
            return R_OK;
        return fault_errno(f, FAULT_UNAVAILABLE, "the connection broke");
    }
    for (;;) {
        int code = SSL_write(t->tls, text, (int)n);
        if (code > 0)
            return R_OK;
        if (tls_wait(t, code, f) != R_OK)
            return R_FAIL;
    }
}

static enum result
receive(struct talk *t, struct fault *f)
{
    char part[2048];
    ssize_t n;
    for (;;) {
        if (t->tls != NULL) {
            n = SSL_read(t->tls, part, sizeof part);
            if (n <= 0 && tls_wait(t, (int)n, f) != R_OK)
                return R_FAIL;
        } else {
            if (wait_for(t, POLLIN, f) != R_OK)
                return R_FAIL;
            n = recv(t->fd, part, sizeof part, 0);
            if (n <= 0)
                return fault_set(f, FAULT_UNAVAILABLE, "the server closed the connection");
        }
        if (n > 0)
            break;
    }
    buf_put(&t->in, span_of(part, (size_t)n));
    return R_OK;
}

// The next line, without its end, in t->line.
static enum result
read_line(struct talk *t, struct fault *f)
{
    size_t end;
    while ((end = span_find_char(buf_span(&t->in), '\n')) == t->in.n) {
        if (t->in.n >= LIMIT_doctor_line || receive(t, f) != R_OK)
            return t->in.n >= LIMIT_doctor_line
                       ? fault_set(f, FAULT_TOOBIG, "it sends lines without end")
                       : R_FAIL;
    }
    struct span line = span_trim(span_slice(buf_span(&t->in), 0, end));
    snprintf(t->line, sizeof t->line, "%.*s", SPAN_ARG(line));
    buf_consume(&t->in, end + 1);
    return R_OK;
}

static bool
begins(const struct talk *t, const char *with)
{
    return span_istarts(span_str(t->line), span_str(with));
}

static bool
has(const struct talk *t, const char *what)
{
    struct span line = span_str(t->line);
    return what != NULL && span_ifind(line, span_str(what)) < line.n;
}

// How one may log in, as the lines of a list say.
struct ways {
    bool login, plain, open, shut;
};

static void
hear(const struct talk *t, struct ways *w)
{
    const struct words *words = t->words;
    bool login = false, plain = false;
    for (size_t i = 0; i < sizeof words->login / sizeof words->login[0]; i++)
        login |= has(t, words->login[i]);
    for (size_t i = 0; i < sizeof words->plain / sizeof words->plain[0]; i++)
        plain |= has(t, words->plain[i]);
    w->login |= login;
    w->plain |= login && plain;
    w->open |= has(t, words->open);
    w->shut |= has(t, words->shut);
}

// Lines up to the one that begins with `end`.
static enum result
read_list(struct talk *t, struct ways *w, struct fault *f)
{
    static const char *const refusals[] = {"-ERR", "5", "4", "NO", "BYE", "* BYE"};
    *w = (struct ways){0};
    for (unsigned i = 0; i < LIMIT_doctor_lines; i++) {
        if (read_line(t, f) != R_OK)
            return R_FAIL;
        hear(t, w);
        if (begins(t, t->words->end))
            return R_OK;
        for (size_t k = 0; k < sizeof refusals / sizeof refusals[0]; k++)
            if (begins(t, refusals[k]))
                return fault_set(f, FAULT_UNAVAILABLE, "it refuses: %.120s", t->line);
    }
    return fault_set(f, FAULT_TOOBIG, "it sends lists without end");
}

static enum result
ask(struct talk *t, struct ways *w, struct fault *f)
{
    return send_text(t, t->words->ask, f) == R_OK ? read_list(t, w, f) : R_FAIL;
}

static enum result
read_greeting(struct talk *t, struct fault *f)
{
    struct ways ignored;
    if (t->words->greeting_is_list)
        return read_list(t, &ignored, f);
    do {
        if (read_line(t, f) != R_OK)
            return R_FAIL;
    } while (begins(t, "220-"));
    if (begins(t, t->words->greeting) && !begins(t, "* BYE"))
        return R_OK;
    return fault_set(f, FAULT_UNAVAILABLE, "it greets by: %.120s", t->line);
}

// What came with the answer in plain text is not TLS: thrown away (CVE-2011-0411).
static enum result
start_tls(struct talk *t, SSL_CTX *trust, struct fault *f)
{
    if (send_text(t, t->words->starttls, f) != R_OK || read_line(t, f) != R_OK)
        return R_FAIL;
    if (!begins(t, t->words->yes))
        return fault_set(f, FAULT_PRIVACY, "it does not take STARTTLS: %.120s", t->line);
    buf_reset(&t->in);
    return begin_tls(t, trust, f);
}

static enum result
talk_before_tls(struct talk *t, SSL_CTX *trust, struct greeting *out, struct fault *f)
{
    struct ways before, ignored;
    if (ask(t, &before, f) != R_OK)
        return R_FAIL;
    out->plain_login = before.plain || (before.open && !before.shut);
    if (start_tls(t, trust, f) != R_OK)
        return R_FAIL;
    return t->words->greeting_is_list ? read_list(t, &ignored, f) : R_OK;
}

static enum result
converse(struct talk *t, SSL_CTX *trust, struct greeting *out, struct fault *f)
{
    bool implicit = offer_is_implicit(t->offer->kind);
    struct ways after;
    if (implicit && begin_tls(t, trust, f) != R_OK)
        return R_FAIL;
    if (read_greeting(t, f) != R_OK)
        return R_FAIL;
    if (!implicit && talk_before_tls(t, trust, out, f) != R_OK)
        return R_FAIL;
    if (ask(t, &after, f) != R_OK)
        return R_FAIL;
    out->can_login = after.login || (after.open && !after.shut);
    return R_OK;
}

static void
read_tls(const struct talk *t, struct greeting *out)
{
    int seconds = 0;
    const X509 *x = SSL_get0_peer_certificate(t->tls);
    out->tls = SSL_get_version(t->tls);
    if (x == NULL || ASN1_TIME_diff(&out->days, &seconds, NULL, X509_get0_notAfter(x)) != 1)
        out->days = 0;
}

enum result
greet(struct names *n, SSL_CTX *trust, const struct offer *offer, struct greeting *out,
      struct fault *f)
{
    struct talk t = {
        .offer = offer, .fd = -1, .until_ms = clock_mono_ms() + LIMIT_doctor_ms};
    const char *protocol = offer_kind_protocol(offer->kind);
    for (size_t i = 0; i < sizeof protocols / sizeof protocols[0] && t.words == NULL; i++)
        if (protocol == NULL ? protocols[i].protocol == NULL
                             : protocols[i].protocol != NULL &&
                                   strcmp(protocol, protocols[i].protocol) == 0)
            t.words = &protocols[i].words;
    must(t.words != NULL);
    *out = (struct greeting){0};
    buf_init(&t.in, 2 * LIMIT_doctor_line);
    enum result r = connect_any(&t, n, f);
    if (r == R_OK)
        r = converse(&t, trust, out, f);
    if (r == R_OK)
        read_tls(&t, out);
    SSL_free(t.tls);
    if (t.fd >= 0)
        close(t.fd);
    buf_done(&t.in);
    return r;
}
