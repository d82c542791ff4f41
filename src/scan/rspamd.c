// rspamd's HTTP protocol: /checkv2 of a worker "normal" or "rspamd_proxy", /learnspam and /learnham of its controller.
#include "scan/http.h"

#include "base/limits.h"

#include <curl/curl.h>
#include <jansson.h>

// ---- what it is asked ----

static struct curl_slist *
fields_of(const struct scan_services *s, const struct scan_envelope *e)
{
    struct curl_slist *list = curl_slist_append(NULL, "Expect:");
    struct unpack u = unpack_of(e->to);
    must(list != NULL);
    scan_http_field(&list, "Content-Type", SPAN("message/rfc822"));
    scan_http_field(&list, "From", e->from);
    scan_http_field(&list, "Helo", e->helo);
    scan_http_field(&list, "IP", e->ip);
    scan_http_field(&list, "Deliver-To", e->user);
    while (u.rest.n > 0 && !u.bad)
        scan_http_field(&list, "Rcpt", unpack_span(&u));
    scan_http_field(&list, "Password", span_str(s->rspamd_password));
    return list;
}

// ---- what it says ----

static int64_t
thousandths(const json_t *j)
{
    double value = json_number_value(j);
    value = (value > 1e9 ? 1e9 : value < -1e9 ? -1e9 : value) * 1000;
    return (int64_t)(value < 0 ? value - 0.5 : value + 0.5);
}

static struct span
text_of(const json_t *j)
{
    return json_is_string(j) ? span_of(json_string_value(j), json_string_length(j))
                             : SPAN_NONE;
}

static uint8_t
judgement_of(struct span action)
{
    if (span_eq(action, SPAN("reject")) || span_eq(action, SPAN("discard")))
        return SCAN_SURELY_SPAM;
    return span_eq(action, SPAN("add header")) ||
                   span_eq(action, SPAN("rewrite subject")) ||
                   span_eq(action, SPAN("quarantine"))
               ? SCAN_SPAM
               : SCAN_HAM;
}

static void
put_printable(struct buf *b, struct span s, size_t max)
{
    s = span_slice(s, 0, max);
    for (size_t i = 0; i < s.n; i++)
        buf_put_char(b, s.p[i] <= ' ' || s.p[i] > '~' ? '?' : s.p[i]);
}

// Those of the antivirus module are called so, whatever scanner it asks: CLAM_VIRUS["Eicar-Signature"].
static void
read_virus(struct span name, const json_t *symbol, struct buf *names,
           struct scan_verdict *v)
{
    struct span virus = text_of(json_array_get(json_object_get(symbol, "options"), 0));
    if (!span_ends(name, SPAN("_VIRUS")) || v->virus == SCAN_VIRUS_FOUND)
        return;
    size_t from = names->n;
    put_printable(names, virus.n > 0 ? virus : name, LIMIT_scan_virus_name);
    v->virus = SCAN_VIRUS_FOUND;
    v->virus_name = span_of(names->p + from, names->n - from);
}

static void
read_symbol(struct span name, const json_t *symbol, struct buf *text)
{
    struct buf one;
    buf_init(&one, 256);
    put_printable(&one, name, 100);
    int64_t score = thousandths(json_object_get(symbol, "score"));
    buf_printf(&one, "(%.2f)", (double)score / 1000);
    if (text->n + one.n + 2 <= LIMIT_scan_symbols) {
        buf_put_str(text, text->n > 0 ? ", " : "");
        buf_put(text, buf_span(&one));
    }
    buf_done(&one);
}

static void
read_symbols(json_t *symbols, struct buf *names, struct scan_verdict *v)
{
    struct buf text;
    const char *name;
    json_t *symbol;
    buf_init(&text, LIMIT_scan_symbols);
    json_object_foreach(symbols, name, symbol)
    {
        read_virus(span_str(name), symbol, names, v);
        read_symbol(span_str(name), symbol, &text);
    }
    size_t from = names->n;
    buf_put(names, buf_span(&text));
    v->symbols = span_of(names->p + from, text.n);
    buf_done(&text);
}

static bool
is_answer(const json_t *j)
{
    return json_is_object(j) && json_is_number(json_object_get(j, "score")) &&
           json_is_string(json_object_get(j, "action"));
}

// Rules may end a scan at its beginning with a verdict (GTUBE): it is skipped then, and says what to do all the same.
enum result
scan_rspamd_read(struct span json, struct buf *names, struct scan_verdict *v,
                 struct fault *f)
{
    json_error_t e;
    json_t *j = json_loadb(json.p ? json.p : "", json.n, 0, &e);
    if (!is_answer(j)) {
        json_decref(j);
        return fault_set(f, FAULT_UNAVAILABLE,
                         "rspamd's answer is not what its protocol says");
    }
    uint8_t judgement = judgement_of(text_of(json_object_get(j, "action")));
    if (judgement != SCAN_HAM || !json_is_true(json_object_get(j, "is_skipped"))) {
        v->scored = true;
        v->score = thousandths(json_object_get(j, "score"));
        v->required = thousandths(json_object_get(j, "required_score"));
        v->judgement = judgement;
        read_symbols(json_object_get(j, "symbols"), names, v);
    }
    json_decref(j);
    return R_OK;
}

enum result
scan_rspamd(const struct scan_services *s, const struct scan_envelope *e,
            const struct scan_text *text, struct buf *names, struct scan_verdict *v,
            struct fault *f)
{
    struct curl_slist *fields = fields_of(s, e);
    struct buf answer;
    long status = 0;
    buf_init(&answer, LIMIT_scan_answer);
    const struct scan_post post = {s->rspamd_url, "/checkv2", fields, text, s->timeout_ms};
    enum result r = scan_http_post(&post, &answer, &status, f);
    if (r == R_OK && status != 200)
        r = fault_set(f, FAULT_UNAVAILABLE, "rspamd answers with status %ld", status);
    if (r == R_OK)
        r = scan_rspamd_read(buf_span(&answer), names, v, f);
    buf_done(&answer);
    curl_slist_free_all(fields);
    return r;
}

// ---- learning ----

// 200; 204: a classifier wants more words; 208, and 404 with "already learned" in 3.4: it knows. What is against it comes as 4xx or 5xx with
// JSON {"error": ...}: nothing that another try would change, but a 503 or 500 of a worker that is starting is.
static enum result
learnt(long status, struct span answer, struct fault *f)
{
    bool known = span_find(answer, SPAN("already learned")) < answer.n;
    if (status == 200 || status == 208 || status == 204 || (known && status < 500))
        return R_OK;
    char text[100] = "";
    size_t n = 0;
    for (; n < answer.n && n + 1 < sizeof text; n++)
        text[n] = answer.p[n] < ' ' || answer.p[n] > '~' ? ' ' : answer.p[n];
    text[n] = '\0';
    return fault_set(f, status < 500 ? FAULT_CANNOT : FAULT_UNAVAILABLE,
                     "rspamd's controller answers with status %ld: %s", status, text);
}

enum result
scan_learn(const struct scan_services *s, bool spam, const struct scan_envelope *e,
           const struct scan_text *text, struct fault *f)
{
    struct curl_slist *fields = fields_of(s, e);
    struct buf answer;
    long status = 0;
    buf_init(&answer, LIMIT_scan_answer);
    const struct scan_post post = {s->learn_url, spam ? "/learnspam" : "/learnham", fields,
                                   text, s->timeout_ms};
    enum result r = scan_http_post(&post, &answer, &status, f);
    if (r == R_OK)
        r = learnt(status, buf_span(&answer), f);
    buf_done(&answer);
    curl_slist_free_all(fields);
    return r;
}
