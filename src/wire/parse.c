#include "wire/parse.h"

#include "base/limits.h"
#include "wire/mutf7.h"
#include "wire/seqset.h"
#include "base/utf8.h"

void
parse_init(struct parse *p, struct span command, struct arena *a, bool utf8)
{
    *p = (struct parse){.in = command, .arena = a, .utf8 = utf8};
}

void
parse_fail_kind(struct parse *p, enum fault_kind kind, const char *why)
{
    if (!p->bad)
        (void)!fault_set(&p->fault, kind, "%s at octet %zu", why, p->at);
    p->bad = true;
}

void
parse_fail(struct parse *p, const char *why)
{
    parse_fail_kind(p, FAULT_BAD, why);
}

static struct span
rest(const struct parse *p)
{
    return p->bad ? SPAN_NONE : span_skip(p->in, p->at);
}

char
parse_peek(const struct parse *p)
{
    return !p->bad && p->at < p->in.n ? p->in.p[p->at] : '\0';
}

bool
parse_at_end(const struct parse *p)
{
    struct span left = rest(p);
    return !p->bad &&
           (left.n == 0 || span_eq(left, SPAN("\r\n")) || span_eq(left, SPAN("\n")));
}

enum result
parse_end(struct parse *p, struct fault *f)
{
    if (!parse_at_end(p))
        parse_fail(p, "something that does not belong there");
    if (!p->bad)
        return R_OK;
    *f = p->fault;
    return R_FAIL;
}

bool
parse_try(struct parse *p, char c)
{
    if (parse_peek(p) != c || c == '\0')
        return false;
    p->at++;
    return true;
}

void
parse_char(struct parse *p, char c)
{
    if (!parse_try(p, c))
        parse_fail(p, c == ' ' ? "missing space" : "missing delimiter");
}

void
parse_sp(struct parse *p)
{
    parse_char(p, ' ');
}

bool
parse_try_text(struct parse *p, const char *text)
{
    if (p->bad || !span_istarts(rest(p), span_str(text)))
        return false;
    p->at += strlen(text);
    return true;
}

// ATOM-CHAR of RFC 9051 section 9.
static bool
atom_char(char c)
{
    return (unsigned char)c > ' ' && (unsigned char)c < 0x7F && !strchr("(){%*\"\\]", c);
}

static bool
astring_char(char c)
{
    return atom_char(c) || c == ']';
}

static bool
list_char(char c)
{
    return astring_char(c) || c == '%' || c == '*';
}

static bool
tag_char(char c)
{
    return astring_char(c) && c != '+';
}

static bool
word_char(char c)
{
    return atom_char(c) && c != '[' && c != '<';
}

static bool
digit_char(char c)
{
    return ascii_is_digit(c);
}

static struct span
take_while(struct parse *p, bool (*is)(char c), const char *why)
{
    struct span left = rest(p);
    size_t n = 0;
    while (n < left.n && is(left.p[n]))
        n++;
    if (n == 0) {
        parse_fail(p, why);
        return SPAN_NONE;
    }
    p->at += n;
    return span_of(left.p, n);
}

bool
parse_try_word(struct parse *p, const char *word)
{
    size_t start = p->at;
    if (!parse_try_text(p, word))
        return false;
    if (!atom_char(parse_peek(p)))
        return true;
    p->at = start;
    return false;
}

struct span
parse_tag(struct parse *p)
{
    return take_while(p, tag_char, "no tag");
}

struct span
parse_atom(struct parse *p)
{
    return take_while(p, atom_char, "no atom");
}

struct span
parse_word(struct parse *p)
{
    return take_while(p, word_char, "no word");
}

// Takes the backslashes out of the inside of a quoted string.
static struct span
unescape(struct parse *p, struct span s)
{
    char *out = arena_alloc(p->arena, s.n);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\\')
            i++;
        out[n++] = s.p[i];
    }
    return span_of(out, n);
}

