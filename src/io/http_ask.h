#ifndef IO_HTTP_ASK_H
#define IO_HTTP_ASK_H

// What all questions by HTTP have in common (libcurl): no redirect is followed, no proxy of the environment is used, no
// signal is raised, and the answer is bounded in time and size.

#include "base/buf.h"

#include <curl/curl.h>

// Before a sandbox: afterwards no code can be mapped; the name service has its libraries, and TLS its settings.
void http_ask_warm(void);
// The caller sets the URL and what else there is, performs it, and cleans it up. `answer`, which has a maximum, gets the body:
// one that is longer ends the transfer, and answer->over is set. `why` has CURL_ERROR_SIZE octets.
CURL *http_ask_new(const char *protocols, uint32_t timeout_ms, struct buf *answer,
                   char *why);

#endif
