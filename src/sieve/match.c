#include "sieve/run.h"

static enum result
fold(struct sieve_run *r, enum collation collation, struct span s, struct span *out)
{
    struct buf b;
    *out = s;
    if (collation == COLLATION_OCTET || s.n == 0)
        return R_OK;
    if (sieve_work(r, s.n / 4 + 1) != R_OK)
        return R_FAIL;
    buf_init(&b, s.n * 11 + 64);
    mime_fold_as(&b, collation, s);
    return sieve_take(r, &b, out);
}

enum result
sieve_match_begin(struct sieve_matching *m, struct sieve_run *r,
                  const struct sieve_call *call, const struct sieve_value *keys)
{
    *m = (struct sieve_matching){.run = r, .call = call, .n = keys->n};
    if (keys == &call->position[call->command->keys])
        m->regexes = call->regexes;
    if (sieve_room(r, 2 * m->n * sizeof(struct span)) != R_OK ||
        sieve_work(r, m->n) != R_OK)
        return R_FAIL;
    m->keys = arena_array(r->scratch, m->n, sizeof(struct span));
    m->folded = arena_array(r->scratch, m->n, sizeof(struct span));
    for (size_t i = 0; i < m->n; i++)
        if (sieve_text(r, &keys->strings[i], &m->keys[i]) != R_OK ||
            fold(r, call->comparator->collation, m->keys[i], &m->folded[i]) != R_OK)
            return R_FAIL;
    return R_OK;
}

int
sieve_compare(struct sieve_matching *m, struct span value, size_t key)
{
    const struct sieve_comparator *c = m->call->comparator;
    return c->compare ? c->compare(value, m->keys[key])
                      : span_cmp(m->value_folded, m->folded[key]);
}

enum result
sieve_match_feed(struct sieve_matching *m, struct span value)
{
    if (value.p == NULL)
        value = SPAN("");
    m->count++;
    if (m->call->match->counts)
        return R_OK;
    if (fold(m->run, m->call->comparator->collation, value, &m->value_folded) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < m->n && !m->found; i++)
        if (sieve_work(m->run, 1) != R_OK ||
            m->call->match->test(m, value, i, &m->found) != R_OK)
            return R_FAIL;
    return R_OK;
}

enum result
sieve_match_end(struct sieve_matching *m, bool *yes)
{
    char digits[24];
    *yes = m->found;
    if (!m->call->match->counts)
        return R_OK;
    int n = snprintf(digits, sizeof digits, "%llu", (unsigned long long)m->count);
    struct span value = span_of(digits, (size_t)n);
    if (fold(m->run, m->call->comparator->collation, value, &m->value_folded) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < m->n && !*yes; i++)
        if (m->call->match->test(m, value, i, yes) != R_OK)
            return R_FAIL;
    return R_OK;
}
