// parse(print(parse(x))) = parse(x) for IMAP's two kinds of dates. A Date field gives a day of its own zone.
#include "mime/date.h"
#include "wire/date.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_of(data, size);
    struct date_time t, t_back;
    int32_t day, day_back;
    struct mime_date sent;
    struct buf b;
    buf_init(&b, 64);
    if (mime_date_parse(in, &sent) == R_OK) {
        int64_t local = sent.utc_s + sent.zone_min * 60,
                from = sent.local_day * (int64_t)86400;
        must(local >= from && local <= from + 86400);  // 23:59:60 is the next day's first
    }
    if (date_parse(in, &day) == R_OK) {
        date_print(&b, day);
        must(date_parse(buf_span(&b), &day_back) == R_OK && day_back == day);
    }
    buf_reset(&b);
    if (date_time_parse(in, &t) == R_OK) {
        date_time_print(&b, t);
        must(date_time_parse(buf_span(&b), &t_back) == R_OK);
        must(t_back.utc_s == t.utc_s && t_back.zone_min == t.zone_min);
    }
    buf_done(&b);
    return 0;
}
