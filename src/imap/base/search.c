#include "imap/search.h"

#include "base/limits.h"
#include "imap/response.h"

// RFC 9051 section 6.4.4 and RFC 3501 section 6.4.4: the verb and its answer; ESEARCH (RFC 4731) when RETURN is given or
// IMAP4rev2 is enabled.

static void
parse_charset(struct imap_search *s, struct parse *p)
{
    if (imap_enabled(s->c->session, ENABLE_UTF8))  // RFC 9755 section 3
        parse_fail(p, "CHARSET after ENABLE UTF8=ACCEPT");
    parse_sp(p);
    imap_search_parse_charset(s, p);
    parse_sp(p);
}

static enum result
parse_search(struct imap_search *s, struct fault *f)
{
    struct parse *p = &s->c->parse;
    parse_sp(p);
    if (parse_try_word(p, "RETURN"))
        imap_search_parse_return(s, p);
    if (parse_try_word(p, "CHARSET"))
        parse_charset(s, p);
    return imap_search_parse_program(s, p, f);
}

static void
put_search(struct imap_search *s)
{
    const struct seqset *found = s->c->uid ? &s->uids : &s->seqs;
    struct buf *b = imap_line(s->c->session);
    struct seqset_iter i = {0};
    uint32_t n;
    buf_put(b, SPAN("* SEARCH"));
    while (seqset_next(found, &i, &n)) {
        buf_put_char(b, ' ');
        buf_put_u64(b, n);
        if (b->n > LIMIT_output_low) {  // a long answer leaves in pieces
            imap_line_flush(s->c->session);
            b = imap_line(s->c->session);
        }
    }
    if (s->has_modseq && found->count > 0)
        buf_printf(b, " (MODSEQ %llu)", (unsigned long long)s->modseq_highest);
    imap_line_send(s->c->session);
}

static enum result
search_run(struct imap_command *c, struct fault *f)
{
    struct imap_search s = {.c = c};
    c->own = &s;
    enum result r = parse_search(&s, f);
    if (r == R_OK)
        imap_condstore_aware(c);
    if (r == R_OK)
        r = imap_search_find(&s, f);
    return imap_search_answer(&s, r,
                              imap_enabled(c->session, ENABLE_REV2) ? NULL : put_search, f);
}

static const struct imap_verb verbs[] = {
    {"SEARCH", ARGS_OWN, IMAP_SELECTED, VERB_SEQ | VERB_UID, RIGHT_READ, search_run},
    {0},
};

const struct imap_ext imap_ext_search = {
    .name = "search",
    .rfc = "RFC 9051 section 6.4.4",
    .verbs = verbs,
    .words = imap_search_words,
};
