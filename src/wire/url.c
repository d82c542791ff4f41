#include "wire/url.h"

#include "wire/utf8.h"

// The parameters in their order; each but the last ends in '/'.
enum param { PARAM_UIDVALIDITY, PARAM_UID, PARAM_SECTION, PARAM_PARTIAL, PARAM_COUNT };

static const char *const param_names[PARAM_COUNT] = {
    "UIDVALIDITY=", "UID=", "SECTION=", "PARTIAL="};

static int
hex_digit(char c)
{
    if (ascii_is_digit(c))
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// bchar without '%'
static bool
plain_char(char c)
{
    return ascii_is_alpha(c) || ascii_is_digit(c) ||
           (c != '\0' && strchr("-._~!$'()*+,&=:@/", c) != NULL);
}

static enum result
decode(struct span s, struct arena *a, struct span *out, struct fault *f)
{
    char *text = arena_alloc(a, s.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '%') {
            if (!plain_char(s.p[i]))
                return fault_set(f, FAULT_BAD, "character in a URL");
            text[n++] = s.p[i];
            continue;
        }
        int high = i + 2 < s.n ? hex_digit(s.p[i + 1]) : -1;
        int low = high >= 0 ? hex_digit(s.p[i + 2]) : -1;
        if (low < 0 || high * 16 + low == 0)
            return fault_set(f, FAULT_BAD, "wrong %% in a URL");
        text[n++] = (char)(high * 16 + low);
        i += 2;
    }
    *out = span_of(text, n);
    return utf8_valid(*out) ? R_OK : fault_set(f, FAULT_BAD, "URL is not UTF-8");
}

static enum result
nz_number(struct span s, uint32_t *out)
{
    bool digit = s.n > 0 && ascii_is_digit(s.p[0]) && s.p[0] != '0';
    return digit ? span_to_u32(s, out) : R_FAIL;
}

static enum result
parse_section_text(struct span s, struct arena *a, struct url *u, struct fault *f)
{
    struct span text;
    if (s.n == 0 || decode(s, a, &text, f) != R_OK)
        return fault_set(f, FAULT_BAD, "wrong section in a URL");
    char *line = arena_alloc(a, text.n + 3);
    memcpy(line, text.p, text.n);
    memcpy(line + text.n, "]\r\n", 3);
    struct parse p;
    parse_init(&p, span_of(line, text.n + 3), a, true);
    u->section = parse_section(&p);
    return parse_end(&p, f);
}

static enum result
parse_range(struct span s, struct url *u)
{
    size_t dot = span_find_char(s, '.');
    struct span at = span_slice(s, 0, dot);
    bool digits = at.n > 0 && ascii_is_digit(at.p[0]);
    u->has_partial = true;
    u->count = UINT64_MAX;
    if (!digits || span_to_u64(at, &u->at) != R_OK || u->at > INT64_MAX)
        return R_FAIL;
    if (dot == s.n)
        return R_OK;
    uint32_t count = 0;
    enum result r = nz_number(span_skip(s, dot + 1), &count);
    u->count = count;
    return r;
}

static enum result
take_value(enum param which, struct span value, struct arena *a, struct url *u,
           struct fault *f)
{
    enum result r = R_FAIL;
    switch (which) {
    case PARAM_UIDVALIDITY:
        r = nz_number(value, &u->uidvalidity);
        break;
    case PARAM_UID:
        r = nz_number(value, &u->uid);
        break;
    case PARAM_SECTION:
        return parse_section_text(value, a, u, f);
    case PARAM_PARTIAL:
        r = parse_range(value, u);
        break;
    case PARAM_COUNT:
        break;
    }
    return r == R_OK ? R_OK : fault_set(f, FAULT_BAD, "wrong value in a URL");
}

// Which parameter `rest` begins with, not before `from`; its value goes up to the next ';'.
static enum result
next_param(struct span *rest, enum param *from, struct span *value, struct fault *f)
{
    size_t which = *from;
    struct span s = span_skip(*rest, 1);
    while (which < PARAM_COUNT && !span_istarts(s, span_str(param_names[which])))
        which++;
    if (which == PARAM_COUNT)
        return fault_set(f, FAULT_BAD, "unknown parameter in a URL");
    s = span_skip(s, strlen(param_names[which]));
    size_t end = span_find_char(s, ';');
    *value = span_slice(s, 0, end);
    *rest = span_skip(s, end);
    *from = (enum param)which;
    if (rest->n == 0)
        return R_OK;
    if (!span_ends(*value, SPAN("/")))
        return fault_set(f, FAULT_BAD, "no / before a parameter of a URL");
    value->n--;
    return R_OK;
}

static enum result
parse_params(struct span rest, struct arena *a, struct url *u, struct fault *f)
{
    enum param which = PARAM_UIDVALIDITY;
    while (rest.n > 0) {
        struct span value;
        if (next_param(&rest, &which, &value, f) != R_OK ||
            take_value(which, value, a, u, f) != R_OK)
            return R_FAIL;
        which++;
    }
    return u->uid > 0 ? R_OK : fault_set(f, FAULT_BAD, "URL of no message");
}

// "Drafts/" before ";UID", "Drafts" before ";UIDVALIDITY".
static enum result
parse_path(struct span path, bool slash, struct arena *a, struct url *u, struct fault *f)
{
    if (slash && (!span_ends(path, SPAN("/")) || path.n == 1))
        return fault_set(f, FAULT_BAD, "no / before ;UID");
    path.n -= slash;
    if (path.n == 0 || path.p[0] == '/' || span_ends(path, SPAN("/")))
        return fault_set(f, FAULT_BAD, "no mailbox in a URL");
    return decode(path, a, &u->mailbox, f);
}

enum result
url_parse(struct span text, struct arena *a, struct url *out, struct fault *f)
{
    struct url u = {.uid = 0};
    size_t semicolon = span_find_char(text, ';');
    struct span path = span_slice(text, 0, semicolon), params = span_skip(text, semicolon);
    if (path.n > 0 && path.p[0] != '/')
        return fault_set(f, FAULT_BAD, "URL with a scheme, or a relative path");
    bool validity = span_istarts(params, SPAN(";UIDVALIDITY="));
    if (path.n > 0 && parse_path(span_skip(path, 1), !validity, a, &u, f) != R_OK)
        return R_FAIL;
    if (parse_params(params, a, &u, f) != R_OK)
        return R_FAIL;
    *out = u;
    return R_OK;
}

void
url_put_safe(struct buf *b, struct span text)
{
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c > ' ' && c < 0x7F && c != ']' && c != '\\' && c != '"')
            buf_put_char(b, text.p[i]);
        else
            buf_printf(b, "%%%02X", c);
    }
}
