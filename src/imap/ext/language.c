// RFC 5255 section 3: LANGUAGE after login; before it, see preauth_verbs.c. What was chosen there holds on.
#include "imap/response.h"

static enum result
run_language(struct imap_command *c, struct fault *f)
{
    struct imap_session *s = c->session;
    struct imap_language_wish wish = imap_language_parse(&c->parse);
    if (parse_end(&c->parse, f) != R_OK)
        return R_FAIL;
    if (wish.lists) {
        imap_language_list(imap_line(s));
        imap_line_send(s);
        imap_answer(c, "These languages are spoken");
        return R_OK;
    }
    if (!wish.found)
        return imap_answer_no(c, f, FAULT_CANNOT, "None of these languages is spoken");
    s->language = wish.language;
    imap_untagged(s, "LANGUAGE (%s)", language_tag(s->language));
    imap_namespace_send(s);
    imap_answer(c, "Now speaking English");
    return R_OK;
}

static const struct imap_verb verbs[] = {
    {"LANGUAGE", ARGS_OWN, IMAP_ANY, VERB_READS, 0, run_language},
    {.name = NULL},
};

const struct imap_ext imap_ext_language = {
    .name = "language",
    .rfc = "RFC 5255 section 3",
    .capability = "LANGUAGE",
    .verbs = verbs,
};
