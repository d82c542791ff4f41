// RFC 5435 enotify with the method mailto (RFC 5436).

#include "base/limits.h"
#include "base/percent.h"
#include "base/utf8.h"
#include "sieve/ext.h"

typedef enum result tell_fn(void *arg, const char *name, struct span value);

// "a@b,c@d"; R_NONE: it is no list of addresses.
static enum result
read_addresses(struct arena *a, struct span list, tell_fn *tell, void *arg)
{
    struct span one, text, address;
    if (list.n == 0)
        return R_OK;
    while (span_next_field(&list, ',', &one) == R_OK) {
        if (!percent_decode(a, one, &text) || !sieve_address_valid(a, text, &address))
            return R_NONE;
        if (tell(arg, "recipient", address) != R_OK)
            return R_FAIL;
    }
    return R_OK;
}

static enum result
read_header(struct arena *a, struct span header, tell_fn *tell, void *arg)
{
    size_t equals = span_find_char(header, '=');
    struct span name, value;
    if (equals == header.n || !percent_decode(a, span_slice(header, 0, equals), &name) ||
        !sieve_is_field_name(name))
        return R_NONE;
    struct span raw = span_skip(header, equals + 1);
    if (span_ieq(name, SPAN("to")) || span_ieq(name, SPAN("cc")))
        return read_addresses(a, raw, tell, arg);
    if (!percent_decode(a, raw, &value))
        return R_NONE;
    if (span_ieq(name, SPAN("subject")) || span_ieq(name, SPAN("body")))
        return tell(arg, span_ieq(name, SPAN("body")) ? "body" : "subject", value);
    return R_OK;  // RFC 5436 section 2.7: others are left out
}

// RFC 6068. R_NONE: it is no such URI.
static enum result
read_mailto(struct arena *a, struct span uri, tell_fn *tell, void *arg)
{
    struct span one, rest = span_skip(uri, 7);
    if (!span_istarts(uri, SPAN("mailto:")) || !ascii_only(uri))
        return R_NONE;
    size_t question = span_find_char(rest, '?');
    struct span headers = span_skip(rest, question + 1);
    enum result r = read_addresses(a, span_slice(rest, 0, question), tell, arg);
    if (question == rest.n)
        return r;
    while (r == R_OK && span_next_field(&headers, '&', &one) == R_OK)
        r = read_header(a, one, tell, arg);
    return r;
}

struct counted {
    size_t recipients;
};

static enum result
count(void *arg, const char *name, struct span value)
{
    (void)value;
    ((struct counted *)arg)->recipients += span_eq(span_str(name), SPAN("recipient"));
    return R_OK;
}

static bool
is_method(struct arena *a, struct span uri)
{
    struct counted n = {0};
    return read_mailto(a, uri, count, &n) == R_OK && n.recipients > 0 &&
           n.recipients <= LIMIT_sieve_redirects;
}

static bool
is_mailto(struct span uri)
{
    return span_istarts(uri, SPAN("mailto:"));
}

// RFC 5435 section 3.5: "name=value".
static bool
is_option(struct span s)
{
    size_t equals = span_find_char(s, '=');
    for (size_t i = 0; i < equals; i++)
        if (!ascii_is_alpha(s.p[i]) && !ascii_is_digit(s.p[i]) &&
            (i == 0 || strchr(".-_", s.p[i]) == NULL))
            return false;
    for (size_t i = equals; i < s.n; i++)
        if (s.p[i] == '\0' || s.p[i] == '\r' || s.p[i] == '\n')
            return false;
    return equals > 0 && equals < s.n;
}

static bool
is_importance(struct span s)
{
    return s.n == 1 && *s.p >= '1' && *s.p <= '3';
}

struct target {
    struct sieve_run *run;
    struct sieve_action *action;
};

static enum result
put(void *arg, const char *name, struct span value)
{
    struct target *t = arg;
    bool body = span_eq(span_str(name), SPAN("body"));
    if (!body && sieve_room(t->run, value.n) != R_OK)
        return R_FAIL;
    if (!body)
        value = sieve_one_line(sieve_scratch(t->run), value);
    return sieve_detail_put(t->run, t->action, name, value);
}

// What is wrong with a tag's value; NULL: nothing.
static const char *
tag_problem(struct arena *a, const char *name, struct span value)
{
    struct span address;
    if (strcmp(name, "from") == 0 && !sieve_address_valid(a, value, &address))
        return "is no address";
    if (strcmp(name, "importance") == 0 && !is_importance(value))
        return "is no importance: \"1\", \"2\" or \"3\"";
    if (strcmp(name, "options") == 0 && !is_option(value))
        return "is no option like \"name=value\"";
    return NULL;
}

static enum result
check_tag_now(struct sieve_run *r, const struct sieve_call *call, const char *name,
              struct span value)
{
    const char *problem = tag_problem(sieve_scratch(r), name, value);
    if (problem == NULL)
        return R_OK;
    return sieve_fail(r, call, "\"%.*s\" %s", SPAN_ARG(span_slice(value, 0, 60)), problem);
}

static enum result
put_tag(struct sieve_run *r, const struct sieve_call *call, const char *name,
        struct sieve_action *a)
{
    const struct sieve_value *v = sieve_tag(call, name);
    struct span *texts;
    if (v == NULL)
        return R_OK;
    if (sieve_texts(r, v, &texts) != R_OK)
        return R_FAIL;
    struct target t = {r, a};
    for (size_t i = 0; i < v->n; i++) {
        if (check_tag_now(r, call, name, texts[i]) != R_OK)
            return R_FAIL;
        enum result may =
            strcmp(name, "from") == 0 ? sieve_may_write_as(r, call, texts[i]) : R_OK;
        if (may == R_FAIL || (may == R_OK && put(&t, name, texts[i]) != R_OK))
            return R_FAIL;
    }
    return R_OK;
}

