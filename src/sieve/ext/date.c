// RFC 5260 sections 4 and 5: date and currentdate.

#include "sieve/ext.h"
#include "mime/date.h"
#include "wire/date.h"

enum { DAY_S = 86400, JULIAN_EPOCH = 40587 };  // Modified Julian Day of 1970-01-01
enum { SEMICOLONS = 16 };                      // behind which a date is looked for

struct moment {
    int zone_min;
    int year, month, day, hour, minute, second, weekday;
    int32_t days;
};

static const char *const parts[] = {"year",  "month",  "day",    "date", "julian",
                                    "hour",  "minute", "second", "time", "iso8601",
                                    "std11", "zone",   "weekday"};
enum { PARTS = sizeof parts / sizeof parts[0] };

static bool
is_part(struct span s)
{
    for (size_t i = 0; i < PARTS; i++)
        if (span_ieq(s, span_str(parts[i])))
            return true;
    return false;
}

// "+0130" in minutes.
bool
sieve_zone_read(struct span s, int *minutes_out)
{
    if (s.n != 5 || (*s.p != '+' && *s.p != '-'))
        return false;
    uint32_t n;
    if (span_to_u32(span_skip(s, 1), &n) != R_OK || n % 100 > 59 || n / 100 > 23)
        return false;
    int minutes = (int)(n / 100 * 60 + n % 100);
    *minutes_out = *s.p == '-' ? -minutes : minutes;
    return true;
}

enum result
sieve_zone_check(struct sieve_compiler *c, struct sieve_call *call,
                 const struct sieve_value *value)
{
    int minutes;
    (void)call;
    if (!sieve_is_constant(&value->strings[0]) ||
        sieve_zone_read(value->strings[0].text, &minutes))
        return R_OK;
    return sieve_wrong(c, value->line, value->column, "\"%.*s\" is no zone like \"+0130\"",
                       SPAN_ARG(span_slice(value->strings[0].text, 0, 60)));
}

static enum result
check_part(struct sieve_compiler *c, struct sieve_call *call)
{
    const struct sieve_value *v =
        &call->position[call->command->keys - 1];  // before the keys
    if (!sieve_is_constant(&v->strings[0]) || is_part(v->strings[0].text))
        return R_OK;
    return sieve_wrong(c, v->line, v->column, "a date has no part \"%.*s\"",
                       SPAN_ARG(span_slice(v->strings[0].text, 0, 60)));
}

static struct moment
moment_of(int64_t utc_s, int zone_min)
{
    struct moment t = {.zone_min = zone_min};
    int64_t local = utc_s + (int64_t)zone_min * 60;
    int64_t days = local / DAY_S - (local % DAY_S < 0);
    int s = (int)(local - days * DAY_S);
    t.days = (int32_t)days;
    date_to_civil(t.days, &t.year, &t.month, &t.day);
    t.hour = s / 3600, t.minute = s / 60 % 60, t.second = s % 60;
    t.weekday = (int)(((days + 4) % 7 + 7) % 7);
    return t;
}

static void
put_zone(struct buf *b, int minutes, bool colon)
{
    unsigned n = (unsigned)(minutes < 0 ? -minutes : minutes);
    buf_printf(b, "%c%02u%s%02u", minutes < 0 ? '-' : '+', n / 60, colon ? ":" : "",
               n % 60);
}

static void
put_std11(struct buf *b, const struct moment *t)
{
    static const char days[] = "SunMonTueWedThuFriSat",
                      months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    buf_printf(b, "%.3s, %02d %.3s %04d %02d:%02d:%02d ", days + 3 * t->weekday, t->day,
               months + 3 * (t->month - 1), t->year, t->hour, t->minute, t->second);
    put_zone(b, t->zone_min, false);
}

static void
put_iso8601(struct buf *b, const struct moment *t)
{
    buf_printf(b, "%04d-%02d-%02dT%02d:%02d:%02d", t->year, t->month, t->day, t->hour,
               t->minute, t->second);
    if (t->zone_min == 0)
        buf_put_char(b, 'Z');
    else
        put_zone(b, t->zone_min, true);
}

void
sieve_put_iso8601(struct buf *b, int64_t utc_s, int zone_min)
{
    struct moment t = moment_of(utc_s, zone_min);
    put_iso8601(b, &t);
}

void
sieve_put_std11(struct buf *b, int64_t utc_s, int zone_min)
{
    struct moment t = moment_of(utc_s, zone_min);
    put_std11(b, &t);
}

