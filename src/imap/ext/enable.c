// RFC 5161, RFC 9051 section 6.3.1: ENABLE. Unknown names are ignored.
#include "imap/response.h"

static const struct imap_ext *
ext_find(struct span name)
{
    for (const struct imap_ext *const *e = imap_exts; *e; e++)
        if ((*e)->enable && span_ieq(name, span_str((*e)->enable)))
            return *e;
    return NULL;
}

static enum result
run_enable(struct imap_command *c, struct fault *f)
{
    struct imap_session *s = c->session;
    struct parse *p = &c->parse;
    struct buf *b = imap_line(s);
    uint32_t enabled = s->enabled;
    buf_put_str(b, "* ENABLED");
    do {
        parse_sp(p);
        const struct imap_ext *e = ext_find(parse_atom(p));
        if (!e || (enabled & e->enable_bits) == e->enable_bits)
            continue;
        enabled |= e->enable_bits;
        buf_printf(b, " %s", e->enable);
    } while (!p->bad && !parse_at_end(p));
    if (parse_end(p, f) != R_OK)
        return R_FAIL;
    imap_line_send(s);
    c->aware = (enabled & ENABLE_CONDSTORE) != 0;
    imap_condstore_aware(c);
    s->enabled = enabled;
    return R_OK;
}

static const struct imap_verb verbs[] = {
    {"ENABLE", ARGS_OWN, IMAP_ANY, VERB_READS, 0, run_enable},
    {.name = NULL},
};

const struct imap_ext imap_ext_enable = {
    .name = "enable",
    .rfc = "RFC 5161",
    .capability = "ENABLE",
    .verbs = verbs,
};
