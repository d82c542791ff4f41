// Documents in JSON: Autodiscover v2, user-agent-configuration.json (draft-ietf-mailmaint-pacc), and what RFC 9728 has for OAuth.

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

// RFC 9728 section 2: scopes_supported is a list, the setting has blanks between (RFC 6749 section 3.3).
enum result
offers_resource(const struct offers *o, struct buf *out)
{
    if (o->oauth_issuer.n == 0)
        return R_NONE;
    json_t *j = object(), *issuers = json_array(), *scopes = json_array();
    struct span rest = o->oauth_scope, scope;
    struct buf url;
    must(issuers != NULL && scopes != NULL);
    buf_init(&url, 1000);
    buf_printf(&url, "https://%.*s", SPAN_ARG(o->host));
    put(j, "resource", text(buf_span(&url)));
    must(json_array_append_new(issuers, text(o->oauth_issuer)) == 0);
    put(j, "authorization_servers", issuers);
    while (span_next_field(&rest, ' ', &scope) == R_OK)
        if (scope.n > 0)
            must(json_array_append_new(scopes, text(scope)) == 0);
    if (json_array_size(scopes) > 0)  // what is empty is left out (RFC 9728 section 3.2)
        put(j, "scopes_supported", scopes);
    else
        json_decref(scopes);
    buf_done(&url);
    print(j, out);
    return R_OK;
}
