#include "mime/field.h"
#include "base/limits.h"
#include "mime/param.h"
#include "mime/transfer.h"

enum mime_field
mime_field_of(struct span name)
{
    static const struct span names[] = {
#define FIELD(id, text) SPAN(text),
#include "mime/fields.def"
#undef FIELD
    };

    if (name.n < 2)
        return MIME_FIELDS;
    for (size_t i = 0; i < MIME_FIELDS; i++)
        if (names[i].n == name.n &&
            ascii_lower(names[i].p[name.n - 1]) == ascii_lower(name.p[name.n - 1]) &&
            span_ieq(names[i], name))
            return (enum mime_field)i;
    return MIME_FIELDS;
}

// type "/" subtype; without both the field is as good as missing (RFC 2045 section 5.2).
static void
apply_type(struct arena *a, struct mime_part *part, struct span value)
{
    struct mime_lex l = mime_lex_of(value);
    struct buf type, subtype;
    enum lex got = LEX_BAD;

    if (part->type.p)
        return;
    buf_init(&type, LIMIT_mime_header);
    buf_init(&subtype, LIMIT_mime_header);
    if (mime_lex_space(&l) == LEX_MORE && mime_lex_token(&l, &type) == LEX_MORE &&
        *l.p == '/') {
        l.p++;
        if (mime_lex_space(&l) == LEX_MORE)
            got = mime_lex_token(&l, &subtype);
    }
    if (type.n > 0 && subtype.n > 0) {
        part->type = arena_dup(a, buf_span(&type));
        part->subtype = arena_dup(a, buf_span(&subtype));
        if (got != LEX_BAD)
            part->params = mime_param_parse(a, &l);
    }
    buf_done(&type);
    buf_done(&subtype);
}

static void
apply_encoding(struct arena *a, struct mime_part *part, struct span value)
{
    struct mime_lex l = mime_lex_of(value);
    struct buf name;

    if (part->encoding_name.p)
        return;
    buf_init(&name, LIMIT_mime_header);
    if (mime_lex_space(&l) == LEX_MORE && mime_lex_token(&l, &name) == LEX_END &&
        name.n > 0)
        part->encoding_name = arena_dup(a, buf_span(&name));
    part->encoding = mime_encoding_of(buf_span(&name));
    buf_done(&name);
}

static void
apply_disposition(struct arena *a, struct mime_part *part, struct span value)
{
    struct mime_lex l = mime_lex_of(value);
    struct buf name;

    if (part->disposition_params)
        return;
    buf_init(&name, LIMIT_mime_header);
    if (mime_lex_space(&l) == LEX_MORE && mime_lex_token(&l, &name) != LEX_BAD &&
        name.n > 0) {
        part->disposition = arena_dup(a, buf_span(&name));
        part->disposition_params = mime_param_parse(a, &l);
    }
    buf_done(&name);
}

// Content-Language: 1#tag (RFC 3282 section 2).
static void
apply_language(struct arena *a, struct mime_part *part, struct span value)
{
    struct mime_lex l = mime_lex_of(value);
    struct buf tags;

    if (part->language.p)
        return;
    buf_init(&tags, LIMIT_mime_header);
    if (mime_lex_space(&l) == LEX_MORE) {
        while (mime_lex_atom(&l, &tags) != LEX_BAD && mime_lex_peek(&l) == ',') {
            l.p++;
            if (mime_lex_space(&l) != LEX_MORE || !mime_is_atext(*l.p))
                break;
            buf_put_char(&tags, '\0');
        }
    }
    if (tags.n > 0)
        part->language = arena_dup(a, buf_span(&tags));
    buf_done(&tags);
}

static void
keep_first(struct arena *a, struct span *slot, struct span value)
{
    if (!slot->p)
        *slot = arena_dup(a, value);
}

void
mime_field_apply(struct arena *a, struct mime_part *part, enum mime_field field,
                 struct span value)
{
    switch ((int)field) {
    case MIME_VERSION:
        part->mime = true;
        break;
    case MIME_TYPE:
        part->mime = true;
        apply_type(a, part, value);
        break;
    case MIME_ENCODING:
        apply_encoding(a, part, value);
        break;
    case MIME_DISPOSITION:
        apply_disposition(a, part, value);
        break;
    case MIME_LANGUAGE:
        apply_language(a, part, value);
        break;
    case MIME_ID:
        keep_first(a, &part->id, value);
        break;
    case MIME_DESCRIPTION:
        keep_first(a, &part->description, value);
        break;
    case MIME_LOCATION:
        keep_first(a, &part->location, value);
        break;
    case MIME_MD5:
        keep_first(a, &part->md5, value);
        break;
    default:
        break;
    }
}
