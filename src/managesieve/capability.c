#include "managesieve/capability.h"

#include "base/limits.h"
#include "managesieve/grammar.h"
#include "sieve/sieve.h"

static void
put_line(struct buf *b, const char *name, struct span value)
{
    buf_printf(b, "\"%s\"", name);
    if (value.p) {
        buf_put_char(b, ' ');
        managesieve_put_string(b, value);
    }
    buf_put_str(b, "\r\n");
}

static void
add_extension(void *arg, const char *capability, const char *rfc)
{
    struct buf *b = arg;
    (void)rfc;
    if (b->n > 0)
        buf_put_char(b, ' ');
    buf_put_str(b, capability);
}

static void
put_extensions(struct buf *b)
{
    struct buf list;
    buf_init(&list, SIZE_MAX);
    sieve_capabilities(add_extension, &list);
    put_line(b, "SIEVE", buf_span(&list));
    buf_done(&list);
}

void
managesieve_put_capabilities(struct buf *b, const struct managesieve_offer *o)
{
    char redirects[16];
    snprintf(redirects, sizeof redirects, "%u", o->redirects);
    put_line(b, "IMPLEMENTATION", SPAN("Posthorn " POSTHORN_VERSION));
    put_line(b, "VERSION", SPAN("1.0"));
    if (o->mechanisms.p)
        put_line(b, "SASL", o->mechanisms);
    put_extensions(b);
    if (o->starttls)
        put_line(b, "STARTTLS", SPAN_NONE);
    if (o->unauthenticate)
        put_line(b, "UNAUTHENTICATE", SPAN_NONE);
    put_line(b, "MAXREDIRECTS", span_str(redirects));
    put_line(b, "NOTIFY", SPAN("mailto"));
    put_line(b, "EXTLISTS", SPAN("urn"));  // RFC 6134 section 2.8
    put_line(b, "LANGUAGE", SPAN("en"));
    if (o->owner.p)
        put_line(b, "OWNER", o->owner);
}
