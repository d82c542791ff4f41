// LIST and LSUB: RFC 9051 section 6.3.9, RFC 3501 section 6.3.9, RFC 5258, RFC 3348.
#include "imap/list.h"
#include "imap/response.h"

#include "base/arena_grow.h"
#include "base/limits.h"
#include "io/task.h"
#include "mail/name.h"
#include "wire/quote.h"

enum { YIELD_EVERY = 256 };

// A name of the tree, or a level that no mailbox stands for (then `entry` says so).
struct item {
    struct tree_entry *entry;
    size_t parent;      // index + 1; 0 at the root
    bool matches;       // a pattern
    bool selected;      // by the selection options
    bool below;         // a descendant is selected
    bool below_hidden;  // and does not match a pattern: the client learns of it only here
};

struct items {
    struct item *p;
    size_t n, room;
};

// ---- the answer ----

static void
put_attribute(struct buf *b, const char *text)
{
    imap_put_word(b, span_str(text));
}

// The list stays open: ')' is the caller's.
static void
open_attributes(struct buf *b, const struct tree_entry *e, bool subscribed, bool lsub)
{
    buf_put_char(b, '(');
    if (e->nonexistent && !lsub)
        put_attribute(b, "\\NonExistent");
    else if (e->noselect || e->nonexistent)
        put_attribute(b, "\\Noselect");
    if (e->no_access)
        put_attribute(b, "\\NoAccess");
    if (subscribed && e->subscribed)
        put_attribute(b, "\\Subscribed");
    put_attribute(b, e->has_children ? "\\HasChildren" : "\\HasNoChildren");
    if (e->special_use != USE_NONE)  // always, QUIRKS.md: iPhone, Outlook 2013
        put_attribute(b, special_use_text(e->special_use));
}

static void
put_attributes(struct buf *b, const struct tree_entry *e, bool subscribed, bool lsub)
{
    open_attributes(b, e, subscribed, lsub);
    buf_put_char(b, ')');
}

// XLIST came before RFC 6154: INBOX has an attribute, and some uses had other names.
static void
put_xlist(struct buf *b, const struct tree_entry *e)
{
    if (span_eq(e->name, SPAN("INBOX")))
        put_attribute(b, "\\Inbox");
    else if (e->special_use == USE_ALL)
        put_attribute(b, "\\AllMail");
    else if (e->special_use == USE_JUNK)
        put_attribute(b, "\\Spam");
    else if (e->special_use == USE_FLAGGED)
        put_attribute(b, "\\Starred");
}

void
imap_list_send(struct imap_session *s, const struct tree_entry *e, struct span spelled)
{
    struct buf *b = imap_line(s);
    buf_put_str(b, "* LIST ");
    put_attributes(b, e, true, false);
    buf_put_str(b, " \"/\" ");
    imap_put_mailbox(s, b, e->name);
    if (!span_eq(spelled, e->name)) {
        buf_put_str(b, " (\"OLDNAME\" (");
        imap_put_mailbox(s, b, spelled);
        buf_put_str(b, "))");
    }
    imap_line_send(s);
}

// ("CHILDINFO" ("SUBSCRIBED")): the criteria that children meet, RFC 9051 section 6.3.9.6.
static void
put_childinfo(struct buf *b, const struct imap_list *l)
{
    buf_put_str(b, " (\"CHILDINFO\" (");
    bool first = true;
    for (unsigned i = 0; i < l->select_count; i++) {
        if (!l->selects[i]->as.list->selects)
            continue;
        buf_printf(b, "%s\"%s\"", first ? "" : " ", l->selects[i]->name);
        first = false;
    }
    buf_put_str(b, "))");
}

// ---- arguments ----

static void
option_parse(struct imap_command *c, enum imap_slot slot, const struct imap_word **words,
             unsigned *count)
{
    struct parse *p = &c->parse;
    struct imap_list *l = c->own;
    const struct imap_word *w = imap_word_find(slot, parse_word(p));
    if (!w) {
        parse_fail(p, "unknown LIST option");
        return;
    }
    l->modes |= w->value;
    if (w->as.list->parse)
        w->as.list->parse(c, p);
    for (unsigned i = 0; i < *count; i++)
        if (words[i] == w)
            return;
    if (*count == LIST_OPTIONS_MAX)
        parse_fail(p, "too many LIST options");
    else
        words[(*count)++] = w;
}

