#include "mime/render.h"
#include "base/limits.h"
#include "base/pack.h"
#include "base/quoted.h"
#include "base/utf8.h"
#include "mime/address.h"
#include "mime/charset.h"
#include "mime/encoded_word.h"

struct render {
    struct buf *out;
    struct buf text;  // a string on its way
    struct buf encoded;
    bool extended, utf8;
    struct buf *extensions;  // where extension data stands; may be NULL
    size_t told;             // end of the last one
};

// quoted when RFC 9051 section 4.3 allows it and the escapes are few, else a literal.
static void
put_string(struct render *r, struct span s)
{
    size_t escapes = 0;
    bool literal = false;

    for (size_t i = 0; i < s.n && !literal; i++) {
        char c = s.p[i];
        bool wide = (c & 0x80) && !r->utf8;
        escapes += c == '"' || c == '\\';
        literal = c == '\r' || c == '\n' || c == '\0' || wide || escapes > 4;
    }
    if (!literal) {
        quoted_put(r->out, s);
        return;
    }
    buf_printf(r->out, "{%zu}\r\n", s.n);
    buf_put(r->out, s);
}

// What a client may not see raw becomes encoded-words.
static void
put_text(struct render *r, struct span s)
{
    if (ascii_only(s) || (r->utf8 && mime_utf8_valid(s))) {
        put_string(r, s);
        return;
    }
    buf_reset(&r->encoded);
    mime_encode_words(&r->encoded, s);
    put_string(r, buf_span(&r->encoded));
}

static void
put_ntext(struct render *r, struct span s)
{
    if (s.p)
        put_text(r, s);
    else
        buf_put(r->out, SPAN("NIL"));
}

// Text for people: white space runs become one space, none at the ends.
static void
put_human(struct render *r, struct span s)
{
    bool space = false;

    buf_reset(&r->text);
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '\r' || c == '\n')
            continue;
        if (c == ' ' || c == '\t') {
            space = r->text.n > 0;
            continue;
        }
        if (space)
            buf_put_char(&r->text, ' ');
        space = false;
        buf_put_char(&r->text, c);
    }
    put_text(r, r->text.n > 0 ? buf_span(&r->text) : SPAN(""));
}

static void
space(struct render *r)
{
    buf_put_char(r->out, ' ');
}

// Envelope

static void
put_address(struct render *r, const struct mime_address *address)
{
    buf_put_char(r->out, '(');
    if (address->name.p)
        put_human(r, address->name);
    else
        buf_put(r->out, SPAN("NIL"));
    space(r);
    put_ntext(r, address->route);
    space(r);
    put_ntext(r, address->mailbox);
    space(r);
    put_ntext(r, address->host);
    buf_put_char(r->out, ')');
}

// Several fields of one name read as one list, so that no sender hides behind the second.
static bool
put_address_values(struct render *r, const struct mime_value *value)
{
    struct arena *a = arena_new();
    size_t n = 0;

    for (; value && n < LIMIT_mime_addresses; value = value->next) {
        const struct mime_address *address = mime_address_parse(a, value->text);
        for (; address && n < LIMIT_mime_addresses; address = address->next) {
            if (n++ == 0)
                buf_put_char(r->out, '(');
            put_address(r, address);
        }
    }
    if (n > 0)
        buf_put_char(r->out, ')');
    arena_free(&a);
    return n > 0;
}

// RFC 9051 section 7.5.2: an absent or empty Sender or Reply-To is shown as From.
static void
put_addresses(struct render *r, const struct mime_envelope *e, enum mime_field field)
{
    bool defaults = field == MIME_SENDER || field == MIME_REPLY_TO;

    if (put_address_values(r, e->field[field]))
        return;
    if (defaults && put_address_values(r, e->field[MIME_FROM]))
        return;
    buf_put(r->out, SPAN("NIL"));
}

