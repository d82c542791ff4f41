// The grammar of NOTIFY: RFC 5465 section 8. Its examples leave the parentheses around events out; both are taken.
#include "imap/notify.h"

#include "base/arena_grow.h"
#include "imap/fetch.h"

static const struct {
    const char *name;
    enum imap_event event;
} events[] = {
    {"MESSAGENEW", EVENT_NEW},
    {"MESSAGEEXPUNGE", EVENT_EXPUNGE},
    {"FLAGCHANGE", EVENT_FLAGS},
    {"ANNOTATIONCHANGE", EVENT_ANNOTATION},
    {"MAILBOXNAME", EVENT_NAME},
    {"SUBSCRIPTIONCHANGE", EVENT_SUBSCRIPTION},
    {"MAILBOXMETADATACHANGE", EVENT_METADATA},
    {"SERVERMETADATACHANGE", EVENT_SERVER_METADATA},
};

static enum imap_event
event_from(struct span name)
{
    for (size_t i = 0; i < sizeof events / sizeof *events; i++)
        if (span_ieq(name, span_str(events[i].name)))
            return events[i].event;
    return EVENT_UNKNOWN;
}

// "(uid flags)" is parsed to see that it is right, and kept as text.
static void
fetch_parse(struct imap_command *c, struct imap_wish *w)
{
    struct parse *p = &c->parse;
    struct imap_fetch fetch = {.count = 0};
    size_t from = p->at;
    imap_fetch_items_parse(c, &fetch);
    if (p->bad)
        return;
    struct span text = span_slice(p->in, from, p->at);
    imap_scope_charge(c, &w->size, 0, text.n);
    if (!p->bad)
        w->fetch = arena_dup(w->arena, text);
}

static unsigned
event_parse(struct imap_command *c, struct imap_wish *w, bool selected)
{
    struct parse *p = &c->parse;
    enum imap_event event = event_from(parse_atom(p));
    bool fetch = event == EVENT_NEW && parse_peek(p) == ' ' && p->at + 1 < p->in.n &&
                 p->in.p[p->at + 1] == '(';
    if (!fetch)
        return event;
    parse_sp(p);
    if (!selected)
        parse_fail(p, "FETCH items of mailboxes that are not selected");
    fetch_parse(c, w);
    return event;
}

// New messages and expunges go together, and with changes of flags (section 5).
static bool
events_fit(unsigned all, bool selected)
{
    bool both = (all & EVENT_NEW) && (all & EVENT_EXPUNGE);
    if ((all & (EVENT_MESSAGES | EVENT_ANNOTATION)) && !both)
        return false;
    return !selected || (all & (EVENT_NAME | EVENT_SUBSCRIPTION | EVENT_METADATA |
                                EVENT_SERVER_METADATA)) == 0;
}

static unsigned
events_parse(struct imap_command *c, struct imap_wish *w, bool selected)
{
    struct parse *p = &c->parse;
    unsigned all = 0;
    parse_sp(p);
    if (parse_try_word(p, "NONE"))
        return 0;
    bool list = parse_try(p, '(');
    do
        all |= event_parse(c, w, selected);
    while (parse_try(p, ' '));
    if (list)
        parse_char(p, ')');
    if (!events_fit(all, selected))
        parse_fail(p, "these events do not go together");
    return all;
}

static struct imap_notify_group *
group_add(struct imap_wish *w)
{
    w->groups =
        arena_grow(w->arena, w->groups, w->group_count, &w->group_room, sizeof *w->groups);
    return &w->groups[w->group_count++];
}

static void
selected_parse(struct imap_command *c, struct imap_wish *w, bool delayed)
{
    if (w->has_selected)
        parse_fail(&c->parse, "SELECTED or SELECTED-DELAYED, and once");
    w->has_selected = true;
    w->delayed = delayed;
    w->selected = events_parse(c, w, true);
}

static void
other_parse(struct imap_command *c, struct imap_wish *w, struct span scope)
{
    struct imap_notify_group *g = group_add(w);
    imap_scope_parse(c, scope, w->arena, &w->size, &g->scope);
    if (g->scope.kind == SCOPE_SUBTREE_ONE)
        parse_fail(&c->parse, "SUBTREE-ONE is for ESEARCH");
    g->events = events_parse(c, w, false);
    w->events |= g->events;
}

static void
group_parse(struct imap_command *c, struct imap_wish *w)
{
    struct parse *p = &c->parse;
    imap_scope_charge(c, &w->size, 1, 0);
    parse_char(p, '(');
    struct span scope = parse_atom(p);
    if (p->bad)
        return;
    if (span_ieq(scope, SPAN("SELECTED")) || span_ieq(scope, SPAN("SELECTED-DELAYED")))
        selected_parse(c, w, scope.n > 8);
    else
        other_parse(c, w, scope);
    parse_char(p, ')');
}

void
imap_notify_parse(struct imap_command *c, struct imap_wish *w)
{
    struct parse *p = &c->parse;
    w->size.over = FAULT_NOTIFYOVERFLOW;
    parse_sp(p);
    if (parse_try_word(p, "NONE"))
        return;
    if (!parse_try_word(p, "SET"))
        parse_fail(p, "SET or NONE expected");
    w->set = true;
    parse_sp(p);
    w->status = parse_try_word(p, "STATUS");
    if (w->status)
        parse_sp(p);
    do
        group_parse(c, w);
    while (parse_try(p, ' '));
}
