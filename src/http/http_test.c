#include "http/answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static struct offer list[] = {
    {OFFER_IMAPS, SPAN("mail.example.org"), 993},
    {OFFER_IMAP, SPAN("mail.example.org"), 143},
    {OFFER_SUBMISSIONS, SPAN("smtp.example.org"), 465},
};
static const struct span domains[] = {SPAN("example.org"), SPAN("example.net")};

static bool
is_ready(void *arg)
{
    return *(bool *)arg;
}

static void
metrics(void *arg, struct buf *out)
{
    (void)arg;
    buf_put_str(out, "posthorn_ready 1\n");
}

static bool signs;
static struct span issuer;

static enum result
sign(void *arg, struct span content, struct buf *out)
{
    (void)arg;
    if (signs)
        buf_printf(out, "signed %zu octets", content.n);
    return signs ? R_OK : R_NONE;
}

static bool ready = true;

static struct http_options
options(void)
{
    return (struct http_options){.offers = {.host = SPAN("mail.example.org"),
                                            .list = list,
                                            .n = 3,
                                            .domains = domains,
                                            .domain_count = 2,
                                            .oauth_issuer = issuer,
                                            .oauth_scope = SPAN("mail offline")},
                                 .arg = &ready,
                                 .sign = sign,
                                 .is_ready = is_ready,
                                 .metrics = metrics};
}

// What comes of one request.
static int
ask(struct http_question q, struct buf *body)
{
    struct http_options o = options();
    struct http_answer a = {0};
    buf_init(&a.body, 1 << 20);
    http_answer(&o, &q, &a);
    buf_reset(body);
    buf_put(body, buf_span(&a.body));
    buf_put_char(body, '\0');
    buf_done(&a.body);
    return a.status;
}

static int
get(const char *path, const char *query, struct buf *body)
{
    return ask((struct http_question){.path = span_str(path),
                                      .query = span_str(query),
                                      .host = SPAN("autoconfig.example.net")},
               body);
}

static void
paths(void **state)
{
    static const struct {
        const char *path, *query;
        int status;
        const char *has;
    } rows[] = {
        {"/mail/config-v1.1.xml", "emailaddress=ann%40example.org", 200,
         "<domain>example.org</domain>"},
        {"/mail/config-v1.1.xml", "", 200, "<domain>example.net</domain>"},
        {"/.well-known/autoconfig/mail/config-v1.1.xml", "", 200,
         "<hostname>smtp.example.org</hostname>"},
        {"/mail/config-v1.1.xml", "emailaddress=ann@elsewhere.org", 404, ""},
        {"/mail/config-v1.1.xml", "emailaddress=ann%0a@example.org", 404, ""},
        {"/mail/config-v1.1.xml", "emailaddress=@example.org", 404, ""},
        {"/Autodiscover/Autodiscover.json", "Email=a&Protocol=AutodiscoverV1", 200,
         "\"Url\":\"https://mail.example.org/autodiscover/autodiscover.xml\""},
        {"/autodiscover/autodiscover.json/v1.0/a@b", "Protocol=autodiscoverv1", 200, "Url"},
        {"/autodiscover/autodiscover.jsonx", "Protocol=autodiscoverv1", 404, ""},
        {"/autodiscover/autodiscover.json", "Protocol=ActiveSync", 400, "InvalidProtocol"},
        {"/autodiscover/autodiscover.xml", "", 405, ""},
        {"/.well-known/user-agent-configuration.json", "", 200,
         "{\"protocols\":{\"imap\":{\"host\":\"mail.example.org\"},\"smtp\":{\"host\":"
         "\"smtp.example.org\"}},"
         "\"authentication\":{\"password\":true}}"},
        {"/mail.mobileconfig", "emailaddress=ann@example.org", 200,
         "<string>EmailTypeIMAP</string>"},
        {"/mail.mobileconfig", "", 404, ""},
        {"/healthz", "", 404, ""},
        {"/readyz", "", 404, ""},
        {"/metrics", "", 404, ""},
        {"/", "", 404, ""},
        {"", "", 404, ""},
    };
    struct buf body;
    (void)state;
    buf_init(&body, 1 << 20);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(get(rows[i].path, rows[i].query, &body), rows[i].status);
        assert_non_null(strstr(body.p, rows[i].has));
    }
    buf_done(&body);
}

static void
for_administrators(void **state)
{
    struct buf body;
    struct http_question q = {.path = SPAN("/readyz"), .admin = true};
    (void)state;
    buf_init(&body, 1 << 20);
    assert_int_equal(ask(q, &body), 200);
    ready = false;
    assert_int_equal(ask(q, &body), 503);
    ready = true;
    q.path = SPAN("/healthz");
    assert_int_equal(ask(q, &body), 200);
    q.path = SPAN("/metrics");
    assert_int_equal(ask(q, &body), 200);
    assert_string_equal(body.p, "posthorn_ready 1\n");
    buf_done(&body);
}

