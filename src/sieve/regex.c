#include "base/limits.h"
#include "base/utf8.h"
#include "sieve/regex_inside.h"

#include <unicode/uchar.h>

enum { BRANCHES = 256 };

// Of what is long nothing is on the stack: groups lie within groups, and a task has 64 KiB.
struct parser {
    struct sieve_regex *x;
    struct arena *own;  // as long as it is parsed
    struct span rest;
    struct regex_step *block;  // what is being copied
    size_t depth;
    const char *why;
};

static bool parse_either(struct parser *p);

static bool
wrong(struct parser *p, const char *why)
{
    p->why = p->why ? p->why : why;
    return false;
}

// Does the collation know the character in another case?
static bool
has_case(enum collation collation, uint32_t point)
{
    return collation != COLLATION_OCTET && (point < 0x80 || collation != COLLATION_ASCII);
}

uint32_t
regex_small(enum collation collation, uint32_t point)
{
    return has_case(collation, point)
               ? (uint32_t)u_foldCase((UChar32)point, U_FOLD_CASE_DEFAULT)
               : point;
}

uint32_t
regex_capital(enum collation collation, uint32_t point)
{
    return has_case(collation, point) ? (uint32_t)u_toupper((UChar32)point) : point;
}

static bool
emit(struct parser *p, struct regex_step s)
{
    if (p->x->n == LIMIT_sieve_regex || ++p->x->effort > LIMIT_sieve_regex_effort)
        return wrong(p, "it is too long");
    p->x->steps[p->x->n++] = s;
    return true;
}

static char
peek(const struct parser *p)
{
    return p->rest.n ? *p->rest.p : '\0';
}

static uint32_t
take_point(struct parser *p)
{
    uint32_t point = 0;
    if (utf8_next(&p->rest, &point) != R_OK) {
        point = (unsigned char)*p->rest.p;
        p->rest = span_skip(p->rest, 1);
    }
    return point;
}

static bool
add_range(struct parser *p, uint32_t low, uint32_t high)
{
    if (p->x->n_ranges == LIMIT_sieve_regex)
        return wrong(p, "it has too many ranges");
    p->x->ranges[p->x->n_ranges++] = (struct regex_range){low, high};
    return true;
}

static bool
add_class(struct parser *p, struct span name)
{
    static const struct {
        const char *name;
        struct regex_range ranges[4];
    } classes[] = {
        {"alpha", {{'a', 'z'}, {'A', 'Z'}}},
        {"digit", {{'0', '9'}}},
        {"alnum", {{'a', 'z'}, {'A', 'Z'}, {'0', '9'}}},
        {"upper", {{'A', 'Z'}}},
        {"lower", {{'a', 'z'}}},
        {"space", {{'\t', '\r'}, {' ', ' '}}},
        {"blank", {{'\t', '\t'}, {' ', ' '}}},
        {"punct", {{'!', '/'}, {':', '@'}, {'[', '`'}, {'{', '~'}}},
        {"print", {{' ', '~'}}},
        {"graph", {{'!', '~'}}},
        {"cntrl", {{1, 31}, {127, 127}}},
        {"xdigit", {{'0', '9'}, {'a', 'f'}, {'A', 'F'}}},
    };
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
        if (!span_eq(name, span_str(classes[i].name)))
            continue;
        for (size_t k = 0; k < 4 && classes[i].ranges[k].high > 0; k++)
            if (!add_range(p, classes[i].ranges[k].low, classes[i].ranges[k].high))
                return false;
        return true;
    }
    return wrong(p, "there is no such class of characters");
}

// "[:alpha:]" at the front.
static bool
take_class(struct parser *p)
{
    struct span name = span_skip(p->rest, 2);
    size_t n = span_find(name, SPAN(":]"));
    if (n == name.n)
        return wrong(p, "a class does not end");
    p->rest = span_skip(name, n + 2);
    return add_class(p, span_slice(name, 0, n));
}

static bool
take_range(struct parser *p)
{
    if (span_starts(p->rest, SPAN("[.")) || span_starts(p->rest, SPAN("[=")))
        return wrong(p, "[. and [= are not known");
    uint32_t low = take_point(p), high = low;
    if (peek(p) == '-' && p->rest.n > 1 && p->rest.p[1] != ']') {
        p->rest = span_skip(p->rest, 1);
        high = take_point(p);
    }
    return high >= low ? add_range(p, low, high) : wrong(p, "a range is backwards");
}

