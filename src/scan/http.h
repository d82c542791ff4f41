#ifndef SCAN_HTTP_H
#define SCAN_HTTP_H

// One POST by HTTP, of a text in a file. Only files of scan/ include this. Blocks for timeout_ms at most. No redirects, no proxy.

#include "scan/service.h"

struct curl_slist;

struct scan_post {
    const char *url, *path;      // path is put behind the url; "": the url is whole
    struct curl_slist *headers;  // borrowed
    const struct scan_text *text;
    uint32_t timeout_ms;
};
// R_OK: there is an answer, of any status. `answer` is capped by its maximum: a longer one is FAULT_UNAVAILABLE.
enum result scan_http_post(const struct scan_post *p, struct buf *answer, long *status_out,
                           struct fault *f) MUST_CHECK;
// Adds "Name: value"; what is not printable in the value is '?', so that it cannot begin another field. Empty ones are left out.
void scan_http_field(struct curl_slist **list, const char *name, struct span value);

#endif
