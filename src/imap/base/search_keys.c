#include "imap/search.h"

#include "base/limits.h"
#include "imap/flags.h"
#include "mime/charset.h"

// The search keys of RFC 9051 section 6.4.4 and RFC 3501 section 6.4.4, one row each.

// Other charsets say the same in fewer octets: converted, the texts may be too much (mime/text.h).
struct span
imap_search_text(struct imap_search *s, struct parse *p)
{
    struct span raw = parse_astring(p);
    struct buf b;
    if (p->bad || !s->charset.p)
        return raw;
    buf_init(&b, LIMIT_command - s->asked.converted);
    if (mime_charset_to_utf8(s->charset, raw, &b, &s->fault) != R_OK)
        s->failed = true;
    else if (b.over)
        s->failed = fault_set(&s->fault, FAULT_LIMIT, "texts of a search") == R_FAIL;
    s->asked.converted += b.n;
    raw = arena_dup(s->c->arena, buf_span(&b));
    buf_done(&b);
    return raw;
}

static void
parse_text(struct imap_search *s, struct parse *p, struct query *q)
{
    parse_sp(p);
    q->text = imap_search_text(s, p);
}

static void
parse_header(struct imap_search *s, struct parse *p, struct query *q)
{
    parse_sp(p);
    q->name = parse_astring(p);
    parse_sp(p);
    q->text = imap_search_text(s, p);
}

static void
parse_keyword(struct imap_search *s, struct parse *p, struct query *q)
{
    (void)s;
    parse_sp(p);
    q->text = parse_atom(p);
}

void
imap_search_day(struct imap_search *s, struct parse *p, struct query *q)
{
    (void)s;
    parse_sp(p);
    q->number = (uint64_t)(int64_t)parse_date(p);
}

static void
parse_size(struct imap_search *s, struct parse *p, struct query *q)
{
    (void)s;
    parse_sp(p);
    q->number = parse_number64(p);
}

void
imap_search_bind_add(struct imap_search *s, const struct imap_search_bind *b)
{
    struct imap_search_bind *copy = ARENA_NEW(s->c->arena, struct imap_search_bind);
    *copy = *b;
    copy->next = s->asked.binds;
    s->asked.binds = copy;
}

// '*' stands for something else in every mailbox.
static enum result
bind_set(struct imap_search *s, struct view *v, const struct imap_search_bind *b,
         struct fault *f)
{
    struct seqset *set = ARENA_NEW(s->arena, struct seqset);
    bool by_uid = b->query->op == QUERY_UIDS;
    b->query->set = set;
    if (span_eq(b->text, SPAN("$")))
        return imap_set_resolve(s->c->session, b->text, &by_uid, s->arena, set, f);
    return imap_set_read(v, b->text, by_uid, s->arena, set, f);
}

static void
read_set(struct imap_search *s, struct parse *p, struct query *q, bool by_uid)
{
    struct span text = parse_seqset(p);
    bool saved = span_eq(text, SPAN("$"));
    q->op = by_uid || saved ? QUERY_UIDS : QUERY_SEQS;
    s->asked.uses_saved |= saved;
    if (q->op == QUERY_UIDS && span_find_char(text, '*') < text.n)
        q->text = text;
    imap_search_bind_add(s, &(struct imap_search_bind){q, bind_set, text, NULL, NULL});
}

static void
parse_uid(struct imap_search *s, struct parse *p, struct query *q)
{
    parse_sp(p);
    read_set(s, p, q, true);
}

static void
parse_not(struct imap_search *s, struct parse *p, struct query *q)
{
    parse_sp(p);
    q->first = imap_search_parse_key(s, p);
}

static void
parse_or(struct imap_search *s, struct parse *p, struct query *q)
{
    parse_sp(p);
    q->first = imap_search_parse_key(s, p);
    parse_sp(p);
    q->first->next = imap_search_parse_key(s, p);
}

// RFC 3501 only: NEW is RECENT UNSEEN, OLD is NOT RECENT.
static void
parse_new(struct imap_search *s, struct parse *p, struct query *q)
{
    struct query *seen = ARENA_NEW(s->c->arena, struct query),
                 *unseen = ARENA_NEW(s->c->arena, struct query);
    (void)p;
    *seen = (struct query){.op = QUERY_FLAG, .number = FLAG_SEEN};
    *unseen = (struct query){.op = QUERY_NOT, .first = seen};
    q->first = ARENA_NEW(s->c->arena, struct query);
    *q->first = (struct query){.op = QUERY_RECENT, .next = unseen};
}

#define KEY(id, op, negated, number, parse)                                                \
    static const struct imap_search_key key_##id = {op, negated, number, parse};
#include "imap/search_keys.def"
#undef KEY

#define KEY(id, op, negated, number, parse) {SLOT_SEARCH, #id, 0, {.search = &key_##id}},
const struct imap_word imap_search_words[] = {
#include "imap/search_keys.def"
    {0},
};
#undef KEY

// ---- the tree ----

static void
query_append(struct query *parent, struct query *k)
{
    struct query **at = &parent->first;
    while (*at)
        at = &(*at)->next;
    *at = k;
}

static struct query *
parse_group(struct imap_search *s, struct parse *p)
{
    struct query *q = ARENA_NEW(s->c->arena, struct query), *last = NULL;
    q->op = QUERY_AND;
    parse_list_open(p);
    while (parse_list_next(p)) {
        struct query *k = imap_search_parse_key(s, p);
        if (last)
            last->next = k;
        else
            query_append(q, k);
        last = k;
    }
    if (!q->first)
        parse_fail(p, "empty search group");
    return q;
}

static struct query *
parse_set(struct imap_search *s, struct parse *p)
{
    struct query *q = ARENA_NEW(s->c->arena, struct query);
    read_set(s, p, q, false);
    s->c->by_number |= q->op == QUERY_SEQS;
    return q;
}

static struct query *
parse_word_key(struct imap_search *s, struct parse *p)
{
    struct query *q = ARENA_NEW(s->c->arena, struct query);
    const struct imap_word *word = imap_word_find(SLOT_SEARCH, parse_atom(p));
    if (!word) {
        parse_fail(p, "unknown search key");
        return q;
    }
    const struct imap_search_key *key = word->as.search;
    q->op = key->op;
    q->number = key->number;
    if (key->parse)
        key->parse(s, p, q);
    if (!key->negated)
        return q;
    struct query *not = ARENA_NEW(s->c->arena, struct query);
    not ->op = QUERY_NOT;
    not ->first = q;
    return not ;
}

struct query *
imap_search_parse_key(struct imap_search *s, struct parse *p)
{
    struct query *q;
    char c = parse_peek(p);
    if (++s->keys > LIMIT_search_keys || ++s->depth > LIMIT_search_depth) {
        parse_fail_kind(p, FAULT_LIMIT, "too many or too deeply nested search keys");
        return ARENA_NEW(s->c->arena, struct query);
    }
    if (c == '(')
        q = parse_group(s, p);
    else if (ascii_is_digit(c) || c == '*' || c == '$')
        q = parse_set(s, p);
    else
        q = parse_word_key(s, p);
    s->depth--;
    return q;
}
