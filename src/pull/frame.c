#include "pull/frame.h"

#include "base/limits.h"

void
framer_init(struct framer *r)
{
    *r = (struct framer){0};
}

void
framer_rest(struct framer *r)
{
    *r = (struct framer){.later = true};
}

static enum frame_state
broken(struct framer *r, const char *why)
{
    r->why = why;
    return FRAME_BROKEN;
}

// "+ ..." and "* OK ..." end in text, which may look like anything.
static bool
is_text(struct span line)
{
    static const struct span words[] = {SPAN("OK"), SPAN("NO"), SPAN("BAD"), SPAN("BYE"),
                                        SPAN("PREAUTH")};
    size_t tag = span_find_char(line, ' ');
    struct span rest = span_skip(line, tag + 1);
    struct span word = span_slice(rest, 0, span_find_char(rest, ' '));
    if (span_starts(line, SPAN("+")))
        return true;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (span_ieq(word, words[i]))
            return true;
    return false;
}

// Where "{12}" (or "~{12}", "{12+}") at the line's end begins; line.n: there is none.
static size_t
literal_header(struct span line, uint64_t *size_out)
{
    if (!span_ends(line, SPAN("}")))
        return line.n;
    size_t open = span_behind_last(line, '{');
    struct span digits = span_slice(line, open, line.n - 1);
    if (open == 0)
        return line.n;
    if (span_ends(digits, SPAN("+")))
        digits.n--;
    if (digits.n > 0 && span_to_u64(digits, size_out) != R_OK)
        *size_out = UINT64_MAX;
    return digits.n > 0 && ascii_is_digit(digits.p[0]) ? open - 1 : line.n;
}

// A line is whole: [line_start, end) without its line end, `next` is behind it.
static enum frame_state
take_line(struct framer *r, struct span input, size_t end, size_t next, size_t *size_out)
{
    uint64_t size = 0;
    struct span line = span_slice(input, r->line_start, end);
    bool first = !r->later && r->line_start == 0;
    size_t header = first && is_text(line) ? line.n : literal_header(line, &size);
    *size_out = next;
    if (header == line.n)
        return FRAME_WHOLE;
    if (span_ends(span_slice(line, 0, header), SPAN("BODY[] "))) {
        r->literal = size;
        r->header = next - (r->line_start + header);
        return size <= LIMIT_body_size ? FRAME_STREAM
                                       : broken(r, "a message larger than can be kept");
    }
    if (size > LIMIT_pull_response || next + size > LIMIT_pull_response)
        return broken(r, "a literal larger than any answer is");
    r->at = r->line_start = next + (size_t)size;
    return FRAME_MORE;
}

enum frame_state
framer_feed(struct framer *r, struct span input, size_t *size_out)
{
    while (r->at < input.n) {
        size_t next = r->at + span_find_char(span_skip(input, r->at), '\n') + 1;
        if (next > input.n) {
            r->at = input.n;
            break;
        }
        size_t end = next - 1;
        if (end > r->line_start && input.p[end - 1] == '\r')
            end--;
        enum frame_state s = take_line(r, input, end, next, size_out);
        if (s != FRAME_MORE)
            return s;
    }
    if (input.n >= LIMIT_pull_response)
        return broken(r, "an answer without an end");
    return FRAME_MORE;
}
