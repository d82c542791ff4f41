// A provider's key set, a stranger's token (behind the first line feed), and both as an introspection answer: no crash, and no
// token that a fuzzer makes is signed.
#include "auth/token.h"
#include "base/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_of(data, size), set;
    const struct token_rules rules = {SPAN("i"), SPAN("a b"), SPAN("email")};
    struct token_keys *keys = NULL;
    struct fault f;
    struct token_found found = {0};
    if (token_introspected(in, &rules, 0, &found, &f) == R_OK)
        must(found.user.n > 0 && found.user.n <= LIMIT_user_name && found.expires_s > 0);
    if (span_next_field(&in, '\n', &set) == R_OK && in.p) {
        bool known = token_keys_parse(set, &keys, &f) == R_OK;
        must(token_verify(known ? keys : NULL, in, &rules, 0, &found, &f) != R_OK);
    }
    token_keys_free(&keys);
    return 0;
}
