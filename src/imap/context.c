#include "imap/context.h"
#include "imap/context_order.h"
#include "imap/fetch.h"
#include "imap/language.h"
#include "imap/response.h"

#include "base/limits.h"
#include "base/log.h"
#include "wire/quote.h"

// ---- the contexts of a session ----

static struct imap_context **
context_find(const struct imap_session *s, struct span tag)
{
    struct imap_context **at = s->contexts ? &s->contexts->first : NULL;
    while (at && *at && !span_eq((*at)->tag, tag))
        at = &(*at)->next;
    return at && *at ? at : NULL;
}

static void
context_free(struct imap_context *x)
{
    struct arena *a = x->arena;
    imap_context_order_free(&x->order);
    arena_free(&x->found_arena);
    arena_free(&x->star_arena);
    arena_free(&a);
}

static void
contexts_free(struct imap_session *s)
{
    timer_clear(&s->contexts->timer);
    free(s->contexts);
    s->contexts = NULL;
}

static void
context_drop(struct imap_session *s, struct imap_context **at)
{
    struct imap_context *x = *at;
    *at = x->next;
    context_free(x);
    if (--s->contexts->count == 0)
        contexts_free(s);
}

void
imap_contexts_end(struct imap_session *s)
{
    while (s->contexts)
        context_drop(s, &s->contexts->first);
}

bool
imap_context_has(const struct imap_session *s, struct span tag)
{
    return context_find(s, tag) != NULL;
}

void
imap_context_cancel(struct imap_session *s, struct span tag)
{
    struct imap_context **at = context_find(s, tag);
    if (at)
        context_drop(s, at);
}

// RFC 5267 section 4.3.1.
static void
say_no(struct imap_session *s, struct span tag, const char *why)
{
    struct buf *b = imap_line(s);
    buf_put_str(b, "* NO [NOUPDATE ");
    quote_string(b, tag, false);
    buf_printf(b, "] %s", why);
    imap_line_send(s);
}

void
imap_context_give_up(struct imap_session *s, struct imap_context *x, const char *why)
{
    struct span tag = arena_dup(x->found_arena, x->tag);
    struct arena *keep = x->found_arena;
    x->found_arena = NULL;
    context_drop(s, context_find(s, x->tag));
    say_no(s, tag, why);
    arena_free(&keep);
}

// ---- UPDATE ----

// "(UID BODY[...])" is parsed to see that it is right, and kept as text (RFC 5465 section 7).
static void
parse_items(struct imap_command *c, struct parse *p, struct span *out)
{
    struct imap_fetch fetch = {.count = 0};
    size_t from = p->at;
    imap_fetch_items_parse(c, &fetch);
    if (p->bad)
        return;
    *out = span_slice(p->in, from, p->at);
    if (out->n > LIMIT_context_fetch)
        parse_fail_kind(p, FAULT_LIMIT, "too many FETCH items");
}

// The space before the items is in the examples, and not in the grammar.
static bool
items_follow(struct parse *p)
{
    bool spaced = parse_peek(p) == ' ' && p->at + 1 < p->in.n && p->in.p[p->at + 1] == '(';
    if (spaced)
        parse_sp(p);
    return spaced || parse_peek(p) == '(';
}

void
imap_context_parse(struct imap_command *c, struct parse *p)
{
    struct imap_search *s = c->own;
    struct view_info v;
    if (!c->session->view || context_find(c->session, c->tag)) {
        parse_fail(
            p, "no mailbox is selected, or the tag is that of a search that is followed");
        return;
    }
    if (items_follow(p))
        parse_items(c, p, &s->update);
    view_info(c->session->view, &v);
    s->mark = (struct view_mark){v.modseq, v.uidnext - 1};
}

// ---- the query, as it is asked again ----

// Section 4.3: sequence numbers are those of when the command came.
static enum result
numbers_to_uids(struct view *v, struct query *q, struct arena *a, struct fault *f)
{
    struct seqset here, *uids;
    uint32_t exists = view_exists(v);
    for (struct query *k = q->first; k; k = k->next)
        if (numbers_to_uids(v, k, a, f) != R_OK)
            return R_FAIL;
    if (q->op != QUERY_SEQS)
        return R_OK;
    seqset_init(&here, a);
    for (uint32_t i = 0; i < q->set->count && q->set->ranges[i].first <= exists; i++) {
        struct seqset_range r = q->set->ranges[i];
        seqset_add_range(&here, r.first, r.last < exists ? r.last : exists);
    }
    uids = ARENA_NEW(a, struct seqset);
    if (imap_uids_of(v, &here, false, a, uids, f) != R_OK)
        return R_FAIL;
    q->op = QUERY_UIDS;
    q->set = uids;
    return R_OK;
}