static bool
parse_set(struct parser *p)
{
    bool inverse = peek(p) == '^', first = true;
    size_t from = p->x->n_ranges;
    p->rest = span_skip(p->rest, inverse);
    for (; p->rest.n > 0 && (peek(p) != ']' || first); first = false)
        if (span_starts(p->rest, SPAN("[:")) ? !take_class(p) : !take_range(p))
            return false;
    if (p->rest.n == 0)
        return wrong(p, "] is missing");
    p->rest = span_skip(p->rest, 1);
    return emit(p, (struct regex_step){inverse ? STEP_NOT_IN : STEP_IN, (uint32_t)from,
                                       (uint32_t)p->x->n_ranges});
}

static bool
parse_group(struct parser *p)
{
    uint32_t group = p->x->groups;
    if (group == REGEX_GROUPS)
        return wrong(p, "it has too many groups");
    if (++p->depth > LIMIT_sieve_regex_depth)
        return wrong(p, "groups are nested too deep");
    p->x->groups++;
    if (!emit(p, (struct regex_step){STEP_SAVE, 2 * group, 0}) || !parse_either(p))
        return false;
    if (peek(p) != ')')
        return wrong(p, ") is missing");
    p->rest = span_skip(p->rest, 1);
    p->depth--;
    return emit(p, (struct regex_step){STEP_SAVE, 2 * group + 1, 0});
}

static bool
parse_escaped(struct parser *p)
{
    if (p->rest.n == 0)
        return wrong(p, "it ends with a backslash");
    if (ascii_is_digit(peek(p)))
        return wrong(p, "there are no back references");
    if (ascii_is_alpha(peek(p)))
        return wrong(p, "there is no such escape");
    return emit(p, (struct regex_step){STEP_POINT, take_point(p), 0});
}

static bool
parse_atom(struct parser *p)
{
    char c = peek(p);
    if (c == '*' || c == '+' || c == '?' || c == '{')
        return wrong(p, "there is nothing to repeat");
    if (c == '^' || c == '$' || c == '.' || c == '[' || c == '(' || c == '\\')
        p->rest = span_skip(p->rest, 1);
    switch (c) {
    case '^':
        return emit(p, (struct regex_step){STEP_BEGIN, 0, 0});
    case '$':
        return emit(p, (struct regex_step){STEP_END, 0, 0});
    case '.':
        return emit(p, (struct regex_step){STEP_ANY, 0, 0});
    case '[':
        return parse_set(p);
    case '(':
        return parse_group(p);
    case '\\':
        return parse_escaped(p);
    default:
        return emit(p, (struct regex_step){STEP_POINT, take_point(p), 0});
    }
}

static bool
take_number(struct parser *p, uint32_t *out)
{
    size_t n = 0;
    while (n < p->rest.n && ascii_is_digit(p->rest.p[n]))
        n++;
    bool good = span_to_u32(span_slice(p->rest, 0, n), out) == R_OK && *out <= 255;
    p->rest = span_skip(p->rest, n);
    return good || wrong(p, "a count is no number up to 255");
}

// "{m}", "{m,}" or "{m,n}" behind its brace.
static bool
take_counts(struct parser *p, uint32_t *least, uint32_t *most)
{
    if (!take_number(p, least))
        return false;
    *most = *least;
    if (peek(p) == ',') {
        p->rest = span_skip(p->rest, 1);
        *most = UINT32_MAX;
        if (peek(p) != '}' && !take_number(p, most))
            return false;
    }
    if (peek(p) != '}' || *most < *least)
        return wrong(p, "a count is broken");
    p->rest = span_skip(p->rest, 1);
    return true;
}

// The steps from `from` on are taken out. Returns how many.
static size_t
take_block(struct parser *p, size_t from)
{
    size_t n = p->x->n - from;
    memcpy(p->block, p->x->steps + from, n * sizeof *p->block);
    p->x->n = from;
    return n;
}

// The n steps that were taken from `from` on, here.
static bool
emit_block(struct parser *p, size_t n, size_t from)
{
    uint32_t shift = (uint32_t)(p->x->n - from);
    for (size_t i = 0; i < n; i++) {
        struct regex_step s = p->block[i];
        if (s.op == STEP_JUMP || s.op == STEP_SPLIT)
            s.a += shift;
        if (s.op == STEP_SPLIT)
            s.b += shift;
        if (!emit(p, s))
            return false;
    }
    return true;
}

static bool
emit_optional(struct parser *p, size_t n, size_t from, uint32_t times)
{
    size_t *splits = arena_array(p->own, times, sizeof *splits), k = 0;
    for (; k < times; k++) {
        splits[k] = p->x->n;
        if (!emit(p, (struct regex_step){STEP_SPLIT, (uint32_t)p->x->n + 1, 0}) ||
            !emit_block(p, n, from))
            return false;
    }
    while (k-- > 0)
        p->x->steps[splits[k]].b = (uint32_t)p->x->n;
    return true;
}

