#include "imap/search.h"

#include "base/limits.h"
#include "mime/charset.h"

// What SEARCH, SORT and THREAD have in common of their arguments: return options (RFC 4466), charset, and the keys up
// to the end of the command.

void
imap_search_parse_return(struct imap_search *s, struct parse *p)
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

void
imap_search_parse_charset(struct imap_search *s, struct parse *p)
{
    s->charset = parse_astring(p);
    if (imap_enabled(s->c->session, ENABLE_UTF8) && !span_ieq(s->charset, SPAN("UTF-8")))
        parse_fail(p, "another charset after ENABLE UTF8=ACCEPT");  // RFC 9755 section 3
    if (!p->bad && !mime_charset_named(s->charset))
        s->failed = fault_set(&s->fault, FAULT_BADCHARSET, "unknown charset") == R_FAIL;
    if (span_ieq(s->charset, SPAN("UTF-8")) || span_ieq(s->charset, SPAN("US-ASCII")) ||
        s->failed)
        s->charset = SPAN_NONE;
}

enum result
imap_search_parse_program(struct imap_search *s, struct parse *p, struct fault *f)
{
    struct query *last;
    s->query = ARENA_NEW(s->c->arena, struct query);
    s->query->op = QUERY_AND;
    s->query->first = last = imap_search_parse_key(s, p);
    while (parse_try(p, ' '))
        last = last->next = imap_search_parse_key(s, p);
    if ((s->returns & RETURN_RELEVANCY) && !s->asked.fuzzy)  // RFC 6203 section 4
        parse_fail(p, "RELEVANCY without FUZZY");
    s->asked.scored |= (s->returns & RETURN_RELEVANCY) != 0;
    if (parse_end(p, f) != R_OK)
        return R_FAIL;
    if (s->failed)
        *f = s->fault;
    else if (s->filters.undefined.p)
        return imap_answer_no(s->c, f, FAULT_NONEXISTENT,
                              "[UNDEFINED-FILTER %.*s] There is no such filter",
                              SPAN_ARG(s->filters.undefined));
    if (!s->failed && s->c->by_number && imap_enabled(s->c->session, ENABLE_UIDONLY))
        return fault_set(f, FAULT_UIDREQUIRED, "sequence numbers in UID SEARCH");
    return s->failed ? R_FAIL : R_OK;
}

static void
parse_charset(struct imap_search *s, struct parse *p)
{
    if (imap_enabled(s->c->session, ENABLE_UTF8))  // RFC 9755 section 3
        parse_fail(p, "CHARSET after ENABLE UTF8=ACCEPT");
    parse_sp(p);
    imap_search_parse_charset(s, p);
    parse_sp(p);
}

enum result
imap_search_parse_arguments(struct imap_search *s, struct parse *p, struct fault *f)
{
    if (parse_try_word(p, "RETURN"))
        imap_search_parse_return(s, p);
    if (parse_try_word(p, "CHARSET"))
        parse_charset(s, p);
    return imap_search_parse_program(s, p, f);
}
