// SASL exchanges: responses cut at line feeds, for each mechanism; no crash, and nobody gets in without the keys.
#include "auth/sasl.h"
#include "base/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
give_keys(void *arg, enum scram_hash hash, struct span user, struct scram_keys *out)
{
    const struct scram_keys like = {.iterations = 4096, .salt_n = 16};
    scram_decoy(hash, span_str(arg), user, &like, out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const mechanisms[] = {
        "PLAIN",       "LOGIN",       "SCRAM-SHA-256",    "SCRAM-SHA-256-PLUS",
        "OAUTHBEARER", "SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "XOAUTH2"};
    struct span in = span_skip(span_of(data, size), 1), response;
    struct sasl_setup setup = {.mechanism = span_str(mechanisms[size ? data[0] & 7 : 0]),
                               .keys = give_keys,
                               .arg = "k"};
    struct sasl_outcome o = {.verdict = SASL_CONTINUE};
    struct sasl *s = NULL;
    struct fault f;
    setup.exporter = SPAN("0123456789abcdef0123456789abcdef");
    setup.plus_offered = size && data[0] & 8;
    sasl_init();
    must(sasl_new(&setup, &s, &f) == R_OK);
    while (o.verdict == SASL_CONTINUE && span_next_field(&in, '\n', &response) == R_OK)
        o = sasl_step(s, response, &f);
    must(o.verdict != SASL_OK);
    if (o.verdict == SASL_CHECK)
        must(o.user.n > 0 && o.user.n <= LIMIT_user_name && o.password.n <= LIMIT_password);
    if (o.verdict == SASL_TOKEN)
        must(o.user.n <= LIMIT_user_name && o.password.n > 0);
    sasl_free(&s);
    return 0;
}
