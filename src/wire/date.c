#include "wire/date.h"

static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

// Days since 1970-01-01 by eras of 400 years, counting years from March.
int32_t
date_from_civil(int year, int month, int day)
{
    year -= month <= 2;
    int era = (year >= 0 ? year : year - 399) / 400;
    int year_of_era = year - era * 400;
    int day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

void
date_to_civil(int32_t day, int *year_out, int *month_out, int *day_out)
{
    int32_t z = day + 719468;
    int era = (z >= 0 ? z : z - 146096) / 146097;
    int doe = z - era * 146097;
    int yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int mp = (5 * doy + 2) / 153;
    *day_out = doy - (153 * mp + 2) / 5 + 1;
    *month_out = mp + (mp < 10 ? 3 : -9);
    *year_out = yoe + era * 400 + (*month_out <= 2);
}

// `count` digits off the front, -1 when they are not there.
static int
take_digits(struct span *s, size_t count)
{
    int v = 0;
    if (s->n < count)
        return -1;
    for (size_t i = 0; i < count; i++) {
        if (!ascii_is_digit(s->p[i]))
            return -1;
        v = v * 10 + (s->p[i] - '0');
    }
    *s = span_skip(*s, count);
    return v;
}

static bool
take_char(struct span *s, char c)
{
    if (s->n == 0 || s->p[0] != c)
        return false;
    *s = span_skip(*s, 1);
    return true;
}

static int
take_month(struct span *s)
{
    for (int i = 0; i < 12; i++) {
        if (span_istarts(*s, span_of(months[i], 3))) {
            *s = span_skip(*s, 3);
            return i + 1;
        }
    }
    return -1;
}

static bool
civil_ok(int year, int month, int day)
{
    if (year < 0 || month < 1 || day < 1 || day > 31)
        return false;
    int y, m, d;
    date_to_civil(date_from_civil(year, month, day), &y, &m, &d);
    return m == month && d == day;
}

// "d-Mon-yyyy" or "dd-Mon-yyyy" off the front.
static enum result
take_date(struct span *s, int32_t *day_out)
{
    bool two = s->n > 1 && ascii_is_digit(s->p[1]);
    int day = take_digits(s, two ? 2 : 1);
    int month = take_char(s, '-') ? take_month(s) : -1;
    int year = take_char(s, '-') ? take_digits(s, 4) : -1;
    if (!civil_ok(year, month, day))
        return R_FAIL;
    *day_out = date_from_civil(year, month, day);
    return R_OK;
}

enum result
date_parse(struct span s, int32_t *day_out)
{
    int32_t day;
    if (take_date(&s, &day) != R_OK || s.n != 0)
        return R_FAIL;
    *day_out = day;
    return R_OK;
}

void
date_print(struct buf *b, int32_t day)
{
    int y, m, d;
    date_to_civil(day, &y, &m, &d);
    buf_printf(b, "%d-%s-%04d", d, months[m - 1], y);
}

static enum result
take_time(struct span *s, int *seconds_out)
{
    int hour = take_digits(s, 2);
    int minute = take_char(s, ':') ? take_digits(s, 2) : -1;
    int second = take_char(s, ':') ? take_digits(s, 2) : -1;
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60)
        return R_FAIL;
    *seconds_out = hour * 3600 + minute * 60 + (second == 60 ? 59 : second);
    return R_OK;
}

static enum result
take_zone(struct span *s, int *minutes_out)
{
    bool west = take_char(s, '-');
    if (!west && !take_char(s, '+'))
        return R_FAIL;
    int hour = take_digits(s, 2);
    int minute = take_digits(s, 2);
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59)
        return R_FAIL;
    *minutes_out = (hour * 60 + minute) * (west ? -1 : 1);
    return R_OK;
}

enum result
date_time_parse(struct span s, struct date_time *t_out)
{
    int32_t day;
    int seconds, zone;
    take_char(&s, ' ');
    if (take_date(&s, &day) != R_OK || !take_char(&s, ' ') ||
        take_time(&s, &seconds) != R_OK || !take_char(&s, ' ') ||
        take_zone(&s, &zone) != R_OK || s.n != 0)
        return R_FAIL;
    t_out->utc_s = (int64_t)day * 86400 + seconds - (int64_t)zone * 60;
    t_out->zone_min = (int16_t)zone;
    return R_OK;
}

static enum result
take_internet_zone(struct span *s, int *minutes_out)
{
    char zone[6];
    *minutes_out = 0;
    if (take_char(s, 'Z') || take_char(s, 'z'))
        return R_OK;
    if (s->n < 6 || s->p[3] != ':')
        return R_FAIL;
    memcpy(zone, s->p, 3);
    memcpy(zone + 3, s->p + 4, 2);
    struct span text = span_of(zone, 5);
    *s = span_skip(*s, 6);
    return take_zone(&text, minutes_out);
}

enum result
date_time_parse_internet(struct span s, int64_t *utc_s_out)
{
    int seconds, zone;
    int year = take_digits(&s, 4);
    int month = take_char(&s, '-') ? take_digits(&s, 2) : -1;
    int day = take_char(&s, '-') ? take_digits(&s, 2) : -1;
    bool time = take_char(&s, 'T') || take_char(&s, 't');
    if (!civil_ok(year, month, day) || !time || take_time(&s, &seconds) != R_OK)
        return R_FAIL;
    bool parts = take_char(&s, '.');
    if (parts && take_digits(&s, 1) < 0)
        return R_FAIL;
    while (parts && take_digits(&s, 1) >= 0)
        ;
    if (take_internet_zone(&s, &zone) != R_OK || s.n != 0)
        return R_FAIL;
    *utc_s_out =
        (int64_t)date_from_civil(year, month, day) * 86400 + seconds - (int64_t)zone * 60;
    return R_OK;
}

static int64_t
local_seconds(struct date_time t)
{
    return t.utc_s + (int64_t)t.zone_min * 60;
}

int32_t
date_local_day(struct date_time t)
{
    int64_t s = local_seconds(t);
    return (int32_t)((s >= 0 ? s : s - 86399) / 86400);
}

void
date_time_print(struct buf *b, struct date_time t)
{
    int y, m, d;
    int32_t day = date_local_day(t);
    int rest = (int)(local_seconds(t) - (int64_t)day * 86400);
    int zone = t.zone_min < 0 ? -t.zone_min : t.zone_min;
    date_to_civil(day, &y, &m, &d);
    buf_printf(b, "%2d-%s-%04d %02d:%02d:%02d %c%02d%02d", d, months[m - 1], y, rest / 3600,
               rest / 60 % 60, rest % 60, t.zone_min < 0 ? '-' : '+', zone / 60, zone % 60);
}