static bool
selects_by_itself(const struct imap_list *l)
{
    for (unsigned i = 0; i < l->select_count; i++)
        if (l->selects[i]->as.list->selects)
            return true;
    return false;
}

static void
selection_parse(struct imap_command *c, struct imap_list *l)
{
    struct parse *p = &c->parse;
    if (parse_peek(p) != '(')
        return;
    l->extended = true;
    parse_list_open(p);
    while (parse_list_next(p))
        option_parse(c, SLOT_LIST_SELECT, l->selects, &l->select_count);
    if ((l->modes & LIST_RECURSIVE) && !selects_by_itself(l))
        parse_fail(p, "RECURSIVEMATCH alone");
    parse_sp(p);
}

// The reference is put before the pattern; a pattern too long for any name matches nothing.
static void
pattern_parse(struct imap_command *c, struct imap_list *l)
{
    struct span text = parse_list_mailbox(&c->parse);
    if (c->parse.bad)
        return;
    if (l->pattern_count == LIMIT_list_patterns) {
        parse_fail_kind(&c->parse, FAULT_LIMIT, "too many patterns");
        return;
    }
    struct buf whole;
    buf_init(&whole, LIMIT_command * 2);
    buf_put(&whole, l->reference);
    buf_put(&whole, text);
    l->empty_pattern = text.n == 0;
    struct list_pattern *pattern =
        list_pattern_new(c->arena, name_compose(c->arena, buf_span(&whole)));
    if (pattern && text.n > 0)
        l->patterns[l->pattern_count++] = pattern;
    if (pattern && span_ends(text, SPAN("%")))
        l->levels[l->level_count++] = pattern;
    buf_done(&whole);
}

static void
patterns_parse(struct imap_command *c, struct imap_list *l)
{
    struct parse *p = &c->parse;
    l->patterns = arena_array(c->arena, LIMIT_list_patterns, sizeof *l->patterns);
    l->levels = arena_array(c->arena, LIMIT_list_patterns, sizeof *l->levels);
    if (l->lsub || parse_peek(p) != '(') {
        pattern_parse(c, l);
        return;
    }
    l->extended = true;
    parse_list_open(p);
    while (parse_list_next(p))
        pattern_parse(c, l);
}

static void
returns_parse(struct imap_command *c, struct imap_list *l)
{
    struct parse *p = &c->parse;
    if (l->lsub || !parse_try(p, ' '))
        return;
    l->extended = true;
    if (!parse_try_word(p, "RETURN"))
        parse_fail(p, "RETURN expected");
    parse_sp(p);
    parse_list_open(p);
    while (parse_list_next(p))
        option_parse(c, SLOT_LIST_RETURN, l->returns, &l->return_count);
}

static enum result
args_parse(struct imap_command *c, struct imap_list *l, struct fault *f)
{
    struct parse *p = &c->parse;
    parse_sp(p);
    if (!l->lsub)
        selection_parse(c, l);
    l->reference = parse_list_mailbox(p);
    parse_sp(p);
    patterns_parse(c, l);
    returns_parse(c, l);
    return parse_end(p, f);
}

// ---- which names ----

static bool
is_below(struct span name, struct span parent)
{
    return name.n > parent.n && span_within(name, parent);
}

static void
push(struct items *list, struct arena *a, struct tree_entry *e, size_t parent)
{
    list->p = arena_grow(a, list->p, list->n, &list->room, sizeof *list->p);
    list->p[list->n++] = (struct item){.entry = e, .parent = parent};
}

// Appends the levels between `parent` and e that the tree does not have, then e.
static void
push_with_levels(struct items *list, struct arena *a, struct tree_entry *e, size_t parent)
{
    size_t from = parent ? list->p[parent - 1].entry->name.n + 1 : 0;
    for (size_t i = from; i < e->name.n; i++) {
        if (e->name.p[i] != '/')
            continue;
        struct tree_entry *level = ARENA_NEW(a, struct tree_entry);
        level->name = span_of(e->name.p, i);
        level->nonexistent = level->has_children = true;
        push(list, a, level, parent);
        parent = list->n;
    }
    push(list, a, e, parent);
}

