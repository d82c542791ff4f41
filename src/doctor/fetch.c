#include "doctor/fetch.h"
#include "base/limits.h"
#include "io/http_ask.h"

#include <arpa/inet.h>

enum { HTTPS_PORT = 443, HTTP_OK = 200 };

// One request, without redirections.
struct request {
    struct span host;
    uint16_t port;
    struct buf resolve, body;
    char why[CURL_ERROR_SIZE];
    struct curl_slist *pinned, *fields;
};

// "https://HOST[:PORT]/..."
static enum result
split(struct span url, struct request *r, struct fault *f)
{
    struct span prefix = SPAN("https://"), rest = span_skip(url, prefix.n);
    uint32_t port = HTTPS_PORT;
    if (!span_istarts(url, prefix))
        return fault_set(f, FAULT_PRIVACY, "it leads to '%.*s', which is not https://",
                         SPAN_ARG(span_slice(url, 0, 80)));
    struct span host = span_slice(rest, 0, span_find_char(rest, '/'));
    host = span_slice(host, 0, span_find_char(host, '?'));
    size_t colon = span_find_char(host, ':');
    if (colon < host.n &&
        (span_to_u32(span_skip(host, colon + 1), &port) != R_OK || port > UINT16_MAX))
        return fault_set(f, FAULT_BAD, "it leads to a URL without sense");
    r->host = span_slice(host, 0, colon);
    r->port = (uint16_t)port;
    return R_OK;
}

static void
put_address(struct buf *b, const struct name_address *one)
{
    char text[INET6_ADDRSTRLEN];
    const struct sockaddr_in *v4 = (const void *)&one->at;
    const struct sockaddr_in6 *v6 = (const void *)&one->at;
    if (one->at.ss_family == AF_INET)
        buf_put_str(b, inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text));
    else
        buf_printf(b, "[%s]", inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text));
}

// curl is told where the host is: "HOST:PORT:ADDRESS,ADDRESS".
static enum result
pin(struct request *r, const struct fetch_options *o, struct arena *a, struct fault *f)
{
    struct name_addresses found;
    enum result looked = names_addresses(o->names, a, r->host, r->port, &found, f);
    if (looked != R_OK)
        return looked;
    buf_printf(&r->resolve, "%.*s:%u:", SPAN_ARG(r->host), r->port);
    for (size_t i = 0; i < found.n; i++) {
        buf_put_str(&r->resolve, i ? "," : "");
        put_address(&r->resolve, &found.list[i]);
    }
    buf_put_char(&r->resolve, '\0');
    r->pinned = curl_slist_append(NULL, r->resolve.p);
    return R_OK;
}

static void
set(CURL *c, struct request *r, const struct fetch_options *o, const char *url,
    struct span post)
{
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_RESOLVE, r->pinned);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "posthorn-doctor/" POSTHORN_VERSION);
    if (o->authorities != NULL)
        curl_easy_setopt(c, CURLOPT_CAINFO, o->authorities);
    if (post.p == NULL)
        return;
    r->fields = curl_slist_append(NULL, "Content-Type: text/xml; charset=utf-8");
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, r->fields);
    curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE, (long)post.n);
    curl_easy_setopt(c, CURLOPT_POSTFIELDS, post.p);
}

static enum result
fail(const struct request *r, CURLcode code, struct fault *f)
{
    if (r->body.over)
        return fault_set(f, FAULT_TOOBIG, "%.*s sends more than %d octets",
                         SPAN_ARG(r->host), LIMIT_doctor_document);
    return fault_set(
        f, code == CURLE_PEER_FAILED_VERIFICATION ? FAULT_PRIVACY : FAULT_UNAVAILABLE,
        "%.*s: %.140s", SPAN_ARG(r->host), r->why[0] ? r->why : curl_easy_strerror(code));
}

static enum result
perform(struct request *r, CURL *c, struct arena *a, struct fetched *out, struct fault *f)
{
    long status = 0;
    char *type = NULL, *next = NULL;
    CURLcode code = curl_easy_perform(c);
    if (code != CURLE_OK)
        return fail(r, code, f);
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(c, CURLINFO_CONTENT_TYPE, &type);
    curl_easy_getinfo(c, CURLINFO_REDIRECT_URL, &next);
    out->next = next ? arena_dup(a, span_str(next)) : SPAN_NONE;
    if (next == NULL && status != HTTP_OK)
        return fault_set(f, FAULT_NONEXISTENT, "%.*s answers with status %ld",
                         SPAN_ARG(r->host), status);
    out->body = arena_dup(a, buf_span(&r->body));
    out->type = arena_dup(a, span_str(type ? type : ""));
    return R_OK;
}

static enum result
fetch_once(const struct fetch_options *o, struct arena *a, struct span url,
           struct span post, struct fetched *out, struct fault *f)
{
    struct request r = {0};
    buf_init(&r.resolve, 65536);
    buf_init(&r.body, LIMIT_doctor_document);
    enum result done = split(url, &r, f);
    if (done == R_OK)
        done = pin(&r, o, a, f);
    if (done == R_OK) {
        CURL *c = http_ask_new("https", LIMIT_doctor_ms, &r.body, r.why);
        set(c, &r, o, arena_cstr(a, url), post);
        done = perform(&r, c, a, out, f);
        curl_easy_cleanup(c);
    }
    curl_slist_free_all(r.pinned);
    curl_slist_free_all(r.fields);
    buf_done(&r.resolve);
    buf_done(&r.body);
    return done;
}

enum result
fetch(const struct fetch_options *o, struct arena *a, struct span url, struct span post,
      struct fetched *out, struct fault *f)
{
    for (unsigned i = 0; i <= LIMIT_doctor_redirects; i++) {
        enum result r = fetch_once(o, a, url, post, out, f);
        if (r != R_OK || out->next.n == 0)
            return r;
        url = out->next;
    }
    return fault_set(f, FAULT_UNAVAILABLE, "more than %d redirections",
                     LIMIT_doctor_redirects);
}
