// Records that lead clients here: SRV (RFC 6186 section 3, RFC 8314 section 5.1, RFC 5804 section 1.8), the names of the
// documents, and the TXT of draft-ietf-mailmaint-pacc.

#include "http/offers.h"
#include <openssl/evp.h>

struct zone {
    const struct offers *offers;
    struct span domain;
    offers_record_fn *tell;
    void *arg;
};

static void
tell(const struct zone *z, const char *name, const char *type, const struct buf *data)
{
    struct buf b;
    buf_init(&b, 1000);
    buf_printf(&b, "%s%s%.*s.", name, name[0] ? "." : "", SPAN_ARG(z->domain));
    z->tell(z->arg, buf_span(&b), type, buf_span(data));
    buf_done(&b);
}

// What is not offered is said so: the target "." (RFC 6186 section 3.4).
static void
tell_srv(const struct zone *z, enum offer_kind kind)
{
    const struct offer *offer = offers_find(z->offers, kind);
    char name[40];
    struct buf b;
    buf_init(&b, 1000);
    snprintf(name, sizeof name, "_%s._tcp", offer_kind_name(kind));
    if (offer == NULL)
        buf_put_str(&b, "0 0 0 .");
    else
        buf_printf(&b, "%u 1 %u %.*s.", offer_is_implicit(kind) ? 0 : 10, offer->port,
                   SPAN_ARG(offer->host));
    tell(z, name, "SRV", &b);
    buf_done(&b);
}

// Names that the certificate of the listener https must have, too.
static void
tell_documents(const struct zone *z)
{
    static const char *const names[] = {"autoconfig", "autodiscover", "ua-auto-config"};
    struct buf b;
    buf_init(&b, 1000);
    buf_printf(&b, "%.*s.", SPAN_ARG(z->offers->host));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        tell(z, names[i], "CNAME", &b);
    buf_reset(&b);
    buf_printf(&b, "0 1 443 %.*s.", SPAN_ARG(z->offers->host));
    tell(z, "_autodiscover._tcp", "SRV", &b);
    buf_reset(&b);
    buf_printf(&b, "\"mailconf=https://%.*s/.well-known/autoconfig/mail/config-v1.1.xml\"",
               SPAN_ARG(z->offers->host));
    tell(z, "", "TXT", &b);
    buf_done(&b);
}

static void
tell_digest(const struct zone *z)
{
    struct buf body, b;
    unsigned char digest[EVP_MAX_MD_SIZE], text[100];
    unsigned n = 0;
    buf_init(&body, 65536);
    buf_init(&b, 1000);
    offers_pacc(z->offers, &body);
    must(EVP_Digest(body.p, body.n, digest, &n, EVP_sha256(), NULL) == 1);
    EVP_EncodeBlock(text, digest, (int)n);
    buf_printf(&b, "\"v=UAAC1; a=sha256; d=%s\"", (const char *)text);
    tell(z, "_ua-auto-config", "TXT", &b);
    buf_done(&body);
    buf_done(&b);
}

void
offers_records(const struct offers *o, struct span domain, offers_record_fn *fn, void *arg)
{
    struct zone z = {o, domain, fn, arg};
    for (unsigned k = 0; k < OFFER_KINDS; k++)
        tell_srv(&z, k);
    tell_documents(&z);
    tell_digest(&z);
}
