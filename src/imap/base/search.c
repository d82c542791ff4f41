#include "imap/search.h"

#include "base/limits.h"
#include "imap/response.h"
#include "mime/charset.h"
#include "wire/quote.h"

// RFC 9051 section 6.4.4 and RFC 3501 section 6.4.4: the verb and its answers; ESEARCH (RFC 4731) when RETURN is given or
// IMAP4rev2 is enabled; SAVE (RFC 5182).

// ---- arguments ----

static void
parse_return(struct imap_search *s, struct parse *p)
{
    parse_sp(p);
    parse_list_open(p);
    s->has_return = true;
    while (parse_list_next(p)) {
        const struct imap_word *word = imap_word_find(SLOT_SEARCH_RETURN, parse_atom(p));
        if (!word) {
            parse_fail(p, "unknown search return option");
            return;
        }
        if (s->returns & word->value & RETURN_PARTIAL)
            parse_fail(p, "PARTIAL twice");
        s->returns |= word->value;
        if (word->as.param)
            word->as.param->parse(s->c, p);
    }
    if ((s->returns & RETURN_ALL) && (s->returns & RETURN_PARTIAL))  // RFC 9394 section 3.1
        parse_fail(p, "ALL and PARTIAL");
    if (s->returns == 0)  // "RETURN ()" is RETURN (ALL)
        s->returns = RETURN_ALL;
    parse_sp(p);
}

static void
parse_charset(struct imap_search *s, struct parse *p)
{
    if (imap_enabled(s->c->session, ENABLE_UTF8))  // RFC 9755 section 3
        parse_fail(p, "CHARSET after ENABLE UTF8=ACCEPT");
    parse_sp(p);
    s->charset = parse_astring(p);
    if (!p->bad && !mime_charset_known(s->charset))
        s->failed = fault_set(&s->fault, FAULT_BADCHARSET, "unknown charset") == R_FAIL;
    if (span_ieq(s->charset, SPAN("UTF-8")) || span_ieq(s->charset, SPAN("US-ASCII")) ||
        s->failed)
        s->charset = SPAN_NONE;
    parse_sp(p);
}

static enum result
parse_search(struct imap_search *s, struct fault *f)
{
    struct parse *p = &s->c->parse;
    struct query *last;
    parse_sp(p);
    if (parse_try_word(p, "RETURN"))
        parse_return(s, p);
    if (parse_try_word(p, "CHARSET"))
        parse_charset(s, p);
    s->query = ARENA_NEW(s->c->arena, struct query);
    s->query->op = QUERY_AND;
    s->query->first = last = imap_search_parse_key(s, p);
    while (parse_try(p, ' '))
        last = last->next = imap_search_parse_key(s, p);
    if (parse_end(p, f) != R_OK)
        return R_FAIL;
    if (s->failed)
        *f = s->fault;
    if (!s->failed && s->c->by_number && imap_enabled(s->c->session, ENABLE_UIDONLY))
        return fault_set(f, FAULT_UIDREQUIRED, "sequence numbers in UID SEARCH");
    return s->failed ? R_FAIL : R_OK;
}

// ---- answers ----

static void
put_search(struct imap_search *s, const struct seqset *found)
{
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

static void
put_number(struct buf *b, const char *name, uint64_t n)
{
    buf_printf(b, " %s %llu", name, (unsigned long long)n);
}

// RFC 4731 section 3.2: with MIN or MAX alone, of those messages.
static uint64_t
esearch_modseq(const struct imap_search *s, uint32_t wants)
{
    bool min = wants & RETURN_MIN, max = wants & RETURN_MAX;
    if ((!min && !max) || (wants & (RETURN_ALL | RETURN_COUNT | RETURN_PARTIAL)))
        return s->modseq_highest;
    if (min && max)
        return s->modseq_first > s->modseq_last ? s->modseq_first : s->modseq_last;
    return min ? s->modseq_first : s->modseq_last;
}

static void
put_partial(struct buf *b, const struct imap_search *s, const struct seqset *found)
{
    struct seqset part;
    imap_partial_of(&s->partial, found, s->c->arena, &part);
    buf_put(b, SPAN(" PARTIAL ("));
    buf_put(b, s->partial.text);
    buf_put_char(b, ' ');
    if (part.count > 0)
        seqset_print(&part, b);
    else
        buf_put(b, SPAN("NIL"));
    buf_put_char(b, ')');
}

static void
put_esearch(struct imap_search *s, const struct seqset *found)
{
    struct buf *b = imap_line(s->c->session);
    uint32_t wants = s->has_return ? s->returns : RETURN_ALL;
    buf_put(b, SPAN("* ESEARCH (TAG "));
    quote_string(b, s->c->tag, false);
    buf_put_str(b, s->c->uid ? ") UID" : ")");
    if ((wants & RETURN_MIN) && found->count > 0)
        put_number(b, "MIN", found->ranges[0].first);
    if ((wants & RETURN_MAX) && found->count > 0)
        put_number(b, "MAX", found->ranges[found->count - 1].last);
    if ((wants & RETURN_ALL) && found->count > 0) {
        buf_put(b, SPAN(" ALL "));
        seqset_print(found, b);
    }
    if (wants & RETURN_PARTIAL)
        put_partial(b, s, found);
    if (wants & RETURN_COUNT)
        put_number(b, "COUNT", seqset_size(found));
    if (s->has_modseq && found->count > 0)
        put_number(b, "MODSEQ", esearch_modseq(s, wants));
    imap_line_send(s->c->session);
}

// RFC 5182 section 2.4, RFC 9394 section 3.2: with MIN, MAX or PARTIAL and nothing else, only those are saved.
static enum result
save(struct imap_search *s, struct fault *f)
{
    struct seqset kept;
    const struct seqset *all = &s->uids;
    uint32_t some = s->returns & (RETURN_MIN | RETURN_MAX | RETURN_PARTIAL);
    if (!some || (s->returns & (RETURN_ALL | RETURN_COUNT)) || all->count == 0) {
        if (all->count > LIMIT_saved_ranges)  // RFC 9051 section 6.4.4.3
            return fault_set(f, FAULT_NOTSAVED, "%u ranges found", all->count);
        imap_saved_set(s->c->session, all);
        return R_OK;
    }
    if (some & RETURN_PARTIAL)
        imap_partial_of(&s->partial, all, s->c->arena, &kept);
    else
        seqset_init(&kept, s->c->arena);
    if (some & RETURN_MIN)
        seqset_add(&kept, all->ranges[0].first);
    if (some & RETURN_MAX)
        seqset_add(&kept, all->ranges[all->count - 1].last);
    imap_saved_set(s->c->session, &kept);
    return R_OK;
}

static void
answer(struct imap_search *s)
{
    const struct seqset *found = s->c->uid ? &s->uids : &s->seqs;
    if (!s->has_return && !imap_enabled(s->c->session, ENABLE_REV2))
        put_search(s, found);
    else if (s->returns != RETURN_SAVE)
        put_esearch(s, found);
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
    if (r == R_OK && (s.returns & RETURN_SAVE))
        r = save(&s, f);
    if (r == R_OK)
        answer(&s);
    else if ((s.returns & RETURN_SAVE) && !imap_fault_is_bad(f->kind))
        // RFC 9051 section 6.4.4.4: NO empties "$", BAD leaves it
        imap_saved_set(c->session, NULL);
    return r;
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
