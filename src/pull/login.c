#include "pull/session.h"

#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "auth/sasl_client.h"
#include "base/limits.h"
#include "base/quoted.h"
#include "wire/base64.h"

enum { STEPS_MAX = 8 };

// ---- TLS ----

static SSL *
new_ssl(const struct pull_source *source)
{
    SSL *ssl = SSL_new(source->trust);
    must(ssl != NULL);
    bool number = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), source->host) == 1;
    must(number || SSL_set1_host(ssl, source->host) == 1);
    if (!number)
        (void)SSL_set_tlsext_host_name(ssl, source->host);
    SSL_set_verify(ssl, source->unverified ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    SSL_set_connect_state(ssl);
    return ssl;
}

static void
open_conn(struct session *s, int fd, bool tls)
{
    s->conn =
        tls ? conn_new_tls(fd, new_ssl(s->source), NULL, NULL) : conn_new(fd, NULL, NULL);
    conn_input_max(s->conn, LIMIT_pull_response);
}

// What comes in the clear behind the OK was put there by somebody else (CVE-2011-0411); what was said before counts no more.
static enum result
start_tls(struct session *s, struct fault *f)
{
    struct buf unread;
    if (!(s->caps & PULL_CAP(STARTTLS)))
        return fault_set(
            f, FAULT_PRIVACY,
            "%s offers no STARTTLS; imaps:// may work, --plaintext does without",
            s->source->host);
    session_say(s, "STARTTLS");
    if (session_await(s, NULL, NULL, f) != R_OK)
        return R_FAIL;
    conn_await_sent(s->conn);
    if (conn_input(s->conn).n > 0 || conn_eof(s->conn) || conn_queued(s->conn) > 0)
        return fault_set(f, FAULT_PRIVACY, "%s says more before TLS than it may",
                         s->source->host);
    buf_init(&unread, LIMIT_pull_response);
    int fd = conn_detach(&s->conn, &unread);
    buf_done(&unread);
    open_conn(s, fd, true);
    s->caps = 0;
    return R_OK;
}

static enum result
ask_capability(struct session *s, struct fault *f)
{
    s->caps = 0;
    session_say(s, "CAPABILITY");
    return session_await(s, NULL, NULL, f) == R_OK ? R_OK : R_FAIL;
}

// ---- AUTHENTICATE ----

static enum result
not_let_in(struct session *s, struct fault *f)
{
    const struct response *r = &s->response;
    return fault_set(f, r->code == CODE_UNAVAILABLE ? FAULT_UNAVAILABLE : FAULT_AUTHFAILED,
                     "%s lets %.60s not in: %.*s", s->source->host, s->source->user,
                     SPAN_ARG(span_slice(r->text, 0, 80)));
}

static enum result
say_base64(struct session *s, struct span octets)
{
    struct buf b;
    buf_init(&b, LIMIT_pull_command);
    base64_encode(octets, &b);
    buf_put_str(&b, "\r\n");
    bool over = b.over;
    if (!over)
        conn_write(s->conn, buf_span(&b));
    buf_wipe(&b);
    return over ? R_FAIL : R_OK;
}

// One response and one answer; a server that has more to say (RFC 7628 section 3.2.3: why a token is refused) gets an
// empty one.
static enum result
say_once(struct session *s, const char *mechanism, struct span first, struct fault *f)
{
    bool said = false;
    session_say(s, "AUTHENTICATE %s", mechanism);
    for (unsigned step = 0; step < STEPS_MAX; step++) {
        if (session_next(s, f) != R_OK)
            return R_FAIL;
        if (s->response.kind == RESPONSE_TAGGED)
            break;
        if (s->response.kind != RESPONSE_CONTINUE)
            continue;
        if (say_base64(s, said ? SPAN("") : first) != R_OK)
            return fault_set(f, FAULT_TOOBIG, "what the login says is too long");
        said = true;
    }
    s->answered = s->tag;
    if (s->response.kind == RESPONSE_TAGGED && s->response.condition == SAYS_OK)
        return R_OK;
    return not_let_in(s, f);
}

static enum result
step(struct session *s, struct sasl_client *c, struct fault *f)
{
    struct buf challenge, answer;
    buf_init(&challenge, LIMIT_pull_command);
    buf_init(&answer, LIMIT_pull_command);
    enum result r = base64_decode(s->response.text, &challenge);
    if (r != R_OK)
        (void)!fault_set(f, FAULT_AUTHFAILED, "the challenge is no base64");
    if (r == R_OK)
        r = sasl_client_step(c, buf_span(&challenge), &answer, f);
    if (r == R_OK && (answer.over || say_base64(s, buf_span(&answer)) != R_OK))
        r = fault_set(f, FAULT_TOOBIG, "what the login says is too long");
    buf_done(&challenge);
    buf_wipe(&answer);
    return r;
}

static enum result
converse(struct session *s, struct sasl_client *c, struct fault *f)
{
    for (unsigned i = 0; i < STEPS_MAX; i++) {
        if (session_next(s, f) != R_OK)
            return R_FAIL;
        if (s->response.kind == RESPONSE_TAGGED)
            break;
        if (s->response.kind == RESPONSE_CONTINUE && step(s, c, f) != R_OK)
            return R_FAIL;
    }
    s->answered = s->tag;
    if (s->response.kind != RESPONSE_TAGGED || s->response.condition != SAYS_OK)
        return not_let_in(s, f);
    return sasl_client_done(c) ? R_OK
                               : fault_set(f, FAULT_AUTHFAILED,
                                           "%s did not prove who it is", s->source->host);
}

