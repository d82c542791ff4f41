// RFC 8580: :fcc; with it :flags, :create, :specialuse and :mailboxid say how the copy is filed.

#include "base/limits.h"
#include "base/utf8.h"
#include "sieve/ext.h"

static enum result
apply(struct sieve_run *r, const struct sieve_call *call, const struct sieve_value *value,
      struct sieve_action *action)
{
    struct span name;
    if (sieve_one(r, value, &name) != R_OK)
        return R_FAIL;
    if (name.n == 0 || name.n > LIMIT_mailbox_name || !utf8_valid(name) ||
        span_find_char(name, '\0') < name.n)
        return sieve_fail(r, call, "\"%.*s\" is no name of a mailbox",
                          SPAN_ARG(span_slice(name, 0, 60)));
    return sieve_detail_put(r, action, "fcc", name);
}

static const struct sieve_tag tags[] = {
    {"fcc", 's', .command = "vacation notify", .apply = apply}, {0}};

const struct sieve_ext sieve_ext_fcc = {
    .capability = "fcc", .rfc = "RFC 8580", .tags = tags};
