#include "http/answer.h"
#include "base/percent.h"

#define XML "application/xml; charset=utf-8"
#define JSON "application/json"
#define TEXT "text/plain; charset=utf-8"

typedef void route_fn(const struct http_options *o, const struct http_question *q,
                      struct arena *arena, struct http_answer *a);

static void
refuse(struct http_answer *a, int status, const char *text)
{
    buf_reset(&a->body);
    a->status = status;
    a->type = TEXT;
    buf_printf(&a->body, "%s\n", text);
}

// R_NONE: the query has no such parameter.
static enum result
parameter(struct arena *arena, struct span query, const char *name, struct span *out)
{
    struct span one;
    while (span_next_field(&query, '&', &one) == R_OK) {
        size_t at = span_find_char(one, '=');
        if (span_ieq(span_slice(one, 0, at), span_str(name)))
            return percent_decode(arena, span_skip(one, at + 1), out) ? R_OK : R_NONE;
    }
    return R_NONE;
}

static enum result
address_of(const struct http_options *o, struct arena *arena, struct span query,
           struct span *address, struct span *domain)
{
    static const char *const names[] = {"emailaddress", "email"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (parameter(arena, query, names[i], address) == R_OK)
            return offers_address(&o->offers, *address, domain);
    return R_NONE;
}

// Asked without an address: by the name of the host, "autoconfig." before it or not; else for the first domain.
static struct span
domain_of_host(const struct offers *o, struct span host)
{
    struct span prefix = SPAN("autoconfig.");
    host = span_slice(host, 0, span_find_char(host, ':'));
    if (span_istarts(host, prefix))
        host = span_skip(host, prefix.n);
    if (o->domain_count > 0)
        return offers_has_domain(o, host) ? host : o->domains[0];
    return o->host;
}

static void
autoconfig(const struct http_options *o, const struct http_question *q, struct arena *arena,
           struct http_answer *a)
{
    struct span address, domain;
    enum result r = address_of(o, arena, q->query, &address, &domain);
    if (r == R_FAIL) {
        refuse(a, 404, "No mail of that domain is here.");
        return;
    }
    a->type = XML;
    offers_autoconfig(&o->offers, r == R_OK ? domain : domain_of_host(&o->offers, q->host),
                      &a->body);
}

static void
autodiscover(const struct http_options *o, const struct http_question *q,
             struct arena *arena, struct http_answer *a)
{
    struct span address, domain;
    a->type = XML;
    if (offers_autodiscover_ask(arena, q->body, &address) == R_OK &&
        offers_address(&o->offers, address, &domain) == R_OK)
        offers_autodiscover(&o->offers, address, &a->body);
    else
        offers_autodiscover_error(&a->body);
}

static void
autodiscover_json(const struct http_options *o, const struct http_question *q,
                  struct arena *arena, struct http_answer *a)
{
    struct span protocol = SPAN_NONE;
    if (parameter(arena, q->query, "protocol", &protocol) != R_OK)
        protocol = SPAN_NONE;
    a->type = JSON;
    if (offers_autodiscover_json(&o->offers, protocol, &a->body) != R_OK)
        a->status = 400;
}

static void
mobileconfig(const struct http_options *o, const struct http_question *q,
             struct arena *arena, struct http_answer *a)
{
    struct span address, domain;
    if (address_of(o, arena, q->query, &address, &domain) != R_OK) {
        refuse(a, 404, "Ask with ?emailaddress=NAME@DOMAIN, an address of a domain here.");
        return;
    }
    struct buf profile;
    buf_init(&profile, a->body.max);
    a->type = "application/x-apple-aspen-config";
    if (offers_mobileconfig(&o->offers, address, &profile) != R_OK)
        refuse(a, 404, "No server for outgoing mail is announced.");
    else if (o->sign(o->arg, buf_span(&profile), &a->body) != R_OK)
        buf_put(&a->body, buf_span(&profile));
    buf_done(&profile);
}

static void
pacc(const struct http_options *o, const struct http_question *q, struct arena *arena,
     struct http_answer *a)
{
    (void)q, (void)arena;
    a->type = JSON;
    offers_pacc(&o->offers, &a->body);
}

// Clients that hold no list of providers learn here whose tokens to ask for; what they need of the provider is behind its own
// well-known URL (RFC 8414 section 3).
static void
resource(const struct http_options *o, const struct http_question *q, struct arena *arena,
         struct http_answer *a)
{
    (void)q, (void)arena;
    a->type = JSON;
    if (offers_resource(&o->offers, &a->body) != R_OK)
        refuse(a, 404, "Tokens are not accepted here.");
}

static void
healthz(const struct http_options *o, const struct http_question *q, struct arena *arena,
        struct http_answer *a)
{
    (void)o, (void)q, (void)arena;
    buf_put_str(&a->body, "ok\n");
}

static void
readyz(const struct http_options *o, const struct http_question *q, struct arena *arena,
       struct http_answer *a)
{
    (void)q, (void)arena;
    if (o->is_ready(o->arg))
        buf_put_str(&a->body, "ready\n");
    else
        refuse(a, 503, "a role is not ready");
}

static void
metrics(const struct http_options *o, const struct http_question *q, struct arena *arena,
        struct http_answer *a)
{
    (void)q, (void)arena;
    a->type = "text/plain; version=0.0.4; charset=utf-8";
    o->metrics(o->arg, &a->body);
}

static const struct route {
    const char *path;  // in lower case
    route_fn *fn;
    bool post, admin, below;  // below: and all that begins so
} routes[] = {
    {"/mail/config-v1.1.xml", autoconfig, false, false, false},
    {"/.well-known/autoconfig/mail/config-v1.1.xml", autoconfig, false, false, false},
    {"/autodiscover/autodiscover.xml", autodiscover, true, false, false},
    {"/autodiscover/autodiscover.json", autodiscover_json, false, false, true},
    {"/.well-known/user-agent-configuration.json", pacc, false, false, false},
    {"/.well-known/oauth-protected-resource", resource, false, false, false},
    {"/mail.mobileconfig", mobileconfig, false, false, false},
    {"/healthz", healthz, false, true, false},
    {"/readyz", readyz, false, true, false},
    {"/metrics", metrics, false, true, false},
};

// Outlook asks for /Autodiscover/Autodiscover.xml, or in any other case.
static const struct route *
find(const struct http_question *q)
{
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        struct span path = span_str(routes[i].path);
        bool same =
            span_ieq(q->path, path) ||
            (routes[i].below && span_istarts(q->path, path) && q->path.p[path.n] == '/');
        if (same && (q->admin || !routes[i].admin))
            return &routes[i];
    }
    return NULL;
}

void
http_answer(const struct http_options *o, const struct http_question *q,
            struct http_answer *a)
{
    const struct route *route = find(q);
    a->status = 200;
    a->type = TEXT;
    a->allow = NULL;
    if (q->broken) {
        refuse(a, 400, "This is no request of HTTP.");
        return;
    }
    if (route == NULL) {
        refuse(a, 404, "There is nothing here.");
        return;
    }
    if (route->post != q->post) {
        refuse(a, 405, "Not by this method.");
        a->allow = route->post ? "POST" : "GET, HEAD";
        return;
    }
    struct arena *arena = arena_new();
    route->fn(o, q, arena, a);
    arena_free(&arena);
}
