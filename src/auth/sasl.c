#include "auth/sasl.h"
#include "auth/encode.h"
#include "base/json.h"
#include "base/limits.h"

#include <gsasl.h>
#include <sodium.h>

struct mechanism {
    const char *name;
    bool plus;
    bool scram;
    enum scram_hash hash;  // of SCRAM
    struct sasl_outcome (*step)(struct sasl *s, struct span response, struct fault *f);
};

struct sasl {
    const struct mechanism *mechanism;
    sasl_keys_fn *keys;
    void *arg;
    bool plus_offered;
    bool over;
    int steps;
    struct buf exporter;  // base64, NUL-terminated
    struct buf user, password, authzid, token, data;
    Gsasl_session *session;  // SCRAM only
    struct scram_keys scram;
    bool has_keys;
};

static Gsasl *library;

static struct sasl_outcome
refuse(struct sasl *s, struct fault *f, enum fault_kind kind, const char *why)
{
    s->over = true;
    fault_set(f, kind, "%s: %s", s->mechanism->name, why);
    return (struct sasl_outcome){.verdict = SASL_REFUSED};
}

static struct sasl_outcome
proceed(struct span challenge)
{
    return (struct sasl_outcome){.verdict = SASL_CONTINUE, .data = challenge};
}

static struct sasl_outcome
check_password(struct sasl *s)
{
    s->over = true;
    return (struct sasl_outcome){.verdict = SASL_CHECK,
                                 .user = buf_span(&s->user),
                                 .authzid = buf_span(&s->authzid),
                                 .password = buf_span(&s->password)};
}

static bool
has_nul(struct span s)
{
    return s.n > 0 && memchr(s.p, '\0', s.n);
}

static bool
same_user(struct span a, struct span b)
{
    struct name x, y;
    struct fault f;
    return name_of(a, &x, &f) == R_OK && name_of(b, &y, &f) == R_OK &&
           span_eq(name_span(&x), name_span(&y));
}

// RFC 4616: [authzid] NUL authcid NUL passwd
static struct sasl_outcome
plain_step(struct sasl *s, struct span response, struct fault *f)
{
    struct span rest = response, authzid, user;
    if (!response.p)
        return proceed(SPAN(""));
    if (span_next_field(&rest, '\0', &authzid) != R_OK ||
        span_next_field(&rest, '\0', &user) != R_OK || !rest.p || user.n == 0 ||
        has_nul(rest))
        return refuse(s, f, FAULT_BAD, "not authzid NUL authcid NUL password");
    buf_put(&s->user, user);
    if (authzid.n > 0 && !same_user(authzid, user))
        buf_put(&s->authzid, authzid);
    buf_put(&s->password, rest);
    if (s->user.over || s->password.over || s->authzid.over)
        return refuse(s, f, FAULT_AUTHFAILED, "user name or password too long");
    return check_password(s);
}

static struct sasl_outcome
login_step(struct sasl *s, struct span response, struct fault *f)
{
    if (!response.p)
        return proceed(SPAN("Username:"));
    if (has_nul(response))
        return refuse(s, f, FAULT_BAD, "NUL in the response");
    bool first = s->user.n == 0;
    buf_put(first ? &s->user : &s->password, response);
    if (s->user.over || s->password.over)
        return refuse(s, f, FAULT_AUTHFAILED, "user name or password too long");
    if (s->user.n == 0)
        return refuse(s, f, FAULT_BAD, "empty user name");
    return first ? proceed(SPAN("Password:")) : check_password(s);
}

static void
load_keys(struct sasl *s)
{
    const char *user = gsasl_property_fast(s->session, GSASL_AUTHID);
    if (s->has_keys)
        return;
    buf_put_str(&s->user, user ? user : "");
    s->keys(s->arg, s->mechanism->hash, buf_span(&s->user), &s->scram);
    s->has_keys = true;
}

static int
set_base64(Gsasl_session *session, Gsasl_property p, const void *bytes, size_t n)
{
    struct buf text;
    buf_init(&text, 256);
    encode_base64(span_of(bytes, n), &text);
    buf_put_char(&text, '\0');
    int rc = gsasl_property_set(session, p, text.p);
    buf_done(&text);
    return rc;
}

static int
set_iterations(struct sasl *s)
{
    char text[16];
    snprintf(text, sizeof text, "%u", s->scram.iterations);
    return gsasl_property_set(s->session, GSASL_SCRAM_ITER, text);
}