static int
discover(const char *request, struct buf *body)
{
    return ask((struct http_question){.post = true,
                                      .path = SPAN("/autodiscover/autodiscover.xml"),
                                      .body = span_str(request)},
               body);
}

#define REQUEST(address, schema)                                                           \
    "<?xml version=\"1.0\"?><Autodiscover "                                                \
    "xmlns=\"http://schemas.microsoft.com/exchange/autodiscover/outlook/"                  \
    "requestschema/2006\"><Request><EMailAddress>" address                                 \
    "</EMailAddress><AcceptableResponseSchema>http://schemas.microsoft.com/exchange/"      \
    "autodiscover/" schema "</AcceptableResponseSchema></Request></Autodiscover>"

static void
outlook(void **state)
{
    static const char *const wrong[] = {
        REQUEST("ann@elsewhere.org", "outlook/responseschema/2006a"),
        REQUEST("ann@example.org", "mobilesync/responseschema/2006"),
        "",
        "<Autodiscover/>",
        "<Autodiscover><Request></Autodiscover>",
        "<!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/passwd\">]><Autodiscover><Request>"
        "<EMailAddress>&e;ann@example.org</EMailAddress></Request></Autodiscover>",
    };
    struct buf body;
    (void)state;
    buf_init(&body, 1 << 20);
    assert_int_equal(
        discover(REQUEST("a&amp;n@example.org", "outlook/responseschema/2006a"), &body),
        200);
    assert_non_null(strstr(body.p, "<LoginName>a&amp;n@example.org</LoginName>"));
    assert_non_null(strstr(body.p, "<Type>SMTP</Type>"));
    assert_null(strstr(body.p, "<Port>143</Port>"));
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(discover(wrong[i], &body), 200);
        assert_non_null(strstr(body.p, "<ErrorCode>600</ErrorCode>"));
    }
    buf_done(&body);
}

static void
take(void *arg, struct span name, const char *type, struct span data)
{
    buf_printf(arg, "%.*s %s %.*s\n", SPAN_ARG(name), type, SPAN_ARG(data));
}

static void
zone(void **state)
{
    static const char *const lines[] = {
        "_imaps._tcp.example.org. SRV 0 1 993 mail.example.org.\n",
        "_imap._tcp.example.org. SRV 10 1 143 mail.example.org.\n",
        "_pop3s._tcp.example.org. SRV 0 0 0 .\n",
        "_submissions._tcp.example.org. SRV 0 1 465 smtp.example.org.\n",
        "autoconfig.example.org. CNAME mail.example.org.\n",
        "\nexample.org. TXT \"mailconf=https://mail.example.org/",
    };
    struct http_options o = options();
    struct buf b;
    (void)state;
    buf_init(&b, 65536);
    offers_records(&o.offers, SPAN("example.org"), take, &b);
    buf_put_char(&b, '\0');
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        assert_non_null(strstr(b.p, lines[i]));
    buf_done(&b);
}

// RFC 9728 section 2; without an issuer there is no such document.
static void
oauth(void **state)
{
    static const char path[] = "/.well-known/oauth-protected-resource";
    struct buf body;
    (void)state;
    buf_init(&body, 1 << 20);
    assert_int_equal(get(path, "", &body), 404);
    issuer = SPAN("https://id.example.org/x");
    assert_int_equal(get(path, "", &body), 200);
    assert_string_equal(
        body.p,
        "{\"resource\":\"https://mail.example.org\",\"authorization_servers\":["
        "\"https://id.example.org/x\"],\"scopes_supported\":[\"mail\",\"offline\"]}\n");
    issuer = SPAN_NONE;
    buf_done(&body);
}

static void
signature(void **state)
{
    struct buf body;
    (void)state;
    buf_init(&body, 1 << 20);
    signs = true;
    assert_int_equal(get("/mail.mobileconfig", "email=ann@example.org", &body), 200);
    assert_non_null(strstr(body.p, "signed "));
    assert_null(strstr(body.p, "<plist"));
    assert_int_equal(get("/mail.mobileconfig", "email=ann@elsewhere.org", &body), 404);
    assert_null(strstr(body.p, "signed "));
    signs = false;
    buf_done(&body);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths),   cmocka_unit_test(for_administrators),
        cmocka_unit_test(outlook), cmocka_unit_test(zone),
        cmocka_unit_test(oauth),   cmocka_unit_test(signature)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
