#include "mime/date.h"
#include "mime/token.h"

#include <time.h>

// A date read so far; -1 where nothing was read.
struct reading {
    int day, month, year;
    int hour, minute, second;
    int zone_min;
    bool zone;
    bool weekday;  // the month may be one in another language ("Mar, 13 Dec")
};

struct word {
    struct span text;
    char before;  // the separator before it
};

static int
month_of(struct span word)
{
    static const char names[] = "janfebmaraprmayjunjulaugsepoctnovdec";

    if (word.n < 3)
        return -1;
    for (size_t i = 0; i < 12; i++)
        if (span_ieq(span_slice(word, 0, 3), span_of(names + 3 * i, 3)))
            return (int)i + 1;
    return -1;
}

// The zones of RFC 5322 section 4.3; military and unknown ones mean -0000.
static int
named_zone(struct span word)
{
    static const struct {
        struct span name;
        int minutes;
    } zones[] = {
        {SPAN("EST"), -300}, {SPAN("EDT"), -240}, {SPAN("CST"), -360}, {SPAN("CDT"), -300},
        {SPAN("MST"), -420}, {SPAN("MDT"), -360}, {SPAN("PST"), -480}, {SPAN("PDT"), -420},
        {SPAN("CET"), 60},   {SPAN("MET"), 60},   {SPAN("MEZ"), 60},   {SPAN("CEST"), 120},
        {SPAN("MEST"), 120}, {SPAN("MESZ"), 120}, {SPAN("EET"), 120},  {SPAN("EEST"), 180},
        {SPAN("BST"), 60},   {SPAN("WEST"), 60},  {SPAN("JST"), 540},  {SPAN("HKT"), 480},
        {SPAN("IST"), 60},   {SPAN("MSK"), 180},
    };

    for (size_t i = 0; i < sizeof(zones) / sizeof(zones[0]); i++)
        if (span_ieq(zones[i].name, word))
            return zones[i].minutes;
    return 0;
}

static int
number(struct span digits)
{
    uint32_t value;

    return digits.n <= 6 && span_to_u32(digits, &value) == R_OK ? (int)value : -1;
}

// "+0200", "-7:00", "+02"
static void
read_zone(struct reading *r, struct span word)
{
    struct span digits = span_skip(word, 1);
    size_t colon = span_find_char(digits, ':');
    int hours, minutes = 0;

    if (colon < digits.n) {
        hours = number(span_slice(digits, 0, colon));
        minutes = number(span_skip(digits, colon + 1));
    } else if (digits.n <= 2) {
        hours = number(digits);
    } else {
        hours = number(digits) / 100;
        minutes = number(digits) % 100;
    }
    if (hours < 0 || minutes < 0 || hours > 24 || minutes > 59)
        return;
    r->zone = true;
    r->zone_min = (hours * 60 + minutes) * (*word.p == '-' ? -1 : 1);
}

// "12:30", "12:30:15", "12.30.15"
static void
read_time(struct reading *r, struct span word, char separator)
{
    struct span part;
    int *fields[] = {&r->hour, &r->minute, &r->second};

    r->second = 0;
    for (size_t i = 0; i < 3 && span_next_field(&word, separator, &part) == R_OK; i++)
        *fields[i] = number(span_slice(part, 0, 2));
}

// Two and three digits: RFC 5322 section 4.3. "0102" is what mailers made of 2002.
static void
read_year(struct reading *r, struct span word)
{
    int year = number(word);

    if (word.n <= 2 && year >= 0)
        year += year < 50 ? 2000 : 1900;
    else if (year >= 0 && year < 1000)
        year += 1900;
    r->year = year;
}

static void
read_number(struct reading *r, struct span word)
{
    if (word.n >= 4 && r->year < 0)
        read_year(r, word);
    else if (r->day < 0)
        r->day = number(word);
    else if (r->year < 0)
        read_year(r, word);
}

static void
read_alpha(struct reading *r, struct span word)
{
    bool open = r->month < 0 || (r->weekday && r->hour < 0);
    int month = open ? month_of(word) : -1;

    if (month > 0) {
        r->month = month;
    } else if (r->hour >= 0 && !r->zone) {
        if (r->hour <= 12 && (span_ieq(word, SPAN("PM")) || span_ieq(word, SPAN("AM")))) {
            r->hour = r->hour % 12 + (ascii_upper(*word.p) == 'P' ? 12 : 0);
            return;
        }
        r->zone = true;
        r->zone_min = named_zone(word);
    }
}

static bool
all_digits(struct span word)
{
    for (size_t i = 0; i < word.n; i++)
        if (!ascii_is_digit(word.p[i]))
            return false;
    return word.n > 0;
}