// The tree in its order, each name knowing its parent.
static void
items_make(struct items *list, struct arena *a, struct tree_entry *entries, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t parent = list->n;
        while (parent && !is_below(entries[i].name, list->p[parent - 1].entry->name))
            parent = list->p[parent - 1].parent;
        push_with_levels(list, a, &entries[i], parent);
    }
}

static bool
is_selected(const struct imap_list *l, const struct tree_entry *e)
{
    if (l->lsub)
        return e->subscribed;
    if (e->nonexistent && !(l->modes & LIST_SUBSCRIBED))
        return false;
    for (unsigned i = 0; i < l->select_count; i++)
        if (l->selects[i]->as.list->selects && !l->selects[i]->as.list->selects(e))
            return false;
    return true;
}

static bool
is_matched(const struct imap_list *l, struct span name)
{
    for (unsigned i = 0; i < l->pattern_count; i++)
        if (list_pattern_match(l->patterns[i], name))
            return true;
    return false;
}

static bool
matches_level(const struct imap_list *l, struct span name)
{
    for (unsigned i = 0; i < l->level_count; i++)
        if (list_pattern_match(l->levels[i], name))
            return true;
    return false;
}

static void
items_select(struct items *list, const struct imap_list *l)
{
    for (size_t i = 0; i < list->n; i++) {
        struct item *it = &list->p[i];
        it->selected = is_selected(l, it->entry);
        it->matches = is_matched(l, it->entry->name);
        if (i % YIELD_EVERY == 0)
            task_yield();
    }
    for (size_t i = list->n; i-- > 0;) {
        struct item *it = &list->p[i];
        if (!it->parent)
            continue;
        struct item *up = &list->p[it->parent - 1];
        up->below |= it->below || it->selected;
        up->below_hidden |= it->below_hidden || (it->selected && !it->matches);
    }
}

// ---- LIST ----

static enum result
send_returns(struct imap_command *c, const struct imap_list *l, const struct tree_entry *e,
             struct fault *f)
{
    for (unsigned i = 0; i < l->return_count; i++) {
        const struct imap_list_option *o = l->returns[i]->as.list;
        if (o->put && o->put(c, e, f) != R_OK)
            return R_FAIL;
    }
    return R_OK;
}

// RFC 9051 section 6.3.9: with "%" at its end a pattern also matches levels without a mailbox, or with one that may not be
// looked up.
static bool
is_level(const struct imap_list *l, const struct item *it)
{
    return it->below && it->entry->nonexistent && l->select_count == 0 &&
           matches_level(l, it->entry->name);
}

// RFC 9051 section 6.3.9.3: a name is told when it is selected, or when a hidden descendant is.
static enum result
send_item(struct imap_command *c, const struct imap_list *l, const struct item *it,
          struct fault *f)
{
    struct tree_entry e = *it->entry;
    bool recursive = (l->modes & LIST_RECURSIVE) != 0;
    if (!it->matches ||
        !(it->selected || is_level(l, it) || (recursive && it->below_hidden)))
        return R_OK;
    // RFC 9051 section 6.3.9.2: what STATUS cannot be told of is shown as not selectable.
    if ((l->modes & LIST_NEEDS_READ) && !(e.rights & RIGHT_READ) && !e.nonexistent)
        e.noselect = true;
    struct buf *b = imap_line(c->session);
    buf_printf(b, "* %s ", c->verb->name);
    open_attributes(b, &e, l->modes & (LIST_SUBSCRIBED | LIST_TELL_SUBSCRIBED), false);
    if (l->xlist)
        put_xlist(b, &e);
    buf_put_str(b, ") \"/\" ");
    imap_put_mailbox(c->session, b, e.name);
    if (recursive && it->below)
        put_childinfo(b, l);
    imap_line_send(c->session);
    return it->selected ? send_returns(c, l, &e, f) : R_OK;
}

