#include "mime/scan.h"
#include "base/buf.h"
#include "base/limits.h"
#include "mime/field.h"

// Octets of a line that decide what it is: a delimiter, or the name of a field.
enum { HEAD_SIZE = LIMIT_mime_boundary + 32 };

enum line { LINE_BODY, LINE_OTHER, LINE_FIELD, LINE_EMPTY, LINE_PART };

struct boundary {
    struct span text;
    struct mime_part *part;
};

// A field whose value is being collected; `id` is MIME_FIELDS when it is not kept.
struct field {
    enum mime_field id;
    struct buf value;
};

struct mime_scan {
    struct arena *arena;
    struct mime_part *root, *part;  // part: the innermost open one
    bool in_header;
    uint32_t parts, depth;

    struct boundary stack[LIMIT_mime_depth];
    size_t boundaries;

    uint64_t at;       // octets taken
    uint64_t line_at;  // where the current line begins
    uint32_t lines;    // line ends taken
    uint8_t eol;       // octets of the line end before line_at
    char last;         // the octet before `at`
    bool in_line;      // its head has been judged
    enum line line;
    size_t line_skip;  // octets of the line before the field's value

    size_t head_n;
    char head[HEAD_SIZE];

    struct field field;
    size_t kept;
};

static void
field_done(void *arg)
{
    buf_done(&((struct field *)arg)->value);
}

static void
begin_part(struct mime_scan *s, struct mime_part *parent, uint64_t at)
{
    struct mime_part *part = ARENA_NEW(s->arena, struct mime_part);

    part->header.at = at;
    part->header.lines = s->lines;  // turned into a count by end_header
    part->parent = parent;
    if (!parent || parent->kind == MIME_KIND_MESSAGE)
        part->envelope = ARENA_NEW(s->arena, struct mime_envelope);
    if (parent && parent->kind == MIME_KIND_MULTIPART) {
        part->mime = true;
        part->digest = span_ieq(parent->subtype, SPAN("digest"));
    }
    if (parent) {
        struct mime_part **link = parent->last ? &parent->last->next : &parent->child;
        *link = parent->last = part;
        parent->children++;
    }
    s->part = part;
    s->parts++;
    s->depth++;
    s->in_header = true;
}

struct mime_scan *
mime_scan_new(struct arena *a)
{
    struct mime_scan *s = ARENA_NEW(a, struct mime_scan);

    s->arena = a;
    s->field.id = MIME_FIELDS;
    buf_init(&s->field.value, LIMIT_mime_header);
    arena_on_end(a, field_done, &s->field);
    begin_part(s, NULL, 0);
    s->root = s->part;
    return s;
}

// Header fields

static struct span
clean_value(struct mime_scan *s)
{
    struct span value = buf_span(&s->field.value);
    struct span text = value;

    while (text.n > 0 && (*text.p == ' ' || *text.p == '\t'))
        text = span_skip(text, 1);
    if (text.n == 0)
        text = span_skip(value, 1);  // only white space: all but the one after the colon
    return text;
}

// NUL is never shown to anyone: U+FFFD stands for it.
static struct span
without_nul(struct arena *a, struct span text)
{
    struct buf clean;

    if (text.n == 0 || !memchr(text.p, '\0', text.n))
        return arena_dup(a, text);
    buf_init(&clean, text.n * 3);
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '\0')
            buf_put(&clean, SPAN("\xEF\xBF\xBD"));
        else
            buf_put_char(&clean, text.p[i]);
    }
    text = arena_dup(a, buf_span(&clean));
    buf_done(&clean);
    return text;
}

static size_t
count_values(const struct mime_value *value)
{
    size_t n = 0;

    for (; value; value = value->next)
        n++;
    return n;
}

static void
keep_value(struct mime_scan *s, struct mime_envelope *envelope, struct span text)
{
    struct mime_value **tail = &envelope->field[s->field.id];

    if (count_values(*tail) >= LIMIT_mime_repeats) {
        envelope->strange = true;
        return;
    }
    struct mime_value *value = ARENA_NEW(s->arena, struct mime_value);
    value->text = text.n > 0 ? text : SPAN("");
    while (*tail)
        tail = &(*tail)->next;
    *tail = value;
}

