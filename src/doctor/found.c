#include "doctor/found.h"
#include "base/limits.h"

#include <jansson.h>
#include <libxml/parser.h>

void
found_init(struct found *d, struct arena *a)
{
    *d = (struct found){.arena = a};
    d->list = arena_array(a, LIMIT_doctor_servers, sizeof *d->list);
}

void
found_put(struct found *d, enum offer_kind kind, struct span host, uint16_t port)
{
    d->named++;
    for (size_t i = 0; i < d->n; i++)
        if (d->list[i].kind == kind && d->list[i].port == port &&
            span_ieq(d->list[i].host, host))
            return;
    if (d->n < LIMIT_doctor_servers)
        d->list[d->n++] = (struct offer){kind, arena_dup(d->arena, host), port};
}

// By the words of a document. `tls`: from the first octet.
static void
put_words(struct found *d, struct span protocol, struct span host, uint32_t port, bool tls)
{
    for (unsigned k = 0; k < OFFER_KINDS; k++) {
        const char *name = offer_kind_protocol(k);
        if (name != NULL && span_ieq(protocol, span_str(name)) &&
            offer_is_implicit(k) == tls && host.n > 0 && port > 0 && port <= UINT16_MAX)
            found_put(d, k, host, (uint16_t)port);
    }
}

static bool
is_named(const xmlNode *n, const char *name)
{
    return n->type == XML_ELEMENT_NODE && strcmp((const char *)n->name, name) == 0;
}

static struct span
content(struct arena *a, const xmlNode *n)
{
    xmlChar *text = xmlNodeGetContent(n);
    struct span copy =
        text ? arena_dup(a, span_trim(span_str((const char *)text))) : SPAN_NONE;
    xmlFree(text);
    return copy;
}

static struct span
child_text(struct arena *a, const xmlNode *parent, const char *name)
{
    for (const xmlNode *n = parent->children; n != NULL; n = n->next)
        if (is_named(n, name))
            return content(a, n);
    return SPAN_NONE;
}

// Each element of the document, in its order.
static const xmlNode *
next_node(const xmlNode *n)
{
    if (n->children != NULL && n->type == XML_ELEMENT_NODE)
        return n->children;
    while (n != NULL && n->next == NULL)
        n = n->parent && n->parent->type == XML_ELEMENT_NODE ? n->parent : NULL;
    return n ? n->next : NULL;
}

// Entities of its own are declared by nobody who means well.
static bool
declares(const xmlDoc *doc)
{
    return doc->intSubset != NULL && doc->intSubset->children != NULL;
}

typedef void read_node_fn(struct found *d, const xmlNode *n);

static enum result
read_xml(struct found *d, struct span body, const char *root_name, read_node_fn *read,
         struct fault *f)
{
    xmlDoc *doc =
        body.n > 0
            ? xmlReadMemory(body.p, (int)body.n, "document", NULL,
                            XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING)
            : NULL;
    const xmlNode *root = doc ? xmlDocGetRootElement(doc) : NULL;
    bool good = root != NULL && is_named(root, root_name) && !declares(doc);
    d->named = 0;
    for (const xmlNode *n = good ? root : NULL; n != NULL; n = next_node(n))
        if (n->type == XML_ELEMENT_NODE)
            read(d, n);
    xmlFreeDoc(doc);
    return good ? R_OK
                : fault_set(f, FAULT_BAD, "what comes is no XML document with <%s>",
                            root_name);
}

static uint32_t
number(struct span s)
{
    uint32_t n = 0;
    return span_to_u32(s, &n) == R_OK ? n : 0;
}

static void
read_server(struct found *d, const xmlNode *n)
{
    if (!is_named(n, "incomingServer") && !is_named(n, "outgoingServer"))
        return;
    xmlChar *type = xmlGetProp(n, (const xmlChar *)"type");
    struct span way = child_text(d->arena, n, "socketType");
    d->plain |= span_ieq(way, SPAN("plain"));
    put_words(d, span_str((const char *)type), child_text(d->arena, n, "hostname"),
              number(child_text(d->arena, n, "port")), span_ieq(way, SPAN("SSL")));
    xmlFree(type);
}

enum result
found_autoconfig(struct found *d, struct span body, struct fault *f)
{
    return read_xml(d, body, "clientConfig", read_server, f);
}

