#ifndef HTTP_OFFERS_H
#define HTTP_OFFERS_H

// What mail clients are told of this server, and the forms in which they ask for it: documents over HTTP and records of the DNS.
// All of them say the same, for every address of a domain: whether a user exists is not told.
// Owner: who made it (ctl/announce.h). Trust: addresses and host names in questions are a stranger's.
// Threads: never changed once made.

#include "base/arena.h"
#include "base/buf.h"

enum offer_kind {
    OFFER_IMAPS,
    OFFER_IMAP,
    OFFER_POP3S,
    OFFER_POP3,
    OFFER_SUBMISSIONS,
    OFFER_SUBMISSION,
    OFFER_SIEVE,
    OFFER_KINDS,
};
// Words of the settings, in the same order: "imaps", "imap", ..., "sieve".
const char *offer_kind_name(enum offer_kind k);
uint16_t offer_kind_port(enum offer_kind k);  // the usual one
// TLS from the first octet (RFC 8314 section 3); else STARTTLS.
bool offer_is_implicit(enum offer_kind k);
// "imap", "pop3" or "smtp"; NULL: none that mail clients' documents know.
const char *offer_kind_protocol(enum offer_kind k);

struct offer {
    enum offer_kind kind;
    struct span host;
    uint16_t port;
};

struct offers {
    struct span host;    // where these documents are
    struct offer *list;  // in the order of enum offer_kind: what is better comes first
    size_t n;
    const struct span *domains;  // of the users here; none: any
    size_t domain_count;
    bool scram;                // passwords can be proven without being sent
    struct span oauth_issuer;  // empty: none
    struct span oauth_scope;   // to ask it for; empty: nothing is said
};

// The first of that kind; NULL: none.
const struct offer *offers_find(const struct offers *o, enum offer_kind k);
const struct offer *offers_best(const struct offers *o, enum offer_kind best,
                                enum offer_kind other);
// The part behind the last @. R_FAIL: it is no address "local@domain", or not of a domain here.
enum result offers_address(const struct offers *o, struct span address,
                           struct span *domain_out) MUST_CHECK;
bool offers_has_domain(const struct offers *o, struct span domain);

// Thunderbird's config-v1.1.xml (draft-ietf-mailmaint-autoconfig).
void offers_autoconfig(const struct offers *o, struct span domain, struct buf *out);
// Outlook's Autodiscover, schema 2006a. The address of a request; R_FAIL: it is none, or asks for another schema.
enum result offers_autodiscover_ask(struct arena *a, struct span request,
                                    struct span *address_out) MUST_CHECK;
void offers_autodiscover(const struct offers *o, struct span address, struct buf *out);
void offers_autodiscover_error(struct buf *out);
// Autodiscover v2: where the document above is. R_NONE: no such protocol here; *out has the error.
enum result offers_autodiscover_json(const struct offers *o, struct span protocol,
                                     struct buf *out) MUST_CHECK;
// RFC 9728: who gives tokens for this server. R_NONE: nobody does.
enum result offers_resource(const struct offers *o, struct buf *out) MUST_CHECK;
// Apple's .mobileconfig, not signed. R_NONE: there is nothing to send mail by, so it would be refused.
enum result offers_mobileconfig(const struct offers *o, struct span address,
                                struct buf *out) MUST_CHECK;
// draft-ietf-mailmaint-pacc: user-agent-configuration.json.
void offers_pacc(const struct offers *o, struct buf *out);
// Records of a domain: SRV (RFC 6186, RFC 8314), CNAME and TXT. The name ends with a dot; data as RFC 1035 section 5 writes it.
typedef void offers_record_fn(void *arg, struct span name, const char *type,
                              struct span data);
void offers_records(const struct offers *o, struct span domain, offers_record_fn *fn,
                    void *arg);

#endif
