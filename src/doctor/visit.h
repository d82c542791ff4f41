#ifndef DOCTOR_VISIT_H
#define DOCTOR_VISIT_H

// What the steps of one `posthorn doctor ADDRESS` share.

#include "doctor/doctor.h"
#include "doctor/fetch.h"
#include "doctor/found.h"

#include <openssl/ssl.h>

struct visit {
    struct arena *arena;
    struct span address, domain;
    struct names *names;
    struct fetch_options fetch;
    SSL_CTX *trust;
    struct found found;
    struct span digest;        // of PACC, as the DNS has it
    struct span autodiscover;  // the host that SRV tells Outlook
    doctor_tell_fn *tell;
    void *arg;
    bool wrong;
};

// Tells one row. `hint` may be NULL.
void visit_tell(struct visit *v, const char *step, enum finding found, const char *hint,
                const char *fmt, ...) PRINTF_LIKE(5, 6);

// visit_records.c: the DNS. R_FAIL: no answer can be had, and it was told.
enum result visit_records(struct visit *v) MUST_CHECK;
void visit_documents(struct visit *v);  // visit_documents.c
void visit_servers(struct visit *v);    // visit_servers.c

#endif
