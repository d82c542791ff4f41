// RFC 3894: :copy leaves the implicit keep.

#include "sieve/ext.h"

static enum result
apply(struct sieve_run *r, const struct sieve_call *call, const struct sieve_value *value,
      struct sieve_action *action)
{
    (void)call, (void)value;
    return sieve_detail_put(r, action, "copy", SPAN_NONE);
}

static const struct sieve_tag tags[] = {
    {"copy", .command = "fileinto redirect pipe", .apply = apply}, {0}};

const struct sieve_ext sieve_ext_copy = {
    .capability = "copy", .rfc = "RFC 3894", .tags = tags};