// Of several, the last.
static struct span
last_value(const struct mime_envelope *e, enum mime_field field)
{
    const struct mime_value *value = e->field[field];

    while (value && value->next)
        value = value->next;
    return value ? value->text : SPAN_NONE;
}

static void
put_envelope(struct render *r, const struct mime_envelope *e)
{
    static const enum mime_field lists[] = {MIME_FROM, MIME_SENDER, MIME_REPLY_TO,
                                            MIME_TO,   MIME_CC,     MIME_BCC};
    struct span subject = last_value(e, MIME_SUBJECT);

    buf_put_char(r->out, '(');
    put_ntext(r, last_value(e, MIME_DATE));
    space(r);
    if (subject.p)
        put_human(r, subject);
    else
        buf_put(r->out, SPAN("NIL"));
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        space(r);
        put_addresses(r, e, lists[i]);
    }
    space(r);
    put_ntext(r, last_value(e, MIME_IN_REPLY_TO));
    space(r);
    put_ntext(r, last_value(e, MIME_MESSAGE_ID));
    buf_put_char(r->out, ')');
}

// Body structure

static void
put_params(struct render *r, const struct mime_param *param, bool text)
{
    bool charset = !text;
    char before = '(';

    if (!param && !text) {
        buf_put(r->out, SPAN("NIL"));
        return;
    }
    for (; param; param = param->next) {
        charset |= span_ieq(param->name, SPAN("charset"));
        buf_put_char(r->out, before);
        before = ' ';
        put_text(r, param->name);
        space(r);
        put_text(r, param->value);
    }
    if (!charset) {
        buf_put_char(r->out, before);
        buf_put(r->out, SPAN("\"charset\" \"us-ascii\""));
    }
    buf_put_char(r->out, ')');
}

static void
put_languages(struct render *r, struct span tags)
{
    struct span tag;
    char before = '(';

    if (!tags.p) {
        buf_put(r->out, SPAN("NIL"));
        return;
    }
    while (span_next_field(&tags, '\0', &tag) == R_OK) {
        buf_put_char(r->out, before);
        before = ' ';
        put_text(r, tag);
    }
    buf_put_char(r->out, ')');
}

// What stands in the output since `from` is extension data.
static void
tell_extension(struct render *r, size_t from)
{
    if (!r->extensions)
        return;
    pack_var(r->extensions, from - r->told);
    pack_var(r->extensions, r->out->n - from);
    r->told = r->out->n;
}

// Disposition, language and location, which end every extended structure.
static void
put_extension(struct render *r, const struct mime_part *part)
{
    space(r);
    if (part->disposition.p) {
        buf_put_char(r->out, '(');
        put_text(r, part->disposition);
        space(r);
        put_params(r, part->disposition_params, false);
        buf_put_char(r->out, ')');
    } else {
        buf_put(r->out, SPAN("NIL"));
    }
    space(r);
    put_languages(r, part->language);
    space(r);
    put_ntext(r, part->location);
}

static void put_part(struct render *r, const struct mime_part *part);

// RFC 9051 has no multipart without parts.
static void
put_no_parts(struct render *r)
{
    buf_put(r->out,
            SPAN("(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 0 0"));
    size_t from = r->out->n;
    if (r->extended) {
        buf_put(r->out, SPAN(" NIL NIL NIL NIL"));
        tell_extension(r, from);
    }
    buf_put_char(r->out, ')');
}

static void
put_multipart(struct render *r, const struct mime_part *part)
{
    for (const struct mime_part *child = part->child; child; child = child->next)
        put_part(r, child);
    if (!part->child)
        put_no_parts(r);
    space(r);
    put_text(r, part->subtype.p ? part->subtype : SPAN("x-unknown"));
    if (!r->extended)
        return;
    size_t from = r->out->n;
    space(r);
    put_params(r, part->params, false);
    put_extension(r, part);
    tell_extension(r, from);
}

