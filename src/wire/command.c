#include "wire/command.h"

#include "base/limits.h"

// Commands whose literals are streamed from a word on: tag and verb count, the mailbox name is not streamed.
static const struct {
    const char *verb;
    uint32_t words;  // up to and with the mailbox name
} streamed[] = {{"APPEND ", 3}, {"REPLACE ", 4}, {"UID REPLACE ", 5}, {"SETMETADATA ", 3}};

void
command_reader_init(struct command_reader *r, size_t line_max, size_t command_max)
{
    *r = (struct command_reader){.line_max = line_max, .command_max = command_max};
}

void
command_reader_rest(struct command_reader *r)
{
    struct command_reader next = {.line_max = r->line_max, .command_max = r->command_max};
    next.nonsync_max = r->nonsync_max;
    next.rest = next.in_word = true;
    next.depth = r->depth;
    next.refused = r->refused;
    next.kind = r->kind;
    next.why = r->why;
    *r = next;
}

static bool
tag_char(char c)
{
    return (unsigned char)c > ' ' && (unsigned char)c < 0x7F && !strchr("(){%*\"\\+", c);
}

struct span
command_tag(struct span command)
{
    size_t n = 0;
    while (n < command.n && tag_char(command.p[n]))
        n++;
    bool ends = n < command.n &&
                (command.p[n] == ' ' || command.p[n] == '\r' || command.p[n] == '\n');
    return n > 0 && ends ? span_of(command.p, n) : SPAN("*");
}

static void
refuse(struct command_reader *r, enum fault_kind kind, const char *why)
{
    if (!r->refused) {
        r->kind = kind;
        r->why = why;
    }
    r->refused = true;
}

static void
count_list(struct command_reader *r, char c)
{
    if (c == ')' && r->depth > 0)
        r->depth--;
    if (c != '(')
        return;
    if (++r->lists > LIMIT_list_items || ++r->depth > LIMIT_list_depth)
        refuse(r, FAULT_LIMIT, "too many parentheses");
}

static void
look_at(struct command_reader *r, char c)
{
    if (c == '\0')
        refuse(r, FAULT_BAD, "NUL in a command");
    if (r->quoted) {
        if (!r->escaped && c == '"')
            r->quoted = false;
        r->escaped = !r->escaped && c == '\\';
        return;
    }
    r->quoted = c == '"';
    count_list(r, c);
    if (r->depth > 0 && c != '(')
        return;
    if (c != ' ' && !r->in_word)
        r->words++;
    r->in_word = c != ' ';
}

// Goes to the end of the line; R_NONE when it is not there yet, R_FAIL when the line is too long.
static enum result
scan_line(struct command_reader *r, struct span input)
{
    while (r->at < input.n) {
        char c = input.p[r->at++];
        r->line_octets++;
        if (c == '\n')
            return R_OK;
        if (r->line_octets > r->line_max)
            return R_FAIL;
        if (c != '\r')
            look_at(r, c);
    }
    return R_NONE;
}

// The literal header at the end of a line; R_NONE when there is none, R_FAIL when its number is too large.
static enum result
literal_header(struct span line, struct command_literal *l)
{
    if (span_ends(line, SPAN("\n")))
        line.n--;
    if (span_ends(line, SPAN("\r")))
        line.n--;
    if (!span_ends(line, SPAN("}")))
        return R_NONE;
    line.n--;
    l->sync = !span_ends(line, SPAN("+"));
    line.n -= !l->sync;
    size_t digits = 0;
    while (digits < line.n && ascii_is_digit(line.p[line.n - 1 - digits]))
        digits++;
    struct span number = span_of(line.p + line.n - digits, digits);
    line.n -= digits;
    if (digits == 0 || !span_ends(line, SPAN("{")))
        return R_NONE;
    line.n--;
    l->literal8 = span_ends(line, SPAN("~"));
    return span_to_u64(number, &l->size) == R_OK && l->size <= INT64_MAX ? R_OK : R_FAIL;
}

