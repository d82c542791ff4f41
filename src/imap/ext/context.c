// RFC 5267: CONTEXT=SEARCH and CONTEXT=SORT, results that are told of as they change. What is followed is in imap/context.h; PARTIAL is
// RFC 9394's.
#include "imap/context.h"
#include "imap/response.h"

static enum result
run_cancel(struct imap_command *c, struct fault *f)
{
    struct parse *p = &c->parse, first;
    bool all = true;
    first = *p;
    do {
        parse_sp(p);
        all &= imap_context_has(c->session, parse_string(p));
    } while (parse_peek(p) == ' ');
    if (parse_end(p, f) != R_OK)
        return R_FAIL;
    *p = first;
    do {
        parse_sp(p);
        imap_context_cancel(c->session, parse_string(p));
    } while (parse_peek(p) == ' ');
    return all ? R_OK
               : imap_answer_no(c, f, FAULT_NONEXISTENT,
                                "[NONEXISTENT] There is no such search");
}

static const struct imap_verb verbs[] = {
    {"CANCELUPDATE", ARGS_OWN, IMAP_SELECTED, VERB_READS, 0, run_cancel},
    {.name = NULL},
};

static const struct imap_param update = {imap_context_parse, NULL};

static const struct imap_word words[] = {
    {SLOT_SEARCH_RETURN, "CONTEXT", RETURN_CONTEXT, {0}},
    {SLOT_SEARCH_RETURN, "UPDATE", RETURN_UPDATE, {.param = &update}},
    {0},
};

const struct imap_ext imap_ext_context = {
    .name = "context",
    .rfc = "RFC 5267",
    .capability = "CONTEXT=SEARCH CONTEXT=SORT",
    .verbs = verbs,
    .words = words,
};
