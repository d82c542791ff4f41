#include "ctl/announce.h"

// Which setting has our own listeners of a kind.
static const struct {
    enum offer_kind kind;
    size_t list;
} own[] = {
    {OFFER_IMAPS, offsetof(struct config, imaps)},
    {OFFER_IMAP, offsetof(struct config, imap)},
    {OFFER_POP3S, offsetof(struct config, pop3s)},
    {OFFER_POP3, offsetof(struct config, pop3)},
    {OFFER_SUBMISSIONS, offsetof(struct config, submissions)},
    {OFFER_SUBMISSION, offsetof(struct config, submission)},
    {OFFER_SIEVE, offsetof(struct config, managesieve)},
};

struct row {
    enum offer_kind kind;
    bool none;
    struct span host;  // empty: this server's
    uint16_t port;
};

static enum result
read_port(struct span s, uint16_t *out)
{
    uint32_t n;
    if (span_to_u32(s, &n) != R_OK || n == 0 || n > 65535)
        return R_FAIL;
    *out = (uint16_t)n;
    return R_OK;
}

static enum result
read_kind(struct span word, enum offer_kind *out)
{
    for (unsigned k = 0; k < OFFER_KINDS; k++)
        if (span_eq(word, span_str(offer_kind_name(k)))) {
            *out = k;
            return R_OK;
        }
    return R_FAIL;
}

// "imaps [HOST:]PORT" or "imaps none".
static enum result
read_row(struct span s, struct row *out)
{
    size_t blank = span_find_char(s, ' ');
    struct span where = span_trim(span_skip(s, blank));
    *out = (struct row){0};
    if (read_kind(span_slice(s, 0, blank), &out->kind) != R_OK)
        return R_FAIL;
    out->none = span_eq(where, SPAN("none"));
    if (out->none)
        return R_OK;
    size_t port = span_behind_last(where, ':');
    out->host = span_slice(where, 0, port ? port - 1 : 0);
    for (size_t i = 0; i < out->host.n; i++)
        if (!ascii_is_alpha(out->host.p[i]) && !ascii_is_digit(out->host.p[i]) &&
            out->host.p[i] != '-' && out->host.p[i] != '.')
            return R_FAIL;
    return read_port(span_skip(where, port), &out->port);
}

enum result
announce_check(const struct config *c, struct fault *f)
{
    struct row row;
    for (size_t i = 0; i < c->announce.n; i++)
        if (read_row(span_str(c->announce.items[i]), &row) != R_OK)
            return fault_set(f, FAULT_BAD,
                             "announce: '%.60s' is no \"KIND HOST:PORT\" or \"KIND none\"; "
                             "kinds are imaps, imap, pop3s, pop3, submissions, submission, "
                             "sieve",
                             c->announce.items[i]);
    return R_OK;
}

static void
put(struct offers *o, enum offer_kind kind, struct span host, uint16_t port)
{
    for (size_t i = 0; i < o->n; i++)
        if (o->list[i].kind == kind && o->list[i].port == port &&
            span_ieq(o->list[i].host, host))
            return;
    o->list[o->n++] = (struct offer){kind, host, port};
}

// What the administrator says of a kind stands in the place of our listeners.
static bool
put_announced(const struct config *c, enum offer_kind kind, struct offers *o)
{
    struct row row;
    bool said = false;
    for (size_t i = 0; i < c->announce.n; i++) {
        if (read_row(span_str(c->announce.items[i]), &row) != R_OK || row.kind != kind)
            continue;
        said = true;
        if (!row.none)
            put(o, kind, row.host.n ? row.host : o->host, row.port);
    }
    return said;
}

static void
put_own(const struct config *c, enum offer_kind kind, struct offers *o)
{
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        const struct config_list *l = config_list_at(c, own[i].list);
        for (size_t k = 0; own[i].kind == kind && k < l->n; k++) {
            struct span s = span_str(l->items[k]);
            uint16_t port;
            s = span_slice(s, 0, span_find_char(s, ' '));
            if (!span_starts(s, SPAN("unix:")) &&
                read_port(span_skip(s, span_behind_last(s, ':')), &port) == R_OK)
                put(o, kind, o->host, port);
        }
    }
}

static size_t
most(const struct config *c)
{
    size_t n = c->announce.n;
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        n += config_list_at(c, own[i].list)->n;
    return n;
}

static void
put_domains(const struct config *c, struct arena *a, struct offers *o)
{
    struct span *domains = arena_array(a, c->local_domains.n, sizeof *domains);
    for (size_t i = 0; i < c->local_domains.n; i++)
        domains[i] = span_str(c->local_domains.items[i]);
    o->domains = domains;
    o->domain_count = c->local_domains.n;
}

void
announce_offers(const struct config *c, struct arena *a, struct offers *out)
{
    *out = (struct offers){
        .host = span_str(c->announce_host[0] ? c->announce_host : c->hostname),
        .oauth_issuer = span_str(c->oauth_issuer),
        .oauth_scope = span_str(c->oauth_scope)};
    out->scram = strcmp(c->auth_scram, "always") == 0;
    out->list = arena_array(a, most(c), sizeof *out->list);
    put_domains(c, a, out);
    for (unsigned k = 0; k < OFFER_KINDS; k++)
        if (!put_announced(c, k, out))
            put_own(c, k, out);
}
