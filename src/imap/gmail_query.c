#include "imap/gmail_query.h"

#include "base/limits.h"
#include "search/fuzzy.h"
#include "wire/date.h"

enum { DAY = 86400, MONTH_DAYS = 30, YEAR_DAYS = 365 };
enum { LEVELS = 4 };  // of keys, that one level of brackets may make

struct reading {
    struct gmail_query *g;
    struct span rest;
    bool over;    // a limit
    bool cannot;  // an operator that cannot be answered
    // how the next value is to be compared: +word as it is written, "phrase" word after word
    bool exact, phrase;
};

static struct query *
key_new(struct reading *r, enum query_op op)
{
    struct query *q = ARENA_NEW(r->g->arena, struct query);
    q->op = op;
    if (++r->g->keys > LIMIT_search_keys)
        r->over = true;
    return q;
}

static struct query *
negate(struct reading *r, struct query *q)
{
    struct query *not_q = key_new(r, QUERY_NOT);
    not_q->first = q;
    return not_q;
}

static struct query *
nothing(struct reading *r)
{
    return negate(r, key_new(r, QUERY_ALL));
}

// ---- octets ----

static char
peek(const struct reading *r)
{
    return r->rest.n > 0 ? r->rest.p[0] : '\0';
}

// The next n octets, off the front.
static struct span
take(struct reading *r, size_t n)
{
    struct span front = span_slice(r->rest, 0, n);
    r->rest = span_skip(r->rest, n);
    return front;
}

static void
skip_space(struct reading *r)
{
    while (ascii_is_space(peek(r)))
        take(r, 1);
}

static bool
ends_word(char c)
{
    return ascii_is_space(c) || c == '(' || c == ')' || c == '{' || c == '}' || c == '"';
}

static struct span
take_word(struct reading *r)
{
    size_t n = 0;
    while (n < r->rest.n && !ends_word(r->rest.p[n]))
        n++;
    return take(r, n);
}

// Without its end, to the end.
static struct span
take_phrase(struct reading *r)
{
    take(r, 1);
    struct span phrase = take(r, span_find_char(r->rest, '"'));
    take(r, 1);
    return phrase;
}

static bool
take_keyword(struct reading *r, struct span word)
{
    if (!span_starts(r->rest, word) ||
        (r->rest.n > word.n && !ends_word(r->rest.p[word.n])))
        return false;
    take(r, word.n);
    return true;
}

// ---- values ----

// All digits of the front; how many there were.
static size_t
number_at(struct span s, uint64_t *out)
{
    size_t n = 0;
    *out = 0;
    while (n < s.n && n < 18 && ascii_is_digit(s.p[n]))
        *out = *out * 10 + (uint64_t)(s.p[n++] - '0');
    return n;
}

// "10", "10k", "5M", "1g", also "5mb": octets.
static bool
size_of(struct span s, uint64_t *out)
{
    static const struct {
        const char *unit;
        uint64_t octets;
    } units[] = {{"", 1},        {"b", 1},        {"k", 1 << 10}, {"kb", 1 << 10},
                 {"m", 1 << 20}, {"mb", 1 << 20}, {"g", 1 << 30}, {"gb", 1 << 30}};
    size_t n = number_at(s, out);
    for (size_t i = 0; n > 0 && i < sizeof units / sizeof units[0]; i++)
        if (span_ieq(span_skip(s, n), span_str(units[i].unit))) {
            *out = *out > INT64_MAX / units[i].octets ? INT64_MAX : *out * units[i].octets;
            return true;
        }
    return false;
}

// "3d", "2m", "1y": seconds.
static bool
age_of(struct span s, int64_t *out)
{
    uint64_t number, days = 0;
    size_t n = number_at(s, &number);
    if (n == 0 || s.n != n + 1 || number > 100000)
        return false;
    switch (s.p[n]) {
    case 'd':
        days = 1;
        break;
    case 'm':
        days = MONTH_DAYS;
        break;
    case 'y':
        days = YEAR_DAYS;
        break;
    default:
        return false;
    }
    *out = (int64_t)(number * days * DAY);
    return true;
}

// "2004/04/16", "2004-4-16" or "04/16/2004", as days since 1970.
static bool
day_of(struct span s, int32_t *out)
{
    uint64_t field[3];
    for (int i = 0; i < 3; i++) {
        size_t n = number_at(s, &field[i]);
        bool mark = i < 2 && n < s.n && (s.p[n] == '/' || s.p[n] == '-');
        if (n == 0 || n > 4 || (i < 2 ? !mark : n != s.n))
            return false;
        s = span_skip(s, i < 2 ? n + 1 : n);
    }
    bool year_first = field[0] > 31;
    uint64_t year = field[year_first ? 0 : 2], month = field[year_first ? 1 : 0],
             day = field[year_first ? 2 : 1];
    if (year < 1000 || month < 1 || month > 12 || day < 1 || day > 31)
        return false;
    *out = date_from_civil((int)year, (int)month, (int)day);
    return true;
}

