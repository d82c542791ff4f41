#include "pull/session.h"

#include "base/limits.h"
#include "base/quoted.h"

// One mailbox: what it holds is listed in batches by sequence number; of each batch what is wanted is fetched at once.

struct visit {
    struct session *s;
    struct session_mailbox *m;
    struct arena *arena;  // of the batch
    struct pull_message heads[LIMIT_pull_batch];
    size_t head_count;
    uint32_t exists;  // when it was opened
    uint32_t next,
        last;  // sequence numbers: of the next batch, and behind which nothing is asked for
    uint32_t uid, fresh;       // the last one listed; how many above was.done
    struct seqset_iter label;  // through m->only
    uint32_t listed;           // in the batch
    struct {
        uint32_t from,
            count;  // UIDs from this one on are left for the next run (0: none); how many that are
    } later;
    uint32_t expunged;  // since the last look
    size_t offered;
    // what is fetched, by UID: [at, end) of which is asked for and did not come yet
    const struct pull_message *which[LIMIT_pull_batch];
    size_t at, end;
    size_t early;  // of a set: behind the last one that came before its turn
    bool one;      // not a set, but which[at]
    bool single;   // no more sets in this batch
    // the message that comes
    const struct pull_message *head;
    bool begun, wrong, passed;
};

static enum result
on_examine(struct session *s, void *arg, struct fault *f)
{
    struct visit *v = arg;
    const struct response *r = &s->response;
    struct pull_mailbox *is = &v->m->is;
    (void)f;
    if (r->kind == RESPONSE_EXISTS)
        v->exists = (uint32_t)r->number;
    if (r->kind != RESPONSE_STATE || r->number > INT64_MAX)
        return R_OK;
    if (r->code == CODE_UIDVALIDITY)
        is->uidvalidity = (uint32_t)r->number;
    if (r->code == CODE_UIDNEXT)
        is->uidnext = (uint32_t)r->number;
    if (r->code == CODE_HIGHESTMODSEQ)
        is->modseq = r->number;
    return R_OK;
}

static enum result
examine(struct visit *v, struct fault *f)
{
    struct session *s = v->s;
    struct buf name;
    v->m->is.modseq = 0;
    buf_init(&name, LIMIT_pull_command / 2);
    quoted_put(&name, v->m->raw);
    session_say(s, "EXAMINE %.*s%s", SPAN_ARG(buf_span(&name)),
                s->caps & PULL_CAP(CONDSTORE) ? " (CONDSTORE)" : "");
    buf_done(&name);
    enum result r = session_await(s, on_examine, v, f);
    v->m->is.messages = v->last = v->exists;
    if (v->m->only != NULL) {  // no mailbox of the server: it has no UIDs
        v->m->is.uidvalidity = v->m->is.uidnext = v->last = 0;
        v->m->is.messages = v->exists = (uint32_t)seqset_size(v->m->only);
    }
    // What got its label after the mailbox of all was looked at is not known yet.
    if (v->m->is.role == PULL_LABEL && v->m->known > 0) {
        v->later.from = v->m->known;
        if (v->m->is.uidnext == 0 || v->m->is.uidnext > v->later.from)
            v->m->is.uidnext = v->later.from;
    }
    return r;
}

// ---- listing ----

#define ITEMS "UID FLAGS INTERNALDATE RFC822.SIZE"

static const char *
items(const struct session *s)
{
    if (s->caps & PULL_CAP(X_GM_EXT_1) && (s->labels || !(s->caps & PULL_CAP(OBJECTID))))
        return ITEMS " X-GM-MSGID X-GM-LABELS";
    return s->caps & PULL_CAP(OBJECTID) ? ITEMS " EMAILID" : ITEMS;
}

// Of Dovecot, which does not announce it.
static const char *
guid_item(const struct session *s)
{
    return s->source->guids ? " X-GUID" : "";
}

