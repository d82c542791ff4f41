// Thunderbird's config-v1.1.xml (draft-ietf-mailmaint-autoconfig-06), read by many others.

#include "http/offers.h"
#include "http/xml.h"

static void
put_server(const struct offers *o, const struct offer *offer, struct buf *out)
{
    const char *type = offer_kind_protocol(offer->kind);
    const char *element =
        span_eq(span_str(type), SPAN("smtp")) ? "outgoingServer" : "incomingServer";
    buf_printf(out, "    <%s type=\"%s\">\n", element, type);
    xml_put(out, 3, "hostname", offer->host);
    xml_put_number(out, 3, "port", offer->port);
    xml_put(out, 3, "socketType",
            offer_is_implicit(offer->kind) ? SPAN("SSL") : SPAN("STARTTLS"));
    // Either is encrypted by TLS; Thunderbird takes "password-encrypted" for CRAM-MD5, which is not here.
    if (o->scram)
        buf_put_str(
            out, "      <authentication system=\"sasl\">SCRAM-SHA-256</authentication>\n");
    xml_put(out, 3, "authentication", SPAN("password-cleartext"));
    xml_put(out, 3, "username", SPAN("%EMAILADDRESS%"));
    buf_printf(out, "    </%s>\n", element);
}

void
offers_autoconfig(const struct offers *o, struct span domain, struct buf *out)
{
    buf_put_str(
        out,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<clientConfig version=\"1.1\">\n");
    buf_put_str(out, "  <emailProvider id=\"");
    xml_put_text(out, domain);
    buf_put_str(out, "\">\n");
    xml_put(out, 2, "domain", domain);
    xml_put(out, 2, "displayName", domain);
    xml_put(out, 2, "displayShortName", domain);
    for (size_t i = 0; i < o->n; i++)
        if (offer_kind_protocol(o->list[i].kind) != NULL)
            put_server(o, &o->list[i], out);
    buf_put_str(out, "  </emailProvider>\n</clientConfig>\n");
}
