// RFC 5255 section 4: I18NLEVEL=2 and COMPARATOR. The active comparator is how SEARCH, SORT and THREAD compare text; flags,
// dates, numbers and the names of header fields are not text. i;ascii-numeric is not here: it has no substring operation, which
// SEARCH needs (section 4.4). Text that is not valid in its charset is converted all the same, with U+FFFD where it is broken.
#include "imap/response.h"

enum { PATTERN_MAX = 254 };  // RFC 4790 section 3.2

// The most widely useful first: a pattern gets the first that it matches (RFC 4790 section 3.2).
static const struct {
    const char *name;
    enum collation collation;
} comparators[] = {
    {"i;unicode-casemap", COLLATION_CASEMAP},  // the default
    {"i;ascii-casemap", COLLATION_ASCII},
    {"i;octet", COLLATION_OCTET},
};
enum { COMPARATORS = sizeof comparators / sizeof comparators[0] };

static bool
is_collation_char(char c)
{
    return ascii_is_alpha(c) || ascii_is_digit(c) || c == '-' || c == ';' || c == '=' ||
           c == '.';
}

// collation-wild, behind the direction (RFC 4790 section 3.2).
static bool
is_pattern(struct span s)
{
    if (s.n == 0 || s.n > PATTERN_MAX || (*s.p != '*' && !ascii_is_alpha(*s.p)))
        return false;
    for (size_t i = 0; i < s.n; i++) {
        bool star = s.p[i] == '*';
        if (star ? i > 0 && s.p[i - 1] == '*' : !is_collation_char(s.p[i]))
            return false;
    }
    return true;
}

// Stars do not touch, so the first place where each piece fits is as good as any.
static bool
matches(struct span pattern, struct span name)
{
    struct span piece = span_slice(pattern, 0, span_find_char(pattern, '*'));
    if (!span_istarts(name, piece))
        return false;
    name = span_skip(name, piece.n);
    while (piece.n < pattern.n) {
        pattern = span_skip(pattern, piece.n + 1);
        piece = span_slice(pattern, 0, span_find_char(pattern, '*'));
        bool last = piece.n == pattern.n;
        size_t at = last && name.n >= piece.n ? name.n - piece.n : span_ifind(name, piece);
        if (at + piece.n > name.n || !span_ieq(span_slice(name, at, at + piece.n), piece))
            return false;
        name = span_skip(name, at + piece.n);
    }
    return name.n == 0;
}

struct choice {
    bool matched[COMPARATORS];
    size_t count, first;  // first: of the first argument that matches any
};

static void
note(struct choice *choice, size_t i)
{
    if (choice->count == 0)
        choice->first = i;
    if (!choice->matched[i])
        choice->count++;
    choice->matched[i] = true;
}

static void
read_wish(struct choice *choice, struct parse *p)
{
    struct span wish = parse_astring(p);
    bool falls = wish.n > 0 && *wish.p == '-';
    if (falls || (wish.n > 0 && *wish.p == '+'))
        wish = span_skip(wish, 1);
    if (!p->bad && !is_pattern(wish))
        parse_fail(p, "no comparator's name");
    if (p->bad || falls)  // no comparator here turns the order around
        return;
    bool is_default = span_ieq(wish, SPAN("default"));
    for (size_t i = 0; i < COMPARATORS; i++)
        if (is_default ? i == 0 : matches(wish, span_str(comparators[i].name)))
            note(choice, i);
}

static void
tell(struct imap_session *s, const struct choice *choice)
{
    struct buf *b = imap_line(s);
    buf_put_str(b, "* COMPARATOR ");
    for (size_t i = 0; i < COMPARATORS; i++)
        if (comparators[i].collation == s->collation)
            buf_put_str(b, comparators[i].name);
    for (size_t i = 0, told = 0; choice->count > 1 && i < COMPARATORS; i++) {
        if (!choice->matched[i])
            continue;
        buf_put_str(b, told++ == 0 ? " (" : " ");
        buf_put_str(b, comparators[i].name);
    }
    if (choice->count > 1)
        buf_put_char(b, ')');
    imap_line_send(s);
}

static enum result
run_comparator(struct imap_command *c, struct fault *f)
{
    struct parse *p = &c->parse;
    struct choice choice = {0};
    bool asks = parse_at_end(p);
    while (!p->bad && !parse_at_end(p)) {
        parse_sp(p);
        read_wish(&choice, p);
    }
    if (parse_end(p, f) != R_OK)
        return R_FAIL;
    if (!asks && choice.count == 0)
        return imap_answer_no(c, f, FAULT_CANNOT, "[BADCOMPARATOR] No such comparator");
    if (!asks)
        c->session->collation = comparators[choice.first].collation;
    tell(c->session, &choice);
    return R_OK;
}

static const struct imap_verb verbs[] = {
    {"COMPARATOR", ARGS_OWN, IMAP_ANY, VERB_READS, 0, run_comparator},
    {.name = NULL},
};

const struct imap_ext imap_ext_comparator = {
    .name = "comparator",
    .rfc = "RFC 5255 section 4",
    .capability = "I18NLEVEL=2",
    .verbs = verbs,
};
