#include "wire/url.h"
#include "base/hex.h"
#include "base/percent.h"

#include "base/utf8.h"
#include "wire/date.h"

// The parameters in their order; each but the last ends in '/', where none of the last two follows.
enum param {
    PARAM_UIDVALIDITY,
    PARAM_UID,
    PARAM_SECTION,
    PARAM_PARTIAL,
    PARAM_EXPIRE,
    PARAM_URLAUTH,
    PARAM_COUNT
};

static const char *const param_names[PARAM_COUNT] = {
    "UIDVALIDITY=", "UID=", "SECTION=", "PARTIAL=", "EXPIRE=", "URLAUTH="};

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
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] != '%' && !plain_char(s.p[i]))
            return fault_set(f, FAULT_BAD, "character in a URL");
    return percent_decode(a, s, out)
               ? R_OK
               : fault_set(f, FAULT_BAD, "wrong %% in a URL, or no UTF-8");
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

// ---- what authorises a URL ----

static enum result
parse_expire(struct span s, struct url *u)
{
    u->auth.has_expire = true;
    return date_time_parse_internet(s, &u->auth.expire_s);
}

static const struct {
    struct span word;
    enum url_access access;
    bool user;  // one follows
} accesses[] = {
    {SPAN("submit+"), URL_ACCESS_SUBMIT, true},
    {SPAN("user+"), URL_ACCESS_USER, true},
    {SPAN("authuser"), URL_ACCESS_AUTHUSER, false},
    {SPAN("anonymous"), URL_ACCESS_ANONYMOUS, false},
};

static bool
is_user_char(char c)
{
    return ascii_is_alpha(c) || ascii_is_digit(c) ||
           (c != '\0' && strchr("-._~!$'()*+,&=%", c) != NULL);
}

static enum result
parse_user(struct span s, struct arena *a, struct span *out, struct fault *f)
{
    for (size_t i = 0; i < s.n; i++)
        if (!is_user_char(s.p[i]))
            return fault_set(f, FAULT_BAD, "character in a user of a URL");
    return s.n > 0 ? decode(s, a, out, f) : fault_set(f, FAULT_BAD, "no user in a URL");
}

static enum result
parse_access(struct span s, struct arena *a, struct url_auth *auth, struct fault *f)
{
    for (size_t i = 0; i < sizeof accesses / sizeof *accesses; i++) {
        struct span word = accesses[i].word;
        auth->access = accesses[i].access;
        if (accesses[i].user && span_istarts(s, word))
            return parse_user(span_skip(s, word.n), a, &auth->user, f);
        if (!accesses[i].user && span_ieq(s, word))
            return R_OK;
    }
    return fault_set(f, FAULT_BAD, "unknown access identifier");
}

static enum result
parse_token(struct span s, struct url_auth *auth)
{
    size_t colon = span_find_char(s, ':');
    auth->mechanism = span_slice(s, 0, colon);
    auth->token = span_skip(s, colon + 1);
    for (size_t i = 0; i < auth->mechanism.n; i++) {
        char c = auth->mechanism.p[i];
        if (!ascii_is_alpha(c) && !ascii_is_digit(c) && c != '-' && c != '.')
            return R_FAIL;
    }
    for (size_t i = 0; i < auth->token.n; i++)
        if (hex_digit(auth->token.p[i]) < 0)
            return R_FAIL;
    return auth->mechanism.n > 0 && auth->token.n >= 32 ? R_OK : R_FAIL;
}

// "user+bob", or "user+bob:internal:TOKEN".
static enum result
parse_auth(struct span s, struct arena *a, struct url *u, struct fault *f)
{
    size_t colon = span_find_char(s, ':');
    if (colon < s.n && parse_token(span_skip(s, colon + 1), &u->auth) != R_OK)
        return fault_set(f, FAULT_BAD, "wrong token in a URL");
    u->auth.rump.n = (size_t)(s.p + colon - u->auth.rump.p);
    return parse_access(span_slice(s, 0, colon), a, &u->auth, f);
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
    case PARAM_EXPIRE:
        r = parse_expire(value, u);
        break;
    case PARAM_URLAUTH:
        return parse_auth(value, a, u, f);
    case PARAM_COUNT:
        break;
    }
    return r == R_OK ? R_OK : fault_set(f, FAULT_BAD, "wrong value in a URL");
}

