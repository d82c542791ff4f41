// RFC 5233: :user and :detail.

#include "sieve/ext.h"

static size_t
separator(struct sieve_run *r, struct span local)
{
    char c = sieve_world(r)->separator;
    return c ? span_find_char(local, c) : local.n;
}

static enum result
user(struct sieve_run *r, struct span local, struct span domain, struct span *out)
{
    (void)domain;
    *out = span_slice(local, 0, separator(r, local));
    return R_OK;
}

static enum result
detail(struct sieve_run *r, struct span local, struct span domain, struct span *out)
{
    size_t at = separator(r, local);
    (void)domain;
    if (at == local.n)
        return R_NONE;
    *out = span_skip(local, at + 1);
    return R_OK;
}

static const struct sieve_part parts[] = {{"user", user}, {"detail", detail}, {0}};

const struct sieve_ext sieve_ext_subaddress = {
    .capability = "subaddress", .rfc = "RFC 5233", .parts = parts};