// Of a value that takes more than LIMIT_mime_header octets as it is written others see less: each line has a line end and a
// blank besides.
static bool
is_strange(struct span value)
{
    return value.n > LIMIT_mime_header / 3 - 2 ||
           (value.n > 0 &&
            (memchr(value.p, '\r', value.n) || memchr(value.p, '\0', value.n)));
}

static void
end_field(struct mime_scan *s)
{
    struct mime_part *part = s->part;

    if (s->field.id == MIME_FIELDS)
        return;
    struct span text = clean_value(s);
    bool fits = text.n <= LIMIT_mime_headers - s->kept;
    if (s->field.id < MIME_ENVELOPE_FIELDS &&
        (!fits || is_strange(buf_span(&s->field.value))))
        part->envelope->strange = true;
    if (fits) {
        s->kept += text.n;
        text = without_nul(s->arena, text);
        if (s->field.id >= MIME_ENVELOPE_FIELDS)
            mime_field_apply(s->arena, part, s->field.id, text);
        else
            keep_value(s, part->envelope, text);
    }
    s->field.id = MIME_FIELDS;
    buf_reset(&s->field.value);
}

// A field begins: decides whether its value is kept.
static void
begin_field(struct mime_scan *s, struct span head)
{
    struct mime_envelope *envelope = s->part->envelope;
    size_t colon = span_find_char(head, ':'), n = colon;

    end_field(s);
    while (n > 0 && (head.p[n - 1] == ' ' || head.p[n - 1] == '\t'))
        n--;
    bool strange = colon < head.n ? span_trim(span_slice(head, 0, n)).n < n
                                  : head.n == HEAD_SIZE && head.p[head.n - 1] != '\n';
    if (envelope && strange)
        envelope->strange = true;
    if (colon == head.n)
        return;
    s->field.id = mime_field_of(span_slice(head, 0, n));
    if (s->field.id < MIME_ENVELOPE_FIELDS && !s->part->envelope)
        s->field.id = MIME_FIELDS;
    s->line_skip = colon + 1;
}

static void
collect_value(struct mime_scan *s, struct span piece)
{
    struct buf *value = &s->field.value;
    size_t skip = s->line_skip < piece.n ? s->line_skip : piece.n;

    s->line_skip -= skip;
    if (s->field.id == MIME_FIELDS)
        return;
    piece = span_skip(piece, skip);
    buf_put(value, span_slice(piece, 0, value->max - value->n));
}

// Takes the line end off what was collected; it may have come in two pieces.
static void
end_value_line(struct mime_scan *s)
{
    struct buf *value = &s->field.value;

    for (const char *c = "\n\r"; *c; c++)
        if (value->n > 0 && value->p[value->n - 1] == *c)
            value->n--;
}

// The tree

static struct span
find_boundary_param(const struct mime_part *part)
{
    for (const struct mime_param *param = part->params; param; param = param->next)
        if (span_ieq(param->name, SPAN("boundary")))
            return span_slice(param->value, 0, LIMIT_mime_boundary);
    return SPAN_NONE;
}

static void
forget_content(struct mime_part *part)
{
    struct mime_part fresh = {.header = part->header,
                              .parent = part->parent,
                              .envelope = part->envelope,
                              .next = part->next};
    *part = fresh;
}

// What the part is, from its header alone (RFC 2045 section 5.2, RFC 2046 section 5.1.5).
static enum mime_kind
kind_of(const struct mime_part *part)
{
    if (!part->type.p)
        return part->digest ? MIME_KIND_MESSAGE : MIME_KIND_LEAF;
    if (span_ieq(part->type, SPAN("multipart")) && part->subtype.p)
        return MIME_KIND_MULTIPART;
    if (!span_ieq(part->type, SPAN("message")))
        return MIME_KIND_LEAF;
    if (span_ieq(part->subtype, SPAN("rfc822")))
        return MIME_KIND_MESSAGE;
    // RFC 6532 section 3.7: may be encoded
    bool plain = part->encoding == MIME_ENC_IDENTITY;
    return span_ieq(part->subtype, SPAN("global")) && plain ? MIME_KIND_MESSAGE
                                                            : MIME_KIND_LEAF;
}