static void
take_expunge(struct visit *v)
{
    uint32_t seq = (uint32_t)v->s->response.number;
    v->expunged++;
    v->next -= seq < v->next && v->next > 1;
    v->last -= seq <= v->last && v->last > 0;
}

// Not one that the server tells of by itself because its flags were changed.
static bool
is_listed(const struct response *r)
{
    return r->kind == RESPONSE_FETCH && r->has_uid && r->has_flags && r->has_size;
}

static struct pull_message
keep(struct arena *a, const struct pull_message *m)
{
    struct pull_message kept = *m;
    kept.id = m->id.n > 0 ? arena_dup(a, m->id) : SPAN_NONE;
    kept.guid = m->guid.n > 0 ? arena_dup(a, m->guid) : SPAN_NONE;
    kept.keywords = arena_array(a, m->keyword_count + 1, sizeof *kept.keywords);
    for (size_t i = 0; i < m->keyword_count; i++)
        kept.keywords[i] = arena_dup(a, m->keywords[i]);
    return kept;
}

static enum result
on_listed(struct session *s, void *arg, struct fault *f)
{
    struct visit *v = arg;
    const struct response *r = &s->response;
    if (r->kind == RESPONSE_EXPUNGE)
        take_expunge(v);
    if (!is_listed(r) || r->message.uid == v->uid)
        return R_OK;
    if (r->message.uid < v->uid)
        return fault_set(f, FAULT_BAD, "%s: UIDs that do not rise", s->source->host);
    v->listed++;
    if (v->later.from > 0 && r->message.uid >= v->later.from) {
        v->later.count++;
        return R_OK;
    }
    v->uid = r->message.uid;
    if (v->head_count >= LIMIT_pull_batch)
        return fault_set(f, FAULT_BAD, "%s lists messages that were not asked for",
                         s->source->host);
    if (v->m->is.role == PULL_ALL)
        session_take_labels(s, &r->message);
    v->fresh += v->uid > v->m->was.done;
    v->heads[v->head_count] = keep(v->arena, &r->message);
    return s->ops->offer(s->ops->arg, &v->heads[v->head_count++], f);
}

static void
begin_batch(struct visit *v)
{
    arena_reset(v->arena);
    v->head_count = 0;
    v->listed = 0;
    v->expunged = 0;
}

// What has a label that no mailbox shows, by its UIDs in the mailbox of all. R_NONE: that was all.
static enum result
list_labelled(struct visit *v, struct fault *f)
{
    struct seqset uids;
    struct buf text;
    uint32_t uid;
    begin_batch(v);
    seqset_init(&uids, v->arena);
    for (int i = 0; i < LIMIT_pull_batch && seqset_next(v->m->only, &v->label, &uid); i++)
        seqset_add(&uids, uid);
    if (seqset_size(&uids) == 0)
        return R_NONE;
    buf_init(&text, LIMIT_pull_command - 256);
    seqset_print(&uids, &text);
    must(!text.over);
    session_say(v->s, "UID FETCH %.*s (%s%s)", SPAN_ARG(buf_span(&text)), items(v->s),
                guid_item(v->s));
    buf_done(&text);
    return session_await(v->s, on_listed, v, f) == R_OK ? R_OK : R_FAIL;
}

static enum result
list_batch(struct visit *v, struct fault *f)
{
    uint32_t left = v->last - v->next;
    uint32_t to = left < LIMIT_pull_batch ? v->last : v->next + LIMIT_pull_batch - 1;
    begin_batch(v);
    session_say(v->s, "FETCH %u:%u (%s%s)", v->next, to, items(v->s), guid_item(v->s));
    v->next = to + 1;
    enum result r = session_await(v->s, on_listed, v, f);
    if (r != R_OK)
        return R_FAIL;
    if (v->listed == 0 && v->expunged == 0)
        return fault_set(f, FAULT_BAD, "%s says that %.*s has %u messages, and shows none",
                         v->s->source->host, SPAN_ARG(span_slice(v->m->raw, 0, 60)),
                         v->exists);
    return R_OK;
}