// ---- operators ----

struct gmail_operator;
typedef struct query *operator_fn(struct reading *r, const struct gmail_operator *o,
                                  struct span value);
struct gmail_operator {
    const char *name;
    operator_fn *fn;
    enum query_op op;
    const char *header;
};

static struct query *
exact_key(struct reading *r, const struct gmail_operator *o, struct span value)
{
    struct query *q = key_new(r, o->op);
    q->text = value;
    q->name = o->header ? span_str(o->header) : SPAN_NONE;
    return q;
}

static struct query *
text_key(struct reading *r, const struct gmail_operator *o, struct span value)
{
    struct fault f;
    struct query *q = exact_key(r, o, value);
    q->fuzzy = r->phrase;  // whole
    if (!r->exact && query_fuzzy(q, r->g->arena, &r->g->keys, &f) != R_OK)
        r->over = true;
    return q;
}

static struct query *
person_key(struct reading *r, const struct gmail_operator *o, struct span value)
{
    bool me = span_ieq(value, SPAN("me")) && r->g->me.n > 0;
    return text_key(r, o, me ? r->g->me : value);
}

static struct query *
size_key(struct reading *r, const struct gmail_operator *o, struct span value)
{
    uint64_t octets;
    if (!size_of(value, &octets))
        return NULL;
    struct query *q = key_new(r, o->op);
    q->number = octets;
    return q;
}

// A day, or seconds since 1970.
static struct query *
date_key(struct reading *r, const struct gmail_operator *o, struct span value)
{
    int32_t day;
    uint64_t seconds;
    if (day_of(value, &day)) {
        struct query *q = key_new(r, o->op);
        q->number = (uint64_t)(int64_t)day;
        return q;
    }
    size_t n = number_at(value, &seconds);
    if (n < 5 || n != value.n)
        return NULL;
    bool before = o->op == QUERY_DATE_BEFORE;
    struct query *q = key_new(r, before ? QUERY_OLDER : QUERY_YOUNGER);
    q->number = seconds;
    return q;
}

static struct query *
age_key(struct reading *r, const struct gmail_operator *o, struct span value)
{
    int64_t seconds;
    if (!age_of(value, &seconds))
        return NULL;
    struct query *q = key_new(r, o->op);
    q->number = (uint64_t)(r->g->now_s - seconds);
    q->age = seconds <= UINT32_MAX ? (uint32_t)seconds : 0;
    return q;
}

static struct query *
flag_key(struct reading *r, uint16_t flag, bool set)
{
    struct query *q = key_new(r, QUERY_FLAG);
    q->number = flag;
    return set ? q : negate(r, q);
}

static struct query *
keyword_key(struct reading *r, const char *keyword)
{
    struct query *q = key_new(r, QUERY_KEYWORD);
    q->text = span_str(keyword);
    return q;
}

// NULL for every other word.
static struct query *
mark_key(struct reading *r, struct span value)
{
    if (span_ieq(value, SPAN("unread")))
        return flag_key(r, FLAG_SEEN, false);
    if (span_ieq(value, SPAN("read")))
        return flag_key(r, FLAG_SEEN, true);
    if (span_ieq(value, SPAN("starred")))
        return flag_key(r, FLAG_FLAGGED, true);
    if (span_ieq(value, SPAN("important")))
        return keyword_key(r, "$Important");
    if (span_ieq(value, SPAN("muted")))
        return keyword_key(r, "$Muted");
    return NULL;
}

static struct query *
is_key(struct reading *r, const struct gmail_operator *o, struct span value)
{
    struct query *q = mark_key(r, value);
    (void)o;
    return q ? q : nothing(r);
}

// Documents of Google and films are links in the text.
static const struct {
    const char *what;
    const char *links[3];
} linked[] = {
    {"drive", {"drive.google.com", "docs.google.com"}},
    {"document", {"docs.google.com/document"}},
    {"spreadsheet", {"docs.google.com/spreadsheets"}},
    {"presentation", {"docs.google.com/presentation"}},
    {"youtube", {"youtube.com/", "youtu.be/"}},
};

static struct query *
link_key(struct reading *r, const char *const *links)
{
    struct query *any = key_new(r, QUERY_OR), **end = &any->first;
    for (; *links; links++, end = &(*end)->next) {
        *end = key_new(r, QUERY_BODY);
        (*end)->text = span_str(*links);
    }
    return any;
}

