// Records that lead clients here: SRV (RFC 6186 section 3, RFC 8314 section 5.1, RFC 5804 section 1.8), the names of the
// documents, and the TXT of draft-ietf-mailmaint-pacc.

#include "http/offers.h"
#include <openssl/evp.h>

// What is not offered is said so: the target "." (RFC 6186 section 3.4).
static void
put_srv(const struct offers *o, enum offer_kind kind, unsigned priority, struct buf *out)
{
    const struct offer *offer = offers_find(o, kind);
    char name[40];
    snprintf(name, sizeof name, "_%s._tcp", offer_kind_name(kind));
    if (offer == NULL)
        buf_printf(out, "%-20s IN SRV   0 0 0 .\n", name);
    else
        buf_printf(out, "%-20s IN SRV   %u 1 %u %.*s.\n", name, priority, offer->port,
                   SPAN_ARG(offer->host));
}

static void
put_digest(const struct offers *o, struct buf *out)
{
    struct buf body;
    unsigned char digest[EVP_MAX_MD_SIZE], text[100];
    unsigned n = 0;
    buf_init(&body, 65536);
    offers_pacc(o, &body);
    must(EVP_Digest(body.p, body.n, digest, &n, EVP_sha256(), NULL) == 1);
    EVP_EncodeBlock(text, digest, (int)n);
    buf_printf(out, "%-20s IN TXT   \"v=UAAC1; a=sha256; d=%s\"\n", "_ua-auto-config",
               (const char *)text);
    buf_done(&body);
}

static void
put_alias(const struct offers *o, const char *name, struct buf *out)
{
    buf_printf(out, "%-20s IN CNAME %.*s.\n", name, SPAN_ARG(o->host));
}

void
offers_zone(const struct offers *o, struct span domain, struct buf *out)
{
    buf_printf(out, "$ORIGIN %.*s.\n", SPAN_ARG(domain));
    buf_put_str(
        out,
        "; how mail clients find their servers (RFC 6186, RFC 8314); \".\": not offered\n");
    for (unsigned k = 0; k < OFFER_KINDS; k++)
        put_srv(o, k, offer_is_implicit(k) ? 0 : 10, out);
    buf_put_str(
        out,
        "; documents of the listener https; its certificate must have these names, too\n");
    put_alias(o, "autoconfig", out);
    put_alias(o, "autodiscover", out);
    put_alias(o, "ua-auto-config", out);
    buf_printf(out, "%-20s IN SRV   0 1 443 %.*s.\n", "_autodiscover._tcp",
               SPAN_ARG(o->host));
    buf_printf(out,
               "%-20s IN TXT   "
               "\"mailconf=https://%.*s/.well-known/autoconfig/mail/config-v1.1.xml\"\n",
               "@", SPAN_ARG(o->host));
    put_digest(o, out);
}
