// Requests of a policy service: what is parsed lies within the request, and a request ends where its empty line does.
#include "wire/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void
inside(struct span part, struct span all)
{
    if (part.p && (part.p < all.p || part.p + part.n > all.p + all.n))
        abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct span in = span_of((const char *)data, n);
    struct policy_request r;
    struct fault f;
    size_t end = policy_request_end(in);
    if (end > n || (end > 0 && data[end - 1] != '\n'))
        abort();
    struct span text = span_slice(in, 0, end);
    if (end == 0 || policy_request_parse(text, &r, &f) != R_OK)
        return 0;
    inside(r.request, text);
    inside(r.protocol_state, text);
    inside(r.recipient, text);
    inside(r.sender, text);
    inside(r.sasl_username, text);
    return 0;
}
