#ifndef MIME_DATE_H
#define MIME_DATE_H

// The Date field (RFC 5322 section 3.3, obsolete forms of 4.3 and what mailers really write).
// Trust: none; R_NONE when no date can be read.

#include "base/buf.h"

struct mime_date {
    int64_t utc_s;  // seconds since 1970
    // days since 1970 of the date as written (SENTON ignores time and zone)
    int32_t local_day;
    int16_t zone_min;  // minutes east of UTC
};

enum result mime_date_parse(struct span text, struct mime_date *out) MUST_CHECK;
// "Fri, 27 Nov 2026 01:02:03 +0100", in the server's zone.
void mime_date_put(struct buf *b, int64_t utc_s);

#endif
