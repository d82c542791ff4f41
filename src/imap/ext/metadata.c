// RFC 5464: METADATA, named values of mailboxes and of the server.
#include "imap/filters.h"
#include "imap/metadata.h"
#include "imap/notify.h"
#include "imap/response.h"

#include "base/limits.h"
#include "io/task.h"
#include "wire/quote.h"

enum {
    RESPONSE_ENOUGH = 16384
};  // octets after which a response ends and the next one begins

// ---- entries ----

static void
entry_take(struct imap_command *c, bool root, struct span given, struct imap_entry *out)
{
    if (c->parse.bad)
        return;
    out->spelled = given;
    if (metadata_name(c->arena, given, root, &out->name) != R_OK)
        parse_fail(&c->parse, "no entry name");
}

static void
entry_parse(struct imap_command *c, bool root, struct imap_entry *out)
{
    entry_take(c, root, parse_astring(&c->parse), out);
}

void
imap_entries_parse(struct imap_command *c, bool root, bool alone, struct imap_entries *out)
{
    struct parse *p = &c->parse;
    out->p = arena_array(c->arena, LIMIT_metadata_entries, sizeof *out->p);
    if (alone && parse_peek(p) != '(') {
        entry_parse(c, root, &out->p[out->n++]);
        return;
    }
    parse_list_open(p);
    while (parse_list_next(p)) {
        if (out->n == LIMIT_metadata_entries)
            parse_fail_kind(p, FAULT_LIMIT, "too many entries asked for");
        else
            entry_parse(c, root, &out->p[out->n++]);
    }
    if (out->n == 0)
        parse_fail(p, "no entry");
}

// ---- the response ----

// A NUL can travel in a literal8 only.
static void
put_value(struct buf *b, struct span octets, bool utf8)
{
    if (octets.n > 0 && memchr(octets.p, '\0', octets.n)) {
        buf_printf(b, "~{%zu}\r\n", octets.n);
        buf_put(b, octets);
        return;
    }
    quote_nstring(b, octets, utf8);
}

void
imap_metadata_put(struct imap_metadata *m, struct span entry, struct span octets)
{
    struct buf *b = m->open ? &m->session->line : imap_line(m->session);
    if (!m->open) {
        buf_put_str(b, "* METADATA ");
        imap_put_mailbox(m->session, b, m->mailbox);
        buf_put_str(b, " (");
    } else {
        buf_put_char(b, ' ');
    }
    m->open = true;
    quote_astring(b, entry, false);
    buf_put_char(b, ' ');
    put_value(b, octets, imap_utf8(m->session));
    if (b->n >= RESPONSE_ENOUGH)
        imap_metadata_end(m);
}

void
imap_metadata_end(struct imap_metadata *m)
{
    if (!m->open)
        return;
    m->open = false;
    buf_put_char(&m->session->line, ')');
    imap_line_send(m->session);
}

// ---- GETMETADATA ----

enum depth { DEPTH_NONE, DEPTH_0, DEPTH_1, DEPTH_INFINITY };

struct get {
    enum depth depth;
    bool has_max;
    uint32_t max;
    struct imap_entries asked;
    struct metadata_place place;
    struct imap_metadata answer;
    size_t longest;  // of the values left out
    struct arena *arena, *names;
};

static void
option_parse(struct parse *p, struct get *g)
{
    if (parse_try_word(p, "MAXSIZE") && !g->has_max) {
        parse_sp(p);
        g->max = parse_number(p);
        g->has_max = true;
    } else if (parse_try_word(p, "DEPTH") && g->depth == DEPTH_NONE) {
        parse_sp(p);
        struct span depth = parse_atom(p);
        g->depth = span_eq(depth, SPAN("0"))           ? DEPTH_0
                   : span_eq(depth, SPAN("1"))         ? DEPTH_1
                   : span_ieq(depth, SPAN("infinity")) ? DEPTH_INFINITY
                                                       : DEPTH_NONE;
        if (g->depth == DEPTH_NONE)
            parse_fail(p, "depth is 0, 1 or infinity");
    } else {
        parse_fail(p, "unknown option");
    }
}

static void
options_parse(struct parse *p, struct get *g)
{
    parse_list_open(p);
    while (parse_list_next(p))
        option_parse(p, g);
    parse_sp(p);
}

// An entry begins with '/', perhaps in a string; an option with a letter.
static bool
options_follow(const struct parse *p)
{
    return parse_peek(p) == '(' && p->at + 1 < p->in.n &&
           ascii_is_alpha(p->in.p[p->at + 1]);
}