static enum result
notify(struct sieve_run *r, const struct sieve_call *call)
{
    struct span uri;
    struct sieve_action *a;
    if (sieve_one(r, &call->position[0], &uri) != R_OK ||
        sieve_room(r, uri.n * 8) != R_OK || sieve_work(r, uri.n) != R_OK)
        return R_FAIL;
    if (!is_method(sieve_scratch(r), uri))
        return sieve_fail(r, call, "\"%.*s\" is no method of notification",
                          SPAN_ARG(span_slice(uri, 0, 100)));
    if (sieve_action_new(r, call, SIEVE_NOTIFY, uri, &a) != R_OK)
        return R_FAIL;
    struct target t = {r, a};
    static const char *const names[] = {"from", "importance", "options", "message"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (put_tag(r, call, names[i], a) != R_OK)
            return R_FAIL;
    return read_mailto(sieve_scratch(r), uri, put, &t) == R_FAIL ? R_FAIL : R_OK;
}

static enum result
check_tag(struct sieve_compiler *c, const char *name, const struct sieve_value *v)
{
    for (size_t i = 0; v && i < v->n; i++) {
        struct span s = v->strings[i].text;
        const char *problem = sieve_is_constant(&v->strings[i])
                                  ? tag_problem(sieve_compiler_arena(c), name, s)
                                  : NULL;
        if (problem)
            return sieve_wrong(c, v->line, v->column, "\"%.*s\" %s",
                               SPAN_ARG(span_slice(s, 0, 60)), problem);
    }
    return R_OK;
}

// A method that there is not fails where it is used (RFC 5435 section 3.2): scripts ask for it before. A mistake is one at once.
static enum result
check_notify(struct sieve_compiler *c, struct sieve_call *call)
{
    const struct sieve_value *v = &call->position[0];
    if (check_tag(c, "from", sieve_tag(call, "from")) != R_OK ||
        check_tag(c, "importance", sieve_tag(call, "importance")) != R_OK ||
        check_tag(c, "options", sieve_tag(call, "options")) != R_OK)
        return R_FAIL;
    if (!sieve_is_constant(&v->strings[0]) || !is_mailto(v->strings[0].text) ||
        is_method(sieve_compiler_arena(c), v->strings[0].text))
        return R_OK;
    return sieve_wrong(c, v->line, v->column, "\"%.*s\" is no method of notification",
                       SPAN_ARG(span_slice(v->strings[0].text, 0, 100)));
}

static enum result
valid_notify_method(struct sieve_run *r, const struct sieve_call *call, bool *yes)
{
    struct span *uris;
    if (sieve_texts(r, &call->position[0], &uris) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < call->position[0].n; i++) {
        if (sieve_room(r, uris[i].n * 8) != R_OK || sieve_work(r, uris[i].n) != R_OK)
            return R_FAIL;
        if (!is_method(sieve_scratch(r), uris[i]))
            return R_OK;
    }
    *yes = true;
    return R_OK;
}

// RFC 5436 section 2.2: nobody knows whether one reads mail. RFC 8580 section 6.1: copies are filed, and the scheme is enough to ask
// for that.
static enum result
capability_of(struct sieve_run *r, struct span uri, struct span capability,
              struct span *out)
{
    bool fcc = sieve_is_enabled(r, SIEVE_EXT_fcc) && span_ieq(capability, SPAN("fcc"));
    bool known =
        is_method(sieve_scratch(r), uri) || (fcc && span_ieq(uri, SPAN("mailto:")));
    if (!known || (!fcc && !span_ieq(capability, SPAN("online"))))
        return R_NONE;
    *out = fcc ? SPAN("yes") : SPAN("maybe");
    return R_OK;
}

static enum result
notify_method_capability(struct sieve_run *r, const struct sieve_call *call, bool *yes)
{
    struct sieve_matching m;
    struct span uri, capability, value;
    if (sieve_match_begin(&m, r, call, &call->position[2]) != R_OK ||
        sieve_one(r, &call->position[0], &uri) != R_OK ||
        sieve_one(r, &call->position[1], &capability) != R_OK ||
        sieve_room(r, uri.n * 8) != R_OK)
        return R_FAIL;
    if (capability_of(r, uri, capability, &value) != R_OK)
        return R_OK;
    return sieve_match_feed(&m, value) == R_OK ? sieve_match_end(&m, yes) : R_FAIL;
}

static const struct sieve_command commands[] = {
    {"notify", SIEVE_ACTION, "s", .check = check_notify, .act = notify,
     .tags = {{"from", 's'}, {"importance", 's'}, {"options", 'l'}, {"message", 's'}}},
    {"valid_notify_method", SIEVE_TEST, "l", .test = valid_notify_method},
    {"notify_method_capability", SIEVE_TEST, "ssl", .matches = true, .keys = 2,
     .test = notify_method_capability},
    {0},
};
// Section 6: a modifier of set, after :quotewildcard; extracttext takes those of set (RFC 5703 section 7).
static const struct sieve_tag tags[] = {
    {"encodeurl", 0, "url", .command = "set extracttext"}, {0}};

const struct sieve_ext sieve_ext_enotify = {
    .capability = "enotify", .rfc = "RFC 5435", .commands = commands, .tags = tags};