// LIST "" "": the separator and the root, RFC 9051 section 6.3.9.
static void
send_root(struct imap_command *c, const struct imap_list *l)
{
    struct buf *b = imap_line(c->session);
    size_t level = span_find_char(l->reference, '/');
    buf_printf(b, "* %s (\\Noselect) \"/\" ", c->verb->name);
    imap_put_mailbox(c->session, b,
                     level < l->reference.n && level == 0 ? SPAN("/") : SPAN(""));
    imap_line_send(c->session);
}

static enum result
list_items(struct imap_command *c, const struct imap_list *l, struct items *list,
           struct fault *f)
{
    struct tree_entry *entries;
    size_t n;
    if (tree_list(c->session->user, c->arena, &entries, &n, f) != R_OK)
        return R_FAIL;
    items_make(list, c->arena, entries, n);
    items_select(list, l);
    return R_OK;
}

static enum result
run_list(struct imap_command *c, struct fault *f)
{
    struct imap_list l = {.xlist = span_eq(span_str(c->verb->name), SPAN("XLIST"))};
    struct items list = {.n = 0};
    c->own = &l;
    if (args_parse(c, &l, f) != R_OK)
        return R_FAIL;
    if (l.empty_pattern && !l.extended) {
        send_root(c, &l);
        return R_OK;
    }
    if (list_items(c, &l, &list, f) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < list.n; i++) {
        if (send_item(c, &l, &list.p[i], f) != R_OK)
            return R_FAIL;
        if (i % YIELD_EVERY == 0)
            task_yield();
    }
    return R_OK;
}

// ---- LSUB ----

// RFC 3501 section 6.3.9: with "%" a level above subscribed names is told as \Noselect.
static void
send_lsub(struct imap_command *c, const struct imap_list *l, const struct item *it)
{
    struct tree_entry e = *it->entry;
    bool level = it->below_hidden && !it->selected && matches_level(l, it->entry->name);
    if (!it->matches || !(it->selected || level))
        return;
    e.noselect |= level;
    struct buf *b = imap_line(c->session);
    buf_put_str(b, "* LSUB ");
    put_attributes(b, &e, false, true);
    buf_put_str(b, " \"/\" ");
    imap_put_mailbox(c->session, b, e.name);
    imap_line_send(c->session);
}

static enum result
run_lsub(struct imap_command *c, struct fault *f)
{
    struct imap_list l = {.lsub = true};
    struct items list = {.n = 0};
    c->own = &l;
    if (args_parse(c, &l, f) != R_OK)
        return R_FAIL;
    if (l.empty_pattern) {
        send_root(c, &l);
        return R_OK;
    }
    if (list_items(c, &l, &list, f) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < list.n; i++) {
        send_lsub(c, &l, &list.p[i]);
        if (i % YIELD_EVERY == 0)
            task_yield();
    }
    return R_OK;
}

static bool
is_subscribed(const struct tree_entry *e)
{
    return e->subscribed;
}

static const struct imap_verb verbs[] = {
    {"LIST", ARGS_OWN, IMAP_ANY, VERB_READS, 0, run_list},
    {"XLIST", ARGS_OWN, IMAP_ANY, VERB_READS, 0, run_list},
    {"LSUB", ARGS_OWN, IMAP_ANY, VERB_READS, 0, run_lsub},
    {.name = NULL},
};

static const struct imap_list_option subscribed = {.selects = is_subscribed};
static const struct imap_list_option plain = {.selects = NULL};

static const struct imap_word words[] = {
    {SLOT_LIST_SELECT, "SUBSCRIBED", LIST_SUBSCRIBED, {.list = &subscribed}},
    {SLOT_LIST_SELECT, "REMOTE", LIST_REMOTE, {.list = &plain}},
    {SLOT_LIST_SELECT, "RECURSIVEMATCH", LIST_RECURSIVE, {.list = &plain}},
    {SLOT_LIST_RETURN, "SUBSCRIBED", LIST_TELL_SUBSCRIBED, {.list = &plain}},
    {SLOT_LIST_RETURN, "CHILDREN", 0, {.list = &plain}},  // always returned
    {.name = NULL},
};

const struct imap_ext imap_ext_list = {
    .name = "list",
    .rfc = "RFC 5258, RFC 3348",
    .capability = "LIST-EXTENDED CHILDREN",
    .verbs = verbs,
    .words = words,
};