static void
put_type(struct render *r, const struct mime_part *part, bool text)
{
    struct span type = part->type, subtype = part->subtype;

    if (!type.p)
        type = part->kind == MIME_KIND_MESSAGE ? SPAN("message") : SPAN("text");
    if (!subtype.p)
        subtype = part->kind == MIME_KIND_MESSAGE ? SPAN("rfc822")
                  : text                          ? SPAN("plain")
                                                  : SPAN("unknown");
    put_text(r, type);
    space(r);
    put_text(r, subtype);
    space(r);
    put_params(r, part->params, text);
}

// A leaf, or a message with its envelope and structure. message/global is shown as a message
// only to clients that know it (RFC 9051); RFC 3501 knows message/rfc822 alone.
static void
put_single(struct render *r, const struct mime_part *part)
{
    bool text = part->kind == MIME_KIND_LEAF &&
                (!part->type.p || span_ieq(part->type, SPAN("text")));
    bool message = part->kind == MIME_KIND_MESSAGE &&
                   (r->utf8 || !span_ieq(part->subtype, SPAN("global")));

    put_type(r, part, text);
    space(r);
    put_ntext(r, part->id);
    space(r);
    put_ntext(r, part->description);
    space(r);
    put_text(r, part->encoding_name.p ? part->encoding_name : SPAN("7bit"));
    buf_printf(r->out, " %llu", (unsigned long long)part->body.size);
    if (message) {
        space(r);
        put_envelope(r, part->child->envelope);
        space(r);
        put_part(r, part->child);
    }
    if (message || text)
        buf_printf(r->out, " %u", part->body.lines);
    if (!r->extended)
        return;
    size_t from = r->out->n;
    space(r);
    put_ntext(r, part->md5);
    put_extension(r, part);
    tell_extension(r, from);
}

// Recursion is bounded by LIMIT_mime_depth.
static void
put_part(struct render *r, const struct mime_part *part)
{
    buf_put_char(r->out, '(');
    if (part->kind == MIME_KIND_MULTIPART)
        put_multipart(r, part);
    else
        put_single(r, part);
    buf_put_char(r->out, ')');
}

static struct render
render_begin(struct buf *out, bool extended, bool utf8)
{
    struct render r = {.out = out, .extended = extended, .utf8 = utf8};

    buf_init(&r.text, (size_t)LIMIT_mime_header * 4);
    buf_init(&r.encoded, (size_t)LIMIT_mime_header * 16);
    return r;
}

static void
render_end(struct render *r)
{
    buf_done(&r->text);
    buf_done(&r->encoded);
}

void
mime_render_envelope(struct buf *b, const struct mime_part *message, bool utf8)
{
    struct render r = render_begin(b, false, utf8);

    must(message->envelope != NULL);
    put_envelope(&r, message->envelope);
    render_end(&r);
}

void
mime_render_body(struct buf *b, const struct mime_part *root, bool extended, bool utf8)
{
    struct render r = render_begin(b, extended, utf8);

    put_part(&r, root);
    render_end(&r);
}

void
mime_render_structure(struct buf *b, struct buf *extensions, const struct mime_part *root,
                      bool utf8)
{
    struct render r = render_begin(b, true, utf8);

    r.extensions = extensions;
    r.told = b->n;
    put_part(&r, root);
    render_end(&r);
}

enum result
mime_render_body_of(struct buf *b, struct span structure, struct span extensions)
{
    struct unpack u = unpack_of(extensions);
    size_t start = b->n;

    while (u.rest.n > 0 && !u.bad) {
        uint64_t keep = unpack_var(&u), skip = unpack_var(&u);
        if (u.bad || keep > structure.n || skip > structure.n - keep) {
            b->n = start;
            return R_FAIL;
        }
        buf_put(b, span_slice(structure, 0, (size_t)keep));
        structure = span_skip(structure, (size_t)(keep + skip));
    }
    buf_put(b, structure);
    return R_OK;
}
