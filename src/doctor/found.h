#ifndef DOCTOR_FOUND_H
#define DOCTOR_FOUND_H

// The servers that records and documents name, and how each kind of document is read.
// Owner: the arena. Trust: documents are a stranger's: no entity is resolved, nothing else is fetched.
// Threads: one.

#include "http/offers.h"

struct found {
    struct arena *arena;
    struct offer *list;  // each once
    size_t n;
    unsigned named;  // by the document that was read last
    bool plain;      // one of them without TLS
};

void found_init(struct found *d, struct arena *a);
void found_put(struct found *d, enum offer_kind kind, struct span host, uint16_t port);

// R_FAIL: it is no such document; f->why says what is wrong.
typedef enum result found_read_fn(struct found *d, struct span body, struct fault *f);
found_read_fn found_autoconfig;    // Thunderbird's config-v1.1.xml
found_read_fn found_autodiscover;  // Outlook's, responseschema/2006a
found_read_fn found_pacc;          // draft-ietf-mailmaint-pacc
found_read_fn found_profile;       // Apple's .mobileconfig, without its signature
// Autodiscover v2: the URL of the document above.
enum result found_autodiscover_url(struct arena *a, struct span body, struct span *url_out,
                                   struct fault *f) MUST_CHECK;

#endif
