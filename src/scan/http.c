#include "scan/http.h"

#include "base/limits.h"
#include "io/http_ask.h"

#include <unistd.h>

struct sending {
    const struct scan_text *text;
    uint64_t at;
};

static size_t
on_read(char *to, size_t size, size_t n, void *arg)
{
    struct sending *s = arg;
    uint64_t left = s->text->size - s->at;
    size_t room = size * n < left ? size * n : (size_t)left;
    ssize_t got = room > 0 ? pread(s->text->fd, to, room, (off_t)s->at) : 0;
    if (got < 0 || (got == 0 && room > 0))
        return CURL_READFUNC_ABORT;
    s->at += (uint64_t)got;
    return (size_t)got;
}

// Where a connection that was kept is found closed, all is sent again.
static int
on_seek(void *arg, curl_off_t to, int whence)
{
    struct sending *s = arg;
    if (whence != SEEK_SET || to < 0 || (uint64_t)to > s->text->size)
        return CURL_SEEKFUNC_FAIL;
    s->at = (uint64_t)to;
    return CURL_SEEKFUNC_OK;
}

static void
set_options(CURL *c, const struct scan_post *p, struct sending *s)
{
    curl_easy_setopt(c, CURLOPT_POST, 1L);
    curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)p->text->size);
    curl_easy_setopt(c, CURLOPT_READFUNCTION, on_read);
    curl_easy_setopt(c, CURLOPT_READDATA, s);
    curl_easy_setopt(c, CURLOPT_SEEKFUNCTION, on_seek);
    curl_easy_setopt(c, CURLOPT_SEEKDATA, s);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, p->headers);
}

static enum result
perform(const char *url, const struct scan_post *p, struct buf *answer, long *status_out,
        struct fault *f)
{
    struct sending s = {.text = p->text};
    char why[CURL_ERROR_SIZE];
    CURL *c = http_ask_new("http,https", p->timeout_ms, answer, why);
    curl_easy_setopt(c, CURLOPT_URL, url);
    set_options(c, p, &s);
    CURLcode code = curl_easy_perform(c);
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, status_out);
    curl_easy_cleanup(c);
    if (answer->over)
        return fault_set(f, FAULT_UNAVAILABLE, "the answer has more than %zu octets",
                         answer->max);
    if (code != CURLE_OK)
        return fault_set(f, FAULT_UNAVAILABLE, "%.150s",
                         why[0] ? why : curl_easy_strerror(code));
    return R_OK;
}

enum result
scan_http_post(const struct scan_post *p, struct buf *answer, long *status_out,
               struct fault *f)
{
    struct buf url;
    buf_init(&url, LIMIT_channel_message);
    size_t n = strlen(p->url);
    while (p->path[0] && n > 0 && p->url[n - 1] == '/')
        n--;
    buf_put(&url, span_of(p->url, n));
    buf_put_str(&url, p->path);
    buf_put_char(&url, '\0');
    must(!url.over);
    enum result r = perform(url.p, p, answer, status_out, f);
    buf_done(&url);
    return r;
}

void
scan_http_field(struct curl_slist **list, const char *name, struct span value)
{
    struct buf b;
    if (value.n == 0)
        return;
    buf_init(&b, LIMIT_channel_message);
    buf_printf(&b, "%s: ", name);
    for (size_t i = 0; i < value.n; i++)
        buf_put_char(&b, value.p[i] < ' ' || value.p[i] > '~' ? '?' : value.p[i]);
    buf_put_char(&b, '\0');
    must(!b.over);
    struct curl_slist *more = curl_slist_append(*list, b.p);
    must(more != NULL);
    *list = more;
    buf_done(&b);
}
