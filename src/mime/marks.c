#include "mime/marks.h"
#include "base/limits.h"
#include "mime/encoded_word.h"
#include "mime/header.h"
#include "mime/token.h"

// ---- attachments ----

static bool
is_type(const struct mime_part *p, const char *type, const char *subtype)
{
    struct span have = p->type.p ? p->type : SPAN("text"),
                sub = p->type.p ? p->subtype : SPAN("plain");
    return span_ieq(have, span_str(type)) &&
           (subtype == NULL || span_ieq(sub, span_str(subtype)));
}

static bool
is_media(const struct mime_part *p)
{
    return is_type(p, "image", NULL) || is_type(p, "audio", NULL) ||
           is_type(p, "video", NULL);
}

static bool
has_name(const struct mime_part *p)
{
    struct buf name;
    buf_init(&name, LIMIT_mime_header);
    bool found = mime_param_find(p->params, SPAN("name"), &name) == R_OK ||
                 mime_param_find(p->disposition_params, SPAN("filename"), &name) == R_OK;
    buf_done(&name);
    return found;
}

static bool
is_attached(const struct mime_part *p)
{
    return span_ieq(p->disposition, SPAN("attachment"));
}

static bool
is_below(const struct mime_part *p, const char *subtype)
{
    return p->parent && p->parent->kind == MIME_KIND_MULTIPART &&
           span_ieq(p->parent->subtype, span_str(subtype));
}

// Is it the text, or shown in it where it stands?
static bool
is_body(const struct mime_part *p)
{
    bool first = !p->parent || p->parent->child == p;
    bool text = is_type(p, "text", "plain") || is_type(p, "text", "html");
    if (is_attached(p) || p->kind == MIME_KIND_MESSAGE || !(text || is_media(p)))
        return false;
    return first || (!is_below(p, "related") && (is_media(p) || !has_name(p)));
}

// The images of a text/html part, a signature, a text in yet another form.
static bool
is_handled(const struct mime_part *p)
{
    if (is_below(p, "related") && (p->id.n > 0 || p->location.n > 0))
        return true;
    if (is_below(p, "signed"))
        return is_type(p, "application", "pgp-signature") ||
               is_type(p, "application", "pkcs7-signature") ||
               is_type(p, "application", "x-pkcs7-signature");
    return is_below(p, "alternative") && is_type(p, "text", NULL);
}

// In multipart/alternative a picture is one of the forms only if it is in one of them.
static bool
is_offered(const struct mime_part *p)
{
    bool form = is_below(p, "alternative") && is_media(p);
    if (span_ieq(p->disposition, SPAN("inline")))
        return false;
    if (is_body(p))
        return form;
    return is_attached(p) || !is_handled(p);
}

// What is in a message/rfc822 belongs to that message.
static const struct mime_part *
next_outside(const struct mime_part *p)
{
    if (p->kind == MIME_KIND_MULTIPART && p->child)
        return p->child;
    while (p && !p->next)
        p = p->parent;
    return p ? p->next : NULL;
}

bool
mime_has_attachment(const struct mime_part *root)
{
    for (const struct mime_part *p = root; p; p = next_outside(p))
        if (p->kind != MIME_KIND_MULTIPART && is_offered(p))
            return true;
    return false;
}

// ---- fields ----

// A URI in angle brackets (RFC 2369 section 2), others before and behind it.
static bool
has_https(struct span value)
{
    struct buf one;
    bool found = false;
    buf_init(&one, LIMIT_mime_header);
    mime_header_unfold(&one, value);
    struct span s = buf_span(&one);
    for (size_t i = 0; i < s.n && !found; i++)
        found =
            s.p[i] == '<' && span_istarts(span_trim(span_skip(s, i + 1)), SPAN("https:"));
    buf_done(&one);
    return found;
}

static bool
says_one_click(struct span value)
{
    return span_ieq(span_trim(value), SPAN("List-Unsubscribe=One-Click"));
}

// The names between colons in the tag "h" of a DKIM-Signature (RFC 6376 section 3.5).
static bool
lists(struct span names, struct span want)
{
    struct span name;
    while (span_next_field(&names, ':', &name) == R_OK)
        if (span_ieq(span_trim(name), want))
            return true;
    return false;
}

static bool
covers_both(struct span signature)
{
    struct buf one;
    struct span tag, rest;
    bool both = false;
    buf_init(&one, LIMIT_mime_header);
    mime_header_unfold(&one, signature);
    rest = buf_span(&one);
    while (!both && span_next_field(&rest, ';', &tag) == R_OK) {
        struct span t = span_trim(tag);
        if (t.n < 2 || t.p[0] != 'h' || span_trim(span_skip(t, 1)).p[0] != '=')
            continue;
        t = span_skip(span_trim(span_skip(t, 1)), 1);
        both =
            lists(t, SPAN("List-Unsubscribe")) && lists(t, SPAN("List-Unsubscribe-Post"));
    }
    buf_done(&one);
    return both;
}

bool
mime_is_one_click(struct span header)
{
    struct mime_header_iter it = mime_header_begin(header);
    struct mime_header h;
    bool uri = false, post = false, covered = false;
    while (mime_header_next(&it, &h) == R_OK) {
        if (span_ieq(h.name, SPAN("List-Unsubscribe")))
            uri |= has_https(h.value);
        else if (span_ieq(h.name, SPAN("List-Unsubscribe-Post")))
            post |= says_one_click(h.value);
        else if (span_ieq(h.name, SPAN("DKIM-Signature")))
            covered |= covers_both(h.value);
    }
    return uri && post && covered;
}

bool
mime_is_automatic(struct span header)
{
    struct mime_header h;
    struct buf one, word;
    if (mime_header_find(header, SPAN("Auto-Submitted"), &h) != R_OK)
        return false;
    buf_init(&one, LIMIT_mime_header);
    buf_init(&word, LIMIT_mime_header);
    mime_header_unfold(&one, h.value);
    struct mime_lex l = mime_lex_of(buf_span(&one));
    bool automatic = mime_lex_space(&l) == LEX_MORE &&
                     mime_lex_token(&l, &word) != LEX_BAD && word.n > 0 &&
                     !span_ieq(buf_span(&word), SPAN("no"));
    buf_done(&one);
    buf_done(&word);
    return automatic;
}
