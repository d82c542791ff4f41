#include "pull/session.h"

#include "base/limits.h"
#include "base/quoted.h"
#include "base/utf8.h"
#include "wire/mutf7.h"

// ---- namespaces ----

static struct words
keep(struct session *s, const struct words *w)
{
    struct words kept = {arena_array(s->arena, w->n + 1, sizeof *kept.items), w->n,
                         w->n + 1};
    for (size_t i = 0; i < w->n; i++)
        kept.items[i] = arena_dup(s->arena, w->items[i]);
    return kept;
}

// Of several the first is the one that is meant by INBOX, unless one is that of all names.
static enum result
on_namespace(struct session *s, void *arg, struct fault *f)
{
    const struct response *r = &s->response;
    (void)arg, (void)f;
    if (r->kind != RESPONSE_NAMESPACE)
        return R_OK;
    s->own = keep(s, &r->own);
    s->others = keep(s, &r->others);
    s->prefix = s->own.n > 0 ? s->own.items[0] : SPAN("");
    for (size_t i = 0; i < s->own.n; i++)
        if (s->own.items[i].n == 0)
            s->prefix = SPAN("");
    return R_OK;
}

// Mailboxes of others, and shared ones, are not this user's mail.
static bool
is_own(const struct session *s, struct span raw)
{
    for (size_t i = 0; i < s->others.n; i++)
        if (s->others.items[i].n > 0 && span_starts(raw, s->others.items[i]))
            return false;
    for (size_t i = 0; i < s->own.n; i++)
        if (span_starts(raw, s->own.items[i]))
            return true;
    return s->own.n == 0 || span_ieq(raw, SPAN("INBOX"));
}

// ---- names ----

// UTF-8, also of a server that does not know better than to send it.
static enum result
decode(struct session *s, struct span raw, struct span *out)
{
    struct buf b;
    struct fault why;
    buf_init(&b, LIMIT_mailbox_name * 4);
    if (mutf7_to_utf8(raw, &b, &why) != R_OK) {
        buf_reset(&b);
        buf_put(&b, raw);
    }
    bool good = !b.over && b.n > 0 && utf8_valid(buf_span(&b));
    if (good)
        *out = arena_dup(s->arena, buf_span(&b));
    buf_done(&b);
    return good ? R_OK : R_FAIL;
}

// As it is called here: levels separated by '/'. A '/' inside of a level becomes U+2215, which looks the same and which
// nobody types, so that no other name becomes the same.
static struct span
translate(struct session *s, struct span there, char delimiter, bool *altered_out)
{
    struct buf b;
    buf_init(&b, there.n * 3 + 1);
    for (size_t i = 0; i < there.n; i++) {
        if (there.p[i] == delimiter)
            buf_put_char(&b, '/');
        else if (there.p[i] == '/')
            buf_put_str(&b, "\u2215");
        else
            buf_put_char(&b, there.p[i]);
        *altered_out |= there.p[i] == '/' && there.p[i] != delimiter;
    }
    struct span name = arena_dup(s->arena, buf_span(&b));
    buf_done(&b);
    return span_ieq(name, SPAN("INBOX")) ? SPAN("INBOX") : name;
}

enum result
session_name(struct session *s, struct span raw, char delimiter, struct pull_mailbox *out)
{
    bool own = s->prefix.n > 0 && raw.n > s->prefix.n && span_starts(raw, s->prefix);
    if (decode(s, own ? span_skip(raw, s->prefix.n) : raw, &out->there) != R_OK)
        return R_FAIL;
    out->name = translate(s, out->there, delimiter, &out->altered);
    return R_OK;
}

static bool
can_be_said(struct span raw)
{
    for (size_t i = 0; i < raw.n; i++)
        if ((unsigned char)raw.p[i] < ' ' || raw.p[i] == 127)
            return false;
    return raw.n > 0 && raw.n <= LIMIT_mailbox_name * 4;
}

static bool
is_asked_for(const struct session *s, struct span name)
{
    struct span only = span_str(s->source->mailbox);
    return only.n == 0 || span_within(name, only) ||
           (span_ieq(only, SPAN("INBOX")) && span_eq(name, SPAN("INBOX")));
}

// ---- LIST ----