// "22-Aug-2002" and "2002-08-22", as some mailers write dates.
static void
read_dashed(struct reading *r, struct span word)
{
    struct span parts[3] = {{0}};

    for (size_t i = 0; i < 3; i++)
        if (span_next_field(&word, '-', &parts[i]) != R_OK)
            return;
    bool year_first = parts[0].n == 4;
    r->day = number(parts[year_first ? 2 : 0]);
    read_year(r, parts[year_first ? 0 : 2]);
    r->month = all_digits(parts[1]) ? number(parts[1]) : month_of(parts[1]);
}

static void
read_word(struct reading *r, struct span word)
{
    if (span_find_char(word, ':') < word.n && ascii_is_digit(*word.p))
        read_time(r, word, ':');
    else if ((*word.p == '+' || *word.p == '-') && r->hour >= 0)
        read_zone(r, word);
    else if (all_digits(word))
        read_number(r, word);
    else if (span_find_char(word, '-') < word.n && ascii_is_digit(*word.p))
        read_dashed(r, word);
    else if (r->hour < 0 && ascii_is_digit(*word.p) && span_find_char(word, '.') < word.n)
        read_time(r, word, '.');
    else if (ascii_is_alpha(*word.p))
        read_alpha(r, word);
}

static bool
is_separator(char c)
{
    return c == ',' || c == ')' || c == ';' || c == '\0';
}

// Passes over ':' with white space or comments around it (RFC 5322 section 4.3).
static bool
pass_colon(struct mime_lex *l, bool *spaced)
{
    const char *from = l->p;

    if (mime_lex_space(l) != LEX_MORE || *l->p != ':')
        return false;
    l->p++;
    bool more = mime_lex_space(l) == LEX_MORE;
    *spaced |= l->p > from + 1;
    return more && ascii_is_digit(*l->p);
}

// A time that is more than one word. False: none is here.
static bool
read_spaced_time(struct reading *r, struct mime_lex *l)
{
    struct mime_lex at = *l, next = at;
    int parts[3] = {0};
    size_t n = 0;
    bool spaced = false;

    do {
        at = next;
        while (at.p < at.end && ascii_is_digit(*at.p))
            at.p++;
        if (at.p == next.p || at.p > next.p + 2)
            return false;
        parts[n++] = number(span_of(next.p, (size_t)(at.p - next.p)));
        next = at;
    } while (n < 3 && pass_colon(&next, &spaced));
    if (n < 2 || !spaced)
        return false;
    r->hour = parts[0];
    r->minute = parts[1];
    r->second = parts[2];
    *l = at;
    return true;
}

// Words up to comments, white space and commas; a zone may stick to the time ("10:00:00+0200").
static void
read_words(struct reading *r, struct span text)
{
    struct mime_lex l = mime_lex_of(text);

    for (int words = 0; words < 16 && mime_lex_space(&l) == LEX_MORE; words++) {
        const char *from = l.p;
        bool time = false;
        if (r->year >= 0 && r->hour < 0 && read_spaced_time(r, &l))
            continue;
        while (l.p < l.end && !ascii_is_space(*l.p) && !is_separator(*l.p) && *l.p != '(' &&
               !(time && (*l.p == '+' || *l.p == '-'))) {
            time |= *l.p == ':' && *from != '+' && *from != '-';
            l.p++;
        }
        if (l.p > from)
            read_word(r, span_of(from, (size_t)(l.p - from)));
        r->weekday |= r->month > 0 && r->day < 0 && mime_lex_peek(&l) == ',';
        while (l.p < l.end && is_separator(*l.p))
            l.p++;
    }
}

// Days since 1970-01-01 of a date of the Gregorian calendar.
static int64_t
days_of(int year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = y / 400, of_era = y % 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static int
month_days(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return days[month - 1] + (month == 2 && leap);
}

enum result
mime_date_parse(struct span text, struct mime_date *out)
{
    struct reading r = {-1, -1, -1, -1, -1, -1, 0, false, false};

    read_words(&r, text);
    if (r.month < 1 || r.month > 12 || r.year < 1900 || r.year > 9999 || r.day < 1 ||
        r.day > month_days(r.year, r.month))
        return R_NONE;
    bool time = r.hour >= 0 && r.hour < 24 && r.minute >= 0 && r.minute < 60 &&
                r.second >= 0 && r.second <= 60;
    int64_t day = days_of(r.year, r.month, r.day);
    int64_t seconds = time ? r.hour * 3600 + r.minute * 60 + r.second : 0;

    out->local_day = (int32_t)day;
    out->zone_min = (int16_t)r.zone_min;
    out->utc_s = day * 86400 + seconds - (int64_t)r.zone_min * 60;
    return R_OK;
}

void
mime_date_put(struct buf *b, int64_t utc_s)
{
    char text[64];
    time_t t = (time_t)utc_s;
    struct tm tm;
    localtime_r(&t, &tm);
    strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S %z", &tm);
    buf_put_str(b, text);
}