// Options stand before the mailbox in the grammar of section 5 and behind it in the examples of section 4.2.
static void
get_parse(struct imap_command *c, struct get *g)
{
    struct parse *p = &c->parse;
    parse_sp(p);
    if (options_follow(p))
        options_parse(p, g);
    c->name = parse_mailbox(p);
    parse_sp(p);
    if (options_follow(p))
        options_parse(p, g);
    imap_entries_parse(c, g->depth > DEPTH_0, true, &g->asked);
}

// As metadata_get; R_OK also when it is too long.
static enum result
send_entry(struct get *g, struct span name, struct span spelled)
{
    struct metadata_value value;
    arena_reset(g->arena);
    enum result r =
        metadata_get(&g->place, name, g->has_max ? g->max : UINT32_MAX, g->arena, &value);
    if (r != R_OK)
        return r;
    if (value.octets.p)
        imap_metadata_put(&g->answer, spelled, value.octets);
    else if (value.size > g->longest)
        g->longest = value.size;
    return R_OK;
}

// R_NONE: there is none.
static enum result
send_below(struct get *g, const struct imap_entry *e)
{
    struct span *names;
    size_t n;
    enum result any = R_NONE, r = R_NONE;
    arena_reset(g->names);
    if (metadata_below(&g->place, e->name, g->depth == DEPTH_INFINITY, g->names, &names,
                       &n) != R_OK)
        return R_FAIL;
    for (size_t i = 0; r != R_FAIL && i < n; i++) {
        r = send_entry(g, names[i], names[i]);
        any = r == R_NONE ? any : r;
    }
    return any;
}

static enum result
send_asked(struct get *g, const struct imap_entry *e)
{
    enum result r = send_entry(g, e->name, e->spelled), below = R_NONE;
    if (r != R_FAIL && g->depth > DEPTH_0)
        below = send_below(g, e);
    if (r == R_NONE && below == R_NONE)
        imap_metadata_put(&g->answer, e->spelled, SPAN_NONE);
    return r == R_FAIL ? r : below;
}

static enum result
went(struct imap_command *c, struct fault *f)
{
    struct metadata_place place;
    if (metadata_place(c->session->user, c->name, &place, f) != R_OK)
        return R_FAIL;
    return fault_set(f, FAULT_NONEXISTENT, "went meanwhile");
}

static enum result
run_get(struct imap_command *c, struct fault *f)
{
    struct get g = {.depth = DEPTH_NONE};
    get_parse(c, &g);
    if (parse_end(&c->parse, f) != R_OK ||
        metadata_place(c->session->user, c->name, &g.place, f) != R_OK)
        return R_FAIL;
    g.answer = (struct imap_metadata){.session = c->session, .mailbox = c->name};
    g.arena = arena_new();
    g.names = arena_new();
    enum result r = R_NONE;
    for (size_t i = 0; r != R_FAIL && i < g.asked.n; i++) {
        r = send_asked(&g, &g.asked.p[i]);
        task_yield();
    }
    imap_metadata_end(&g.answer);
    arena_free(&g.arena);
    arena_free(&g.names);
    if (r == R_FAIL)
        return went(c, f);
    if (g.longest > 0)
        imap_answer(c, "[METADATA LONGENTRIES %zu] GETMETADATA completed", g.longest);
    return R_OK;
}

// ---- SETMETADATA: literals behind the mailbox are streamed, so that they are refused before they are read ----

struct set {
    struct metadata_entry *entries;
    size_t n;
    size_t octets;  // of the command
};

static enum result
take_literal(struct imap_command *c, struct set *s, size_t max, struct span *out,
             struct fault *f)
{
    uint64_t size = c->has_stream ? c->stream.size : 0;
    if (size <= max)
        s->octets += c->parse.in.n + (size_t)size;
    if (s->octets > LIMIT_command)
        return fault_set(f, FAULT_LIMIT, "too much in one command");
    return imap_stream_collect(c, max, out, f);
}

static bool
literal_follows(const struct parse *p)
{
    return parse_peek(p) == '{' || parse_peek(p) == '~';
}

static enum result
take_name(struct imap_command *c, struct set *s, struct imap_entry *e, struct fault *f)
{
    struct span given = SPAN_NONE;
    if (!literal_follows(&c->parse))
        given = parse_astring(&c->parse);
    else if (take_literal(c, s, LIMIT_metadata_name, &given, f) != R_OK)
        return f->kind == FAULT_TOOBIG ? fault_set(f, FAULT_BAD, "no entry name") : R_FAIL;
    entry_take(c, false, given, e);
    return R_OK;
}

