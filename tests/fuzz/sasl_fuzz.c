// SASL exchanges: responses cut at line feeds, for each mechanism; no crash, and nobody gets in without the keys. Or a right
// client of SCRAM, whose messages are changed on the way: whoever gets in has sent what that client said.
#include "auth/sasl.h"
#include "auth/encode.h"
#include "base/limits.h"

#include <gsasl.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    PLUS_OFFERED = 8,
    CERTIFICATE = 16,
    NO_TLS = 32,
    ASKS_FIRST = 64,
    RIGHT_CLIENT = 128
};

static const char *const mechanisms[] = {
    "PLAIN",       "LOGIN",       "SCRAM-SHA-256",    "SCRAM-SHA-256-PLUS",
    "OAUTHBEARER", "SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "XOAUTH2"};

static void
give_decoys(void *arg, enum scram_hash hash, struct span user, struct scram_keys *out)
{
    const struct scram_keys like = {.iterations = 4096, .salt_n = 16};
    scram_decoy(hash, span_str(arg), user, &like, out);
}

// ---- a right client ----

static const char salt[] = "0123456789abcdef", password[] = "secret";

static const struct scram_keys *
keys_of_alice(enum scram_hash hash)
{
    static struct scram_set kept;
    struct fault f;
    if (!scram_has(&kept, hash))
        must(scram_derive(hash, SPAN("secret"), 4096, SPAN("0123456789abcdef"),
                          &kept.of[hash], &f) == R_OK);
    return &kept.of[hash];
}

// In place of 4,096 rounds for each input.
static const char *
salted_password(enum scram_hash hash)
{
    static struct buf kept[SCRAM_HASHES];
    char salted[SCRAM_KEY_MAX], client[SCRAM_KEY_MAX], server[SCRAM_KEY_MAX],
        stored[SCRAM_KEY_MAX];
    if (kept[hash].n > 0)
        return kept[hash].p;
    must(gsasl_scram_secrets_from_password(
             hash == SCRAM_SHA_1 ? GSASL_HASH_SHA1 : GSASL_HASH_SHA256, password, 4096,
             salt, sizeof salt - 1, salted, client, server, stored) == GSASL_OK);
    buf_init(&kept[hash], SIZE_MAX);
    for (size_t i = 0; i < scram_key_size(hash); i++)
        buf_printf(&kept[hash], "%02x", (unsigned char)salted[i]);
    buf_put_char(&kept[hash], '\0');
    return kept[hash].p;
}

static void
give_keys(void *arg, enum scram_hash hash, struct span user, struct scram_keys *out)
{
    if (span_eq(user, SPAN("alice")))
        *out = *keys_of_alice(hash);
    else
        give_decoys(arg, hash, user, out);
}

static Gsasl_session *
right_client(const char *mechanism, bool plus, bool acts_for_bob)
{
    static Gsasl *library;
    Gsasl_session *c = NULL;
    enum scram_hash hash = strstr(mechanism, "256") ? SCRAM_SHA_256 : SCRAM_SHA_1;
    struct buf exporter;
    if (!library)
        must(gsasl_init(&library) == GSASL_OK);
    must(gsasl_client_start(library, mechanism, &c) == GSASL_OK);
    must(gsasl_property_set(c, GSASL_AUTHID, "alice") == GSASL_OK);
    must(gsasl_property_set(c, GSASL_SCRAM_SALTED_PASSWORD, salted_password(hash)) ==
         GSASL_OK);
    if (acts_for_bob)
        must(gsasl_property_set(c, GSASL_AUTHZID, "b") == GSASL_OK);
    buf_init(&exporter, SIZE_MAX);
    encode_base64(SPAN("0123456789abcdef0123456789abcdef"), &exporter);
    buf_put_char(&exporter, '\0');
    if (plus)
        must(gsasl_property_set(c, GSASL_CB_TLS_EXPORTER, exporter.p) == GSASL_OK);
    buf_done(&exporter);
    return c;
}

// What the client says in this step, and what of it arrives: the input has triples of step, place, and what is turned over.
static enum result
says(Gsasl_session *c, struct span challenge, struct span changes, unsigned step,
     struct buf *said, struct buf *arrives)
{
    char *out = NULL;
    size_t n = 0;
    int rc = gsasl_step(c, challenge.p, challenge.n, &out, &n);
    if (rc != GSASL_OK && rc != GSASL_NEEDS_MORE)
        return R_FAIL;
    buf_reset(said);
    buf_put(said, span_of(out, n));
    buf_reset(arrives);
    buf_put(arrives, span_of(out, n));
    gsasl_free(out);
    for (; changes.n >= 3 && n > 0; changes = span_skip(changes, 3))
        if ((unsigned char)changes.p[0] % 2 == step)
            arrives->p[(unsigned char)changes.p[1] % n] ^= changes.p[2];
    return R_OK;
}

// The last character of the proof's base64 before its '=' has bits that say nothing.
static struct span
counts(const struct buf *message, unsigned step)
{
    return span_slice(buf_span(message), 0, message->n - (step == 1 ? 2 : 0));
}

static void
meet(struct sasl *s, Gsasl_session *c, struct span changes)
{
    struct sasl_outcome o = {.verdict = SASL_CONTINUE, .data = SPAN("")};
    struct buf said, arrives;
    struct fault f;
    bool same = true;
    buf_init(&said, SIZE_MAX);
    buf_init(&arrives, SIZE_MAX);
    for (unsigned step = 0; o.verdict == SASL_CONTINUE && step < 3; step++) {
        if (says(c, o.data, changes, step, &said, &arrives) != R_OK)
            break;
        same = same && span_eq(counts(&said, step), counts(&arrives, step));
        o = sasl_step(s, buf_span(&arrives), &f);
        must(o.verdict == SASL_CONTINUE || o.verdict == SASL_OK || !same || changes.n > 0);
    }
    must(o.verdict != SASL_OK || same);
    must(changes.n >= 3 || o.verdict == SASL_OK);
    if (o.verdict == SASL_OK) {
        must(span_eq(o.user, SPAN("alice")) && o.authzid.n <= 1);
        must(says(c, o.data, SPAN_NONE, 0, &said, &arrives) == R_OK);  // it is our server
    }
    buf_done(&said);
    buf_done(&arrives);
}

static void
right_one(uint8_t how, struct span changes)
{
    static const char *const ways[] = {"SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-1",
                                       "SCRAM-SHA-1-PLUS"};
    bool plus = how & 1;
    struct sasl_setup setup = {.mechanism = span_str(ways[how & 3]),
                               .keys = give_keys,
                               .arg = "k",
                               .plus_offered = plus};
    struct sasl *s = NULL;
    struct fault f;
    if (plus)
        setup.exporter = SPAN("0123456789abcdef0123456789abcdef");
    Gsasl_session *c = right_client(ways[how & 3], plus, how & 4);
    must(sasl_new(&setup, &s, &f) == R_OK);
    meet(s, c, changes);
    sasl_free(&s);
    gsasl_finish(c);
}

// ---- strangers ----

static void
check(struct sasl *s, const struct sasl_outcome *o)
{
    struct buf told;
    must(o->verdict != SASL_OK);
    must(o->user.n <= LIMIT_user_name && o->authzid.n <= LIMIT_user_name);
    if (o->verdict == SASL_CHECK)
        must(o->user.n > 0 && o->password.n <= LIMIT_password);
    if (o->verdict == SASL_EXTERNAL)
        must(span_eq(o->user, SPAN("carol")));
    if (o->verdict != SASL_TOKEN)
        return;
    must(o->password.n > 0);
    buf_init(&told, SIZE_MAX);
    sasl_token_error(s, SPAN("mail"), span_slice(o->password, 0, 20), &told);
    must(told.n > 2 && told.p[0] == '{' && told.p[told.n - 1] == '}');
    buf_done(&told);
}

// Whom SCRAM's first message names is whom it asks the keys of.
static void
check_name(struct sasl *s, struct span response, struct sasl_outcome *o)
{
    struct buf user;
    struct fault f;
    buf_init(&user, LIMIT_user_name);
    bool named = sasl_scram_user(s, response, &user) == R_OK;
    *o = sasl_step(s, response, &f);
    if (named && o->verdict == SASL_CONTINUE && sasl_user(s).n > 0)
        must(span_eq(sasl_user(s), buf_span(&user)));
    buf_done(&user);
}

static void
stranger(uint8_t how, struct span in)
{
    struct span response;
    struct sasl_setup setup = {.mechanism = span_str(mechanisms[how & 7]),
                               .keys = give_decoys,
                               .arg = "k",
                               .plus_offered = how & PLUS_OFFERED};
    struct sasl_outcome o = {.verdict = SASL_CONTINUE};
    struct sasl *s = NULL;
    struct fault f;
    if (!(how & NO_TLS))
        setup.exporter = SPAN("0123456789abcdef0123456789abcdef");
    if (how & CERTIFICATE) {
        setup.mechanism = SPAN("external");
        setup.certificate = how & 1 ? SPAN("carol") : SPAN_NONE;
    }
    bool cannot = how & CERTIFICATE ? !(how & 1)
                                    : how & NO_TLS && strstr(mechanisms[how & 7], "PLUS");
    if (sasl_new(&setup, &s, &f) != R_OK) {
        must(cannot && f.kind == FAULT_CANNOT);
        return;
    }
    must(!cannot);
    if (how & ASKS_FIRST)
        o = sasl_step(s, SPAN_NONE, &f);
    while (o.verdict == SASL_CONTINUE && span_next_field(&in, '\n', &response) == R_OK)
        check_name(s, response, &o);
    check(s, &o);
    sasl_free(&s);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t how = size ? data[0] : 0;
    struct span in = span_skip(span_of(data, size), 1);
    sasl_init();
    if (how & RIGHT_CLIENT)
        right_one(how, in);
    else
        stranger(how, in);
    return 0;
}
