// Outlook's Autodiscover: the plain old XML (schema outlook/responseschema/2006a), and v2, which says where that is.

#include "http/offers.h"
#include "http/xml.h"
#include <libxml/parser.h>

#define SCHEMA "http://schemas.microsoft.com/exchange/autodiscover/"

static bool
is_named(const xmlNode *n, const char *name)
{
    return n->type == XML_ELEMENT_NODE && strcmp((const char *)n->name, name) == 0;
}

static struct span
child_text(struct arena *a, const xmlNode *parent, const char *name)
{
    for (const xmlNode *n = parent->children; n != NULL; n = n->next) {
        if (!is_named(n, name))
            continue;
        xmlChar *text = xmlNodeGetContent(n);
        struct span copy =
            text ? arena_dup(a, span_trim(span_str((const char *)text))) : SPAN_NONE;
        xmlFree(text);
        return copy;
    }
    return SPAN_NONE;
}

static enum result
read_request(struct arena *a, const xmlNode *root, struct span *address_out)
{
    if (root == NULL || !is_named(root, "Autodiscover"))
        return R_FAIL;
    for (const xmlNode *n = root->children; n != NULL; n = n->next)
        if (is_named(n, "Request")) {
            struct span schema = child_text(a, n, "AcceptableResponseSchema");
            *address_out = child_text(a, n, "EMailAddress");
            bool ours = schema.n == 0 ||
                        span_eq(schema, SPAN(SCHEMA "outlook/responseschema/2006a"));
            return ours && address_out->n > 0 ? R_OK : R_FAIL;
        }
    return R_FAIL;
}

// No entity is resolved and nothing is fetched: the parser's options are none.
enum result
offers_autodiscover_ask(struct arena *a, struct span request, struct span *address_out)
{
    xmlDoc *doc =
        request.n > 0 && request.n <= INT_MAX
            ? xmlReadMemory(request.p, (int)request.n, "request", NULL,
                            XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING)
            : NULL;
    if (doc == NULL)
        return R_FAIL;
    enum result r = R_FAIL;
    if (xmlGetIntSubset(doc) ==
        NULL)  // a document type is asked for by nobody who means well
        r = read_request(a, xmlDocGetRootElement(doc), address_out);
    xmlFreeDoc(doc);
    return r;
}

static void
put_protocol(const char *type, const struct offer *offer, struct span address,
             struct buf *out)
{
    bool implicit = offer_is_implicit(offer->kind);
    buf_put_str(out, "      <Protocol>\n");
    xml_put(out, 4, "Type", span_str(type));
    xml_put(out, 4, "Server", offer->host);
    xml_put_number(out, 4, "Port", offer->port);
    xml_put(out, 4, "DomainRequired", SPAN("off"));
    xml_put(out, 4, "LoginName", address);
    xml_put(out, 4, "SPA", SPAN("off"));
    xml_put(out, 4, "SSL", SPAN("on"));
    xml_put(out, 4, "Encryption", implicit ? SPAN("SSL") : SPAN("TLS"));
    xml_put(out, 4, "AuthRequired", SPAN("on"));
    if (strcmp(type, "SMTP") == 0) {
        xml_put(out, 4, "UsePOPAuth", SPAN("off"));
        xml_put(out, 4, "SMTPLast", SPAN("off"));
    }
    buf_put_str(out, "      </Protocol>\n");
}

// One of each type: Outlook takes the first, and is confused by a second.
static const struct {
    const char *type;
    enum offer_kind best, other;
} protocols[] = {
    {"IMAP", OFFER_IMAPS, OFFER_IMAP},
    {"POP3", OFFER_POP3S, OFFER_POP3},
    {"SMTP", OFFER_SUBMISSIONS, OFFER_SUBMISSION},
};

void
offers_autodiscover(const struct offers *o, struct span address, struct buf *out)
{
    buf_put_str(out, "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n"
                     "<Autodiscover xmlns=\"" SCHEMA "responseschema/2006\">\n"
                     "  <Response xmlns=\"" SCHEMA "outlook/responseschema/2006a\">\n"
                     "    <User>\n");
    xml_put(out, 3, "DisplayName", address);
    buf_put_str(out, "    </User>\n    <Account>\n");
    xml_put(out, 3, "AccountType", SPAN("email"));
    xml_put(out, 3, "Action", SPAN("settings"));
    for (size_t i = 0; i < sizeof protocols / sizeof protocols[0]; i++) {
        const struct offer *offer = offers_best(o, protocols[i].best, protocols[i].other);
        if (offer != NULL)
            put_protocol(protocols[i].type, offer, address, out);
    }
    buf_put_str(out, "    </Account>\n  </Response>\n</Autodiscover>\n");
}

void
offers_autodiscover_error(struct buf *out)
{
    buf_put_str(out, "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n"
                     "<Autodiscover xmlns=\"" SCHEMA "responseschema/2006\">\n"
                     "  <Response>\n    <Error>\n"
                     "      <ErrorCode>600</ErrorCode>\n"
                     "      <Message>Invalid Request</Message>\n"
                     "    </Error>\n  </Response>\n</Autodiscover>\n");
}