static enum result
take_entry(struct imap_command *c, struct set *s, struct fault *f)
{
    struct metadata_entry *e = &s->entries[s->n];
    struct imap_entry name = {SPAN_NONE, SPAN_NONE};
    if (take_name(c, s, &name, f) != R_OK)
        return R_FAIL;
    parse_sp(&c->parse);
    if (!literal_follows(&c->parse))
        e->value = parse_nstring(&c->parse);
    else if (take_literal(c, s, LIMIT_metadata_value, &e->value, f) != R_OK)
        return R_FAIL;
    e->name = name.name;
    s->n++;
    return R_OK;
}

static enum result
set_parse(struct imap_command *c, struct set *s, struct fault *f)
{
    parse_char(&c->parse, '(');
    do {
        if (s->n == LIMIT_metadata_entries)
            return fault_set(f, FAULT_METADATATOOMANY, "too many entries in one command");
        if (!c->parse.bad && take_entry(c, s, f) != R_OK)
            return R_FAIL;
    } while (parse_try(&c->parse, ' '));
    parse_char(&c->parse, ')');
    return parse_end(&c->parse, f);
}

// RFC 6154 section 5.4: the mailbox that had the special use before.
static void
tell_robbed(struct imap_command *c, struct span mailbox)
{
    struct imap_metadata m = {.session = c->session, .mailbox = mailbox};
    imap_metadata_put(&m, SPAN("/private/specialuse"), SPAN_NONE);
    imap_metadata_end(&m);
}

static enum result
set_entries(struct imap_command *c, struct fault *f)
{
    struct set s = {.octets = 0};
    struct metadata_place place;
    parse_sp(&c->parse);
    c->name = parse_mailbox(&c->parse);
    parse_sp(&c->parse);
    if (c->parse.bad)
        return parse_end(&c->parse, f);
    if (metadata_place(c->session->user, c->name, &place, f) != R_OK)
        return R_FAIL;
    s.entries = arena_array(c->arena, LIMIT_metadata_entries, sizeof *s.entries);
    if (set_parse(c, &s, f) != R_OK)
        return R_FAIL;
    if (place.mailbox == 0 && imap_filters_check(c, s.entries, s.n, f) != R_OK)
        return R_FAIL;
    struct metadata_change change = {.entries = s.entries, .n = s.n};
    if (metadata_set(&place, &change, c->arena, f) != R_OK)
        return R_FAIL;
    if (change.robbed.p)
        tell_robbed(c, change.robbed);
    return R_OK;
}

static enum result
run_set(struct imap_command *c, struct fault *f)
{
    enum result r = set_entries(c, f);
    if (r != R_FAIL || f->kind != FAULT_TOOBIG)
        return r;
    return imap_answer_no(c, f, FAULT_TOOBIG, "[METADATA MAXSIZE %u] Value is too large",
                          LIMIT_metadata_value);
}

// ---- what others change (section 4.4.2) ----

static void
tell(struct imap_session *s, const struct metadata_told *told)
{
    for (size_t i = 0; i < told->n;) {
        struct buf *b = imap_line(s);
        buf_put_str(b, "* METADATA ");
        imap_put_mailbox(s, b, told->mailbox->name);
        for (; i < told->n && b->n < RESPONSE_ENOUGH; i++) {
            buf_put_char(b, ' ');
            quote_astring(b, told->names[i], false);
        }
        imap_line_send(s);
    }
}

static void
on_sync(struct imap_session *s, struct arena *a)
{
    struct metadata_told *told;
    size_t n;
    if (!imap_notify_any_metadata(s)) {
        mail_watch_close(&s->metadata);
        return;
    }
    if (!s->metadata)
        s->metadata = mail_watch_open(s->user, WATCH_METADATA, imap_session_poke, s);
    metadata_watch_take(s->metadata, a, &told, &n);
    for (size_t i = 0; i < n; i++)
        if (imap_notify_metadata(s, told[i].mailbox, a))
            tell(s, &told[i]);
}

static void
on_end(struct imap_session *s)
{
    mail_watch_close(&s->metadata);
}

static const struct imap_verb verbs[] = {
    {"GETMETADATA", ARGS_OWN, IMAP_ANY, VERB_READS, 0, run_get},
    {"SETMETADATA", ARGS_OWN, IMAP_ANY, 0, 0, run_set},
    {.name = NULL},
};

const struct imap_ext imap_ext_metadata = {
    .name = "metadata",
    .rfc = "RFC 5464",
    .capability = "METADATA",
    .enable = "METADATA",
    .enable_bits = ENABLE_METADATA,
    .verbs = verbs,
    .on_sync = on_sync,
    .on_end = on_end,
};
