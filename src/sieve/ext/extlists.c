// RFC 6134: the match type :list, redirect :list and valid_ext_list. A list is an address book: a server annotation (RFC 5464) of
// the user, else the administrator's, with one member on a line. ":addrbook:NAME" is /private/vendor/posthorn/addrbook/NAME.

#include "base/percent.h"
#include "sieve/ext.h"

enum { BOOK_NAME_MAX = 200 };

// The rest behind "urn:ietf:params:sieve:", or ":" for short (section 2.5).
static bool
urn_rest(struct span name, struct span *out)
{
    static const struct span prefixes[] = {SPAN(":"), SPAN("urn:ietf:params:sieve:")};
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
        if (span_istarts(name, prefixes[i])) {
            *out = span_skip(name, prefixes[i].n);
            return true;
        }
    return false;
}

// Section 2.6; no extensions ("?...") are defined. The octets are those that the name of an annotation may have.
static bool
book_name(struct arena *a, struct span list, struct span *out)
{
    struct span rest;
    if (!urn_rest(list, &rest) || !span_istarts(rest, SPAN("addrbook:")))
        return false;
    rest = span_skip(rest, SPAN("addrbook:").n);
    if (rest.n == 0 || rest.n > BOOK_NAME_MAX || !percent_decode(a, rest, out))
        return false;
    for (size_t i = 0; i < out->n; i++)
        if (out->p[i] <= ' ' || out->p[i] > '~' || strchr("*%/?#", out->p[i]))
            return false;
    return true;
}

static enum result
annotation(struct sieve_run *r, const char *place, struct span book, struct span *out)
{
    const struct sieve_world *w = sieve_world(r);
    char entry[BOOK_NAME_MAX + 64];
    if (sieve_work(r, 100) != R_OK)
        return R_FAIL;
    int n = snprintf(entry, sizeof entry, "/%s/vendor/posthorn/addrbook/%.*s", place,
                     SPAN_ARG(book));
    for (int i = 0; i < n; i++)  // names of annotations have no case (RFC 5464 section 3.2)
        entry[i] = ascii_lower(entry[i]);
    return w->metadata ? w->metadata(w->arg, SPAN_NONE, span_of(entry, (size_t)n), out)
                       : R_NONE;
}

// R_NONE: there is no such list. The default one is always there.
static enum result
find_list(struct sieve_run *r, struct span list, struct span *members)
{
    struct span book;
    if (!book_name(sieve_scratch(r), list, &book))
        return R_NONE;
    enum result there = annotation(r, "private", book, members);
    if (there == R_NONE)
        there = annotation(r, "shared", book, members);
    if (there != R_NONE || !span_ieq(book, SPAN("default")))
        return there;
    *members = SPAN("");
    return R_OK;
}

enum result
sieve_list_members(struct sieve_run *r, const struct sieve_call *call, struct span list,
                   struct span *members)
{
    enum result there = find_list(r, list, members);
    if (there != R_NONE)
        return there;
    return sieve_fail(r, call, "there is no list \"%.*s\"",
                      SPAN_ARG(span_slice(list, 0, 60)));
}

// Members are compared without regard to case (section 2.5); ${0} is the one that matched (section 2.2).
static enum result
test(struct sieve_matching *m, struct span value, size_t key, bool *yes)
{
    struct span members, one;
    if (sieve_list_members(m->run, m->call, m->keys[key], &members) != R_OK ||
        sieve_work(m->run, members.n / 8) != R_OK)
        return R_FAIL;
    value = span_trim(value);
    while (!*yes && value.n > 0 && span_next_field(&members, '\n', &one) == R_OK) {
        one = span_trim(one);
        *yes = span_ieq(one, value);
    }
    return *yes ? sieve_captures_set(m, &one, 1) : R_OK;
}

// Section 2.2.
static enum result
check_match(struct sieve_compiler *c, struct sieve_call *call)
{
    if (!call->says_comparator)
        return R_OK;
    return sieve_wrong(c, call->line, call->column, ":list takes no comparator");
}

static enum result
valid_ext_list(struct sieve_run *r, const struct sieve_call *call, bool *yes)
{
    struct span *names, members;
    if (sieve_texts(r, &call->position[0], &names) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < call->position[0].n; i++) {
        enum result there = find_list(r, names[i], &members);
        if (there != R_OK)
            return there == R_NONE ? R_OK : R_FAIL;
    }
    *yes = true;
    return R_OK;
}

static const struct sieve_match match_types[] = {
    {"list", .check = check_match, .test = test}, {0}};
static const struct sieve_tag tags[] = {{"list", .command = "redirect"}, {0}};
static const struct sieve_command commands[] = {
    {"valid_ext_list", SIEVE_TEST, "l", .test = valid_ext_list}, {0}};

const struct sieve_ext sieve_ext_extlists = {.capability = "extlists",
                                             .rfc = "RFC 6134",
                                             .commands = commands,
                                             .tags = tags,
                                             .matches = match_types};
