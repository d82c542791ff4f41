#include "imap/search.h"

#include "base/limits.h"
#include "imap/response.h"

// RFC 9051 section 6.4.4 and RFC 3501 section 6.4.4: the verb and its answer; ESEARCH (RFC 4731) when RETURN is given or
// IMAP4rev2 is enabled.

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
    parse_sp(&c->parse);
    enum result r = imap_search_parse_arguments(&s, &c->parse, f);
    if (r == R_OK)
        imap_condstore_aware(c);
    if (r == R_OK)
        r = imap_search_find(&s, f);
    return imap_search_answer(&s, r,
                              imap_enabled(c->session, ENABLE_REV2) ? NULL : put_search, f);
}

static const struct imap_verb verbs[] = {
    {"SEARCH", ARGS_OWN, IMAP_SELECTED, VERB_SEQ | VERB_UID | VERB_READS, RIGHT_READ,
     search_run},
    {0},
};

const struct imap_ext imap_ext_search = {
    .name = "search",
    .rfc = "RFC 9051 section 6.4.4",
    .verbs = verbs,
    .words = imap_search_words,
};