// "y" says: I could bind but you did not offer it. Where we did, somebody took it out of the offer
// (RFC 5802 section 6); libgsasl refuses when it is told of the binding then.
static int
set_exporter(struct sasl *s)
{
    if (s->exporter.n == 0 || (!s->mechanism->plus && !s->plus_offered))
        return GSASL_NO_CB_TLS_EXPORTER;
    return gsasl_property_set(s->session, GSASL_CB_TLS_EXPORTER, s->exporter.p);
}

static int
on_property(Gsasl *g, Gsasl_session *session, Gsasl_property p)
{
    struct sasl *s = gsasl_session_hook_get(session);
    (void)g;
    if (p == GSASL_CB_TLS_EXPORTER)
        return set_exporter(s);
    if (p != GSASL_SCRAM_ITER && p != GSASL_SCRAM_SALT && p != GSASL_SCRAM_STOREDKEY &&
        p != GSASL_SCRAM_SERVERKEY)
        return GSASL_NO_CALLBACK;
    load_keys(s);
    if (p == GSASL_SCRAM_ITER)
        return set_iterations(s);
    if (p == GSASL_SCRAM_SALT)
        return set_base64(session, p, s->scram.salt, s->scram.salt_n);
    const uint8_t *key =
        p == GSASL_SCRAM_STOREDKEY ? s->scram.stored_key : s->scram.server_key;
    return set_base64(session, p, key, scram_key_size(s->mechanism->hash));
}

// libgsasl takes "p=" also without -PLUS; RFC 5802 section 6 does not.
static bool
binds_wrongly(const struct sasl *s, struct span first)
{
    bool binds = span_starts(first, SPAN("p="));
    return s->steps == 1 && binds != s->mechanism->plus;
}

static bool
is_sasl_name(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == '=' && !span_starts(span_skip(s, i), SPAN("=2C")) &&
            !span_starts(span_skip(s, i), SPAN("=3D")))
            return false;
    return true;
}

// RFC 5802 section 5.1: '=' not followed by 2C or 3D MUST fail; libgsasl lets it pass.
static bool
names_are_escaped(const struct sasl *s, struct span first)
{
    struct span field;
    while (s->steps == 1 && span_next_field(&first, ',', &field) == R_OK)
        if ((span_starts(field, SPAN("n=")) || span_starts(field, SPAN("a="))) &&
            !is_sasl_name(span_skip(field, 2)))
            return false;
    return true;
}

static struct sasl_outcome
scram_done(struct sasl *s, struct fault *f)
{
    const char *authzid = gsasl_property_fast(s->session, GSASL_AUTHZID);
    if (authzid && *authzid && !same_user(span_str(authzid), buf_span(&s->user)))
        buf_put_str(&s->authzid, authzid);
    if (s->authzid.over)
        return refuse(s, f, FAULT_AUTHFAILED, "authorization identity too long");
    s->over = true;
    return (struct sasl_outcome){.verdict = SASL_OK,
                                 .data = buf_span(&s->data),
                                 .user = buf_span(&s->user),
                                 .authzid = buf_span(&s->authzid)};
}

static struct sasl_outcome
scram_result(struct sasl *s, int rc, struct fault *f)
{
    if (rc == GSASL_NEEDS_MORE)
        return proceed(buf_span(&s->data));
    if (rc == GSASL_OK)
        return scram_done(s, f);
    bool form = rc == GSASL_MECHANISM_PARSE_ERROR;
    return refuse(s, f, form ? FAULT_BAD : FAULT_AUTHFAILED, gsasl_strerror(rc));
}

static struct sasl_outcome
scram_step(struct sasl *s, struct span response, struct fault *f)
{
    char *out = NULL;
    size_t n = 0;
    if (!response.p)
        return proceed(SPAN(""));
    s->steps++;
    if (response.n == 0 || has_nul(response) || !names_are_escaped(s, response))
        return refuse(s, f, FAULT_BAD, "not a SCRAM message");
    if (binds_wrongly(s, response))
        return refuse(s, f, FAULT_AUTHFAILED, "channel binding does not fit the mechanism");
    int rc = gsasl_step(s->session, response.p, response.n, &out, &n);
    buf_reset(&s->data);
    if (rc == GSASL_OK || rc == GSASL_NEEDS_MORE)
        buf_put(&s->data, span_of(out, n));
    gsasl_free(out);
    return scram_result(s, rc, f);
}

static struct sasl_outcome
judge_token(struct sasl *s)
{
    s->over = true;
    return (struct sasl_outcome){
        .verdict = SASL_TOKEN, .user = buf_span(&s->user), .password = buf_span(&s->token)};
}