static enum result
add(struct session *s, struct session_mailbox *m, struct fault *f)
{
    if (s->count >= LIMIT_mailboxes)
        return fault_set(f, FAULT_LIMIT, "%s lists more than %d mailboxes", s->source->host,
                         LIMIT_mailboxes);
    if (s->count == s->room) {
        s->room = s->room ? s->room * 2 : 64;
        struct session_mailbox *grown = arena_array(s->arena, s->room, sizeof *grown);
        if (s->count > 0)
            memcpy(grown, s->mailboxes, s->count * sizeof *grown);
        s->mailboxes = grown;
    }
    s->mailboxes[s->count++] = *m;
    return R_OK;
}

static enum result
take_list(struct session *s, struct fault *f)
{
    const struct response *r = &s->response;
    struct session_mailbox m = {.noselect = r->attributes & LIST_NOSELECT,
                                .subscribed = r->attributes & LIST_SUBSCRIBED};
    if (!is_own(s, r->name))
        return R_OK;
    if (!can_be_said(r->name) || session_name(s, r->name, r->delimiter, &m.is) != R_OK)
        return s->ops->problem(s->ops->arg, span_slice(r->name, 0, 200),
                               SPAN("a name that cannot be a mailbox's"), f);
    if (!is_asked_for(s, m.is.name))
        return R_OK;
    m.raw = arena_dup(s->arena, r->name);
    m.delimiter = r->delimiter;
    m.is.use = r->use.n > 0 ? arena_dup(s->arena, r->use) : SPAN_NONE;
    return add(s, &m, f);
}

// They come in the order of LIST, or one by one.
static void
take_status(struct session *s, size_t *at)
{
    const struct response *r = &s->response;
    for (size_t i = 0; i < s->count; i++) {
        struct session_mailbox *m = &s->mailboxes[(*at + i) % s->count];
        if (!span_eq(m->raw, r->name) &&
            !(span_ieq(r->name, SPAN("INBOX")) && span_ieq(m->raw, r->name)))
            continue;
        m->is.uidvalidity = r->status.uidvalidity;
        m->is.uidnext = r->status.uidnext;
        m->is.messages = r->status.messages;
        m->is.modseq = r->status.modseq;
        m->has_status = true;
        *at += i;
        return;
    }
}

static void
take_lsub(struct session *s)
{
    for (size_t i = 0; i < s->count; i++)
        if (span_eq(s->mailboxes[i].raw, s->response.name))
            s->mailboxes[i].subscribed = true;
}

static enum result
on_list(struct session *s, void *arg, struct fault *f)
{
    switch (s->response.kind) {
    case RESPONSE_LIST:
        return take_list(s, f);
    case RESPONSE_STATUS:
        take_status(s, arg);
        return R_OK;
    case RESPONSE_LSUB:
        take_lsub(s);
        return R_OK;
    default:
        return R_OK;
    }
}

static const char *
status_items(const struct session *s)
{
    return s->caps & PULL_CAP(CONDSTORE) ? "MESSAGES UIDNEXT UIDVALIDITY HIGHESTMODSEQ"
                                         : "MESSAGES UIDNEXT UIDVALIDITY";
}

// RFC 5258, 6154, 5819: all at once where the server can.
static enum result
ask_list(struct session *s, struct fault *f)
{
    char status[128] = "";
    size_t at = 0;
    bool extended = s->caps & PULL_CAP(LIST_EXTENDED);
    if (s->caps & PULL_CAP(LIST_STATUS))
        snprintf(status, sizeof status, " STATUS (%s)", status_items(s));
    if (extended)
        session_say(s, "LIST \"\" \"*\" RETURN (SUBSCRIBED%s%s)",
                    s->caps & PULL_CAP(SPECIAL_USE) ? " SPECIAL-USE" : "", status);
    else
        session_say(s, "LIST \"\" \"*\"");
    if (session_await(s, on_list, &at, f) != R_OK)
        return R_FAIL;
    if (extended)
        return R_OK;
    session_say(s, "LSUB \"\" \"*\"");
    return session_await(s, on_list, &at, f) == R_FAIL ? R_FAIL : R_OK;
}

// R_OK too where the server says no: then the mailbox is looked into.
static enum result
ask_status(struct session *s, struct session_mailbox *m, struct fault *f)
{
    struct buf name;
    size_t at = (size_t)(m - s->mailboxes);
    if (m->noselect || m->has_status)
        return R_OK;
    buf_init(&name, LIMIT_pull_command / 2);
    quoted_put(&name, m->raw);
    session_say(s, "STATUS %.*s (%s)", SPAN_ARG(buf_span(&name)), status_items(s));
    buf_done(&name);
    return session_await(s, on_list, &at, f) == R_FAIL ? R_FAIL : R_OK;
}

