#include "auth/sasl_client.h"

#include <gsasl.h>

struct sasl_client {
    Gsasl_session *session;
    bool done;
};

static Gsasl *library;

void
sasl_client_init(void)
{
    if (library == NULL)
        must(gsasl_init(&library) == GSASL_OK);
}

bool
sasl_client_first(const char *mechanism)
{
    return strcmp(mechanism, "LOGIN") != 0;
}

enum result
sasl_client_new(const struct sasl_login *l, struct sasl_client **out, struct fault *f)
{
    struct sasl_client *c = calloc(1, sizeof *c);
    must(c != NULL);
    int rc = gsasl_client_start(library, l->mechanism, &c->session);
    if (rc == GSASL_OK)
        rc = gsasl_property_set(c->session, GSASL_AUTHID, l->user);
    if (rc == GSASL_OK)
        rc = gsasl_property_set(c->session, GSASL_PASSWORD, l->password);
    if (rc != GSASL_OK) {
        sasl_client_free(&c);
        return fault_set(f, FAULT_CANNOT, "%s: %s", l->mechanism, gsasl_strerror(rc));
    }
    *out = c;
    return R_OK;
}

void
sasl_client_free(struct sasl_client **cp)
{
    if (*cp == NULL)
        return;
    if ((*cp)->session != NULL)
        gsasl_finish((*cp)->session);
    free(*cp);
    *cp = NULL;
}

enum result
sasl_client_step(struct sasl_client *c, struct span challenge, struct buf *out,
                 struct fault *f)
{
    char *answer = NULL;
    size_t n = 0;
    if (c->done && challenge.n == 0)
        return R_OK;
    int rc = gsasl_step(c->session, challenge.n > 0 ? challenge.p : "", challenge.n,
                        &answer, &n);
    if (rc != GSASL_OK && rc != GSASL_NEEDS_MORE)
        return fault_set(f, FAULT_AUTHFAILED, "the challenge: %s", gsasl_strerror(rc));
    c->done = rc == GSASL_OK;
    if (n > 0)
        buf_put(out, span_of(answer, n));
    gsasl_free(answer);
    return R_OK;
}

bool
sasl_client_done(const struct sasl_client *c)
{
    return c->done;
}
