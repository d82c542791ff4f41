#include "auth/user_quota.h"

enum { SHIFT_MAX = 40 };

static const uint64_t most = (uint64_t)INT64_MAX;

static enum result
bad(struct span value, struct fault *f)
{
    return fault_set(f, FAULT_BAD, "'%.*s' is no quota; write \"1G\", or \"*:storage=1G\"",
                     SPAN_ARG(span_slice(value, 0, 60)));
}

// "B", "K", "MB", "GiB": how many bits. R_FAIL: no unit.
static enum result
unit_bits(struct span unit, unsigned without, unsigned *out)
{
    static const char letters[] = "bkmgt";
    if (unit.n == 0) {
        *out = without;
        return R_OK;
    }
    const char *at = strchr(letters, ascii_lower(unit.p[0]));
    struct span rest = span_skip(unit, 1);
    if (unit.p[0] == '\0' || at == NULL ||
        (rest.n > 0 && !span_ieq(rest, SPAN("b")) && !span_ieq(rest, SPAN("ib"))))
        return R_FAIL;
    *out = (unsigned)(at - letters) * 10;
    return *out <= SHIFT_MAX ? R_OK : R_FAIL;
}

static enum result
read_limit(struct span text, unsigned without, bool units, uint64_t *out, struct fault *f)
{
    struct span s = span_trim(text);
    size_t digits = 0;
    uint64_t n = 0;
    unsigned bits = 0;
    for (; digits < s.n && ascii_is_digit(s.p[digits]); digits++) {
        if (n > (most - 9) / 10)
            return bad(text, f);
        n = n * 10 + (uint64_t)(s.p[digits] - '0');
    }
    struct span unit = span_skip(s, digits);
    if (digits == 0 || (!units && unit.n > 0) || unit_bits(unit, without, &bits) != R_OK ||
        n > most >> bits)
        return bad(text, f);
    *out = n == 0 ? USER_QUOTA_NONE : n << bits;
    return R_OK;
}

static enum result
take_word(struct user_quota *q, struct span word, struct fault *f)
{
    size_t at = span_find_char(word, '=');
    struct span name = span_slice(word, 0, at), value = span_skip(word, at + (at < word.n));
    if (span_ieq(name, SPAN("storage")))
        return read_limit(value, 10, true, &q->storage, f);
    if (span_ieq(name, SPAN("bytes")))
        return read_limit(value, 0, true, &q->storage, f);
    if (span_ieq(name, SPAN("messages")))
        return read_limit(value, 0, false, &q->messages, f);
    if (!span_ieq(name, SPAN("ignore")))
        return bad(word, f);
    *q = (struct user_quota){USER_QUOTA_NONE, USER_QUOTA_NONE};
    return R_OK;
}

static enum result
take_rule(struct user_quota *q, struct span rule, struct fault *f)
{
    struct span rest = rule, folder, word;
    if (span_next_field(&rest, ':', &folder) != R_OK || rest.n == 0)
        return bad(rule, f);
    if (!span_eq(folder, SPAN("*")) && !span_eq(folder, SPAN("?")))
        return R_OK;
    while (span_next_field(&rest, ':', &word) == R_OK)
        if (take_word(q, word, f) != R_OK)
            return R_FAIL;
    return R_OK;
}

// "quota_rule", "quota_rule2" .. "quota_rule99"
static bool
is_rule(struct span field)
{
    const struct span name = SPAN("quota_rule");
    size_t i = name.n;
    if (field.n < name.n || field.n > name.n + 2 ||
        !span_ieq(span_slice(field, 0, name.n), name))
        return false;
    while (i < field.n && ascii_is_digit(field.p[i]))
        i++;
    return i == field.n;
}

enum result
user_quota_take(struct user_quota *q, struct span field, struct span value, struct fault *f)
{
    bool storage = span_ieq(field, SPAN("quota_storage")) ||
                   span_ieq(field, SPAN("quota_storage_size"));
    bool messages = span_ieq(field, SPAN("quota_messages")) ||
                    span_ieq(field, SPAN("quota_message_count"));
    bool rule = is_rule(field);
    if (!storage && !messages && !rule)
        return R_NONE;
    if (span_trim(value).n == 0)
        return R_OK;
    struct user_quota now = *q;
    enum result r = storage    ? read_limit(value, 0, true, &now.storage, f)
                    : messages ? read_limit(value, 0, false, &now.messages, f)
                               : take_rule(&now, span_trim(value), f);
    if (r == R_OK)
        *q = now;
    return r;
}