// "auth=Bearer TOKEN" among the key=value pairs, each ended by ^A, and one more ^A at the end.
static bool
take_pairs(struct sasl *s, struct span rest)
{
    struct span pair, key;
    if (!span_ends(rest, SPAN("\1\1")))
        return false;
    while (span_next_field(&rest, '\1', &pair) == R_OK && pair.n > 0) {
        size_t at = span_find_char(pair, '=');
        key = span_slice(pair, 0, at);
        if (at == pair.n || key.n == 0)
            return false;
        if (!span_ieq(key, SPAN("auth")))
            continue;
        struct span value = span_skip(pair, at + 1);
        if (s->token.n > 0 || !span_istarts(value, SPAN("Bearer ")))
            return false;
        buf_put(&s->token, span_trim(span_skip(value, 7)));
    }
    return pair.n == 0 && rest.n == 0 && s->token.n > 0;
}

// saslname: "=2C" is a comma, "=3D" a '='.
static bool
unescape(struct span name, struct buf *out)
{
    if (!is_sasl_name(name))
        return false;
    for (size_t i = 0; i < name.n; i++) {
        bool escaped = name.p[i] == '=';
        buf_put_char(out, !escaped ? name.p[i] : name.p[i + 1] == '2' ? ',' : '=');
        i += escaped ? 2 : 0;
    }
    return !out->over;
}

// RFC 7628 section 3.1: gs2-header, ^A, pairs, ^A. There is no channel binding with it.
static struct sasl_outcome
bearer_step(struct sasl *s, struct span response, struct fault *f)
{
    struct span rest = response, flag, authzid, empty;
    if (!response.p)
        return proceed(SPAN(""));
    if (has_nul(response) || span_next_field(&rest, ',', &flag) != R_OK ||
        (!span_eq(flag, SPAN("n")) && !span_eq(flag, SPAN("y"))) ||
        span_next_field(&rest, ',', &authzid) != R_OK ||
        (authzid.n > 0 && (!span_starts(authzid, SPAN("a=")) ||
                           !unescape(span_skip(authzid, 2), &s->user))) ||
        span_next_field(&rest, '\1', &empty) != R_OK || empty.n > 0 || !take_pairs(s, rest))
        return refuse(s, f, FAULT_BAD, "not a bearer token's message");
    return judge_token(s);
}

// "user=NAME" ^A "auth=Bearer TOKEN" ^A ^A
static struct sasl_outcome
xoauth2_step(struct sasl *s, struct span response, struct fault *f)
{
    struct span rest = response, user;
    if (!response.p)
        return proceed(SPAN(""));
    if (has_nul(response) || span_next_field(&rest, '\1', &user) != R_OK ||
        !span_starts(user, SPAN("user=")) || user.n == 5 || !take_pairs(s, rest))
        return refuse(s, f, FAULT_BAD, "not user, token and two ^A");
    buf_put(&s->user, span_skip(user, 5));
    if (s->user.over)
        return refuse(s, f, FAULT_AUTHFAILED, "user name too long");
    return judge_token(s);
}

// RFC 4422 appendix A: the response is the authorization identity, or nothing.
static struct sasl_outcome
external_step(struct sasl *s, struct span response, struct fault *f)
{
    if (!response.p)
        return proceed(SPAN(""));
    if (has_nul(response))
        return refuse(s, f, FAULT_BAD, "NUL in the response");
    if (response.n > 0 && !same_user(response, buf_span(&s->user)))
        buf_put(&s->authzid, response);
    if (s->authzid.over)
        return refuse(s, f, FAULT_AUTHFAILED, "authorization identity too long");
    s->over = true;
    return (struct sasl_outcome){.verdict = SASL_EXTERNAL,
                                 .user = buf_span(&s->user),
                                 .authzid = buf_span(&s->authzid)};
}

void
sasl_token_error(const struct sasl *s, struct span scope, struct span issuer,
                 struct buf *out)
{
    bool standard = s->mechanism->step == bearer_step;
    buf_put_str(out, standard ? "{\"status\":\"invalid_token\""
                              : "{\"status\":\"401\",\"schemes\":\"bearer\"");
    buf_put_str(out, ",\"scope\":");
    json_put_string(out, scope, LIMIT_line_preauth);
    if (standard && issuer.n > 0) {
        struct buf url;
        buf_init(&url, LIMIT_line_preauth);
        buf_printf(&url, "%.*s%s", SPAN_ARG(issuer),
                   span_ends(issuer, SPAN("/")) ? ".well-known/openid-configuration"
                                                : "/.well-known/openid-configuration");
        buf_put_str(out, ",\"openid-configuration\":");
        json_put_string(out, buf_span(&url), LIMIT_line_preauth);
        buf_done(&url);
    }
    buf_put_char(out, '}');
}