static void
end_header(struct mime_scan *s, uint64_t at, uint32_t lines, bool more)
{
    struct mime_part *part = s->part;

    end_field(s);
    part->header.size = at > part->header.at ? at - part->header.at : 0;
    part->header.lines = lines > part->header.lines ? lines - part->header.lines : 0;
    if (!part->mime)
        forget_content(part);
    part->body.at = part->header.at + part->header.size;
    part->body.lines = lines;
    part->kind = kind_of(part);
    s->in_header = false;

    bool nests = part->kind != MIME_KIND_LEAF;
    if (nests && (s->depth >= LIMIT_mime_depth || s->parts >= LIMIT_mime_parts)) {
        part->kind = MIME_KIND_LEAF;  // over the caps: an opaque body
        part->type = SPAN("application");
        part->subtype = SPAN("octet-stream");
        part->params = NULL;
    } else if (part->kind == MIME_KIND_MESSAGE) {
        begin_part(s, part, part->body.at);
        s->part->header.lines = lines;
    } else if (part->kind == MIME_KIND_MULTIPART && more) {
        struct span boundary = find_boundary_param(part);
        if (boundary.p)
            s->stack[s->boundaries++] = (struct boundary){boundary, part};
    }
}

static void
end_part(struct mime_scan *s, uint64_t at, uint32_t lines)
{
    struct mime_part *part = s->part;

    part->body.size = at > part->body.at ? at - part->body.at : 0;
    part->body.lines = lines > part->body.lines ? lines - part->body.lines : 0;
    s->part = part->parent;
    s->depth--;
}

// Ends the innermost part and those around it, up to but not including `keep`.
static void
end_parts(struct mime_scan *s, const struct mime_part *keep, uint64_t at, uint32_t lines)
{
    while (s->in_header)
        end_header(s, at, lines, false);
    while (s->part != keep)
        end_part(s, at, lines);
}

// Delimiter lines (RFC 2046 section 5.1.1)

static bool
is_exact(struct span text, size_t boundary_n)
{
    struct span after = span_trim(span_skip(text, boundary_n));

    return after.n == 0 || span_eq(after, SPAN("--"));
}

// The boundary that begins the line after "--": an exact one first, else the longest; inner
// before outer.
static struct boundary *
find_boundary(struct mime_scan *s, struct span text)
{
    struct boundary *best = NULL;

    for (size_t i = s->boundaries; i > 0; i--) {
        struct boundary *b = &s->stack[i - 1];
        if (b->text.n > text.n || memcmp(b->text.p, text.p, b->text.n) != 0)
            continue;
        if (is_exact(text, b->text.n))
            return b;
        if (!best || best->text.n < b->text.n)
            best = b;
    }
    return best;
}

static bool
take_delimiter(struct mime_scan *s, struct span line)
{
    if (s->boundaries == 0 || line.n < 2 || line.p[0] != '-' || line.p[1] != '-')
        return false;
    struct boundary *b = find_boundary(s, span_skip(line, 2));
    if (!b)
        return false;
    bool closes = span_starts(span_skip(line, 2 + b->text.n), SPAN("--"));
    if (!closes && s->parts >= LIMIT_mime_parts)
        return false;

    // The line end before the delimiter is part of it, unless it ends the header.
    bool empty = !s->in_header && s->part->body.at == s->line_at;
    uint8_t eol = empty ? 0 : s->eol;
    end_parts(s, b->part, s->line_at - eol, s->lines - (eol > 0));
    s->boundaries = (size_t)(b - s->stack) + (closes ? 0 : 1);
    s->line = closes ? LINE_OTHER : LINE_PART;
    return true;
}

// Lines

static void
judge_header_line(struct mime_scan *s, struct span head)
{
    s->line_skip = 0;
    s->line = LINE_FIELD;
    if (head.p[0] == '\n' || span_starts(head, SPAN("\r\n")))
        s->line = LINE_EMPTY;
    else if ((head.p[0] != ' ' && head.p[0] != '\t') || s->line_at == s->part->header.at)
        begin_field(s, head);
}

