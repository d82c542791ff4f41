// The push hook: a POST of JSON. With push_secret a receiver can tell that it is from us, and fresh:
// X-Posthorn-Signature: t=SECONDS,sha256=HEX, HMAC-SHA256 (RFC 2104) of "SECONDS." and the text.
#include "scan/http.h"

#include "base/clock.h"
#include "base/limits.h"

#include <curl/curl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <unistd.h>

static enum result
signature(const char *secret, const struct scan_text *text, struct buf *out,
          struct fault *f)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    struct buf b;
    long long now = (long long)clock_wall_s();
    buf_init(&b, LIMIT_push_text + 32);
    buf_printf(&b, "%lld.", now);
    char *room = buf_reserve(&b, (size_t)text->size);
    if (!room || pread(text->fd, room, (size_t)text->size, 0) != (ssize_t)text->size) {
        buf_done(&b);
        return fault_set(f, FAULT_CANNOT, "the text cannot be read");
    }
    b.n += (size_t)text->size;
    must(HMAC(EVP_sha256(), secret, (int)strlen(secret), (const unsigned char *)b.p, b.n,
              mac, &n) != NULL);
    buf_done(&b);
    buf_printf(out, "t=%lld,sha256=", now);
    buf_put_hex(out, mac, n);
    return R_OK;
}

static enum result
fields_of(const struct scan_services *s, const struct scan_text *text,
          struct curl_slist **out, struct fault *f)
{
    struct buf b;
    enum result r = R_OK;
    *out = curl_slist_append(NULL, "Expect:");
    must(*out != NULL);
    scan_http_field(out, "Content-Type", SPAN("application/json"));
    scan_http_field(out, "User-Agent", SPAN("Posthorn"));
    buf_init(&b, LIMIT_channel_message);
    if (s->push_token[0]) {
        buf_printf(&b, "Bearer %s", s->push_token);
        scan_http_field(out, "Authorization", buf_span(&b));
    }
    buf_reset(&b);
    if (s->push_secret[0])
        r = signature(s->push_secret, text, &b, f);
    if (r == R_OK)
        scan_http_field(out, "X-Posthorn-Signature", buf_span(&b));
    buf_done(&b);
    return r;
}

enum result
scan_push(const struct scan_services *s, const struct scan_text *text, struct fault *f)
{
    struct curl_slist *fields;
    struct buf answer;
    long status = 0;
    buf_init(&answer, LIMIT_scan_answer);
    enum result r = fields_of(s, text, &fields, f);
    const struct scan_post post = {s->push_url, "", fields, text, LIMIT_push_ms};
    if (r == R_OK)
        r = scan_http_post(&post, &answer, &status, f);
    if (r == R_OK && (status < 200 || status > 299)) {
        bool later = status >= 500 || status == 408 || status == 429;
        r = fault_set(f, later ? FAULT_UNAVAILABLE : FAULT_CANNOT,
                      "push_url answers with status %ld", status);
    }
    buf_done(&answer);
    curl_slist_free_all(fields);
    return r;
}
