// RFC 8580: :fcc; with it :flags, :create, :specialuse and :mailboxid say how the copy is filed.

#include "sieve/ext.h"

static enum result
apply(struct sieve_run *r, const struct sieve_call *call, const struct sieve_value *value,
      struct sieve_action *action)
{
    struct span name;
    if (sieve_mailbox(r, call, value, &name) != R_OK)
        return R_FAIL;
    return sieve_detail_put(r, action, "fcc", name);
}

enum result
sieve_filing_check(struct sieve_compiler *c, struct sieve_call *call,
                   const struct sieve_value *value)
{
    const char *name = call->command->name;
    bool writes = strcmp(name, "vacation") == 0 || strcmp(name, "notify") == 0;
    (void)value;
    if (!writes || sieve_tag(call, "fcc"))
        return R_OK;
    return sieve_wrong(c, call->line, call->column,
                       "what says how a copy of a %s is filed needs :fcc", name);
}

static const struct sieve_tag tags[] = {
    {"fcc", 's', .command = "vacation notify", .apply = apply}, {0}};

const struct sieve_ext sieve_ext_fcc = {
    .capability = "fcc", .rfc = "RFC 8580", .tags = tags};
