// RFC 7377: ESEARCH, one search of many mailboxes.
#include "imap/context.h"
#include "imap/language.h"
#include "imap/messagelimit.h"
#include "imap/scope.h"

#include "base/arena_grow.h"
#include "base/limits.h"
#include "io/task.h"

enum { YIELD_EVERY = 256 };

struct place {
    uint64_t mailbox;
    uint32_t messages;
};

struct multi {
    struct imap_search search;
    struct imap_scope *scopes;
    size_t scope_count, scope_room;
    struct imap_scope_size size;
    bool selected;  // the selected mailbox is among the sources
    bool searched;  // it was searched
    struct place *places;
    size_t n;
    struct imap_search_source source;  // the place that is searched
};

// ---- arguments ----

static void
parse_source(struct imap_command *c, struct multi *m)
{
    struct span word = parse_atom(&c->parse);
    imap_scope_charge(c, &m->size, 1, 0);
    if (c->parse.bad)
        return;
    if (span_ieq(word, SPAN("SELECTED"))) {
        m->selected = true;
        return;
    }
    m->scopes =
        arena_grow(c->arena, m->scopes, m->scope_count, &m->scope_room, sizeof *m->scopes);
    imap_scope_parse(c, word, c->arena, &m->size, &m->scopes[m->scope_count++]);
}

// No scope options are defined, so that what stands in parentheses behind the sources is wrong.
static void
parse_sources(struct imap_command *c, struct multi *m)
{
    struct parse *p = &c->parse;
    parse_sp(p);
    parse_char(p, '(');
    do
        parse_source(c, m);
    while (parse_try(p, ' '));
    parse_char(p, ')');
    parse_sp(p);
}

// Section 2.2: SAVE is of the selected mailbox alone, and so is "$" (RFC 5182).
static enum result
sources_fit(struct multi *m, struct fault *f)
{
    const struct imap_search *s = &m->search;
    bool others = m->scope_count > 0;
    if (m->selected && !s->c->session->view)
        return fault_set(f, FAULT_CLIENTBUG, "no mailbox is selected");
    if (others && (s->returns & RETURN_SAVE))
        return fault_set(f, FAULT_BAD, "SAVE of other mailboxes");
    if (others && s->asked.uses_saved)
        return fault_set(f, FAULT_BAD, "\"$\" of other mailboxes");
    return R_OK;
}

static enum result
parse_esearch(struct multi *m, struct fault *f)
{
    struct imap_search *s = &m->search;
    struct parse *p = &s->c->parse;
    parse_sp(p);
    if (parse_try_word(p, "IN"))
        parse_sources(s->c, m);
    else
        m->selected = true;
    if (imap_search_parse_arguments(s, p, f) != R_OK)
        return R_FAIL;
    return sources_fit(m, f);
}

// ---- which mailboxes ----

static bool
covers(const struct multi *m, const struct tree_entry *e, struct arena *a)
{
    const struct imap_session *s = m->search.c->session;
    struct span name = mail_name_canonical(a, e->name);
    if (m->selected && imap_is_selected(s, e->mailbox))
        return true;
    for (size_t i = 0; i < m->scope_count; i++)
        if (imap_scope_covers(&m->scopes[i], e, name))
            return true;
    return false;
}

static void
place_add(struct multi *m, uint64_t mailbox, uint32_t messages)
{
    m->places[m->n++] = (struct place){mailbox, messages};
    m->search.mailboxes.goal += messages;
}

// Where nothing may be read, nothing is found (section 2.2). The session may still see what others removed.
static bool
may_search(const struct multi *m, const struct tree_entry *e)
{
    bool may = !e->noselect && !e->nonexistent && (e->rights & RIGHT_READ);
    return may &&
           (e->counts.exists > 0 || imap_is_selected(m->search.c->session, e->mailbox));
}

static enum result
list_places(struct multi *m, struct arena *a, struct fault *f)
{
    struct imap_command *c = m->search.c;
    struct tree_entry *entries;
    size_t n;
    if (tree_list(c->session->user, a, &entries, &n, f) != R_OK)
        return R_FAIL;
    m->places = arena_array(c->arena, n, sizeof *m->places);
    for (size_t i = 0; i < n; i++) {
        const struct tree_entry *e = &entries[i];
        if (may_search(m, e) && covers(m, e, a))
            place_add(m, e->mailbox, e->counts.exists);
        if (i % YIELD_EVERY == 0)
            task_yield();
    }
    if (m->n > LIMIT_multisearch_mailboxes)
        return fault_set(f, FAULT_LIMIT, "%zu mailboxes to be searched", m->n);
    return imap_limit_page(c, m->search.mailboxes.goal, f);
}