static enum result
scram(struct session *s, const char *mechanism, struct fault *f)
{
    struct sasl_login login = {mechanism, s->source->user, s->source->password};
    struct sasl_client *c = NULL;
    if (sasl_client_new(&login, &c, f) != R_OK)
        return R_FAIL;
    session_say(s, "AUTHENTICATE %s", mechanism);
    enum result r = converse(s, c, f);
    sasl_client_free(&c);
    return r;
}

// RFC 4616: authzid, authcid, password.
static enum result
plain(struct session *s, struct fault *f)
{
    const struct pull_source *o = s->source;
    struct buf b;
    buf_init(&b, LIMIT_pull_command / 2);
    if (o->master[0])
        buf_put_str(&b, o->user);
    buf_put_char(&b, '\0');
    buf_put_str(&b, o->master[0] ? o->master : o->user);
    buf_put_char(&b, '\0');
    buf_put_str(&b, o->password);
    enum result r = b.over ? fault_set(f, FAULT_TOOBIG, "what the login says is too long")
                           : say_once(s, "PLAIN", buf_span(&b), f);
    buf_wipe(&b);
    return r;
}

// RFC 7628 section 3.1, and Google's older form of the same.
static enum result
token(struct session *s, bool standard, struct fault *f)
{
    const struct pull_source *o = s->source;
    struct buf b;
    buf_init(&b, LIMIT_pull_command / 2);
    if (standard)
        buf_printf(&b, "n,a=%s,\001auth=Bearer %s\001\001", o->user, o->token);
    else
        buf_printf(&b, "user=%s\001auth=Bearer %s\001\001", o->user, o->token);
    enum result r =
        b.over ? fault_set(f, FAULT_TOOBIG, "the token is too long")
               : say_once(s, standard ? "OAUTHBEARER" : "XOAUTH2", buf_span(&b), f);
    buf_wipe(&b);
    return r;
}

static enum result
login_command(struct session *s, struct fault *f)
{
    struct buf b;
    buf_init(&b, LIMIT_pull_command / 2);
    quoted_put(&b, span_str(s->source->user));
    buf_put_char(&b, ' ');
    quoted_put(&b, span_str(s->source->password));
    enum result r = R_OK;
    if (b.over)
        r = fault_set(f, FAULT_TOOBIG, "what the login says is too long");
    else
        session_say(s, "LOGIN %.*s", SPAN_ARG(buf_span(&b)));
    buf_wipe(&b);
    if (r == R_OK)
        r = session_await(s, NULL, NULL, f);
    return r == R_NONE ? not_let_in(s, f) : r;
}

static enum result
authenticate(struct session *s, struct fault *f)
{
    const struct pull_source *o = s->source;
    if (o->token[0]) {
        if (s->caps & (PULL_CAP(OAUTHBEARER) | PULL_CAP(XOAUTH2)))
            return token(s, s->caps & PULL_CAP(OAUTHBEARER), f);
        return fault_set(f, FAULT_AUTHFAILED, "%s takes no tokens", o->host);
    }
    if (!o->master[0] && s->caps & PULL_CAP(SCRAM_SHA_256))
        return scram(s, "SCRAM-SHA-256", f);
    if (!o->master[0] && s->caps & PULL_CAP(SCRAM_SHA_1))
        return scram(s, "SCRAM-SHA-1", f);
    if (s->caps & PULL_CAP(PLAIN))
        return plain(s, f);
    if (o->master[0] || s->caps & PULL_CAP(LOGINDISABLED))
        return fault_set(f, FAULT_AUTHFAILED, "%s offers no way to log in that we know",
                         o->host);
    return login_command(s, f);
}

// ---- all ----

static enum result
greeting(struct session *s, struct fault *f)
{
    if (session_next(s, f) != R_OK)
        return R_FAIL;
    const struct response *r = &s->response;
    if (r->kind == RESPONSE_STATE && r->condition == SAYS_OK) {
        s->caps = r->caps;
        return R_OK;
    }
    if (r->kind == RESPONSE_STATE && r->condition == SAYS_BYE)
        return fault_set(f, FAULT_UNAVAILABLE, "%s: BYE %.*s", s->source->host,
                         SPAN_ARG(span_slice(r->text, 0, 120)));
    return fault_set(f, FAULT_BAD, "%s is no IMAP server that asks for a login",
                     s->source->host);
}

enum result
session_login(struct session *s, int fd, struct fault *f)
{
    bool tls = s->source->tls == PULL_TLS, starts = s->source->tls == PULL_STARTTLS;
    open_conn(s, fd, tls);
    if (greeting(s, f) != R_OK || (s->caps == 0 && ask_capability(s, f) != R_OK))
        return R_FAIL;
    if (starts && (start_tls(s, f) != R_OK || ask_capability(s, f) != R_OK))
        return R_FAIL;
    if (authenticate(s, f) != R_OK)
        return R_FAIL;
    // what it offered before says little of what it offers now
    return ask_capability(s, f);
}
