#include "mail/acl.h"

#include "auth/name.h"

#include <gsasl.h>

// RFC 4013 (RFC 4314 section 3).
static enum result
saslprep(struct arena *a, struct span given, struct span *out)
{
    char *prepared = NULL, *text = arena_alloc(a, given.n + 1);
    if (memchr(given.p, '\0', given.n))
        return R_FAIL;
    memcpy(text, given.p, given.n);
    text[given.n] = '\0';
    if (gsasl_saslprep(text, (Gsasl_saslprep_flags)0, &prepared, NULL) != GSASL_OK)
        return R_FAIL;
    *out = arena_dup(a, span_str(prepared));
    gsasl_free(prepared);
    return out->n > 0 ? R_OK : R_FAIL;
}

// The marks in front of a name.
static size_t
marks(struct span s)
{
    size_t n = span_starts(s, SPAN("-"));
    return n + span_starts(span_skip(s, n), SPAN("$"));
}

enum result
acl_identifier(struct arena *a, struct span given, struct span *out, struct fault *f)
{
    struct name name;
    struct span prepared;
    if (given.n == 0 || saslprep(a, given, &prepared) != R_OK)
        return fault_set(f, FAULT_BAD, "no identifier");
    size_t n = marks(prepared);
    if (name_of(span_skip(prepared, n), &name, f) != R_OK)
        return fault_set(f, FAULT_BAD, "no identifier");
    char *text = arena_alloc(a, n + name.n);
    memcpy(text, prepared.p, n);
    memcpy(text + n, name.text, name.n);
    *out = span_of(text, n + name.n);
    return R_OK;
}