// Colours of stars as Apple's clients keep them, beside \Flagged. A star without one is Gmail's yellow and Apple's red.
static const struct {
    const char *name;
    unsigned bits, or_bits;
} stars[] = {{"red-star", 0, 0},   {"orange-star", 1, 1}, {"yellow-star", 2, 0},
             {"green-star", 3, 3}, {"blue-star", 4, 4},   {"purple-star", 5, 5}};

static struct query *
bits_key(struct reading *r, unsigned bits)
{
    static const char *const names[] = {"$MailFlagBit0", "$MailFlagBit1", "$MailFlagBit2"};
    struct query *all = key_new(r, QUERY_AND), **end = &all->first;
    for (unsigned i = 0; i < 3; i++, end = &(*end)->next) {
        struct query *bit = key_new(r, QUERY_KEYWORD);
        bit->text = span_str(names[i]);
        *end = bits & (1u << i) ? bit : negate(r, bit);
    }
    return all;
}

static struct query *
star_key(struct reading *r, unsigned bits, unsigned or_bits)
{
    struct query *star = key_new(r, QUERY_AND), *colour = key_new(r, QUERY_OR);
    star->first = flag_key(r, FLAG_FLAGGED, true);
    star->first->next = colour;
    colour->first = bits_key(r, bits);
    if (bits != or_bits)
        colour->first->next = bits_key(r, or_bits);
    return star;
}

static struct query *
user_labels_key(struct reading *r, bool has)
{
    struct query *q = key_new(r, QUERY_ALL);
    r->g->user_labels(r->g->arg, q);
    return has ? q : negate(r, q);
}

// What no message here can have is found in none.
static struct query *
has_key(struct reading *r, const struct gmail_operator *o, struct span value)
{
    (void)o;
    if (span_ieq(value, SPAN("attachment")))
        return key_new(r, QUERY_ATTACHMENT);
    if (span_ieq(value, SPAN("userlabels")) || span_ieq(value, SPAN("nouserlabels")))
        return user_labels_key(r, value.p[0] == 'u' || value.p[0] == 'U');
    for (size_t i = 0; i < sizeof linked / sizeof linked[0]; i++)
        if (span_ieq(value, span_str(linked[i].what)))
            return link_key(r, linked[i].links);
    for (size_t i = 0; i < sizeof stars / sizeof stars[0]; i++)
        if (span_ieq(value, span_str(stars[i].name)))
            return star_key(r, stars[i].bits, stars[i].or_bits);
    return nothing(r);
}

// There are no categories: all mail is primary.
static struct query *
category_key(struct reading *r, const struct gmail_operator *o, struct span value)
{
    (void)o;
    return span_ieq(value, SPAN("primary")) ? key_new(r, QUERY_ALL) : nothing(r);
}

static struct query *
label_key(struct reading *r, const struct gmail_operator *o, struct span value)
{
    struct query *q = mark_key(r, value);
    (void)o;
    if (q)
        return q;
    q = key_new(r, QUERY_ALL);
    if (!span_ieq(value, SPAN("anywhere")) && !span_ieq(value, SPAN("all")))
        r->g->label(r->g->arg, value, q);
    return q;
}

static const struct gmail_operator operators[] = {
    {"from", person_key, QUERY_FROM, NULL},
    {"to", person_key, QUERY_TO, NULL},
    {"cc", person_key, QUERY_CC, NULL},
    {"bcc", person_key, QUERY_BCC, NULL},
    {"subject", text_key, QUERY_SUBJECT, NULL},
    {"filename", text_key, QUERY_ATTACHMENT, NULL},
    {"list", text_key, QUERY_HEADER, "List-Id"},
    {"deliveredto", person_key, QUERY_HEADER, "Delivered-To"},
    {"rfc822msgid", exact_key, QUERY_HEADER, "Message-Id"},
    {"larger", size_key, QUERY_LARGER, NULL},
    {"size", size_key, QUERY_LARGER, NULL},
    {"smaller", size_key, QUERY_SMALLER, NULL},
    {"after", date_key, QUERY_DATE_SINCE, NULL},
    {"newer", date_key, QUERY_DATE_SINCE, NULL},
    {"before", date_key, QUERY_DATE_BEFORE, NULL},
    {"older", date_key, QUERY_DATE_BEFORE, NULL},
    {"older_than", age_key, QUERY_OLDER, NULL},
    {"newer_than", age_key, QUERY_YOUNGER, NULL},
    {"is", is_key, QUERY_ALL, NULL},
    {"has", has_key, QUERY_ALL, NULL},
    {"category", category_key, QUERY_ALL, NULL},
    {"label", label_key, QUERY_ALL, NULL},
    {"in", label_key, QUERY_ALL, NULL},
};
static const struct gmail_operator plain = {"", text_key, QUERY_TEXT, NULL};

