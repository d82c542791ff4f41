#include "mail/forward.h"

#include "mime/header.h"

enum { HOPS = 100 };

static const struct span mark = SPAN("X-Sieve-Redirected-From");

bool
forward_is_loop(struct span header, struct span from)
{
    struct mime_header_iter it = mime_header_begin(header);
    struct mime_header h;
    unsigned hops = 0;
    while (mime_header_next(&it, &h) == R_OK) {
        hops += span_ieq(h.name, SPAN("Received"));
        if (span_ieq(h.name, mark) && span_ieq(span_trim(h.value), from))
            return true;
    }
    return hops > HOPS;
}

void
forward_put_original(struct buf *b, struct span header)
{
    struct mime_header_iter it = mime_header_begin(header);
    struct mime_header h;
    while (mime_header_next(&it, &h) == R_OK)
        if (!span_ieq(h.name, SPAN("Return-Path")))
            buf_put(b, h.raw);
    buf_put_str(b, "\r\n");
}

void
forward_put_header(struct buf *b, struct span header, struct span from)
{
    buf_printf(b, "%.*s: %.*s\r\n", SPAN_ARG(mark), SPAN_ARG(from));
    forward_put_original(b, header);
}
