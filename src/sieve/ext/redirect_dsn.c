// RFC 6009: redirect with DSN (RFC 3461) and DELIVERBY (RFC 2852).

#include "sieve/ext.h"
#include "wire/date.h"

static bool
is_among(struct span s, const char *words)
{
    struct span rest = span_str(words), one;
    while (span_next_field(&rest, ' ', &one) == R_OK)
        if (span_ieq(s, one))
            return true;
    return false;
}

// "NEVER", or some of the others.
static bool
is_notify(struct span s)
{
    struct span one;
    if (span_ieq(s, SPAN("NEVER")))
        return true;
    if (s.n == 0)
        return false;
    while (span_next_field(&s, ',', &one) == R_OK)
        if (!is_among(one, "SUCCESS FAILURE DELAY"))
            return false;
    return true;
}

static bool
is_ret(struct span s)
{
    return is_among(s, "FULL HDRS");
}

static bool
is_mode(struct span s)
{
    return is_among(s, "notify return");
}

static bool
is_moment(struct span s)
{
    int64_t utc_s;
    return date_time_parse_internet(s, &utc_s) == R_OK;
}

// "+0200" as "+02:00": RFC 6009's own example (section 7.2) takes the zone of a date test (RFC 5260).
static struct span
with_colon(struct arena *a, struct span s)
{
    struct span zone = span_skip(s, s.n < 5 ? 0 : s.n - 5);
    struct buf b;
    bool plain = zone.n == 5 && (*zone.p == '+' || *zone.p == '-');
    for (size_t i = 1; plain && i < zone.n; i++)
        plain = ascii_is_digit(zone.p[i]);
    if (!plain)
        return s;
    buf_init(&b, s.n + 1);
    buf_put(&b, span_slice(s, 0, s.n - 2));
    buf_put_char(&b, ':');
    buf_put(&b, span_skip(s, s.n - 2));
    struct span text = arena_dup(a, buf_span(&b));
    buf_done(&b);
    return text;
}

static enum result
put(struct sieve_run *r, const struct sieve_call *call, const struct sieve_value *value,
    struct sieve_action *a, const char *name)
{
    struct span text;
    bool good = false;
    if (sieve_one(r, value, &text) != R_OK)
        return R_FAIL;
    if (span_eq(span_str(name), SPAN("notify")))
        good = is_notify(text);
    else if (span_eq(span_str(name), SPAN("ret")))
        good = is_ret(text);
    else if (span_eq(span_str(name), SPAN("bymode")))
        good = is_mode(text);
    else {
        if (sieve_room(r, text.n + 1) != R_OK)
            return R_FAIL;
        text = with_colon(sieve_scratch(r), text);
        good = is_moment(text);
    }
    if (!good)
        return sieve_fail(r, call, ":%s cannot be \"%.*s\"", name,
                          SPAN_ARG(span_slice(text, 0, 60)));
    return sieve_detail_put(r, a, name, text);
}

static enum result
apply_notify(struct sieve_run *r, const struct sieve_call *call,
             const struct sieve_value *value, struct sieve_action *a)
{
    return put(r, call, value, a, "notify");
}

static enum result
apply_ret(struct sieve_run *r, const struct sieve_call *call,
          const struct sieve_value *value, struct sieve_action *a)
{
    return put(r, call, value, a, "ret");
}

static enum result
apply_mode(struct sieve_run *r, const struct sieve_call *call,
           const struct sieve_value *value, struct sieve_action *a)
{
    return put(r, call, value, a, "bymode");
}

static enum result
apply_absolute(struct sieve_run *r, const struct sieve_call *call,
               const struct sieve_value *value, struct sieve_action *a)
{
    return put(r, call, value, a, "bytimeabsolute");
}

static enum result
apply_relative(struct sieve_run *r, const struct sieve_call *call,
               const struct sieve_value *value, struct sieve_action *a)
{
    char digits[24];
    (void)call;
    int n = snprintf(digits, sizeof digits, "%llu", (unsigned long long)value->number);
    return sieve_detail_put(r, a, "bytimerelative", span_of(digits, (size_t)n));
}

static enum result
apply_trace(struct sieve_run *r, const struct sieve_call *call,
            const struct sieve_value *value, struct sieve_action *a)
{
    (void)call, (void)value;
    return sieve_detail_put(r, a, "bytrace", SPAN_NONE);
}

// :bymode and :bytrace mean something with a time only.
static enum result
check_time(struct sieve_compiler *c, struct sieve_call *call,
           const struct sieve_value *value)
{
    (void)value;
    if (sieve_tag(call, "bytimerelative") || sieve_tag(call, "bytimeabsolute"))
        return R_OK;
    return sieve_wrong(c, call->line, call->column,
                       ":bymode and :bytrace need :bytimerelative or :bytimeabsolute");
}

static const struct sieve_tag dsn_tags[] = {
    {"notify", 's', .command = "redirect", .apply = apply_notify},
    {"ret", 's', .command = "redirect", .apply = apply_ret},
    {0},
};
static const struct sieve_tag deliverby_tags[] = {
    {"bytimerelative", 'n', "bytime", "redirect", .apply = apply_relative},
    {"bytimeabsolute", 's', "bytime", "redirect", .apply = apply_absolute},
    {"bymode", 's', NULL, "redirect", check_time, apply_mode},
    {"bytrace", 0, NULL, "redirect", check_time, apply_trace},
    {0},
};

const struct sieve_ext sieve_ext_redirect_dsn = {
    .capability = "redirect-dsn", .rfc = "RFC 6009", .tags = dsn_tags};
const struct sieve_ext sieve_ext_redirect_deliverby = {
    .capability = "redirect-deliverby", .rfc = "RFC 6009", .tags = deliverby_tags};