// ---- roles ----

struct session_mailbox *
session_find_all(struct session *s)
{
    for (size_t i = 0; i < s->count; i++)
        if (!s->mailboxes[i].noselect && span_ieq(s->mailboxes[i].is.use, SPAN("\\All")))
            return &s->mailboxes[i];
    return NULL;
}

static enum pull_role
role_of(const struct session_mailbox *m, const struct session_mailbox *all)
{
    if (m == all)
        return PULL_ALL;
    return span_ieq(m->is.use, SPAN("\\Junk")) || span_ieq(m->is.use, SPAN("\\Trash"))
               ? PULL_FOLDER
               : PULL_LABEL;
}

// Gmail's folders of what is starred and what is important show a flag and a keyword, and are no place for mail.
static bool
is_shown_by_flags(const struct session_mailbox *m)
{
    return span_ieq(m->is.use, SPAN("\\Flagged")) ||
           span_ieq(m->is.use, SPAN("\\Important"));
}

static void
find_roles(struct session *s)
{
    const struct session_mailbox *all = session_find_all(s);
    s->labels = all != NULL && s->caps & (PULL_CAP(X_GM_EXT_1) | PULL_CAP(OBJECTID));
    for (size_t i = 0; s->labels && i < s->count; i++) {
        struct session_mailbox *m = &s->mailboxes[i];
        m->is.role = role_of(m, all);
        m->known = m->has_status ? m->is.uidnext : 0;
        if (is_shown_by_flags(m)) {
            m->noselect = true;
            m->subscribed = false;
        }
    }
}

// ---- twins ----

// Two names of the server may become one here (another case of INBOX): the second, or the one that was altered, is
// refused, never mixed with the first.
static int
compare_names(const void *a, const void *b)
{
    const struct session_mailbox *const *x = a, *const *y = b;
    int order = span_cmp((*x)->is.name, (*y)->is.name);
    if (order == 0)
        order = (*x)->is.altered - (*y)->is.altered;
    return order != 0 ? order : (*x > *y) - (*x < *y);
}

static enum result
refuse_twins(struct session *s, struct fault *f)
{
    struct session_mailbox **by_name =
        calloc(s->count + 1, sizeof(struct session_mailbox *));
    enum result r = R_OK;
    must(by_name != NULL);
    for (size_t i = 0; i < s->count; i++)
        by_name[i] = &s->mailboxes[i];
    qsort(by_name, s->count, sizeof(struct session_mailbox *), compare_names);
    for (size_t i = 1; r == R_OK && i < s->count; i++) {
        if (!span_eq(by_name[i - 1]->is.name, by_name[i]->is.name))
            continue;
        by_name[i]->noselect = true;
        by_name[i]->subscribed = false;
        r = s->ops->problem(s->ops->arg, span_slice(by_name[i]->raw, 0, 200),
                            SPAN("another mailbox has the same name here"), f);
    }
    free(by_name);
    return r;
}

static enum result
tell(struct session *s, struct fault *f)
{
    for (size_t i = 0; i < s->count; i++)
        if (!s->mailboxes[i].noselect &&
            s->ops->announce(s->ops->arg, &s->mailboxes[i].is, f) != R_OK)
            return R_FAIL;
    for (size_t i = 0; i < s->count; i++)
        if (s->mailboxes[i].subscribed &&
            s->ops->subscribed(s->ops->arg, s->mailboxes[i].is.name, f) != R_OK)
            return R_FAIL;
    return R_OK;
}

enum result
session_list(struct session *s, struct fault *f)
{
    if (s->caps & PULL_CAP(NAMESPACE)) {
        session_say(s, "NAMESPACE");
        if (session_await(s, on_namespace, NULL, f) == R_FAIL)
            return R_FAIL;
    }
    if (ask_list(s, f) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < s->count; i++)
        if (ask_status(s, &s->mailboxes[i], f) != R_OK)
            return R_FAIL;
    if (s->count == 0)
        return fault_set(f, FAULT_NONEXISTENT, "%s shows no such mailbox", s->source->host);
    find_roles(s);
    return refuse_twins(s, f) == R_OK ? tell(s, f) : R_FAIL;
}
