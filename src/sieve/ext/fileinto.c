// RFC 5228 section 4.1: fileinto.

#include "base/limits.h"
#include "base/utf8.h"
#include "sieve/ext.h"

enum result
sieve_mailbox(struct sieve_run *r, const struct sieve_call *call,
              const struct sieve_value *v, struct span *out)
{
    struct span name;
    if (sieve_one(r, v, &name) != R_OK)
        return R_FAIL;
    if (name.n == 0 || name.n > LIMIT_mailbox_name || !utf8_valid(name) ||
        span_find_char(name, '\0') < name.n)
        return sieve_fail(r, call, "\"%.*s\" is no name of a mailbox",
                          SPAN_ARG(span_slice(name, 0, 60)));
    *out = name;
    return R_OK;
}

static enum result
fileinto(struct sieve_run *r, const struct sieve_call *call)
{
    struct span name;
    struct sieve_action *a;
    if (sieve_mailbox(r, call, &call->position[0], &name) != R_OK)
        return R_FAIL;
    if (sieve_tag(call, "copy") == NULL)
        sieve_cancel_keep(r);
    return sieve_action_new(r, call, SIEVE_FILEINTO, name, &a);
}

static const struct sieve_command commands[] = {
    {"fileinto", SIEVE_ACTION, "s", .act = fileinto}, {0}};

const struct sieve_ext sieve_ext_fileinto = {
    .capability = "fileinto", .rfc = "RFC 5228", .commands = commands};