// "from:": the operator, taken; NULL and nothing taken for every other word.
static const struct gmail_operator *
take_operator(struct reading *r)
{
    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++) {
        struct span name = span_str(operators[i].name);
        if (r->rest.n > name.n && r->rest.p[name.n] == ':' && span_istarts(r->rest, name)) {
            take(r, name.n + 1);
            return &operators[i];
        }
    }
    return NULL;
}

// ---- terms ----

static struct query *read_list(struct reading *r, const struct gmail_operator *o,
                               char close);

// Of a value that means nothing to the operator, the text is looked for.
static struct query *
value_key(struct reading *r, const struct gmail_operator *o, struct span value)
{
    struct query *q = o->fn(r, o, value);
    return q ? q : text_key(r, &plain, value);
}

static struct query *
read_value(struct reading *r, const struct gmail_operator *o)
{
    char c = peek(r);
    if (c == '(' || c == '{') {
        take(r, 1);
        return read_list(r, o, c == '(' ? ')' : '}');
    }
    if (c == '"') {
        r->phrase = !r->exact;
        struct query *q = value_key(r, o, take_phrase(r));
        r->phrase = false;
        return q;
    }
    struct span word = take_word(r);
    if (word.n == 0)  // "from: bob", or nothing at all
        return key_new(r, QUERY_ALL);
    return value_key(r, o, word);
}

// NULL at the end of the list or of the text.
static struct query *
read_term(struct reading *r, const struct gmail_operator *o, char close)
{
    skip_space(r);
    while (close == '\0' && (peek(r) == ')' || peek(r) == '}')) {  // closes nothing
        take(r, 1);
        skip_space(r);
    }
    char c = peek(r);
    if (c == ')' || c == '}')
        return NULL;
    if (r->rest.n == 0 || r->over)
        return NULL;
    bool minus = c == '-' && r->rest.n > 1 && !ascii_is_space(r->rest.p[1]);
    if (minus || c == '+' || c == '-')
        take(r, 1);
    bool outer = r->exact;
    r->exact |= c == '+';
    const struct gmail_operator *inner = take_operator(r);
    struct query *q = read_value(r, inner ? inner : o);
    r->exact = outer;
    return minus ? negate(r, q) : q;
}

static void
append(struct query *parent, struct query ***end, struct query *q)
{
    if (!*end)
        *end = &parent->first;
    **end = q;
    *end = &q->next;
}

// "a OR b OR c" binds more tightly than what stands beside it.
static struct query *
read_alternatives(struct reading *r, const struct gmail_operator *o, char close)
{
    struct query *first = read_term(r, o, close), **end = NULL, *any = NULL;
    for (;;) {
        skip_space(r);
        if (!first || !take_keyword(r, SPAN("OR")))
            return any ? any : first;
        struct query *next = read_term(r, o, close);
        if (!next)
            return any ? any : first;
        if (!any) {
            any = key_new(r, QUERY_OR);
            append(any, &end, first);
        }
        append(any, &end, next);
    }
}

// "a AROUND 10 b": how near words are is not known.
static bool
sees_around(struct reading *r)
{
    struct reading ahead = *r;
    uint64_t n;
    if (!take_keyword(&ahead, SPAN("AROUND")))
        return false;
    skip_space(&ahead);
    return number_at(ahead.rest, &n) > 0;
}

static struct query *
read_list(struct reading *r, const struct gmail_operator *o, char close)
{
    struct query *list = key_new(r, close == '}' ? QUERY_OR : QUERY_AND), *q, **end = NULL;
    if (++r->g->depth > LIMIT_search_depth / LEVELS)
        r->over = true;
    while (!r->over) {
        skip_space(r);
        if (take_keyword(r, SPAN("AND")))
            continue;
        if (sees_around(r)) {
            r->cannot = true;
            break;
        }
        q = read_alternatives(r, o, close);
        if (!q)
            break;
        append(list, &end, q);
    }
    if (close != '\0')
        take(r, 1);
    r->g->depth--;
    if (!list->first)
        list->op = QUERY_ALL;
    return list;
}

enum result
gmail_query_parse(struct gmail_query *g, struct span text, struct query **out,
                  struct fault *f)
{
    struct reading r = {.g = g, .rest = text};
    struct query *q = read_list(&r, &plain, '\0');
    if (r.cannot)
        return fault_set(f, FAULT_CANNOT, "AROUND is not known here");
    if (r.over)
        return fault_set(f, FAULT_LIMIT, "too many or too deeply nested search keys");
    *out = q;
    return R_OK;
}
