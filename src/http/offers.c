#include "http/offers.h"

static const struct {
    const char *name;
    uint16_t port;
    bool implicit;
    const char *protocol;
} kinds[OFFER_KINDS] = {
    [OFFER_IMAPS] = {"imaps", 993, true, "imap"},
    [OFFER_IMAP] = {"imap", 143, false, "imap"},
    [OFFER_POP3S] = {"pop3s", 995, true, "pop3"},
    [OFFER_POP3] = {"pop3", 110, false, "pop3"},
    [OFFER_SUBMISSIONS] = {"submissions", 465, true, "smtp"},
    [OFFER_SUBMISSION] = {"submission", 587, false, "smtp"},
    [OFFER_SIEVE] = {"sieve", 4190, false, NULL},
};

const char *
offer_kind_name(enum offer_kind k)
{
    return kinds[k].name;
}

uint16_t
offer_kind_port(enum offer_kind k)
{
    return kinds[k].port;
}

bool
offer_is_implicit(enum offer_kind k)
{
    return kinds[k].implicit;
}

const char *
offer_kind_protocol(enum offer_kind k)
{
    return kinds[k].protocol;
}

const struct offer *
offers_find(const struct offers *o, enum offer_kind k)
{
    for (size_t i = 0; i < o->n; i++)
        if (o->list[i].kind == k)
            return &o->list[i];
    return NULL;
}

const struct offer *
offers_best(const struct offers *o, enum offer_kind best, enum offer_kind other)
{
    const struct offer *found = offers_find(o, best);
    return found ? found : offers_find(o, other);
}

bool
offers_has_domain(const struct offers *o, struct span domain)
{
    for (size_t i = 0; i < o->domain_count; i++)
        if (span_ieq(domain, o->domains[i]))
            return true;
    return o->domain_count == 0 && domain.n > 0;
}

// What may stand in a domain's name: nothing that means something in a document.
static bool
is_domain(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!ascii_is_alpha(s.p[i]) && !ascii_is_digit(s.p[i]) && s.p[i] != '-' &&
            s.p[i] != '.' && (unsigned char)s.p[i] < 0x80)
            return false;
    return s.n > 0 && s.n <= 255 && s.p[0] != '.';
}

enum result
offers_address(const struct offers *o, struct span address, struct span *domain_out)
{
    size_t at = span_behind_last(address, '@');
    *domain_out = span_skip(address, at);
    for (size_t i = 0; i < address.n; i++)
        if ((unsigned char)address.p[i] <= ' ' || address.p[i] == 127)
            return R_FAIL;
    bool good = at > 1 && address.n <= 320 && is_domain(*domain_out) &&
                offers_has_domain(o, *domain_out);
    return good ? R_OK : R_FAIL;
}
