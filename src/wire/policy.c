#include "wire/policy.h"

#include "base/limits.h"

size_t
policy_request_end(struct span input)
{
    if (input.n > 0 && input.p[0] == '\n')
        return 1;
    for (size_t i = 1; i < input.n; i++)
        if (input.p[i] == '\n' && input.p[i - 1] == '\n')
            return i + 1;
    return 0;
}

static enum result
take(struct policy_request *r, struct span name, struct span value, struct fault *f)
{
    if (span_eq(name, SPAN("request")))
        r->request = value;
    else if (span_eq(name, SPAN("protocol_state")))
        r->protocol_state = value;
    else if (span_eq(name, SPAN("recipient")))
        r->recipient = value;
    else if (span_eq(name, SPAN("sender")))
        r->sender = value;
    else if (span_eq(name, SPAN("sasl_username")))
        r->sasl_username = value;
    else if (span_eq(name, SPAN("size")) && span_to_u64(value, &r->size) != R_OK)
        return fault_set(f, FAULT_BAD, "size is no number");
    return R_OK;
}

static bool
is_clean(struct span line)
{
    return memchr(line.p, '\0', line.n) == NULL && memchr(line.p, '\r', line.n) == NULL;
}

static enum result
take_line(struct policy_request *r, struct span line, struct fault *f)
{
    size_t at = span_find_char(line, '=');
    if (line.n > LIMIT_policy_line)
        return fault_set(f, FAULT_BAD, "a line of %zu octets", line.n);
    if (at == 0 || at == line.n || !is_clean(line))
        return fault_set(f, FAULT_BAD, "no attribute: %.*s",
                         SPAN_ARG(span_slice(line, 0, 40)));
    return take(r, span_slice(line, 0, at), span_skip(line, at + 1), f);
}

enum result
policy_request_parse(struct span text, struct policy_request *out, struct fault *f)
{
    struct policy_request r = {.request = SPAN_NONE};
    struct span rest = text;
    for (unsigned n = 0; rest.n > 0; n++) {
        size_t end = span_find_char(rest, '\n');
        struct span line = span_slice(rest, 0, end);
        if (line.n == 0)
            break;
        if (n == LIMIT_policy_attributes)
            return fault_set(f, FAULT_BAD, "more than %u attributes", n);
        if (take_line(&r, line, f) != R_OK)
            return R_FAIL;
        rest = span_skip(rest, end + 1);
    }
    *out = r;
    return R_OK;
}