// RFC 7162 section 3.1.4.1: of those that were there before, the changed ones.
static enum result
on_changed(struct session *s, void *arg, struct fault *f)
{
    struct visit *v = arg;
    struct seqset none;
    if (s->response.kind == RESPONSE_EXPUNGE)
        take_expunge(v);
    if (!is_listed(&s->response) || s->response.message.uid > v->m->was.done)
        return R_OK;
    if (s->ops->offer(s->ops->arg, &s->response.message, f) != R_OK)
        return R_FAIL;
    return ++v->offered % LIMIT_pull_batch == 0
               ? s->ops->wanted(s->ops->arg, v->arena, &none, f)
               : R_OK;
}

static enum result
list_changed(struct visit *v, struct fault *f)
{
    struct seqset none;
    if (v->m->was.modseq == v->m->is.modseq)
        return R_OK;
    session_say(v->s, "UID FETCH 1:%u (%s) (CHANGEDSINCE %llu)", v->m->was.done,
                items(v->s), (unsigned long long)v->m->was.modseq);
    if (session_await(v->s, on_changed, v, f) != R_OK)
        return R_FAIL;
    return v->s->ops->wanted(v->s->ops->arg, v->arena, &none, f);
}

// RFC 9051 section 9: the last message is always in "n:*".
static enum result
on_first(struct session *s, void *arg, struct fault *f)
{
    struct visit *v = arg;
    const struct response *r = &s->response;
    (void)f;
    if (r->kind == RESPONSE_EXPUNGE)
        take_expunge(v);
    if (r->kind == RESPONSE_FETCH && r->has_uid && r->message.uid > v->m->was.done &&
        r->number < v->next)
        v->next = (uint32_t)r->number;
    return R_OK;
}

// Where what is new begins. Without CONDSTORE the flags of all are looked at; with labels the ids of all.
static enum result
find_first(struct visit *v, struct fault *f)
{
    const struct session_mailbox *m = v->m;
    v->next = 1;
    if (v->s->labels || m->was.done == 0 || m->was.modseq == 0 || m->is.modseq == 0 ||
        v->exists == 0)
        return R_OK;
    v->next = v->exists + 1;
    if (m->is.uidnext == 0 || m->is.uidnext - 1 > m->was.done) {
        session_say(v->s, "UID FETCH %u:* (UID)", m->was.done + 1);
        if (session_await(v->s, on_first, v, f) != R_OK)
            return R_FAIL;
    }
    return list_changed(v, f);
}

// ---- fetching ----

static enum result
begin(struct visit *v, struct fault *f)
{
    if (v->begun)
        return fault_set(f, FAULT_BAD, "%s sends a message twice", v->s->source->host);
    v->begun = true;
    return v->s->ops->message(v->s->ops->arg, v->head, f);
}

// The UID that stands before BODY[]; 0: none does.
static uint32_t
uid_before(struct visit *v)
{
    struct response r;
    struct fault none;
    struct buf b;
    buf_init(&b, LIMIT_pull_response + 16);
    buf_put(&b, buf_span(&v->s->cut));
    buf_put_str(&b, ")");
    bool good = !b.over && response_read(buf_span(&b), v->s->line, &r, &none) == R_OK &&
                r.kind == RESPONSE_FETCH && r.has_uid;
    uint32_t uid = good ? r.message.uid : 0;
    buf_done(&b);
    return uid;
}

// Of a set, each message is known by the UID before it, and taken when it is its turn: behind a higher one it would lose
// its UID here. R_NONE: it is not, and asked for again later.
static enum result
choose_head(struct visit *v, struct fault *f)
{
    uint32_t uid = uid_before(v);
    size_t i = v->at;
    if (v->one) {
        v->s->sets = uid > 0 && !v->s->falls;
        return R_OK;
    }
    while (i < v->end && v->which[i]->uid != uid)
        i++;
    if (i == v->end)
        return fault_set(f, FAULT_BAD, "%s sends a message that was not asked for",
                         v->s->source->host);
    v->s->falls |= i < v->early;
    if (i > v->at) {
        v->early = i + 1;
        return R_NONE;
    }
    v->head = v->which[v->at++];
    v->begun = v->wrong = false;
    return R_OK;
}

