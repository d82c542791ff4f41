// RFC 9755 (and RFC 6855): UTF8=ACCEPT. What it changes is asked for by imap_utf8: mailbox names and quoted strings. What may
// come in without it says append_8bit (append.c).
#include "imap/append.h"

// "UTF8 (~{n}" and the message, then ")": the form of RFC 6855, which RFC 9755 no longer asks for.
static enum result
receive_utf8(struct imap_append *a, struct fault *f)
{
    struct parse *p = &a->c->parse;
    parse_sp(p);
    parse_char(p, '(');
    if (imap_append_literal(a, f) != R_OK)
        return R_FAIL;
    parse_char(p, ')');
    return p->bad ? parse_end(p, f) : R_OK;
}

static const struct imap_append_data data = {receive_utf8};
static const struct imap_word words[] = {
    {SLOT_APPEND, "UTF8", 0, {.append = &data}},
    {.name = NULL},
};

const struct imap_ext imap_ext_utf8 = {
    .name = "utf8",
    .rfc = "RFC 9755",
    .capability = "UTF8=ACCEPT",
    .enable = "UTF8=ACCEPT",
    .enable_bits = ENABLE_UTF8,
    .words = words,
};