static void
read_protocol(struct found *d, const xmlNode *n)
{
    if (!is_named(n, "Protocol"))
        return;
    struct span way = child_text(d->arena, n, "Encryption");
    bool ssl = !span_ieq(child_text(d->arena, n, "SSL"), SPAN("off"));
    d->plain |= span_ieq(way, SPAN("None")) || (way.n == 0 && !ssl);
    put_words(d, child_text(d->arena, n, "Type"), child_text(d->arena, n, "Server"),
              number(child_text(d->arena, n, "Port")),
              way.n ? span_ieq(way, SPAN("SSL")) : ssl);
}

enum result
found_autodiscover(struct found *d, struct span body, struct fault *f)
{
    enum result r = read_xml(d, body, "Autodiscover", read_protocol, f);
    if (r == R_OK && d->named == 0)
        return fault_set(f, FAULT_NONEXISTENT,
                         "it answers that it does not know the address");
    return r;
}

// A profile only says that there is TLS, not how it begins.
static bool
is_starttls_port(uint32_t port)
{
    for (unsigned k = 0; k < OFFER_KINDS; k++)
        if (offer_kind_port(k) == port)
            return !offer_is_implicit(k);
    return false;
}

// A profile is a property list: <key>, then its value.
static void
read_account(struct found *d, const xmlNode *dict)
{
    static const char *const ways[] = {"Incoming", "Outgoing"};
    for (size_t i = 0; i < 2 && is_named(dict, "dict"); i++) {
        struct span host = SPAN_NONE, type = SPAN("imap");
        uint32_t port = 0;
        char name[64], at[64];
        snprintf(name, sizeof name, "%sMailServerHostName", ways[i]);
        snprintf(at, sizeof at, "%sMailServerPortNumber", ways[i]);
        for (const xmlNode *n = dict->children; n != NULL; n = n->next) {
            const xmlNode *value = n->next;
            while (value != NULL && value->type != XML_ELEMENT_NODE)
                value = value->next;
            if (!is_named(n, "key") || value == NULL)
                continue;
            struct span key = content(d->arena, n), text = content(d->arena, value);
            host = span_eq(key, span_str(name)) ? text : host;
            port = span_eq(key, span_str(at)) ? number(text) : port;
            if (span_eq(key, SPAN("EmailAccountType")) &&
                span_eq(text, SPAN("EmailTypePOP")))
                type = SPAN("pop3");
        }
        type = i == 1 ? SPAN("smtp") : type;
        put_words(d, type, host, port, !is_starttls_port(port));
    }
}

enum result
found_profile(struct found *d, struct span body, struct fault *f)
{
    return read_xml(d, body, "plist", read_account, f);
}

static json_t *
load(struct span body, struct fault *f)
{
    json_error_t error;
    json_t *j = json_loadb(body.p ? body.p : "", body.n, 0, &error);
    if (json_is_object(j))
        return j;
    json_decref(j);
    fault_set(f, FAULT_BAD, "what comes is no JSON object");
    return NULL;
}

enum result
found_pacc(struct found *d, struct span body, struct fault *f)
{
    static const struct {
        const char *name;
        enum offer_kind kind;
    } protocols[] = {{"imap", OFFER_IMAPS},
                     {"pop3", OFFER_POP3S},
                     {"smtp", OFFER_SUBMISSIONS},
                     {"managesieve", OFFER_SIEVE}};
    json_t *j = load(body, f);
    if (j == NULL)
        return R_FAIL;
    d->named = 0;
    for (size_t i = 0; i < sizeof protocols / sizeof protocols[0]; i++) {
        const json_t *one =
            json_object_get(json_object_get(j, "protocols"), protocols[i].name);
        const char *host = json_string_value(json_object_get(one, "host"));
        if (host != NULL && host[0] != '\0')
            found_put(d, protocols[i].kind, span_str(host),
                      offer_kind_port(protocols[i].kind));
    }
    json_decref(j);
    return R_OK;
}

enum result
found_autodiscover_url(struct arena *a, struct span body, struct span *url_out,
                       struct fault *f)
{
    json_t *j = load(body, f);
    if (j == NULL)
        return R_FAIL;
    const char *url = json_string_value(json_object_get(j, "Url"));
    *url_out = arena_dup(a, span_str(url));
    json_decref(j);
    return url ? R_OK : fault_set(f, FAULT_BAD, "it names no URL");
}
