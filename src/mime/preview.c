#include "mime/preview.h"

#include "base/limits.h"
#include "mime/charset.h"
#include "mime/html.h"
#include "mime/transfer.h"
#include "mime/utf8.h"

struct preview {
    struct buf *out;
    unsigned chars;
    bool space;          // white space is due before the next character
    struct span joiner;  // is due before it, where no white space is; n 0: none
};

bool
mime_preview_plain(const struct mime_index_part *part)
{
    return part->kind == MIME_KIND_LEAF && !part->attachment &&
           span_eq(part->type, SPAN("text")) && span_eq(part->subtype, SPAN("plain"));
}

bool
mime_preview_html(const struct mime_index_part *part)
{
    return part->kind == MIME_KIND_LEAF && !part->attachment &&
           span_eq(part->type, SPAN("text")) && span_eq(part->subtype, SPAN("html"));
}

static uint32_t
code_point(struct span c)
{
    static const unsigned char masks[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t code = (unsigned char)c.p[0] & masks[c.n];
    for (size_t i = 1; i < c.n; i++)
        code = code << 6 | ((unsigned char)c.p[i] & 0x3f);
    return code;
}

struct points {
    uint32_t first, last;
};

static bool
is_among(const struct points *points, size_t n, uint32_t c)
{
    for (size_t i = 0; i < n; i++)
        if (c >= points[i].first && c <= points[i].last)
            return true;
    return false;
}

// White space and controls.
static bool
is_blank(uint32_t c)
{
    static const struct points blanks[] = {
        {0x00, 0x20},     {0x7f, 0xa0},     {0x115f, 0x1160}, {0x1680, 0x1680},
        {0x2000, 0x200a}, {0x2028, 0x2029}, {0x202f, 0x202f}, {0x205f, 0x205f},
        {0x2800, 0x2800}, {0x3000, 0x3000}, {0x3164, 0x3164},
    };
    return is_among(blanks, sizeof blanks / sizeof blanks[0], c);
}

// What shows nothing, not even a blank, and fills the beginning of many newsletters: soft hyphens, marks of direction.
static bool
is_unseen(uint32_t c)
{
    static const struct points unseen[] = {
        {0xad, 0xad},     {0x34f, 0x34f},   {0x61c, 0x61c},
        {0x17b4, 0x17b5}, {0x180e, 0x180e}, {0x200b, 0x200f},
        {0x202a, 0x202e}, {0x2060, 0x206f}, {0xfeff, 0xfeff},
    };
    return is_among(unseen, sizeof unseen / sizeof unseen[0], c);
}

// Words (Persian, Hindi) and pictures are written with them: they stay between what is seen.
static bool
is_joiner(uint32_t c)
{
    return c == 0x200c || c == 0x200d;
}

// False when the preview is full.
static bool
put_char(struct preview *p, struct span c)
{
    uint32_t point = code_point(c);
    if (is_unseen(point)) {
        if (is_joiner(point) && p->chars > 0)
            p->joiner = c;
        return true;
    }
    if (is_blank(point)) {
        p->space = p->chars > 0;
        return true;
    }
    struct span before = p->space ? SPAN(" ") : p->joiner;
    unsigned more = 1 + (before.n > 0);
    p->space = false;
    p->joiner = SPAN_NONE;
    if (p->chars + more > PREVIEW_CHARS)
        return false;
    buf_put(p->out, before);
    buf_put(p->out, c);
    p->chars += more;
    return p->chars < PREVIEW_CHARS;
}

static bool
put_text(struct preview *p, struct span text)
{
    while (text.n > 0) {
        int n = mime_utf8_sequence(text);
        must(n > 0);
        if (!put_char(p, span_slice(text, 0, (size_t)n)))
            return false;
        text = span_skip(text, (size_t)n);
    }
    p->space = p->chars > 0;
    return true;
}

// RFC 3676 section 4.3: "-- " begins the signature; many leave the space out.
static bool
is_signature(struct span line)
{
    return span_starts(line, SPAN("--")) && span_trim(line).n == 2;
}

static struct span
unquoted(struct span line)
{
    while (line.n > 0 && (line.p[0] == '>' || line.p[0] == ' ' || line.p[0] == '\t'))
        line = span_skip(line, 1);
    return line;
}

// What the sender wrote; with `quoted` only what was quoted.
static void
put_lines(struct preview *p, struct span text, bool quoted)
{
    struct span line;
    while (span_next_field(&text, '\n', &line) == R_OK) {
        bool is_quote = line.n > 0 && line.p[0] == '>';
        if (is_signature(line))
            return;
        if (is_quote == quoted && !put_text(p, quoted ? unquoted(line) : line))
            return;
    }
}

static void
put_plain(struct buf *b, struct span text)
{
    struct preview p = {.out = b};
    if (span_starts(span_trim(text), SPAN("-----BEGIN PGP MESSAGE-----")))
        return;
    put_lines(&p, text, false);
    if (p.chars == 0)
        put_lines(&p, text, true);
}

static void
put_html(struct buf *b, struct span text)
{
    struct preview p = {.out = b};
    struct buf seen, clean;
    buf_init(&seen, text.n * 2 + LIMIT_preview_octets);
    buf_init(&clean, SIZE_MAX / 2);
    mime_html_text(&seen, text);
    mime_utf8_clean(&clean, buf_span(&seen));
    (void)put_text(&p, buf_span(&clean));
    buf_done(&seen);
    buf_done(&clean);
}

static void
to_utf8(struct buf *out, const struct mime_index_part *part, struct span octets)
{
    struct fault f;
    if (mime_charset_to_utf8(part->charset, octets, out, &f) != R_OK)
        mime_utf8_clean(out, octets);
}

void
mime_preview_put(struct buf *b, const struct mime_index_part *part, struct span raw)
{
    struct mime_decoder decoder = mime_decoder_of(part->encoding, true);
    struct buf octets, utf8;
    struct fault f;
    buf_init(&octets, raw.n * 2 + 1024);
    buf_init(&utf8, SIZE_MAX / 2);
    if (part->encoding != MIME_ENC_UNKNOWN &&
        mime_decoder_feed(&decoder, raw, &octets, &f) == R_OK &&
        mime_decoder_end(&decoder, &octets, &f) == R_OK) {
        to_utf8(&utf8, part, buf_span(&octets));
        if (mime_preview_html(part))
            put_html(b, buf_span(&utf8));
        else
            put_plain(b, buf_span(&utf8));
    }
    buf_done(&octets);
    buf_done(&utf8);
}