static enum result
on_stream(struct session *s, void *arg, uint64_t size, struct fault *f)
{
    struct visit *v = arg;
    enum result r = choose_head(v, f);
    v->passed = r == R_NONE;
    if (r == R_OK)
        r = begin(v, f);
    return r == R_FAIL ? R_FAIL : session_octets(s, size, !v->passed, f);
}

static enum result
on_body(struct session *s, void *arg, struct fault *f)
{
    struct visit *v = arg;
    const struct response *r = &s->response;
    if (r->kind == RESPONSE_EXPUNGE)
        take_expunge(v);
    if (r->kind != RESPONSE_FETCH || !r->has_body)
        return R_OK;
    v->wrong |= !r->has_uid || r->message.uid != v->head->uid;
    if (s->streamed || r->body.p == NULL)
        return R_OK;
    return begin(v, f) == R_OK ? s->ops->octets(s->ops->arg, r->body, f) : R_FAIL;
}

static enum result
settle_message(struct visit *v, enum result said, struct fault *f)
{
    char where[300];
    struct span why = said == R_OK ? SPAN_NONE : arena_dup(v->arena, span_str(f->why));
    if (said == R_NONE && f->kind == FAULT_UNAVAILABLE)
        return R_FAIL;
    if (v->begun && v->wrong)
        why = SPAN("the server sent another message instead");
    if (v->begun)
        return v->s->ops->end(v->s->ops->arg, why, f);
    snprintf(where, sizeof where, "%.*s, UID %u",
             SPAN_ARG(span_slice(v->m->is.name, 0, 200)), v->head->uid);
    return v->s->ops->problem(
        v->s->ops->arg, span_str(where),
        why.p != NULL ? why : SPAN("the server does not give it; is it gone?"), f);
}

static enum result
fetch_one(struct visit *v, struct fault *f)
{
    struct session *s = v->s;
    v->one = true;
    v->head = v->which[v->at];
    v->begun = v->wrong = false;
    session_say(s, "UID FETCH %u (UID BODY.PEEK[])", v->head->uid);
    s->stream = on_stream;
    enum result r = session_await(s, on_body, v, f);
    s->stream = NULL;
    v->at++;
    return r == R_FAIL ? R_FAIL : settle_message(v, r, f);
}

// Within a set a message ends with its own response; one that comes without a literal is left for fetch_one.
static enum result
on_body_of_set(struct session *s, void *arg, struct fault *f)
{
    struct visit *v = arg;
    if (!s->streamed || v->passed) {
        if (s->response.kind == RESPONSE_EXPUNGE)
            take_expunge(v);
        return R_OK;
    }
    return on_body(s, arg, f) == R_OK ? settle_message(v, R_OK, f) : R_FAIL;
}

// One command for [at, end). What it does not bring, and why, is fetch_one's to find out.
static enum result
fetch_set(struct visit *v, struct fault *f)
{
    struct session *s = v->s;
    struct seqset uids;
    struct buf text;
    v->one = false;
    v->early = 0;
    seqset_init(&uids, v->arena);
    for (size_t i = v->at; i < v->end; i++)
        seqset_add(&uids, v->which[i]->uid);
    buf_init(&text, LIMIT_pull_command / 2);
    seqset_print(&uids, &text);
    must(!text.over);
    session_say(s, "UID FETCH %.*s (UID BODY.PEEK[])", SPAN_ARG(buf_span(&text)));
    buf_done(&text);
    s->stream = on_stream;
    enum result r = session_await(s, on_body_of_set, v, f);
    s->stream = NULL;
    v->single = v->at < v->end;
    return r == R_FAIL ? R_FAIL : R_OK;
}

