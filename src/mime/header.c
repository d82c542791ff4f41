#include "mime/header.h"

// Takes one line with its line end off the front.
static struct span
take_line(struct span *rest)
{
    size_t n = span_find_char(*rest, '\n');
    struct span line = span_slice(*rest, 0, n + 1);

    *rest = span_skip(*rest, line.n);
    return line;
}

static bool
is_empty_line(struct span line)
{
    return span_eq(line, SPAN("\r\n")) || span_eq(line, SPAN("\n"));
}

static bool
continues(struct span rest)
{
    return rest.n > 0 && (*rest.p == ' ' || *rest.p == '\t');
}

static struct span
without_line_end(struct span s)
{
    if (s.n > 0 && s.p[s.n - 1] == '\n')
        s.n--;
    if (s.n > 0 && s.p[s.n - 1] == '\r')
        s.n--;
    return s;
}

enum result
mime_header_next(struct mime_header_iter *it, struct mime_header *out)
{
    while (it->rest.n > 0) {
        struct span start = it->rest;
        struct span line = take_line(&it->rest);

        if (is_empty_line(line)) {
            it->rest = SPAN_NONE;
            return R_NONE;
        }
        while (continues(it->rest))
            take_line(&it->rest);
        size_t colon = span_find_char(line, ':');
        if (colon == line.n)
            continue;
        out->raw = span_slice(start, 0, start.n - it->rest.n);
        out->name = span_trim(span_slice(line, 0, colon));
        out->value = without_line_end(span_skip(out->raw, colon + 1));
        return R_OK;
    }
    return R_NONE;
}

enum result
mime_header_find(struct span block, struct span name, struct mime_header *out)
{
    struct mime_header_iter it = mime_header_begin(block);
    struct mime_header header;

    while (mime_header_next(&it, &header) == R_OK) {
        if (!span_ieq(header.name, name))
            continue;
        *out = header;
        return R_OK;
    }
    return R_NONE;
}

void
mime_header_unfold(struct buf *b, struct span value)
{
    value = span_trim(value);
    while (value.n > 0) {
        struct span line = take_line(&value);
        buf_put(b, without_line_end(line));
    }
}

static int
by_name(const void *left, const void *right)
{
    return span_icmp(*(const struct span *)left, *(const struct span *)right);
}

void
mime_header_filter(struct buf *b, struct span block, const struct span *names, size_t n,
                   bool invert)
{
    struct mime_header_iter it = mime_header_begin(block);
    struct mime_header header;
    struct span *sorted = calloc(n + 1, sizeof(*sorted));

    must(sorted != NULL);
    for (size_t i = 0; i < n; i++)
        sorted[i] = names[i];
    qsort(sorted, n, sizeof(*sorted), by_name);
    while (mime_header_next(&it, &header) == R_OK) {
        bool among = bsearch(&header.name, sorted, n, sizeof(*sorted), by_name) != NULL;
        if (among == invert)
            continue;
        buf_put(b, header.raw);
        if (header.raw.p[header.raw.n - 1] != '\n')
            buf_put(b, SPAN("\r\n"));
    }
    free(sorted);
    buf_put(
        b,
        SPAN("\r\n"));  // RFC 9051 section 6.4.5: the delimiting blank line is always there
}