static void
look_for_moving(struct imap_context *x, const struct query *q)
{
    x->ages |= q->age > 0;
    x->has_star |= q->op == QUERY_UIDS && q->text.p;
    for (const struct query *k = q->first; k; k = k->next)
        look_for_moving(x, k);
}

// ---- the beginning ----

static const char *
excess(const struct imap_session *s, uint32_t more_ranges, uint64_t more_sorted)
{
    uint64_t ranges = more_ranges, sorted = more_sorted;
    for (const struct imap_context *x = s->contexts ? s->contexts->first : NULL; x;
         x = x->next) {
        ranges += x->found.count;
        sorted += x->order ? imap_context_order_size(x->order) : 0;
    }
    if (ranges > LIMIT_context_ranges)
        return imap_text(s->language, "Too many ranges to follow");
    return sorted > LIMIT_context_sorted
               ? imap_text(s->language, "Too many sorted messages to follow")
               : NULL;
}

const char *
imap_contexts_excess(const struct imap_session *s)
{
    return excess(s, 0, 0);
}

static const char *
refusal(const struct imap_search *s)
{
    const struct imap_session *session = s->c->session;
    enum language l = session->language;
    if (session->contexts && session->contexts->count >= LIMIT_contexts)
        return imap_text(l, "Too many contexts");
    if (s->looked_up)
        return imap_text(l, "What other mailboxes hold is not followed");
    if (s->c->limited_uid)
        return imap_text(l, "Not all messages were searched");
    return excess(session, s->uids.count, s->sorted ? seqset_size(&s->uids) : 0);
}

// The timer's longest time is shorter than what is waited for may be.
static void
on_due(void *session)
{
    if (imap_contexts_due(session))
        imap_session_poke(session);
    else
        imap_contexts_wait(session);
}

static struct imap_contexts *
contexts_of(struct imap_session *s, const struct view_mark *mark)
{
    if (s->contexts)
        return s->contexts;
    s->contexts = calloc(1, sizeof *s->contexts);
    must(s->contexts != NULL);
    s->contexts->mark = *mark;
    timer_init(&s->contexts->timer, on_due, s);
    return s->contexts;
}

static struct imap_context *
context_new(const struct imap_search *s)
{
    struct arena *a = arena_new_small();
    struct imap_context *x = ARENA_NEW(a, struct imap_context);
    x->arena = a;
    x->tag = arena_dup(a, s->c->tag);
    x->uid = s->c->uid;
    x->query = query_copy(s->query, a);
    x->fetch = s->update.p ? arena_dup(a, s->update) : SPAN_NONE;
    x->found_arena = arena_new_small();
    x->star_arena = arena_new_small();
    seqset_copy(&x->found, x->found_arena, &s->uids);
    look_for_moving(x, x->query);
    return x;
}

static enum result
keep_order(const struct imap_search *s, struct imap_context *x, struct fault *f)
{
    return s->sorted ? imap_context_order_new(s->sorted, x->query, s->order,
                                              seqset_size(&s->uids), &x->order, f)
                     : R_OK;
}

// The end of the list, so that contexts are told in the order they were made.
static void
context_add(struct imap_session *s, const struct imap_search *search,
            struct imap_context *x)
{
    struct imap_contexts *all = contexts_of(s, &search->mark);
    struct imap_context **at = &all->first;
    while (*at)
        at = &(*at)->next;
    *at = x;
    all->count++;
    log_debug("imap", "Following a search", field_text("tag", "tag=%", x->tag),
              log_session(s->id));
}

void
imap_context_refuse(const struct imap_search *s, const char *why)
{
    say_no(s->c->session, s->c->tag, why);
}

void
imap_context_begin(struct imap_search *s)
{
    struct imap_session *session = s->c->session;
    struct fault f;
    const char *no = refusal(s);
    if (no) {
        say_no(session, s->c->tag, no);
        return;
    }
    struct imap_context *x = context_new(s);
    if (keep_order(s, x, &f) == R_OK &&
        numbers_to_uids(session->view, x->query, x->arena, &f) == R_OK &&
        view_star(session->view, true, &x->star, &f) == R_OK) {
        context_add(session, s, x);
        return;
    }
    context_free(x);
    say_no(session, s->c->tag,
           imap_text(session->language, "The search cannot be followed now"));
}