static enum result
choose_places(struct multi *m, struct fault *f)
{
    const struct imap_search *s = &m->search;
    struct view_info v;
    if (m->scope_count > 0) {
        struct arena *a = arena_new();
        enum result r = list_places(m, a, f);
        arena_free(&a);
        return r;
    }
    view_info(s->c->session->view, &v);
    m->places = arena_array(s->c->arena, 1, sizeof *m->places);
    m->places[m->n++] = (struct place){v.mailbox, v.exists};
    return R_OK;
}

// ---- one after the other ----

// The mailbox under the name that it has now. R_NONE: it is gone, or may not be read any more.
static enum result
locate(struct multi *m, uint64_t mailbox, struct mailbox_ref *ref, struct fault *f)
{
    struct imap_search *s = &m->search;
    struct mail_user *user = s->c->session->user;
    struct tree_entry e;
    do {
        tree_find_id(user, s->arena, mailbox, &e);
        if (e.nonexistent)
            return R_NONE;
        if (mail_access(user, e.name, RIGHT_READ, ref, f) != R_OK)
            return f->kind == FAULT_NONEXISTENT || f->kind == FAULT_NOPERM ? R_NONE
                                                                           : R_FAIL;
    } while (ref->mailbox != mailbox);  // another one got its name just now
    m->source.name = e.name;
    return R_OK;
}

// The selected mailbox is searched as its session sees it.
static enum result
search_view(struct multi *m, const struct mailbox_ref *ref, struct fault *f)
{
    struct imap_search *s = &m->search;
    struct imap_session *session = s->c->session;
    struct view *own = NULL, *v = session->view;
    s->mailboxes.elsewhere = !imap_is_selected(session, ref->mailbox);
    m->searched |= !s->mailboxes.elsewhere;
    if (s->mailboxes.elsewhere) {
        if (view_open(ref, true, NULL, NULL, &own, f) != R_OK)
            return f->kind == FAULT_NONEXISTENT ? R_NONE : R_FAIL;
        v = own;
    }
    struct view_info info;
    view_info(v, &info);
    m->source.uidvalidity = info.uidvalidity;
    enum result r = imap_search_find_in(s, v, f);
    if (r == R_FAIL && own && view_gone(own) && f->kind != FAULT_CLOSED)
        r = R_NONE;
    view_close(&own);
    return r;
}

static enum result
search_place(struct multi *m, const struct place *p, struct fault *f)
{
    struct imap_search *s = &m->search;
    struct mailbox_ref ref;
    enum result r = locate(m, p->mailbox, &ref, f);
    if (r == R_OK)
        r = search_view(m, &ref, f);
    if (r == R_NONE && (s->returns & RETURN_SAVE))
        r = fault_set(f, FAULT_NONEXISTENT, "the selected mailbox is gone");
    return r == R_NONE ? R_OK : imap_search_answer(s, r, NULL, f);
}

static enum result
search_places(struct multi *m, struct fault *f)
{
    struct imap_search *s = &m->search;
    enum result r = R_OK;
    s->arena = arena_new();
    for (size_t i = 0; r == R_OK && i < m->n; i++) {
        arena_reset(s->arena);
        r = search_place(m, &m->places[i], f);
        s->mailboxes.done += m->places[i].messages;
        task_yield();
    }
    imap_search_done(s);
    arena_free(&s->arena);
    // section 2.2: only the selected mailbox is followed
    if (r == R_OK && (s->returns & RETURN_UPDATE) && !m->searched)
        imap_context_refuse(
            s, imap_text(s->c->session->language, "The selected mailbox was not searched"));
    return r;
}

static enum result
esearch(struct multi *m, struct fault *f)
{
    if (parse_esearch(m, f) != R_OK)
        return imap_search_answer(&m->search, R_FAIL, NULL, f);
    imap_condstore_aware(m->search.c);
    if (choose_places(m, f) != R_OK)
        return R_FAIL;
    return search_places(m, f);
}

// The answer has UIDs, whatever the command's form (section 2.1).
static enum result
esearch_run(struct imap_command *c, struct fault *f)
{
    struct multi m = {.search.c = c, .size.over = FAULT_LIMIT};
    bool uid = c->uid;
    m.search.mailboxes.source = &m.source;
    c->own = &m.search;
    c->uid = true;
    enum result r = esearch(&m, f);
    c->uid = uid;
    return r;
}

// The grammar has no UID ESEARCH, the examples of section 2 do.
static const struct imap_verb verbs[] = {
    {"ESEARCH", ARGS_OWN, IMAP_ANY, VERB_READS, 0, esearch_run},
    {"ESEARCH", ARGS_OWN, IMAP_ANY, VERB_ONLY_UID | VERB_READS, 0, esearch_run},
    {.name = NULL},
};

const struct imap_ext imap_ext_multisearch = {
    .name = "multisearch",
    .rfc = "RFC 7377",
    .capability = "MULTISEARCH",
    .verbs = verbs,
};