// A part that is one number; its width, 0: it is none.
static int
number_of(const struct moment *t, struct span name, int *value)
{
    const struct {
        const char *name;
        int width, value;
    } rows[] = {
        {"year", 4, t->year},       {"month", 2, t->month},
        {"day", 2, t->day},         {"hour", 2, t->hour},
        {"minute", 2, t->minute},   {"second", 2, t->second},
        {"weekday", 1, t->weekday}, {"julian", 1, t->days + JULIAN_EPOCH},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (span_ieq(name, span_str(rows[i].name))) {
            *value = rows[i].value;
            return rows[i].width;
        }
    return 0;
}

static void
put_part(struct buf *b, const struct moment *t, struct span name)
{
    int value, width = number_of(t, name, &value);
    if (width > 0)
        buf_printf(b, "%0*d", width, value);
    else if (span_ieq(name, SPAN("date")))
        buf_printf(b, "%04d-%02d-%02d", t->year, t->month, t->day);
    else if (span_ieq(name, SPAN("time")))
        buf_printf(b, "%02d:%02d:%02d", t->hour, t->minute, t->second);
    else if (span_ieq(name, SPAN("iso8601")))
        put_iso8601(b, t);
    else if (span_ieq(name, SPAN("std11")))
        put_std11(b, t);
    else if (span_ieq(name, SPAN("zone")))
        put_zone(b, t->zone_min, false);
}

static enum result
feed(struct sieve_matching *m, const struct moment *t, struct span part)
{
    struct buf b;
    struct span text;
    buf_init(&b, 100);
    put_part(&b, t, part);
    return sieve_take(m->run, &b, &text) == R_OK ? sieve_match_feed(m, text) : R_FAIL;
}

static enum result
zone_of(struct sieve_run *r, const struct sieve_call *call, int original, int *out)
{
    const struct sieve_value *zone = sieve_tag(call, "zone");
    struct span text;
    *out = sieve_tag(call, "originalzone") ? original : sieve_world(r)->zone_min;
    if (zone == NULL)
        return R_OK;
    if (sieve_one(r, zone, &text) != R_OK)
        return R_FAIL;
    return sieve_zone_read(text, out) ? R_OK
                                      : sieve_fail(r, call, "\"%.*s\" is no zone",
                                                   SPAN_ARG(span_slice(text, 0, 60)));
}

// What is behind the last semicolon, of those that no comment has, or the whole field.
static bool
read_date(struct span value, struct mime_date *out)
{
    unsigned left = SEMICOLONS;
    size_t behind = span_behind_last(value, ';');
    while (mime_date_parse(span_trim(span_skip(value, behind)), out) != R_OK) {
        if (behind == 0)
            return false;
        behind = --left > 0 ? span_behind_last(span_slice(value, 0, behind - 1), ';') : 0;
    }
    return true;
}

static enum result
date(struct sieve_run *r, const struct sieve_call *call, bool *yes)
{
    struct sieve_matching m;
    struct sieve_fields it;
    struct mime_date d;
    struct span name, part, value;
    int zone;
    if (sieve_match_begin(&m, r, call, &call->position[2]) != R_OK ||
        sieve_one(r, &call->position[0], &name) != R_OK ||
        sieve_one(r, &call->position[1], &part) != R_OK ||
        sieve_fields_begin(&it, r, call, &name, 1) != R_OK)
        return R_FAIL;
    enum result result = sieve_fields_next(&it, &value);
    if (result == R_OK && read_date(value, &d)) {
        if (zone_of(r, call, d.zone_min, &zone) != R_OK)
            return R_FAIL;
        struct moment t = moment_of(d.utc_s, zone);
        result = feed(&m, &t, part);
    }
    return result == R_FAIL ? R_FAIL : sieve_match_end(&m, yes);
}

static enum result
currentdate(struct sieve_run *r, const struct sieve_call *call, bool *yes)
{
    struct sieve_matching m;
    struct span part;
    int zone;
    if (sieve_match_begin(&m, r, call, &call->position[1]) != R_OK ||
        sieve_one(r, &call->position[0], &part) != R_OK ||
        zone_of(r, call, sieve_world(r)->zone_min, &zone) != R_OK)
        return R_FAIL;
    struct moment t = moment_of(sieve_world(r)->now_s, zone);
    return feed(&m, &t, part) == R_OK ? sieve_match_end(&m, yes) : R_FAIL;
}

static const struct sieve_command commands[] = {
    {"date", SIEVE_TEST, "ssl", .matches = true, .keys = 2, .check = check_part,
     .test = date,
     .tags = {{"zone", 's', "zone", .check = sieve_zone_check},
              {"originalzone", 0, "zone"}}},
    {"currentdate", SIEVE_TEST, "sl", .matches = true, .keys = 1, .check = check_part,
     .test = currentdate, .tags = {{"zone", 's', "zone", .check = sieve_zone_check}}},
    {0},
};

const struct sieve_ext sieve_ext_date = {
    .capability = "date", .rfc = "RFC 5260", .commands = commands};
