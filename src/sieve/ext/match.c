// RFC 5228 section 2.7: :is, :contains and :matches; :all, :localpart and :domain.

#include "sieve/glob.h"

static enum result
is(struct sieve_matching *m, struct span value, size_t key, bool *yes)
{
    *yes = sieve_compare(m, value, key) == 0;
    return R_OK;
}

static enum result
contains(struct sieve_matching *m, struct span value, size_t key, bool *yes)
{
    struct span in = m->value_folded, of = m->folded[key];
    (void)value;
    if (sieve_work(m->run, in.n / 16 + 1) != R_OK)
        return R_FAIL;
    *yes = of.n == 0 || span_find(in, of) < in.n;
    return R_OK;
}

// The octets of ASCII and octet comparators stay where they are when folded; characters of others do not.
static enum result
matches(struct sieve_matching *m, struct span value, size_t key, bool *yes)
{
    struct sieve_glob g = {0};
    enum collation collation = m->call->comparator->collation;
    g.characters = collation == COLLATION_CASEMAP;
    g.collation = collation;
    g.pattern = g.characters ? m->keys[key] : m->folded[key];
    g.value = g.characters ? value : m->value_folded;
    struct sieve_steps steps = sieve_steps_begin(m->run);
    g.steps = &steps;
    enum result done = sieve_glob(&g, yes);
    if (sieve_steps_end(m->run, &steps, done == R_OK) != R_OK)
        return R_FAIL;
    if (!*yes)
        return R_OK;
    for (size_t i = 0; i < g.n; i++)  // of the value, not of its folded form
        g.taken[i].p = value.p + (g.taken[i].p - g.value.p);
    return sieve_captures_set(m, g.taken, g.n);
}

static enum result
all(struct sieve_run *r, struct span local, struct span domain, struct span *out)
{
    struct buf b;
    buf_init(&b, local.n + domain.n + 1);
    buf_put(&b, local);
    if (domain.n > 0) {
        buf_put_char(&b, '@');
        buf_put(&b, domain);
    }
    return sieve_take(r, &b, out);
}

static enum result
localpart(struct sieve_run *r, struct span local, struct span domain, struct span *out)
{
    (void)r, (void)domain;
    *out = local;
    return R_OK;
}

static enum result
domain_part(struct sieve_run *r, struct span local, struct span domain, struct span *out)
{
    (void)r, (void)local;
    *out = domain;
    return R_OK;
}

static const struct sieve_match match_types[] = {
    {"is", .test = is},
    {"contains", .substring = true, .test = contains},
    {"matches", .substring = true, .test = matches},
    {0},
};
static const struct sieve_part parts[] = {
    {"all", all}, {"localpart", localpart}, {"domain", domain_part}, {0}};

const struct sieve_ext sieve_ext_match = {
    .rfc = "RFC 5228", .matches = match_types, .parts = parts};