// The first one alone: it shows whether the server puts the UID before the message, without which a set cannot be
// told apart. One command at a time: a server may hold back the OK and answer the next one before it (Dovecot does).
static enum result
fetch(struct visit *v, size_t n, struct fault *f)
{
    enum result r = R_OK;
    v->single = false;
    for (v->at = 0; r == R_OK && v->at < n;) {
        bool set = v->s->sets && !v->s->falls && !v->single && n - v->at > 1;
        v->end = n - v->at < LIMIT_pull_set ? n : v->at + LIMIT_pull_set;
        r = set ? fetch_set(v, f) : fetch_one(v, f);
    }
    return r;
}

static enum result
fetch_wanted(struct visit *v, struct fault *f)
{
    struct seqset wanted;
    size_t n = 0;
    if (v->s->ops->wanted(v->s->ops->arg, v->arena, &wanted, f) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < v->head_count; i++)
        if (seqset_contains(&wanted, v->heads[i].uid))
            v->which[n++] = &v->heads[i];
    v->s->stream_arg = v;
    return fetch(v, n, f);
}

// ---- all ----

// A break later finds this much done.
static enum result
settle_part(struct visit *v, struct fault *f)
{
    struct pull_state state = {v->m->is.uidvalidity, v->uid, v->next - 1, 0};
    if (v->uid <= v->m->was.done || v->next > v->last)
        return R_OK;
    return v->s->ops->settle(v->s->ops->arg, &state, 0, false, f);
}

static enum result
settle_all(struct visit *v, struct fault *f)
{
    const struct pull_mailbox *is = &v->m->is;
    const struct pull_state *was = &v->m->was;
    uint32_t done = is->uidnext > 0 ? is->uidnext - 1 : v->uid;
    uint32_t now = v->exists > v->later.count ? v->exists - v->later.count : 0;
    struct pull_state state = {is->uidvalidity, done, now, is->modseq};
    uint64_t had = (uint64_t)was->messages + v->fresh;
    uint32_t gone = was->done > 0 && had > now ? (uint32_t)(had - now) : 0;
    return v->s->ops->settle(v->s->ops->arg, &state, gone, true, f);
}

// Nothing is remembered of it: the next run offers it again.
static enum result
run_label(struct visit *v, struct fault *f)
{
    const struct pull_state state = {.messages = v->exists};
    enum result r = v->s->ops->begin(v->s->ops->arg, &v->m->is, f);
    while (r == R_OK && (r = list_labelled(v, f)) == R_OK)
        r = fetch_wanted(v, f);
    return r == R_NONE ? v->s->ops->settle(v->s->ops->arg, &state, 0, true, f) : R_FAIL;
}

static enum result
run(struct visit *v, struct fault *f)
{
    if (v->m->only != NULL)
        return run_label(v, f);
    if (v->m->was.uidvalidity != v->m->is.uidvalidity)
        v->m->was = (struct pull_state){0};
    if (v->s->ops->begin(v->s->ops->arg, &v->m->is, f) != R_OK || find_first(v, f) != R_OK)
        return R_FAIL;
    while (v->next <= v->last)
        if (list_batch(v, f) != R_OK || fetch_wanted(v, f) != R_OK ||
            settle_part(v, f) != R_OK)
            return R_FAIL;
    return settle_all(v, f);
}

enum result
session_visit(struct session *s, struct session_mailbox *m, struct fault *f)
{
    struct visit *v = calloc(1, sizeof *v);
    must(v != NULL);
    *v = (struct visit){.s = s, .m = m, .arena = arena_new()};
    enum result r = examine(v, f);
    if (r == R_OK)
        r = run(v, f);
    else if (r == R_NONE && f->kind != FAULT_UNAVAILABLE)
        r = s->ops->problem(s->ops->arg, m->is.name, arena_dup(v->arena, span_str(f->why)),
                            f);
    arena_free(&v->arena);
    free(v);
    return r == R_OK ? R_OK : R_FAIL;
}