static bool
authorises(struct span rest)
{
    return span_istarts(rest, SPAN(";EXPIRE=")) || span_istarts(rest, SPAN(";URLAUTH="));
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
    if (rest->n == 0 || authorises(*rest))
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

// ---- the server ----

// "ann;AUTH=*" or "ann".
static enum result
parse_userinfo(struct span s, struct arena *a, struct url *u, struct fault *f)
{
    size_t semicolon = span_find_char(s, ';');
    struct span auth = span_skip(s, semicolon);
    if (auth.n > 0 && (!span_istarts(auth, SPAN(";AUTH=")) || auth.n == 6))
        return fault_set(f, FAULT_BAD, "wrong user in a URL");
    for (size_t i = 6; i < auth.n; i++)
        if (!is_user_char(auth.p[i]))
            return fault_set(f, FAULT_BAD, "wrong user in a URL");
    return parse_user(span_slice(s, 0, semicolon), a, &u->user, f);
}

static bool
is_host(struct span s)
{
    bool bracket = s.n > 2 && s.p[0] == '[' && s.p[s.n - 1] == ']';
    if (bracket)
        s = span_slice(s, 1, s.n - 1);
    for (size_t i = 0; i < s.n; i++)
        if (!ascii_is_alpha(s.p[i]) && !ascii_is_digit(s.p[i]) && s.p[i] != '-' &&
            s.p[i] != '.' && !(bracket && s.p[i] == ':'))
            return false;
    return s.n > 0;
}

static enum result
parse_hostport(struct span s, struct url *u, struct fault *f)
{
    size_t end = s.n;
    uint32_t port = 0;
    while (end > 0 && ascii_is_digit(s.p[end - 1]))
        end--;
    bool has_port = end > 0 && s.p[end - 1] == ':' && span_find_char(s, ']') < s.n;
    has_port |= end > 0 && s.p[end - 1] == ':' && span_find_char(s, ':') == end - 1;
    u->host = has_port ? span_slice(s, 0, end - 1) : s;
    if (has_port && (nz_number(span_skip(s, end), &port) != R_OK || port > UINT16_MAX))
        return fault_set(f, FAULT_BAD, "wrong port in a URL");
    u->port = (uint16_t)port;
    return is_host(u->host) ? R_OK : fault_set(f, FAULT_BAD, "wrong host in a URL");
}

// "imap://ann@example.org:143" off the front of `rest`.
static enum result
parse_server(struct span *rest, struct arena *a, struct url *u, struct fault *f)
{
    struct span s = span_skip(*rest, strlen("imap://"));
    size_t slash = span_find_char(s, '/');
    struct span server = span_slice(s, 0, slash);
    size_t at = span_find_char(server, '@');
    *rest = span_skip(s, slash);
    if (at < server.n) {
        if (parse_userinfo(span_slice(server, 0, at), a, u, f) != R_OK)
            return R_FAIL;
        server = span_skip(server, at + 1);
    }
    if (rest->n == 0)
        return fault_set(f, FAULT_BAD, "URL of a server");
    return parse_hostport(server, u, f);
}

// "/Drafts/;UID=20" and what follows.
static enum result
parse_rest(struct span rest, struct arena *a, struct url *u, struct fault *f)
{
    size_t semicolon = span_find_char(rest, ';');
    struct span path = span_slice(rest, 0, semicolon), params = span_skip(rest, semicolon);
    if (path.n > 0 && path.p[0] != '/')
        return fault_set(f, FAULT_BAD, "URL with another scheme, or a relative path");
    bool validity = span_istarts(params, SPAN(";UIDVALIDITY="));
    if (path.n > 0 && parse_path(span_skip(path, 1), !validity, a, u, f) != R_OK)
        return R_FAIL;
    return parse_params(params, a, u, f);
}

enum result
url_parse(struct span text, struct arena *a, struct url *out, struct fault *f)
{
    struct url u = {.auth.rump = text};
    struct span rest = text;
    if (span_istarts(text, SPAN("imap://")) && parse_server(&rest, a, &u, f) != R_OK)
        return R_FAIL;
    if (parse_rest(rest, a, &u, f) != R_OK)
        return R_FAIL;
    bool authorised = u.auth.access != URL_ACCESS_NONE;
    if ((u.auth.has_expire && !authorised) || (authorised && !u.host.p))
        return fault_set(f, FAULT_BAD, "half of an authorised URL");
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

static bool
is_key(char c)
{
    return ascii_is_alpha(c) || ascii_is_digit(c);
}

// RFC 4467 section 9: ":internal:" and hexadecimal digits.
void
url_put_masked(struct buf *b, struct span text)
{
    const struct span mark = SPAN(":internal:");
    size_t at;
    while ((at = span_ifind(text, mark)) < text.n) {
        buf_put(b, span_slice(text, 0, at + mark.n));
        text = span_skip(text, at + mark.n);
        size_t n = 0;
        while (n < text.n && is_key(text.p[n]))
            n++;
        if (n > 0)
            buf_put_str(b, "[hidden]");
        text = span_skip(text, n);
    }
    buf_put(b, text);
}
