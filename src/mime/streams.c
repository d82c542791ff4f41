#include "mime/streams.h"

#include "base/limits.h"
#include "mime/charset.h"
#include "mime/encoded_word.h"
#include "mime/header.h"
#include "mime/html.h"
#include "mime/transfer.h"
#include "mime/utf8.h"

// One slice of raw octets on its way; folding makes at most 11 octets of one (U+FDFA).
// The first slice of a part is small, since what is looked for is often there.
enum { SLICE_FIRST = 512, SLICE = 4096, SLICE_DECODED = SLICE * 8 + 256, FOLD_GROWTH = 16 };
enum { SOURCE = 0, SHOWN = 1 };  // the lanes
enum { KEPT = 65536 };           // of a buffer that is kept
enum { LABEL = 64 };             // of a charset that is kept

struct mime_streams {
    struct mime_text_sink sink;
    struct mime_text_asker asker;  // NULLs: all matters
    enum collation collation;
    struct mime_decoder decoder;
    struct mime_charset *charset;            // NULL between parts, but when it is kept
    struct buf label;                        // what it was opened for
    bool is_html;                            // of the part
    struct mime_html *html;                  // NULL: what it shows was not asked for so far
    struct buf held;                         // its source up to here, while there is none
    struct mime_utf8 cut;                    // of text from elsewhere
    struct buf octets, utf8, shown, folded;  // one slice on its way
    struct buf unfolded, decoded, field;     // one header field on its way
    bool keeps;
    size_t slice;  // octets of the next one
};

struct mime_streams *
mime_streams_new(const struct mime_text_sink *sink)
{
    struct mime_streams *s = calloc(1, sizeof *s);

    must(s != NULL);
    s->sink = *sink;
    buf_init(&s->held, LIMIT_html_tag);
    buf_init(&s->label, LABEL);
    buf_init(&s->octets, SLICE_DECODED);
    buf_init(&s->utf8, (size_t)SLICE_DECODED * 4);
    buf_init(&s->shown, (size_t)SLICE_DECODED * 8 + 2 * (size_t)LIMIT_html_tag);
    buf_init(&s->folded, ((size_t)SLICE_DECODED * 8 + LIMIT_html_tag) * FOLD_GROWTH);
    buf_init(&s->unfolded, LIMIT_mime_header);
    buf_init(&s->decoded, (size_t)LIMIT_mime_header * 4);
    buf_init(&s->field, (size_t)LIMIT_mime_header * 4 * FOLD_GROWTH);
    return s;
}

void
mime_streams_compare(struct mime_streams *s, enum collation collation)
{
    s->collation = collation;
}

void
mime_streams_ask(struct mime_streams *s, const struct mime_text_asker *asker)
{
    s->asker = *asker;
}

// Most parts have the charset of the one before, and it need not be opened again.
static void
drop_charset(struct mime_streams *s)
{
    if (s->keeps && !s->label.over)
        return;
    mime_charset_free(&s->charset);
    buf_done(&s->label);
}

static void
drop_buffers(struct mime_streams *s)
{
    struct buf *const all[] = {&s->held,   &s->octets,   &s->utf8,    &s->shown,
                               &s->folded, &s->unfolded, &s->decoded, &s->field};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (s->keeps && all[i]->cap <= KEPT)
            buf_reset(all[i]);
        else
            buf_done(all[i]);
}

void
mime_streams_keep(struct mime_streams *s, bool keeps)
{
    s->keeps = keeps;
    if (keeps)
        return;
    drop_charset(s);
    drop_buffers(s);
}

void
mime_streams_free(struct mime_streams **s)
{
    if (!*s)
        return;
    (*s)->keeps = false;
    drop_charset(*s);
    mime_html_free(&(*s)->html);
    drop_buffers(*s);
    free(*s);
    *s = NULL;
}