// `head` is the beginning of a line: all of it, or HEAD_SIZE octets.
static void
judge_line(struct mime_scan *s, struct span head)
{
    s->in_line = true;
    if (take_delimiter(s, head))
        return;
    if (s->in_header)
        judge_header_line(s, head);
    else
        s->line = LINE_BODY;
}

static void
end_line(struct mime_scan *s)
{
    s->lines++;
    s->line_at = s->at;
    s->in_line = false;
    if (s->line == LINE_PART)
        begin_part(s, s->part, s->at);
    else if (s->line == LINE_EMPTY)
        end_header(s, s->at, s->lines, true);
    else if (s->line == LINE_FIELD)
        end_value_line(s);
}

// Takes octets of a judged line, up to and with its line end.
static struct span
take_line(struct mime_scan *s, struct span in)
{
    const char *lf = memchr(in.p, '\n', in.n);
    struct span piece = lf ? span_of(in.p, (size_t)(lf - in.p) + 1) : in;

    if (s->line == LINE_FIELD)
        collect_value(s, piece);
    char before = piece.n > 1 ? piece.p[piece.n - 2] : s->last;
    s->last = piece.p[piece.n - 1];
    s->at += piece.n;
    if (lf) {
        s->eol = before == '\r' ? 2 : 1;
        end_line(s);
    }
    return span_skip(in, piece.n);
}

// Takes body lines that cannot be delimiters, as many as there are: the fast path.
static struct span
take_body(struct mime_scan *s, struct span in)
{
    const char *p = in.p, *end = in.p + in.n, *lf = NULL;
    const char *next;
    uint32_t lines = 0;
    bool watch = s->boundaries > 0;

    while (p < end && !(watch && *p == '-') &&
           (next = memchr(p, '\n', (size_t)(end - p))) != NULL) {
        lf = next;
        p = next + 1;
        lines++;
    }
    if (!lf)
        return in;
    s->eol = (lf > in.p ? lf[-1] : s->last) == '\r' ? 2 : 1;
    s->last = '\n';
    s->lines += lines;
    s->at += (size_t)(p - in.p);
    s->line_at = s->at;
    return span_of(p, (size_t)(end - p));
}

// Gathers the head of a line that came in pieces.
static struct span
gather_head(struct mime_scan *s, struct span in)
{
    size_t room = HEAD_SIZE - s->head_n;
    struct span piece = span_slice(in, 0, room);
    const char *lf = memchr(piece.p, '\n', piece.n);

    if (lf)
        piece.n = (size_t)(lf - piece.p) + 1;
    if (s->head_n == 0 && (lf || piece.n == HEAD_SIZE)) {
        judge_line(s, piece);
        return in;
    }
    memcpy(s->head + s->head_n, piece.p, piece.n);
    s->head_n += piece.n;
    if (lf || s->head_n == HEAD_SIZE) {
        struct span head = span_of(s->head, s->head_n);
        judge_line(s, head);
        s->head_n = 0;
        take_line(s, head);
    }
    return span_skip(in, piece.n);
}

void
mime_scan_feed(struct mime_scan *s, struct span bytes)
{
    while (bytes.n > 0) {
        if (s->in_line) {
            bytes = take_line(s, bytes);
            continue;
        }
        if (!s->in_header && s->head_n == 0)
            bytes = take_body(s, bytes);
        if (bytes.n == 0)
            break;
        bool plain =
            !s->in_header && s->head_n == 0 && (s->boundaries == 0 || bytes.p[0] != '-');
        if (plain) {
            s->line = LINE_BODY;
            s->in_line = true;
        } else {
            bytes = gather_head(s, bytes);
        }
    }
}

const struct mime_part *
mime_scan_end(struct mime_scan *s)
{
    if (s->head_n > 0) {
        struct span head = span_of(s->head, s->head_n);
        s->head_n = 0;
        judge_line(s, head);
        take_line(s, head);
    }
    if (s->in_line && s->line == LINE_PART)
        begin_part(s, s->part, s->at);
    end_parts(s, NULL, s->at, s->lines);
    return s->root;
}
