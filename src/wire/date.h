#ifndef WIRE_DATE_H
#define WIRE_DATE_H

// Dates of the IMAP grammar (RFC 9051 section 9): date of SEARCH, date-time of APPEND and INTERNALDATE.
// Proleptic Gregorian calendar, years 0000-9999, independent of locale and time zone files.
// Trust: any bytes.

#include "base/buf.h"

struct date_time {
    int64_t utc_s;     // seconds since 1970-01-01 00:00:00 UTC
    int16_t zone_min;  // minutes east of UTC, for showing it as it came
};

// "1-Feb-1994" or "01-Feb-1994", without quotes; days since 1970-01-01.
enum result date_parse(struct span s, int32_t *day_out) MUST_CHECK;
void date_print(struct buf *b, int32_t day);

// " 7-Feb-1994 21:52:25 -0800", without quotes. "7-Feb" with one digit is accepted; second 60 counts as 59.
enum result date_time_parse(struct span s, struct date_time *t_out) MUST_CHECK;
// "2026-01-31T12:00:00.5-08:00" (RFC 3339 date-time); parts of a second are dropped.
enum result date_time_parse_internet(struct span s, int64_t *utc_s_out) MUST_CHECK;
void date_time_print(struct buf *b, struct date_time t);  // 26 octets, without quotes

int32_t date_from_civil(int year, int month, int day);  // month 1-12
void date_to_civil(int32_t day, int *year_out, int *month_out, int *day_out);
// the day its own zone shows (SEARCH ON, SINCE, BEFORE)
int32_t date_local_day(struct date_time t);

#endif