bool
mime_text_searchable(const struct mime_index_part *part)
{
    bool text = span_eq(part->type, SPAN("text")) || span_eq(part->type, SPAN("message"));

    return part->kind == MIME_KIND_LEAF && text;
}

static void
put(struct mime_streams *s, unsigned lane, struct span utf8)
{
    if (utf8.n == 0)
        return;
    if (s->asker.apart &&
        (mime_ascii_run(utf8) == utf8.n || mime_fold_is_apart(s->collation, utf8)) &&
        s->asker.apart(s->sink.arg, lane, utf8))
        return;
    buf_reset(&s->folded);
    mime_fold_as(&s->folded, s->collation, utf8);
    s->sink.feed(s->sink.arg, lane, buf_span(&s->folded));
}

// Bodies

static bool
is_html(const struct mime_index_part *part)
{
    return span_eq(part->type, SPAN("text")) && span_eq(part->subtype, SPAN("html"));
}

static void
open_charset(struct mime_streams *s, struct span label)
{
    if (s->charset && span_eq(buf_span(&s->label), label))
        return;
    mime_charset_free(&s->charset);
    buf_reset(&s->label);
    buf_put(&s->label, label);
    if (mime_charset_open(label, &s->charset) != R_OK)
        must(mime_charset_open(SPAN("utf-8"), &s->charset) == R_OK);
}

void
mime_streams_part_begin(struct mime_streams *s, const struct mime_index_part *part)
{
    s->decoder = mime_decoder_of(part->encoding, true);
    s->slice = SLICE_FIRST;
    open_charset(s, part->charset);
    mime_html_free(&s->html);
    buf_reset(&s->held);
    s->is_html = is_html(part);
    s->sink.begin(s->sink.arg, SOURCE, MIME_ZONE_BODY);
    if (s->is_html)
        s->sink.begin(s->sink.arg, SHOWN, MIME_ZONE_BODY);
}

static bool
enough(const struct mime_streams *s)
{
    return s->asker.enough && s->asker.enough(s->sink.arg);
}

static void
put_shown(struct mime_streams *s)
{
    put(s, SHOWN, buf_span(&s->shown));
    buf_reset(&s->shown);
}

static void
show(struct mime_streams *s, struct span source)
{
    for (; source.n > 0; source = span_skip(source, SLICE)) {
        mime_html_feed(s->html, span_slice(source, 0, SLICE), &s->shown);
        put_shown(s);
    }
}

static bool
shows(const struct mime_streams *s, struct span source)
{
    return !s->asker.shows || s->asker.shows(s->sink.arg, source);
}

static void
open_html(struct mime_streams *s)
{
    s->html = mime_html_new();
    show(s, buf_span(&s->held));
    buf_reset(&s->held);
}

// Most HTML that is searched is never read as HTML: it is held until something that is looked for may be shown by it.
static void
pass_source(struct mime_streams *s, struct span source)
{
    if (!s->html && (shows(s, source) || source.n > s->held.max - s->held.n))
        open_html(s);
    if (s->html)
        show(s, source);
    else
        buf_put(&s->held, source);
}

static void
pass_on(struct mime_streams *s, struct span utf8)
{
    put(s, SOURCE, utf8);
    if (s->is_html && !enough(s))
        pass_source(s, utf8);
    buf_reset(&s->octets);
    buf_reset(&s->utf8);
}

// Text without a transfer encoding is not copied.
static struct span
decode(struct mime_streams *s, struct span raw)
{
    struct fault f;

    if (s->decoder.encoding == MIME_ENC_IDENTITY)
        return raw;
    must(mime_decoder_feed(&s->decoder, raw, &s->octets, &f) == R_OK);
    return buf_span(&s->octets);
}

void
mime_streams_part_feed(struct mime_streams *s, struct span raw)
{
    while (raw.n > 0 && !enough(s)) {
        struct span octets = decode(s, span_slice(raw, 0, s->slice));
        raw = span_skip(raw, s->slice);
        s->slice = SLICE;
        pass_on(s, mime_charset_view(s->charset, octets, &s->utf8));
    }
}

