// parse(print(parse(x))) = parse(x) for both kinds of dates.
#include "wire/date.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_of(data, size);
    struct date_time t, t_back;
    int32_t day, day_back;
    struct buf b;
    buf_init(&b, 64);
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
