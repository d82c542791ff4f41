#include "ctl/announce.h"
#include "ctl/output.h"
#include "ctl/verbs.h"

#include <stdio.h>

static void
print_zone(const struct offers *o, struct span domain)
{
    struct buf b;
    buf_init(&b, 65536);
    offers_zone(o, domain, &b);
    fwrite(b.p, 1, b.n, stdout);
    buf_done(&b);
}

int
verb_dns(const struct verb_options *options, const char *const *args, size_t n)
{
    struct config *c;
    struct fault f;
    struct offers o;
    if (verb_config(options, &c, &f) != R_OK)
        return output_fault(&f, 1);
    announce_offers(c, c->arena, &o);
    int code = 0;
    if (n == 0 && o.domain_count == 0) {
        fault_set(&f, FAULT_BAD,
                  "name a domain: posthorn dns example.org; or set local_domains");
        code = output_fault(&f, 1);
    }
    for (size_t i = 0; i < n; i++)
        print_zone(&o, span_str(args[i]));
    for (size_t i = 0; n == 0 && i < o.domain_count; i++)
        print_zone(&o, o.domains[i]);
    config_free(&c);
    return code;
}