void
mime_streams_part_end(struct mime_streams *s)
{
    struct fault f;

    must(mime_decoder_end(&s->decoder, &s->octets, &f) == R_OK);
    mime_charset_feed(s->charset, buf_span(&s->octets), &s->utf8);
    mime_charset_end(s->charset, &s->utf8);
    pass_on(s, buf_span(&s->utf8));
    s->sink.end(s->sink.arg, SOURCE);
    if (s->html) {
        mime_html_end(s->html, &s->shown);
        put_shown(s);
    }
    if (s->is_html)
        s->sink.end(s->sink.arg, SHOWN);
    mime_html_free(&s->html);
    drop_charset(s);
    drop_buffers(s);
}

// Headers

void
mime_streams_field(struct mime_streams *s, enum mime_zone zone, struct span name,
                   struct span raw)
{
    buf_reset(&s->unfolded);
    buf_reset(&s->decoded);
    buf_reset(&s->field);
    if (name.p) {
        mime_utf8_clean(&s->decoded, span_slice(name, 0, LIMIT_mime_header));
        buf_put(&s->decoded, SPAN(": "));
    }
    mime_header_unfold(&s->unfolded, span_slice(raw, 0, LIMIT_mime_header));
    mime_decode_words(&s->decoded, buf_span(&s->unfolded));
    mime_fold_as(&s->field, s->collation, buf_span(&s->decoded));
    s->sink.begin(s->sink.arg, SOURCE, zone);
    s->sink.feed(s->sink.arg, SOURCE, buf_span(&s->field));
    s->sink.end(s->sink.arg, SOURCE);
}

void
mime_streams_fields(struct mime_streams *s, enum mime_zone zone, struct span block)
{
    struct mime_header_iter it = mime_header_begin(block);
    struct mime_header header;

    while (mime_header_next(&it, &header) == R_OK)
        mime_streams_field(s, zone, header.name, header.value);
}

unsigned
mime_streams_summary(struct mime_streams *s, const struct mime_summary *summary)
{
    const struct {
        enum mime_zone zone;
        struct span text;
    } fields[] = {{MIME_ZONE_SUBJECT, summary->subject},
                  {MIME_ZONE_FROM, summary->from},
                  {MIME_ZONE_TO, summary->to},
                  {MIME_ZONE_CC, summary->cc},
                  {MIME_ZONE_BCC, summary->bcc}};
    unsigned cut = 0;

    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (mime_summary_cut(fields[i].text))
            cut |= fields[i].zone;
        if (fields[i].text.n == 0)
            continue;
        s->sink.begin(s->sink.arg, SOURCE, fields[i].zone);
        put(s, SOURCE, fields[i].text);
        s->sink.end(s->sink.arg, SOURCE);
    }
    return cut;
}

// Text from elsewhere

void
mime_streams_text_begin(struct mime_streams *s, enum mime_zone zone)
{
    s->cut = (struct mime_utf8){0};
    s->sink.begin(s->sink.arg, SOURCE, zone);
}

static void
put_clean(struct mime_streams *s)
{
    put(s, SOURCE, buf_span(&s->utf8));
    buf_reset(&s->utf8);
}

void
mime_streams_text_feed(struct mime_streams *s, struct span utf8)
{
    while (utf8.n > 0) {
        struct span slice = span_slice(utf8, 0, SLICE);
        utf8 = span_skip(utf8, slice.n);
        mime_utf8_feed(&s->cut, slice, &s->utf8);
        put_clean(s);
    }
}

void
mime_streams_text_end(struct mime_streams *s)
{
    mime_utf8_end(&s->cut, &s->utf8);
    put_clean(s);
    s->sink.end(s->sink.arg, SOURCE);
    drop_buffers(s);
}
