#include "submission/capability.h"
#include "base/limits.h"
#include "wire/date.h"

// RFC 4865 section 4.2: how long mail may wait, and until when, in UTC.
static void
put_future(struct buf *b, int64_t now_s)
{
    enum { DAY_S = 86400, HOUR_S = 3600, MINUTE_S = 60 };
    int64_t until = now_s + LIMIT_submission_hold_s;
    int year, month, day, second = (int)(until % DAY_S);
    date_to_civil((int32_t)(until / DAY_S), &year, &month, &day);
    buf_printf(b, "250-FUTURERELEASE %d %04d-%02d-%02dT%02d:%02d:%02dZ\r\n",
               LIMIT_submission_hold_s, year, month, day, second / HOUR_S,
               second / MINUTE_S % 60, second % MINUTE_S);
}

void
submission_capability_put(struct buf *b, const struct submission_offer *o)
{
    buf_printf(b,
               "250-%s\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n"
               "250-CHUNKING\r\n250-BINARYMIME\r\n250-ENHANCEDSTATUSCODES\r\n250-"
               "DSN\r\n250-DELIVERBY\r\n",
               o->hostname);
    buf_put_str(b, "250-BURL imap");
    if (o->own_urls)
        buf_printf(b, " imap://%s", o->hostname);
    buf_put_str(b, "\r\n");
    put_future(b, o->now_s);
    if (o->starttls)
        buf_put_str(b, "250-STARTTLS\r\n");
    if (o->mechanisms.n > 0)
        buf_printf(b, "250-AUTH%.*s\r\n", SPAN_ARG(o->mechanisms));
    buf_printf(b, "250-LIMITS RCPTMAX=%d\r\n250 SIZE %llu\r\n", LIMIT_submission_recipients,
               (unsigned long long)o->size_max);
}

bool
submission_is_client(struct span name)
{
    for (size_t i = 0; i < name.n; i++)
        if (name.p[i] <= ' ' || name.p[i] >= 0x7f)
            return false;
    return name.n > 0 && name.n <= SUBMISSION_CLIENT_MAX;
}