static const struct mechanism mechanisms[] = {
    {"PLAIN", false, false, 0, plain_step},
    {"LOGIN", false, false, 0, login_step},
    {"OAUTHBEARER", false, false, 0, bearer_step},
    {"XOAUTH2", false, false, 0, xoauth2_step},
    {"EXTERNAL", false, false, 0, external_step},
    {"SCRAM-SHA-256", false, true, SCRAM_SHA_256, scram_step},
    {"SCRAM-SHA-256-PLUS", true, true, SCRAM_SHA_256, scram_step},
    {"SCRAM-SHA-1", false, true, SCRAM_SHA_1, scram_step},
    {"SCRAM-SHA-1-PLUS", true, true, SCRAM_SHA_1, scram_step},
};

static const struct mechanism *
mechanism_find(struct span name)
{
    for (size_t i = 0; i < sizeof mechanisms / sizeof mechanisms[0]; i++)
        if (span_ieq(name, span_str(mechanisms[i].name)))
            return &mechanisms[i];
    return NULL;
}

void
sasl_init(void)
{
    if (library)
        return;
    must(gsasl_init(&library) == GSASL_OK);
    gsasl_callback_set(library, on_property);
}

static enum result
scram_start(struct sasl *s, struct fault *f)
{
    int rc = gsasl_server_start(library, s->mechanism->name, &s->session);
    if (rc != GSASL_OK)
        return fault_set(f, FAULT_SERVERBUG, "%s: %s", s->mechanism->name,
                         gsasl_strerror(rc));
    gsasl_session_hook_set(s->session, s);
    return R_OK;
}

enum result
sasl_new(const struct sasl_setup *setup, struct sasl **out, struct fault *f)
{
    const struct mechanism *m = mechanism_find(setup->mechanism);
    bool external = m && m->step == external_step;
    if (!m || (m->plus && setup->exporter.n == 0) ||
        (external && setup->certificate.n == 0))
        return fault_set(f, FAULT_CANNOT, "unsupported mechanism");
    struct sasl *s = calloc(1, sizeof *s);
    must(s != NULL);
    s->mechanism = m;
    s->keys = setup->keys;
    s->arg = setup->arg;
    s->plus_offered = setup->plus_offered;
    buf_init(&s->exporter, 128);
    buf_init(&s->user, LIMIT_user_name);
    buf_init(&s->authzid, LIMIT_user_name);
    buf_init(&s->token, LIMIT_sasl_response);
    buf_init(&s->password, LIMIT_password);
    buf_init(&s->data, LIMIT_sasl_response + 512);
    if (setup->exporter.n > 0) {
        encode_base64(setup->exporter, &s->exporter);
        buf_put_char(&s->exporter, '\0');
    }
    if (external)
        buf_put(&s->user, setup->certificate);
    if (s->user.over)
        fault_set(f, FAULT_CANNOT, "the name in the certificate is too long");
    if (s->user.over || (m->scram && scram_start(s, f))) {
        sasl_free(&s);
        return R_FAIL;
    }
    *out = s;
    return R_OK;
}

void
sasl_free(struct sasl **s)
{
    if (!*s)
        return;
    if ((*s)->session)
        gsasl_finish((*s)->session);
    if ((*s)->password.n > 0)
        sodium_memzero((*s)->password.p, (*s)->password.n);
    buf_done(&(*s)->exporter);
    buf_done(&(*s)->user);
    buf_done(&(*s)->authzid);
    if ((*s)->token.n > 0)
        sodium_memzero((*s)->token.p, (*s)->token.n);
    buf_done(&(*s)->token);
    buf_done(&(*s)->password);
    buf_done(&(*s)->data);
    sodium_memzero(&(*s)->scram, sizeof(*s)->scram);
    free(*s);
    *s = NULL;
}

struct sasl_outcome
sasl_step(struct sasl *s, struct span response, struct fault *f)
{
    must(!s->over);
    if (response.n > LIMIT_sasl_response)
        return refuse(s, f, FAULT_BAD, "response too long");
    return s->mechanism->step(s, response, f);
}

// gs2-header (two commas), then "n=" and the name up to the next comma (RFC 5802 section 7).
enum result
sasl_scram_user(const struct sasl *s, struct span response, struct buf *user_out)
{
    struct span rest = response, flag, authzid, name;
    if (!s->mechanism->scram || s->has_keys || span_next_field(&rest, ',', &flag) != R_OK ||
        span_next_field(&rest, ',', &authzid) != R_OK ||
        span_next_field(&rest, ',', &name) != R_OK || !span_starts(name, SPAN("n=")))
        return R_NONE;
    return unescape(span_skip(name, 2), user_out) && user_out->n > 0 ? R_OK : R_NONE;
}

struct span
sasl_user(const struct sasl *s)
{
    return buf_span(&s->user);
}
