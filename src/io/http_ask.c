#include "io/http_ask.h"

#include <netdb.h>

void
http_ask_warm(void)
{
    struct addrinfo *found = NULL;
    must(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
    if (getaddrinfo("localhost", "443", NULL, &found) == 0)
        freeaddrinfo(found);
    CURL *c = curl_easy_init();
    must(c != NULL);
    curl_easy_cleanup(c);
}

static size_t
on_data(char *data, size_t size, size_t n, void *arg)
{
    struct buf *answer = arg;
    buf_put(answer, span_of(data, size * n));
    return answer->over ? 0 : size * n;
}

CURL *
http_ask_new(const char *protocols, uint32_t timeout_ms, struct buf *answer, char *why)
{
    CURL *c = curl_easy_init();
    must(c != NULL);
    why[0] = '\0';
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, protocols);
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_PROXY, "");
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    curl_easy_setopt(c, CURLOPT_QUICK_EXIT, 1L);  // else its end waits for the resolver
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, why);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, answer);
    return c;
}
