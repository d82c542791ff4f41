// RFC 5466: FILTERS. The definition takes the place of FILTER and its name in the command, octet by octet, and is read there
// (section 3.1: verbatim), so that NOT and OR before it take its first key; who wants all of them writes parentheses around them.
#include "imap/filters.h"
#include "imap/search.h"

#include "base/limits.h"

// A definition that is being read: it ends where only `rest` octets of the command are left.
struct imap_filter {
    struct imap_filter *up;
    struct span name;
    size_t rest;
};

// ---- definitions ----

static bool
name_good(struct span name)
{
    for (size_t i = 0; i < name.n; i++)
        if (strchr("(){ \"\\]/", name.p[i]))
            return false;
    return name.n > 0;
}

// search-key *(SP search-key), whole and nothing else.
static bool
is_program(struct imap_session *session, struct arena *a, struct span value)
{
    struct imap_command c = {.session = session, .arena = a};
    struct imap_search s = {.c = &c, .filters.form_only = true};
    c.own = &s;
    parse_init(&c.parse, value, a, true);
    do
        (void)imap_search_parse_key(&s, &c.parse);
    while (parse_try(&c.parse, ' '));
    return !c.parse.bad && !s.failed && c.parse.at == value.n;
}

bool
imap_filter_good(struct span program)
{
    struct imap_session *nobody = calloc(1, sizeof *nobody);
    struct arena *a = arena_new();
    must(nobody != NULL);
    bool good = is_program(nobody, a, program);
    arena_free(&a);
    free(nobody);
    return good;
}

static enum result
check_value(const struct imap_command *c, const struct metadata_entry *e, struct span root,
            struct fault *f)
{
    struct span name = span_skip(e->name, root.n);
    if (!span_starts(e->name, root) || !e->value.p)
        return R_OK;
    if (!name_good(name) || !is_program(c->session, c->arena, e->value))
        return fault_set(f, FAULT_CANNOT, "no filter's name, or no search program");
    return R_OK;
}

enum result
imap_filters_check(const struct imap_command *c, const struct metadata_entry *entries,
                   size_t n, struct fault *f)
{
    for (size_t i = 0; i < n; i++)
        if (check_value(c, &entries[i], SPAN("/private/filters/values/"), f) != R_OK ||
            check_value(c, &entries[i], SPAN("/shared/filters/values/"), f) != R_OK)
            return R_FAIL;
    return R_OK;
}

// ---- FILTER ----

static struct span
joined(struct arena *a, struct span x, struct span y)
{
    char *p = arena_alloc(a, x.n + y.n);
    memcpy(p, x.p, x.n);
    memcpy(p + x.n, y.p, y.n);
    return span_of(p, x.n + y.n);
}

static bool
look_up(const struct imap_search *s, const struct metadata_place *place, struct span root,
        struct span name, struct span *out)
{
    struct arena *a = s->c->arena;
    struct metadata_value value;
    struct span entry;
    if (metadata_name(a, joined(a, root, name), false, &entry) != R_OK ||
        metadata_get(place, entry, LIMIT_metadata_value, a, &value) != R_OK)
        return false;
    *out = value.octets;
    return value.octets.p != NULL;
}

// The private one hides the shared one (section 1).
static bool
definition(const struct imap_search *s, struct span name, struct span *out)
{
    struct metadata_place place;
    struct fault f;
    return metadata_place(s->c->session->user, SPAN(""), &place, &f) == R_OK &&
           (look_up(s, &place, SPAN("/private/filters/values/"), name, out) ||
            look_up(s, &place, SPAN("/shared/filters/values/"), name, out));
}

// Is the filter inside of itself, or too deep? Then it counts as one that is not there (section 3.1).
static bool
may_enter(const struct imap_search *s, struct span name)
{
    unsigned depth = 0;
    for (const struct imap_filter *x = s->filters.inside; x; x = x->up, depth++)
        if (span_ieq(x->name, name))
            return false;
    return depth < LIMIT_filter_depth;
}

static void
enter(struct imap_search *s, struct parse *p, struct span name, struct span value)
{
    struct span rest = span_skip(p->in, p->at);
    struct imap_filter *x = ARENA_NEW(s->c->arena, struct imap_filter);
    s->filters.octets += value.n + rest.n;
    if (s->filters.octets > LIMIT_filter_octets) {
        parse_fail_kind(p, FAULT_LIMIT, "filters are too large");
        return;
    }
    *x = (struct imap_filter){s->filters.inside, name, rest.n};
    s->filters.inside = x;
    p->in = joined(s->c->arena, value, rest);
    p->at = 0;
}

static void
fail(struct imap_search *s, enum fault_kind kind, const char *why)
{
    s->failed = fault_set(&s->fault, kind, "%s", why) == R_FAIL;
}

static void
leave_ended(struct imap_search *s, const struct parse *p)
{
    size_t left = p->in.n - p->at;
    while (s->filters.inside && left <= s->filters.inside->rest)
        s->filters.inside = s->filters.inside->up;
}

static void
put_in(struct imap_search *s, struct parse *p, struct query *q, struct span name)
{
    struct span value;
    if (!may_enter(s, name) || !definition(s, name, &value)) {
        if (!s->filters.undefined.p)
            s->filters.undefined = name;
        return;
    }
    if (!is_program(s->c->session, s->c->arena, value)) {
        fail(s, FAULT_CANNOT, "a filter is no search program");
        return;
    }
    enter(s, p, name, value);
    *q = (struct query){.op = QUERY_AND, .first = imap_search_parse_key(s, p)};
}

static void
parse_filter(struct imap_search *s, struct parse *p, struct query *q)
{
    bool charset = s->charset.p || (s->failed && s->fault.kind == FAULT_BADCHARSET);
    parse_sp(p);
    leave_ended(s, p);
    struct span name = parse_atom(p);
    if (p->bad || !name_good(name))
        parse_fail(p, "no filter's name");
    else if (charset)  // section 3.1: filters are in UTF-8
        fail(s, FAULT_FILTERCHARSET, "FILTER in another charset");
    else if (!s->filters.form_only)
        put_in(s, p, q, name);
}

static const struct imap_search_key filter = {QUERY_ALL, false, 0, parse_filter};

static const struct imap_word words[] = {
    {SLOT_SEARCH, "FILTER", 0, {.search = &filter}},
    {0},
};

const struct imap_ext imap_ext_filters = {
    .name = "filters",
    .rfc = "RFC 5466",
    .capability = "FILTERS",
    .words = words,
};