static struct span
take_quoted(struct parse *p)
{
    struct span left = rest(p);
    bool escapes = false;
    size_t i = 1;
    for (; i < left.n && left.p[i] != '"'; i++) {
        if (left.p[i] == '\r' || left.p[i] == '\n' || left.p[i] == '\0')
            break;
        if (left.p[i] != '\\')
            continue;
        escapes = true;
        i++;
        if (i >= left.n || (left.p[i] != '"' && left.p[i] != '\\'))
            break;
    }
    if (i >= left.n || left.p[i] != '"') {
        parse_fail(p, "wrong quoted string");
        return SPAN_NONE;
    }
    p->at += i + 1;
    struct span inside = span_slice(left, 1, i);
    if (p->utf8 && !utf8_valid(inside))
        parse_fail(p, "quoted string is not UTF-8");
    return escapes ? unescape(p, inside) : inside;
}

// "{12}" or "{12+}" and the line end behind it.
static struct command_literal
take_literal_header(struct parse *p)
{
    struct command_literal l = {.literal8 = parse_try(p, '~'), .sync = true};
    parse_char(p, '{');
    l.size = parse_number64(p);
    l.sync = !parse_try(p, '+');
    parse_char(p, '}');
    parse_try(p, '\r');
    parse_char(p, '\n');
    return l;
}

static struct span
take_literal(struct parse *p)
{
    struct command_literal l = take_literal_header(p);
    struct span left = rest(p);
    if (l.size > left.n)
        parse_fail(p, "literal cut short");
    if (p->bad)
        return SPAN_NONE;
    p->at += (size_t)l.size;
    return span_of(left.p, (size_t)l.size);
}

struct span
parse_string(struct parse *p)
{
    char c = parse_peek(p);
    if (c == '"')
        return take_quoted(p);
    if (c == '{')
        return take_literal(p);
    parse_fail(p, "no string");
    return SPAN_NONE;
}

static bool
string_next(const struct parse *p)
{
    return parse_peek(p) == '"' || parse_peek(p) == '{';
}

struct span
parse_astring(struct parse *p)
{
    return string_next(p) ? parse_string(p) : take_while(p, astring_char, "no string");
}

struct span
parse_nstring(struct parse *p)
{
    return parse_try_word(p, "NIL") ? SPAN_NONE : parse_string(p);
}

struct span
parse_binary(struct parse *p)
{
    return parse_peek(p) == '~' ? take_literal(p) : parse_nstring(p);
}

struct command_literal
parse_stream(struct parse *p)
{
    struct command_literal l = take_literal_header(p);
    if (!p->bad && p->at != p->in.n)
        parse_fail(p, "no literal at the end");
    return l;
}

// From the wire's spelling to UTF-8.
static struct span
decode_name(struct parse *p, struct span s)
{
    if (p->bad)
        return SPAN_NONE;
    if (p->utf8) {
        if (!utf8_valid(s))
            parse_fail_kind(p, FAULT_CANNOT, "mailbox name is not UTF-8");
        return s;
    }
    struct buf out;
    struct fault f;
    buf_init(&out, LIMIT_command);
    struct span name = SPAN_NONE;
    if (mutf7_to_utf8(s, &out, &f) == R_OK)
        name = arena_dup(p->arena, buf_span(&out));
    else
        parse_fail_kind(p, FAULT_CANNOT, f.why);
    buf_done(&out);
    return name;
}

// A pattern in no valid spelling matches nothing and is no error (RFC 9051 section 6.3.9): it becomes one that no
// name can match.
struct span
parse_list_mailbox(struct parse *p)
{
    struct span raw =
        string_next(p) ? parse_string(p) : take_while(p, list_char, "no pattern");
    bool was_bad = p->bad;
    struct span pattern = decode_name(p, raw);
    if (was_bad || !p->bad)
        return pattern;
    p->bad = false;
    return SPAN("\x01");
}

