#include "gate/tls_secrets.h"
#include "base/limits.h"
#include "base/log.h"

void
tls_secrets_init(struct tls_secrets *s)
{
    *s = (struct tls_secrets){0};
    buf_init(&s->chain, LIMIT_certificate);
}

void
tls_secrets_done(struct tls_secrets *s)
{
    tls_set_free(&s->now);
    tls_set_free(&s->next);
    buf_done(&s->chain);
}

static void
fail(struct tls_secrets *s, const char *role, const char *what, const struct fault *f)
{
    log_error(role, what, log_fault(f));
    tls_set_free(&s->next);
    s->failed = true;
}

static void
take_key(struct tls_secrets *s, const char *role, struct span key)
{
    struct fault f;
    if (s->next == NULL)
        s->next = tls_set_new();
    if (tls_set_add(s->next, buf_span(&s->chain), key, &f) != R_OK)
        fail(s, role, "certificate", &f);
    buf_done(&s->chain);
}

static void
take_client_ca(struct tls_secrets *s, const char *role, struct span pem)
{
    struct fault f;
    if (s->next != NULL && tls_set_client_ca(s->next, pem, &f) != R_OK)
        fail(s, role, "authorities of clients", &f);
}

static void
take_ticket_seed(struct tls_secrets *s, struct span seed)
{
    bool failed = s->failed;
    s->failed = false;
    if (failed) {  // the supervisor has tried them, so this is our own fault: the old ones stay
        tls_set_free(&s->next);
        return;
    }
    s->withdrawn = s->next == NULL;
    if (s->withdrawn)  // what was promised already still gets it
        return;
    tls_set_ticket_seed(s->next, seed);
    tls_set_free(&s->now);  // connections hold their own reference to what they use
    s->now = s->next;
    s->next = NULL;
}

void
tls_secrets_take(struct tls_secrets *s, const char *role, struct span name,
                 struct span value)
{
    if (span_eq(name, SPAN("certificate"))) {
        buf_reset(&s->chain);
        buf_put(&s->chain, value);
    } else if (span_eq(name, SPAN("key"))) {
        take_key(s, role, value);
    } else if (span_eq(name, SPAN("client_ca"))) {
        take_client_ca(s, role, value);
    } else if (span_eq(name, SPAN("session"))) {
        take_ticket_seed(s, value);
    }
}