static bool
is_streamed(const struct command_reader *r, struct span input)
{
    if (r->rest)
        return true;
    struct span tag = command_tag(input), verb = span_skip(input, tag.n + 1);
    for (size_t i = 0; i < sizeof streamed / sizeof *streamed; i++)
        if (span_istarts(verb, span_str(streamed[i].verb)))
            return r->words > streamed[i].words;
    return false;
}

// A client that waits for "+" can be refused now; one that does not is sending octets nobody can place.
static enum command_state
refuse_literal(struct command_reader *r, enum fault_kind kind, const char *why)
{
    refuse(r, kind, why);
    return r->literal.sync ? COMMAND_REFUSED : COMMAND_FATAL;
}

static enum command_state
take_literal(struct command_reader *r, struct span input)
{
    if (r->refused && r->literal.sync)
        return COMMAND_REFUSED;
    bool may_stream = !r->refused && !(r->buffered && !r->literal.sync);
    if (may_stream && is_streamed(r, input))
        return COMMAND_STREAM;
    if (r->nonsync_max > 0 && !r->literal.sync && r->literal.size > r->nonsync_max)
        return refuse_literal(r, FAULT_TOOBIG, "non-synchronising literal too large");
    if (r->literal.size > r->command_max || r->at + r->literal.size > r->command_max)
        return refuse_literal(r, FAULT_TOOBIG, "literal too large");
    if (++r->literals > LIMIT_literals)
        return refuse_literal(r, FAULT_LIMIT, "too many literals");
    r->literal_end = r->at + (size_t)r->literal.size;
    r->asked = !r->literal.sync;
    return COMMAND_MORE;
}

static enum command_state
end_line(struct command_reader *r, struct span input)
{
    struct span line = span_slice(input, r->line_start, r->at);
    enum result literal = r->quoted ? R_NONE : literal_header(line, &r->literal);
    if (literal == R_FAIL)
        return refuse_literal(r, FAULT_TOOBIG, "literal too large");
    if (literal == R_OK)
        return take_literal(r, input);
    return r->refused ? COMMAND_REFUSED : COMMAND_WHOLE;
}

// The octets of a literal: asks for them, waits for them, looks for NUL, goes on behind them.
static enum command_state
pass_literal(struct command_reader *r, struct span input)
{
    if (!r->asked) {
        r->asked = true;
        return COMMAND_CONTINUE;
    }
    if (input.n < r->literal_end)
        return COMMAND_MORE;
    struct span octets = span_slice(input, r->at, r->literal_end);
    if (!r->literal.literal8 && span_find_char(octets, '\0') < octets.n)
        refuse(r, FAULT_BAD, "NUL in a literal");
    r->at = r->line_start = r->literal_end;
    r->literal_end = 0;
    r->in_word = true;
    return COMMAND_WHOLE;
}

enum command_state
command_reader_feed(struct command_reader *r, struct span input, size_t *size_out)
{
    for (;;) {
        enum command_state state;
        if (r->literal_end > 0 && (state = pass_literal(r, input)) != COMMAND_WHOLE)
            return state;
        enum result line = scan_line(r, input);
        if (line == R_NONE)
            return COMMAND_MORE;
        if (line == R_FAIL)
            refuse(r, FAULT_TOOBIG, "command line too long");
        state = line == R_FAIL ? COMMAND_FATAL : end_line(r, input);
        if (state != COMMAND_MORE) {
            *size_out = r->at;
            return state;
        }
    }
}

bool
command_is_http(struct span command)
{
    static const char *const methods[] = {"GET ",     "POST ",    "HEAD ",   "PUT ",
                                          "OPTIONS ", "CONNECT ", "DELETE ", "PRI "};
    struct span line = span_slice(command, 0, span_find_char(command, '\n'));
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if (span_starts(line, span_str(methods[i])))
            return span_ifind(line, SPAN(" HTTP/")) < line.n ||
                   line.p[strlen(methods[i])] == '/';
    return false;
}