struct span
parse_mailbox(struct parse *p)
{
    struct span name = decode_name(p, parse_astring(p));
    p->spelled = name;
    if (name.n > 1 && name.p[name.n - 1] == '/')
        name.n--;
    bool inbox = span_istarts(name, SPAN("INBOX")) &&
                 (name.n == 5 || (name.n > 5 && name.p[5] == '/'));
    if (!inbox)
        return name;
    struct span upper = arena_dup(p->arena, name);
    memcpy((char *)upper.p, "INBOX", 5);
    return upper;
}

static uint64_t
take_number(struct parse *p, uint64_t least, uint64_t most)
{
    uint64_t v = 0;
    struct span digits = take_while(p, digit_char, "no number");
    if (p->bad)
        return 0;
    if (span_to_u64(digits, &v) != R_OK || v < least || v > most) {
        parse_fail(p, "number out of range");
        return 0;
    }
    return v;
}

uint32_t
parse_number(struct parse *p)
{
    return (uint32_t)take_number(p, 0, UINT32_MAX);
}

uint32_t
parse_nz_number(struct parse *p)
{
    return (uint32_t)take_number(p, 1, UINT32_MAX);
}

uint64_t
parse_number64(struct parse *p)
{
    return take_number(p, 0, INT64_MAX);
}

uint64_t
parse_mod_sequence(struct parse *p)
{
    return take_number(p, 0, INT64_MAX);
}

struct span
parse_seqset(struct parse *p)
{
    struct span left = rest(p);
    size_t n = seqset_span(left);
    if (n == 0 && left.n > 0 && left.p[0] == '$')
        n = 1;
    if (n == 0)
        parse_fail(p, "no sequence set");
    if (p->bad)
        return SPAN_NONE;
    p->at += n;
    return span_of(left.p, n);
}

struct span
parse_flag(struct parse *p)
{
    size_t start = p->at;
    parse_try(p, '\\');
    parse_atom(p);
    return p->bad ? SPAN_NONE : span_slice(p->in, start, p->at);
}

int32_t
parse_date(struct parse *p)
{
    int32_t day = 0;
    struct span s = parse_peek(p) == '"' ? take_quoted(p) : parse_atom(p);
    if (!p->bad && date_parse(s, &day) != R_OK)
        parse_fail(p, "wrong date");
    return day;
}

struct date_time
parse_date_time(struct parse *p)
{
    struct date_time t = {0, 0};
    if (parse_peek(p) != '"')
        parse_fail(p, "no date-time");
    struct span s = p->bad ? SPAN_NONE : take_quoted(p);
    if (!p->bad && date_time_parse(s, &t) != R_OK)
        parse_fail(p, "wrong date-time");
    return t;
}

void
parse_list_open(struct parse *p)
{
    parse_char(p, '(');
    p->list_begins = true;
    if (++p->depth > LIMIT_list_depth)
        parse_fail_kind(p, FAULT_LIMIT, "lists too deep");
}

bool
parse_list_next(struct parse *p)
{
    if (p->bad)
        return false;
    bool first = p->list_begins;
    p->list_begins = false;
    if (parse_try(p, ')')) {
        p->depth--;
        return false;
    }
    if (!first)
        parse_sp(p);
    return !p->bad;
}

// One atom, string or parenthesis of an unknown value.
static void
skip_one(struct parse *p, uint32_t *depth)
{
    if (parse_try(p, '('))
        ++*depth;
    else if (*depth > 0 && parse_try(p, ')'))
        --*depth;
    else if (parse_peek(p) == '~')
        take_literal(p);
    else if (parse_peek(p) == '\\')
        parse_flag(p);
    else if (*depth > 0 && parse_try(p, ' '))
        return;
    else
        parse_astring(p);
}

struct span
parse_skip_value(struct parse *p)
{
    uint32_t depth = 0;
    size_t start = p->at;
    do
        skip_one(p, &depth);
    while (depth > 0 && !p->bad);
    return p->bad ? SPAN_NONE : span_slice(p->in, start, p->at);
}
