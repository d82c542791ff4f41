#include "ctl/announce.h"
#include "ctl/output.h"
#include "ctl/verbs.h"

static void
print(void *arg, struct span name, const char *type, struct span data)
{
    (void)arg;
    output_row("record",
               FIELDS(field_text("name", "%", name), field_str("record", " IN %", type),
                      field_text("data", " %", data)));
}

static int
print_all(const struct offers *o, const char *const *args, size_t n)
{
    struct fault f;
    if (n == 0 && o->domain_count == 0) {
        fault_set(&f, FAULT_BAD,
                  "name a domain: posthorn dns example.org; or set local_domains");
        return output_fault(&f, 1);
    }
    for (size_t i = 0; i < n; i++)
        offers_records(o, span_str(args[i]), print, NULL);
    for (size_t i = 0; n == 0 && i < o->domain_count; i++)
        offers_records(o, o->domains[i], print, NULL);
    return 0;
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
    int code = print_all(&o, args, n);
    config_free(&c);
    return code;
}
