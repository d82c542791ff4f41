// RFC 5228 section 5.4: envelope.

#include "sieve/compile.h"

// Parts that an extension brings are rows here: name, capability (NULL: of envelope itself), has it addresses?
static const struct {
    const char *name;
    enum sieve_ext_number ext;
    bool address;
} envelope_parts[] = {
    {"from", SIEVE_EXT_envelope, true},
    {"to", SIEVE_EXT_envelope, true},
    {"auth", SIEVE_EXT_envelope, true},
    {"notify", SIEVE_EXT_envelope_dsn, false},
    {"orcpt", SIEVE_EXT_envelope_dsn, false},
    {"ret", SIEVE_EXT_envelope_dsn, false},
    {"envid", SIEVE_EXT_envelope_dsn, false},
    {"bytimeabsolute", SIEVE_EXT_envelope_deliverby, false},
    {"bytimerelative", SIEVE_EXT_envelope_deliverby, false},
    {"bymode", SIEVE_EXT_envelope_deliverby, false},
    {"bytrace", SIEVE_EXT_envelope_deliverby, false},
};
enum {
    NOTIFY = 3,
    BYTIMEABSOLUTE = 7,
    PARTS = sizeof envelope_parts / sizeof envelope_parts[0],
    BY_MAX_S = 999999999,  // RFC 2852 section 4
};

static size_t
find_part(struct span name)
{
    size_t i = 0;
    while (i < PARTS && !span_ieq(name, span_str(envelope_parts[i].name)))
        i++;
    return i;
}

static enum result
check(struct sieve_compiler *c, struct sieve_call *call)
{
    const struct sieve_value *v = &call->position[0];
    for (size_t i = 0; i < v->n; i++) {
        size_t part = find_part(v->strings[i].text);
        if (!sieve_is_constant(&v->strings[i]))
            continue;
        if (part == PARTS)
            return sieve_wrong(c, v->line, v->column, "an envelope has no part \"%.*s\"",
                               SPAN_ARG(span_slice(v->strings[i].text, 0, 60)));
        if (!c->enabled[envelope_parts[part].ext])
            return sieve_wrong(c, v->line, v->column, "\"%s\" needs require \"%s\"",
                               envelope_parts[part].name,
                               sieve_exts[envelope_parts[part].ext]->capability);
        if (call->says_part && !envelope_parts[part].address)
            return sieve_wrong(c, v->line, v->column, "\"%s\" is no address, it has no :%s",
                               envelope_parts[part].name, call->part->name);
    }
    return R_OK;
}

// RFC 6009 section 5: what is left of the time, as the moment when it is over.
static enum result
absolute_time(struct sieve_run *r, const struct sieve_call *call, struct span *out)
{
    const struct sieve_world *w = sieve_world(r);
    const struct sieve_value *zone = sieve_tag(call, "zone");
    int zone_min = w->zone_min;
    struct span text;
    struct buf b;
    uint64_t seconds;
    if (zone && sieve_one(r, zone, &text) != R_OK)
        return R_FAIL;
    if (zone && !sieve_zone_read(text, &zone_min))
        return sieve_fail(r, call, "\"%.*s\" is no zone",
                          SPAN_ARG(span_slice(text, 0, 60)));
    enum result there =
        w->envelope ? w->envelope(w->arg, SPAN("bytimerelative"), &text) : R_NONE;
    if (there != R_OK)
        return there;
    bool over = span_starts(text, SPAN("-"));
    if (span_to_u64(span_skip(text, over), &seconds) != R_OK || seconds > BY_MAX_S)
        return R_NONE;
    buf_init(&b, 64);
    sieve_put_iso8601(&b, w->now_s + (over ? -(int64_t)seconds : (int64_t)seconds),
                      zone_min);
    return sieve_take(r, &b, out);
}

static enum result
value_of(struct sieve_run *r, const struct sieve_call *call, size_t part, struct span *out)
{
    const struct sieve_world *w = sieve_world(r);
    if (part < 2 && !w->has_envelope)
        return R_NONE;
    if (part < 2) {
        *out = part == 0 ? w->from : w->to;
        return R_OK;
    }
    if (part == BYTIMEABSOLUTE)
        return absolute_time(r, call, out);
    return w->envelope ? w->envelope(w->arg, span_str(envelope_parts[part].name), out)
                       : R_NONE;
}

// Each condition is a value (RFC 6009 section 4).
static enum result
feed_notify(struct sieve_matching *m, struct span value)
{
    struct span one;
    while (!m->found && span_next_field(&value, ',', &one) == R_OK)
        if (sieve_match_feed(m, one) != R_OK)
            return R_FAIL;
    return R_OK;
}

// The null reverse-path is the empty string, for every address part.
static enum result
feed(struct sieve_run *r, const struct sieve_call *call, size_t part,
     struct sieve_matching *m)
{
    struct span value, text;
    enum result result = value_of(r, call, part, &value);
    if (result != R_OK)
        return result == R_NONE ? R_OK : R_FAIL;
    if (part == NOTIFY)
        return feed_notify(m, value);
    if (value.n == 0 || !envelope_parts[part].address)
        return sieve_match_feed(m, value);
    size_t at = span_behind_last(value, '@');
    struct span domain = at ? span_skip(value, at) : SPAN_NONE;
    struct span local = span_slice(value, 0, at ? at - 1 : value.n);
    result = call->part->part(r, local, domain, &text);
    if (result == R_OK)
        result = sieve_match_feed(m, text);
    return result == R_NONE ? R_OK : result;
}

static enum result
envelope(struct sieve_run *r, const struct sieve_call *call, bool *yes)
{
    struct sieve_matching m;
    struct span name;
    const struct sieve_value *names = &call->position[0];
    if (sieve_world(r)->stage == SIEVE_EVENT)  // RFC 6785 section 4.6
        return sieve_fail(r, call, "there is no envelope where an IMAP command runs it");
    if (sieve_match_begin(&m, r, call, &call->position[1]) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < names->n && !m.found; i++) {
        if (sieve_text(r, &names->strings[i], &name) != R_OK)
            return R_FAIL;
        size_t part = find_part(name);
        if (part < PARTS && sieve_is_enabled(r, envelope_parts[part].ext) &&
            feed(r, call, part, &m) != R_OK)
            return R_FAIL;
    }
    return sieve_match_end(&m, yes);
}

static const struct sieve_command commands[] = {
    {"envelope", SIEVE_TEST, "ll", .matches = true, .parts = true, .keys = 1,
     .check = check, .test = envelope},
    {0},
};

const struct sieve_ext sieve_ext_envelope = {
    .capability = "envelope", .rfc = "RFC 5228", .commands = commands};

// RFC 6009: the parts of DSN (RFC 3461) and DELIVERBY (RFC 2852).
const struct sieve_ext sieve_ext_envelope_dsn = {
    .capability = "envelope-dsn", .rfc = "RFC 6009", .implies = "envelope"};
static const struct sieve_tag by_tags[] = {
    {"zone", 's', .command = "envelope", .check = sieve_zone_check}, {0}};
const struct sieve_ext sieve_ext_envelope_deliverby = {.capability = "envelope-deliverby",
                                                       .rfc = "RFC 6009",
                                                       .tags = by_tags,
                                                       .implies = "envelope"};
