// Documents in JSON: Autodiscover v2, and user-agent-configuration.json (draft-ietf-mailmaint-pacc).

#include "http/offers.h"
#include <jansson.h>

static json_t *
text(struct span s)
{
    json_t *j = json_stringn_nocheck(s.p, s.n);
    must(j != NULL);
    return j;
}

static void
put(json_t *object, const char *name, json_t *value)
{
    must(json_object_set_new_nocheck(object, name, value) == 0);
}

static json_t *
object(void)
{
    json_t *j = json_object();
    must(j != NULL);
    return j;
}

static void
print(json_t *j, struct buf *out)
{
    char *s = json_dumps(j, JSON_COMPACT);
    must(s != NULL);
    buf_put_str(out, s);
    buf_put_char(out, '\n');
    free(s);
    json_decref(j);
}

enum result
offers_autodiscover_json(const struct offers *o, struct span protocol, struct buf *out)
{
    json_t *j = object();
    struct buf url;
    if (!span_ieq(protocol, SPAN("AutodiscoverV1"))) {
        put(j, "ErrorCode", text(SPAN("InvalidProtocol")));
        put(j, "ErrorMessage", text(SPAN("Supported is 'AutodiscoverV1'.")));
        print(j, out);
        return R_NONE;
    }
    buf_init(&url, 1000);
    buf_printf(&url, "https://%.*s/autodiscover/autodiscover.xml", SPAN_ARG(o->host));
    put(j, "Protocol", text(SPAN("AutodiscoverV1")));
    put(j, "Url", text(buf_span(&url)));
    buf_done(&url);
    print(j, out);
    return R_OK;
}

// Only the usual ports with TLS can be told.
static void
put_protocol(const struct offers *o, json_t *protocols, enum offer_kind kind,
             const char *name)
{
    const struct offer *offer = offers_find(o, kind);
    if (offer == NULL || offer->port != offer_kind_port(kind))
        return;
    json_t *j = object();
    put(j, "host", text(offer->host));
    put(protocols, name, j);
}

void
offers_pacc(const struct offers *o, struct buf *out)
{
    json_t *j = object(), *protocols = object(), *authentication = object();
    put_protocol(o, protocols, OFFER_IMAPS, "imap");
    put_protocol(o, protocols, OFFER_POP3S, "pop3");
    put_protocol(o, protocols, OFFER_SUBMISSIONS, "smtp");
    put_protocol(o, protocols, OFFER_SIEVE, "managesieve");
    put(j, "protocols", protocols);
    if (o->oauth_issuer.n > 0) {
        json_t *oauth = object();
        put(oauth, "issuer", text(o->oauth_issuer));
        put(authentication, "oauth-public", oauth);
    }
    put(authentication, "password", json_true());
    put(j, "authentication", authentication);
    print(j, out);
}
