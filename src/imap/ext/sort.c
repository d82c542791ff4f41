// RFC 5256: SORT and UID SORT; RFC 5267 section 3: ESORT, their RETURN options, which answer with ESEARCH.
#include "imap/sort.h"

#include "base/limits.h"
#include "imap/response.h"

static enum result
parse_command(struct imap_search *s, struct sort_program *program, struct fault *f)
{
    struct parse *p = &s->c->parse;
    parse_sp(p);
    if (parse_try_word(p, "RETURN"))
        imap_search_parse_return(s, p);
    imap_sort_parse(p, program);
    program->collation = s->c->session->collation;
    parse_sp(p);
    imap_search_parse_charset(s, p);
    parse_sp(p);
    if (imap_search_parse_program(s, p, f) != R_OK)
        return R_FAIL;
    program->query = s->query;
    for (unsigned i = 0; i < program->n; i++)
        if (program->list[i].key == SORT_RELEVANCY && !s->asked.fuzzy)
            return fault_set(f, FAULT_BAD,
                             "RELEVANCY without FUZZY");  // RFC 6203 section 6
    return R_OK;
}

static void
put_sort(struct imap_search *s)
{
    struct imap_session *session = s->c->session;
    struct buf *b = imap_line(session);
    uint64_t n = seqset_size(&s->uids);
    buf_put(b, SPAN("* SORT"));
    for (uint64_t i = 0; i < n; i++) {
        buf_put_char(b, ' ');
        buf_put_u64(b, s->c->uid ? s->order[i].uid : s->order[i].seq);
        if (b->n > LIMIT_output_low)  // a long answer leaves in pieces
            imap_line_flush(session);
    }
    if (s->has_modseq && n > 0)  // RFC 7162 section 3.1.9
        buf_printf(b, " (MODSEQ %llu)", (unsigned long long)s->modseq_highest);
    imap_line_send(session);
}

static enum result
sort_run(struct imap_command *c, struct fault *f)
{
    struct imap_search s = {.c = c};
    struct sort_program program;
    c->own = &s;
    enum result r = parse_command(&s, &program, f);
    if (r == R_OK)
        imap_condstore_aware(c);
    if (r == R_OK)
        r = imap_sort_find(&s, &program, f);
    return imap_search_answer(&s, r, put_sort, f);
}

static const struct imap_verb verbs[] = {
    {"SORT", ARGS_OWN, IMAP_SELECTED, VERB_SEQ | VERB_UID | VERB_READS, RIGHT_READ,
     sort_run},
    {0},
};

static const struct imap_word words[] = {
    {SLOT_SORT, "ARRIVAL", SORT_ARRIVAL, {0}}, {SLOT_SORT, "CC", SORT_CC, {0}},
    {SLOT_SORT, "DATE", SORT_DATE, {0}},       {SLOT_SORT, "FROM", SORT_FROM, {0}},
    {SLOT_SORT, "SIZE", SORT_SIZE, {0}},       {SLOT_SORT, "SUBJECT", SORT_SUBJECT, {0}},
    {SLOT_SORT, "TO", SORT_TO, {0}},           {0},
};

const struct imap_ext imap_ext_sort = {
    .name = "sort",
    .rfc = "RFC 5256, RFC 5267 section 3",
    .capability = "SORT ESORT",
    .verbs = verbs,
    .words = words,
};
