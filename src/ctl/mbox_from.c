#include "ctl/mbox.h"
#include "wire/date.h"
#include <time.h>

// ---- From lines ----

enum { WORDS = 12 };

static size_t
split(struct span line, struct span words[WORDS])
{
    size_t n = 0;
    struct span word;
    while (span_next_field(&line, ' ', &word) == R_OK && n < WORDS)
        if (word.n > 0)
            words[n++] = word;
    return n;
}

static int
index_of(struct span word, const char *names, size_t count)
{
    for (size_t i = 0; word.n == 3 && i < count; i++)
        if (span_ieq(word, span_of(names + 3 * i, 3)))
            return (int)i;
    return -1;
}

// "21:52:25" or "21:52".
static enum result
read_clock(struct span s, int *seconds_out)
{
    struct span part;
    uint32_t v[3] = {0};
    size_t n = 0;
    while (n < 3 && span_next_field(&s, ':', &part) == R_OK)
        if (part.n != 2 || span_to_u32(part, &v[n++]) != R_OK)
            return R_FAIL;
    if (s.p != NULL || n < 2 || v[0] > 23 || v[1] > 59 || v[2] > 60)
        return R_FAIL;
    *seconds_out = (int)(v[0] * 3600 + v[1] * 60 + (v[2] > 59 ? 59 : v[2]));
    return R_OK;
}

static enum result
read_zone(struct span s, int16_t *zone_out)
{
    uint32_t v;
    if (s.n != 5 || (s.p[0] != '+' && s.p[0] != '-') ||
        span_to_u32(span_skip(s, 1), &v) != R_OK || v % 100 > 59 || v / 100 > 14)
        return R_FAIL;
    int minutes = (int)(v / 100 * 60 + v % 100);
    *zone_out = (int16_t)(s.p[0] == '-' ? -minutes : minutes);
    return R_OK;
}

// The zone that this machine's clock had then; `civil` is the local time as if it were UTC.
static int16_t
local_zone(int64_t civil)
{
    time_t at = (time_t)civil;
    struct tm tm;
    if (gmtime_r(&at, &tm) == NULL)
        return 0;
    tm.tm_isdst = -1;
    time_t utc = mktime(&tm);
    if (utc == (time_t)-1)
        return 0;
    return (int16_t)((civil - utc) / 60);
}

// words: "Nov" "25" "22:21:57" then year and perhaps a zone (a number or a name) on either side.
static enum result
read_date(const struct span *words, size_t n, int64_t *date_out, int16_t *zone_out)
{
    int seconds, month = index_of(words[0], "JanFebMarAprMayJunJulAugSepOctNovDec", 12);
    uint32_t day, year = 0;
    bool has_year = false, has_zone = false;
    if (month < 0 || span_to_u32(words[1], &day) != R_OK || day < 1 || day > 31 ||
        read_clock(words[2], &seconds) != R_OK)
        return R_FAIL;
    for (size_t i = 3; i < n && i < 6; i++) {
        bool is_year = !has_year && words[i].n == 4 && span_to_u32(words[i], &year) == R_OK;
        has_year |= is_year;
        if (!is_year && !has_zone)
            has_zone = read_zone(words[i], zone_out) == R_OK;
    }
    if (!has_year)
        return R_FAIL;
    int64_t civil =
        (int64_t)date_from_civil((int)year, month + 1, (int)day) * 86400 + seconds;
    if (!has_zone)
        *zone_out = local_zone(civil);
    *date_out = civil - *zone_out * 60;
    return R_OK;
}

// The sender may hold spaces: the date begins at the name of a day.
enum result
mbox_from_line(struct span line, int64_t *date_out, int16_t *zone_out)
{
    struct span words[WORDS];
    if (!span_starts(line, SPAN("From ")))
        return R_FAIL;
    size_t n = split(span_trim(span_skip(line, 5)), words);
    for (size_t i = 0; i + 4 < n; i++)
        if (index_of(words[i], "MonTueWedThuFriSatSun", 7) >= 0 &&
            read_date(words + i + 1, n - i - 1, date_out, zone_out) == R_OK)
            return R_OK;
    return R_FAIL;
}
