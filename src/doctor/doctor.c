#include "doctor/doctor.h"
#include "doctor/visit.h"

#include <stdarg.h>

enum { TEXT_MAX = 2000 };

void
visit_tell(struct visit *v, const char *step, enum finding found, const char *hint,
           const char *fmt, ...)
{
    char text[TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    v->wrong |= found == FINDING_WRONG;
    v->tell(v->arg, step, found, span_str(text), span_str(hint));
}

static enum result
open_trust(const char *authorities, SSL_CTX **out, struct fault *f)
{
    SSL_CTX *c = SSL_CTX_new(TLS_client_method());
    must(c != NULL && SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION) == 1);
    SSL_CTX_set_verify(c, SSL_VERIFY_PEER, NULL);
    bool good = authorities != NULL ? SSL_CTX_load_verify_file(c, authorities) == 1
                                    : SSL_CTX_set_default_verify_paths(c) == 1;
    if (!good) {
        SSL_CTX_free(c);
        return fault_set(f, FAULT_BAD, "--ca: '%.100s' has no certificates in PEM",
                         authorities ? authorities : "the system's store");
    }
    *out = c;
    return R_OK;
}

static enum result
open_visit(struct visit *v, const struct doctor_options *o, struct fault *f)
{
    static const struct offers anywhere;
    if (offers_address(&anywhere, v->address, &v->domain) != R_OK)
        return fault_set(f, FAULT_BAD, "'%.*s' is no address; write ann@example.org",
                         SPAN_ARG(span_slice(v->address, 0, 100)));
    if (open_trust(o->authorities, &v->trust, f) != R_OK)
        return R_FAIL;
    if (names_open(o->resolver, &v->names, f) != R_OK)
        return R_FAIL;
    v->fetch = (struct fetch_options){v->names, o->authorities};
    found_init(&v->found, v->arena);
    return R_OK;
}

enum result
doctor_visit(struct span address, const struct doctor_options *o, doctor_tell_fn *tell,
             void *arg, struct fault *f)
{
    struct visit v = {.arena = arena_new(), .address = address, .tell = tell, .arg = arg};
    enum result r = open_visit(&v, o, f);
    if (r == R_OK && visit_records(&v) == R_OK) {
        visit_documents(&v);
        visit_servers(&v);
    }
    names_close(&v.names);
    SSL_CTX_free(v.trust);
    arena_free(&v.arena);
    return r == R_OK && v.wrong ? R_NONE : r;
}
