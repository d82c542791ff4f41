#include "imap/session.h"

// Parameters in parentheses, RFC 4466 sections 2.1 to 2.5.

static void
param_parse(struct imap_command *c, struct parse *p, enum imap_slot slot)
{
    struct imap_params *given = &c->params;
    const struct imap_word *w = imap_word_find(slot, parse_atom(p));
    bool again = false;
    for (unsigned i = 0; i < given->count; i++)
        again |= given->words[i] == w;
    if (!w || again || given->count == PARAMS_MAX) {
        parse_fail(p, again ? "parameter given twice" : "unknown parameter");
        return;
    }
    given->words[given->count++] = w;
    if (w->as.param && w->as.param->parse)
        w->as.param->parse(c, p);
}

void
imap_params_parse(struct imap_command *c, struct parse *p, enum imap_slot slot)
{
    parse_list_open(p);
    while (parse_list_next(p))
        param_parse(c, p, slot);
    if (c->params.count == 0)
        parse_fail(p, "no parameter");
}

enum result
imap_params_begin(struct imap_command *c, struct fault *f)
{
    for (unsigned i = 0; i < c->params.count; i++) {
        const struct imap_param *param = c->params.words[i]->as.param;
        if (param && param->begin && param->begin(c, f) != R_OK)
            return R_FAIL;
    }
    return R_OK;
}
