#include "ctl/when.h"
#include "wire/date.h"
#include <time.h>

enum { TEXT_MAX = 64, AMOUNT_MAX = 100000000 };

struct unit {
    const char *name;
    int64_t seconds;
};

static const struct unit units[] = {
    {"s", 1},         {"sec", 1},        {"second", 1},   {"seconds", 1},  {"m", 60},
    {"min", 60},      {"minute", 60},    {"minutes", 60}, {"h", 3600},     {"hour", 3600},
    {"hours", 3600},  {"d", 86400},      {"day", 86400},  {"days", 86400}, {"w", 604800},
    {"week", 604800}, {"weeks", 604800},
};

static enum result
number(struct span *s, unsigned digits_min, unsigned digits_max, int64_t *out)
{
    int64_t n = 0;
    unsigned digits = 0;
    while (s->n > 0 && s->p[0] >= '0' && s->p[0] <= '9' && digits < digits_max) {
        n = n * 10 + (s->p[0] - '0');
        *s = span_skip(*s, 1);
        digits++;
    }
    *out = n;
    return digits >= digits_min ? R_OK : R_FAIL;
}

static bool
take(struct span *s, char c)
{
    if (s->n == 0 || s->p[0] != c)
        return false;
    *s = span_skip(*s, 1);
    return true;
}

// "2h", "3 days ago"
static enum result
read_ago(struct span s, int64_t now_s, int64_t *out)
{
    int64_t n;
    if (number(&s, 1, 9, &n) != R_OK || n > AMOUNT_MAX)
        return R_FAIL;
    while (take(&s, ' ')) {
    }
    if (s.n > 4 && span_ieq(span_skip(s, s.n - 4), SPAN(" ago")))
        s = span_slice(s, 0, s.n - 4);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (span_ieq(s, span_str(units[i].name))) {
            *out = now_s - n * units[i].seconds;
            return R_OK;
        }
    return R_FAIL;
}

static enum result
read_day(struct span s, int64_t now_s, int64_t *out)
{
    bool yesterday = span_ieq(s, SPAN("yesterday"));
    time_t now = (time_t)now_s;
    struct tm tm;
    if (span_ieq(s, SPAN("now"))) {
        *out = now_s;
        return R_OK;
    }
    if ((!yesterday && !span_ieq(s, SPAN("today"))) || !localtime_r(&now, &tm))
        return R_FAIL;
    tm.tm_mday -= yesterday;
    tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
    tm.tm_isdst = -1;
    *out = mktime(&tm);
    return R_OK;
}

static enum result
read_clock(struct span *s, struct tm *tm)
{
    int64_t hour, minute, second = 0;
    if (number(s, 2, 2, &hour) != R_OK || !take(s, ':') || number(s, 2, 2, &minute) != R_OK)
        return R_FAIL;
    if (take(s, ':') && number(s, 2, 2, &second) != R_OK)
        return R_FAIL;
    tm->tm_hour = (int)hour;
    tm->tm_min = (int)minute;
    tm->tm_sec = (int)second;
    return hour < 24 && minute < 60 && second < 61 ? R_OK : R_FAIL;
}

// "Z", "+02:00", "-0330": minutes east.
static enum result
read_zone(struct span *s, int *minutes_out)
{
    int64_t hours, minutes;
    bool west = s->n > 0 && s->p[0] == '-';
    *minutes_out = 0;
    if (take(s, 'Z') || take(s, 'z'))
        return R_OK;
    if (!take(s, '+') && !take(s, '-'))
        return R_FAIL;
    if (number(s, 2, 2, &hours) != R_OK)
        return R_FAIL;
    (void)take(s, ':');
    if (number(s, 2, 2, &minutes) != R_OK || hours > 24 || minutes > 59)
        return R_FAIL;
    *minutes_out = (int)(hours * 60 + minutes) * (west ? -1 : 1);
    return R_OK;
}

static bool
is_a_day(int year, int month, int day)
{
    int y = 0, m = 0, d = 0;
    if (month < 1 || month > 12)
        return false;
    date_to_civil(date_from_civil(year, month, day), &y, &m, &d);
    return y == year && m == month && d == day;
}

static enum result
read_iso(struct span s, int64_t *out)
{
    int64_t year, month, day;
    int zone = 0;
    struct tm tm = {.tm_isdst = -1};
    if (number(&s, 4, 4, &year) != R_OK || !take(&s, '-') ||
        number(&s, 2, 2, &month) != R_OK || !take(&s, '-') ||
        number(&s, 2, 2, &day) != R_OK)
        return R_FAIL;
    if (!is_a_day((int)year, (int)month, (int)day))
        return R_FAIL;
    tm.tm_year = (int)year - 1900;
    tm.tm_mon = (int)month - 1;
    tm.tm_mday = (int)day;
    if ((take(&s, 'T') || take(&s, 't') || take(&s, ' ')) && read_clock(&s, &tm) != R_OK)
        return R_FAIL;
    if (s.n == 0) {
        *out = mktime(&tm);
        return R_OK;
    }
    if (read_zone(&s, &zone) != R_OK || s.n > 0)
        return R_FAIL;
    *out = timegm(&tm) - (int64_t)zone * 60;
    return R_OK;
}

enum result
when_read(struct span text, int64_t now_s, int64_t *out, struct fault *f)
{
    int64_t at = 0;
    if (text.n > TEXT_MAX ||
        (read_ago(text, now_s, &at) != R_OK && read_day(text, now_s, &at) != R_OK &&
         read_iso(text, &at) != R_OK))
        return fault_set(f, FAULT_BAD,
                         "'%.*s' is no time; say 2h, 3d, yesterday, 2026-11-25 or "
                         "2026-11-25T14:30",
                         (int)(text.n < TEXT_MAX ? text.n : TEXT_MAX), text.p);
    if (at > now_s)
        return fault_set(f, FAULT_BAD, "'%.*s' is still to come", SPAN_ARG(text));
    *out = at;
    return R_OK;
}

enum result
when_read_ahead(struct span text, int64_t now_s, int64_t *out, struct fault *f)
{
    int64_t back = 0, at = 0;
    bool ago = text.n > 4 && span_ieq(span_skip(text, text.n - 4), SPAN(" ago"));
    if (text.n <= TEXT_MAX && !ago && read_ago(text, 0, &back) == R_OK)
        at = now_s - back;
    else if (text.n > TEXT_MAX || read_iso(text, &at) != R_OK)
        return fault_set(f, FAULT_BAD,
                         "'%.*s' is no time; say 12h, 30d, 2027-01-31 or 2027-01-31T14:30",
                         (int)(text.n < TEXT_MAX ? text.n : TEXT_MAX), text.p);
    if (at <= now_s)
        return fault_set(f, FAULT_BAD, "'%.*s' is past", SPAN_ARG(text));
    *out = at;
    return R_OK;
}