static bool
emit_loop(struct parser *p, size_t n, size_t from)
{
    uint32_t at = (uint32_t)p->x->n;
    if (!emit(p, (struct regex_step){STEP_SPLIT, at + 1, 0}) || !emit_block(p, n, from) ||
        !emit(p, (struct regex_step){STEP_JUMP, at, 0}))
        return false;
    p->x->steps[at].b = (uint32_t)p->x->n;
    return true;
}

static bool
repeat(struct parser *p, size_t from, uint32_t least, uint32_t most)
{
    size_t n = take_block(p, from);
    for (uint32_t i = 0; i < least; i++)
        if (!emit_block(p, n, from))
            return false;
    return most == UINT32_MAX ? emit_loop(p, n, from)
                              : emit_optional(p, n, from, most - least);
}

static bool
parse_piece(struct parser *p)
{
    size_t from = p->x->n;
    if (!parse_atom(p))
        return false;
    while (p->rest.n > 0) {
        char c = peek(p);
        uint32_t least = c == '+', most = c == '?' ? 1 : UINT32_MAX;
        if (c != '*' && c != '+' && c != '?' && c != '{')
            return true;
        p->rest = span_skip(p->rest, 1);
        if ((c == '{' && !take_counts(p, &least, &most)) || !repeat(p, from, least, most))
            return false;
    }
    return true;
}

static bool
parse_branch(struct parser *p)
{
    while (p->rest.n > 0 && peek(p) != '|' && !(peek(p) == ')' && p->depth > 0))
        if (!parse_piece(p))
            return false;
    return true;
}

// A branch, and "|" with those that follow: a split before each but the last.
static bool
parse_either(struct parser *p)
{
    size_t *ends = arena_array(p->own, BRANCHES, sizeof *ends), n = 0;
    for (;;) {
        size_t from = p->x->n;
        if (!parse_branch(p))
            return false;
        if (peek(p) != '|' || p->rest.n == 0)
            break;
        p->rest = span_skip(p->rest, 1);
        size_t length = take_block(p, from);
        if (n == BRANCHES)
            return wrong(p, "it has too many branches");
        if (!emit(p, (struct regex_step){STEP_SPLIT, (uint32_t)from + 1, 0}) ||
            !emit_block(p, length, from))
            return false;
        ends[n++] = p->x->n;
        if (!emit(p, (struct regex_step){STEP_JUMP, 0, 0}))
            return false;
        p->x->steps[from].b = (uint32_t)p->x->n;
    }
    while (n-- > 0)
        p->x->steps[ends[n]].a = (uint32_t)p->x->n;
    return true;
}

static bool
parse(struct parser *p, size_t octets)
{
    bool good = octets <= 4 * LIMIT_sieve_regex || wrong(p, "it is too long");
    return good && emit(p, (struct regex_step){STEP_SAVE, 0, 0}) && parse_either(p) &&
           (p->rest.n == 0 || wrong(p, "there is a ) too many")) &&
           emit(p, (struct regex_step){STEP_SAVE, 1, 0}) &&
           emit(p, (struct regex_step){STEP_MATCH, 0, 0});
}

static void *
copy(struct arena *a, const void *from, size_t n, size_t size)
{
    void *to = arena_array(a, n + 1, size);
    memcpy(to, from, n * size);
    return to;
}

// What is made on the way is in an arena of its own.
struct sieve_regex *
sieve_regex_compile(struct arena *a, struct span text, enum collation collation,
                    const char **why)
{
    struct sieve_regex *x = ARENA_NEW(a, struct sieve_regex);
    struct arena *own = arena_new();
    struct parser p = {.x = x, .own = own, .rest = text};
    *x = (struct sieve_regex){.collation = collation, .groups = 1};
    x->steps = arena_array(own, LIMIT_sieve_regex, sizeof *x->steps);
    x->ranges = arena_array(own, LIMIT_sieve_regex, sizeof *x->ranges);
    p.block = arena_array(own, LIMIT_sieve_regex, sizeof *p.block);
    bool good = parse(&p, text.n);
    x->steps = copy(a, x->steps, x->n, sizeof *x->steps);
    x->ranges = copy(a, x->ranges, x->n_ranges, sizeof *x->ranges);
    arena_free(&own);
    *why = p.why;
    return good ? x : NULL;
}

size_t
sieve_regex_effort(const struct sieve_regex *x)
{
    return x->effort + 64;  // one that is short takes some, too
}

size_t
sieve_regex_groups(const struct sieve_regex *x)
{
    return x->groups;
}
