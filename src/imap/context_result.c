// What becomes of the results that a session follows, and how it is told (RFC 5267 sections 4.3.2 to 4.3.4).
#include "imap/context.h"
#include "imap/context_order.h"

#include "base/clock.h"
#include "base/log.h"
#include "imap/language.h"
#include "imap/response.h"

enum { BATCH = 128, DAY_S = 86400 };

// One context during one update.
struct update {
    struct imap_session *session;
    struct imap_context *x;
    struct arena *arena;
    uint64_t told;           // messages changed after it are of a later update
    struct seqset suspects;  // UIDs that are asked again
    struct seqset matched;   // those of them that match now
    struct seqset gone, came, gone_uids, came_uids;  // as the client is told, and by UID
};

// ---- sets ----

// The ranges of `from` without those of `minus`.
static void
take_away(const struct seqset *from, const struct seqset *minus, struct seqset *out)
{
    uint32_t k = 0;
    for (uint32_t i = 0; i < from->count; i++) {
        uint64_t at = from->ranges[i].first, last = from->ranges[i].last;
        while (k < minus->count && minus->ranges[k].last < at)
            k++;
        for (uint32_t j = k; j < minus->count && minus->ranges[j].first <= last; j++) {
            if (minus->ranges[j].first > at)
                seqset_add_range(out, (uint32_t)at, minus->ranges[j].first - 1);
            at = (uint64_t)minus->ranges[j].last + 1;
        }
        if (at <= last)
            seqset_add_range(out, (uint32_t)at, (uint32_t)last);
    }
}

// In rising order, so that each range is added at the end.
static void
unite(const struct seqset *a, const struct seqset *b, struct seqset *out)
{
    uint32_t i = 0, k = 0;
    while (i < a->count || k < b->count) {
        bool first =
            k == b->count || (i < a->count && a->ranges[i].first < b->ranges[k].first);
        const struct seqset_range *r = first ? &a->ranges[i++] : &b->ranges[k++];
        seqset_add_range(out, r->first, r->last);
    }
}

static void
replace_found(struct update *u)
{
    struct imap_context *x = u->x;
    struct arena *fresh = arena_new_small();
    struct seqset left, found;
    seqset_init(&left, u->arena);
    seqset_init(&found, fresh);
    take_away(&x->found, &u->gone_uids, &left);
    unite(&left, &u->came_uids, &found);
    arena_free(&x->found_arena);
    x->found_arena = fresh;
    x->found = found;
}

// ---- telling ----

static void
put_set(struct imap_session *s, struct buf *b, const char *name, const struct seqset *set)
{
    struct imap_runs runs = {.session = s, .b = b};
    if (set->count == 0)
        return;
    buf_printf(b, " %s (0 ", name);
    for (uint32_t i = 0; i < set->count; i++) {
        runs.run = set->ranges[i];
        imap_runs_end(&runs);
    }
    buf_put_char(b, ')');
}

// RFC 5267 section 3.2 and 4.3.4: neighbours go together; each pair counts after the one before.
static void
put_places(struct imap_session *s, struct buf *b, const char *name,
           const struct imap_context_places *places, bool leave)
{
    const struct imap_context_place *p = places->list;
    for (size_t i = 0, next; i < places->n; i = next) {
        struct imap_runs runs = {.session = s, .b = b};
        if (i == 0)
            buf_printf(b, " %s (", name);
        else
            buf_put_char(b, ' ');
        buf_put_u64(b, leave ? p[i].at - i : p[i].at);
        buf_put_char(b, ' ');
        for (next = i; next < places->n && p[next].at - p[i].at == next - i; next++)
            imap_runs_add(&runs, p[next].number);
        imap_runs_end(&runs);
    }
    if (places->n > 0)
        buf_put_char(b, ')');
}

static struct buf *
begin_line(const struct update *u)
{
    struct imap_command c = {.session = u->session, .tag = u->x->tag, .uid = u->x->uid};
    return imap_esearch_begin(&c);
}

static void
tell_sets(const struct update *u)
{
    struct buf *b = begin_line(u);
    put_set(u->session, b, "REMOVEFROM", &u->gone);
    put_set(u->session, b, "ADDTO", &u->came);
    imap_line_send(u->session);
}

// Do all come back to where they left?
static bool
same_places(const struct imap_context_places *a, const struct imap_context_places *b)
{
    bool same = a->n == b->n;
    for (size_t i = 0; same && i < a->n; i++)
        same = a->list[i].at == b->list[i].at && a->list[i].uid == b->list[i].uid;
    return same;
}

static void
tell_places(const struct update *u, const struct imap_context_places *left,
            const struct imap_context_places *came)
{
    if (same_places(left, came))
        return;
    struct buf *b = begin_line(u);
    put_places(u->session, b, "REMOVEFROM", left, true);
    put_places(u->session, b, "ADDTO", came, false);
    imap_line_send(u->session);
}

static enum result
move_in_order(const struct update *u, struct fault *f)
{
    struct imap_command c = {.session = u->session, .arena = u->arena, .uid = u->x->uid};
    struct imap_context_places left, came = {.n = 0};
    imap_context_order_leave(u->x->order, &u->gone_uids, &u->gone, u->arena, &left);
    if (u->came_uids.count > 0 &&
        imap_context_order_come(u->x->order, &c, &u->came_uids, &came, f) != R_OK)
        return R_FAIL;
    tell_places(u, &left, &came);
    return R_OK;
}

static enum result
settle(struct update *u, struct fault *f)
{
    struct imap_session *s = u->session;
    if (u->gone_uids.count == 0 && u->came_uids.count == 0)
        return R_OK;
    if (!u->x->order)
        tell_sets(u);
    else if (move_in_order(u, f) != R_OK)
        return R_FAIL;
    replace_found(u);
    const char *why = imap_contexts_excess(s);
    if (why)
        imap_context_give_up(s, u->x, why);
    return R_OK;
}

// A message that cannot be read is no reason to stop the others.
static void
fail(const struct update *u, const struct fault *f)
{
    log_line(fault_info(f->kind)->level, "imap", "following a search",
             log_session(u->session->id), log_fault(f));
    imap_context_give_up(
        u->session, u->x,
        imap_text(u->session->language, "The search cannot be followed now"));
}

static struct update
update_of(struct imap_session *s, struct imap_context *x, struct arena *a)
{
    struct update u = {.session = s, .x = x, .arena = a};
    seqset_init(&u.suspects, a);
    seqset_init(&u.gone, a);
    seqset_init(&u.came, a);
    seqset_init(&u.gone_uids, a);
    seqset_init(&u.came_uids, a);
    return u;
}

static void
leaves(struct update *u, uint32_t seq, uint32_t uid)
{
    seqset_add(&u->gone, u->x->uid ? uid : seq);
    seqset_add(&u->gone_uids, uid);
}

static void
comes(struct update *u, uint32_t seq, uint32_t uid)
{
    seqset_add(&u->came, u->x->uid ? uid : seq);
    seqset_add(&u->came_uids, uid);
}

// RFC 9586: after ENABLE UIDONLY there are no numbers to be told.
static void
begin_update(struct imap_session *s)
{
    for (struct imap_context *x = s->contexts ? s->contexts->first : NULL; x; x = x->next)
        x->added = NULL;
    struct imap_context *next = s->contexts ? s->contexts->first : NULL;
    while (imap_enabled(s, ENABLE_UIDONLY) && next) {
        struct imap_context *x = next;
        next = x->next;
        if (!x->uid)
            imap_context_give_up(s, x, imap_text(s->language, "UIDONLY is enabled"));
    }
}

void
imap_contexts_lose(struct imap_session *s, const uint32_t *seqs, const uint32_t *uids,
                   size_t n, struct arena *a)
{
    struct imap_context *next;
    struct fault f;
    begin_update(s);
    for (struct imap_context *x = s->contexts ? s->contexts->first : NULL; x && n > 0;
         x = next) {
        struct update u = update_of(s, x, a);
        next = x->next;
        for (size_t i = n; i > 0; i--)
            if (seqset_contains(&x->found, uids[i - 1]))
                leaves(&u, seqs[i - 1], uids[i - 1]);
        if (settle(&u, &f) != R_OK)
            fail(&u, &f);
    }
}

// ---- what time does: OLDER and YOUNGER (RFC 5032) ----

bool
imap_contexts_due(const struct imap_session *s)
{
    int64_t now = clock_wall_s();
    for (const struct imap_context *x = s->contexts ? s->contexts->first : NULL; x;
         x = x->next)
        if (x->ages && x->due_s <= now)
            return true;
    return false;
}

// When this message passes a bound of the query next.
static void
note_due(struct imap_context *x, const struct query *q, int64_t date, int64_t now)
{
    int64_t due = date + q->age + (q->op == QUERY_YOUNGER);
    if (q->age > 0 && due > now && due < x->due_s)
        x->due_s = due;
    for (const struct query *k = q->first; k; k = k->next)
        note_due(x, k, date, now);
}

// Did it pass one since the bounds were set?
static bool
passed(const struct query *q, int64_t date, int64_t now)
{
    if (q->age > 0 && date >= (int64_t)q->number && date <= now - q->age)
        return true;
    for (const struct query *k = q->first; k; k = k->next)
        if (passed(k, date, now))
            return true;
    return false;
}

static void
set_bounds(struct query *q, int64_t now)
{
    if (q->age > 0)
        q->number = (uint64_t)(now - q->age);
    for (struct query *k = q->first; k; k = k->next)
        set_bounds(k, now);
}

static enum result
suspect_old(struct update *u, int64_t now, struct fault *f)
{
    struct imap_context *x = u->x;
    struct view_cursor cursor;
    struct view_message got[BATCH];
    size_t n;
    enum result r;
    if (view_cursor_init(&cursor, u->session->view, NULL, true, f) != R_OK)
        return R_FAIL;
    x->due_s = INT64_MAX;
    while ((r = view_next(&cursor, got, BATCH, &n, f)) == R_OK)
        for (size_t i = 0; i < n; i++) {
            if (passed(x->query, got[i].row.internal_date, now))
                seqset_add(&u->suspects, got[i].row.uid);
            note_due(x, x->query, got[i].row.internal_date, now);
        }
    if (r == R_FAIL)
        x->due_s = 0;
    return r == R_FAIL ? R_FAIL : R_OK;
}

static enum result
move_bounds(struct update *u, struct fault *f)
{
    int64_t now = clock_wall_s();
    if (!u->x->ages)
        return R_OK;
    if (u->x->due_s <= now && suspect_old(u, now, f) != R_OK)
        return R_FAIL;
    set_bounds(u->x->query, now);
    return R_OK;
}

// A session that listens is woken when the first message passes a bound.
void
imap_contexts_wait(struct imap_session *s)
{
    int64_t now = clock_wall_s(), due = INT64_MAX;
    timer_clear(&s->contexts->timer);
    for (const struct imap_context *x = s->contexts->first; x; x = x->next)
        if (x->ages && x->due_s < due)
            due = x->due_s;
    if (due == INT64_MAX)
        return;
    int64_t left = due > now ? due - now : 0;
    timer_set(&s->contexts->timer, (uint32_t)(left < DAY_S ? left : DAY_S) * 1000 + 1);
}

// ---- what '*' does: UID 7:* ----

static enum result
resolve_stars(struct imap_context *x, struct query *q, struct fault *f)
{
    for (struct query *k = q->first; k; k = k->next)
        if (resolve_stars(x, k, f) != R_OK)
            return R_FAIL;
    if (q->op != QUERY_UIDS || !q->text.p)
        return R_OK;
    struct seqset *set = ARENA_NEW(x->star_arena, struct seqset);
    q->set = set;
    return seqset_parse(q->text, x->star, x->star_arena, set, f);
}

// The message that was the last one, and the one that is now, may be in the set or not.
static enum result
move_star(struct update *u, struct fault *f)
{
    struct imap_context *x = u->x;
    uint32_t star;
    if (!x->has_star)
        return R_OK;
    if (view_star(u->session->view, true, &star, f) != R_OK)
        return R_FAIL;
    if (star == x->star)
        return R_OK;
    if (x->star > 0)
        seqset_add(&u->suspects, x->star);
    if (star > 0)
        seqset_add(&u->suspects, star);
    x->star = star;
    arena_reset(x->star_arena);
    return resolve_stars(x, x->query, f);
}

// ---- what came or changed ----

static enum result
ask_again(struct update *u, struct fault *f)
{
    struct imap_command c = {.session = u->session, .arena = u->arena};
    struct imap_search s = {.c = &c, .query = u->x->query, .only = &u->suspects};
    s.asked.prepared = true;
    s.asked.texts = query_texts_new(s.query, c.arena);
    if (imap_search_find(&s, f) != R_OK)
        return R_FAIL;
    u->matched = s.uids;
    return R_OK;
}

// The row is read after it was matched: what changed in between is told, and asked again, later.
static void
compare(struct update *u, const struct view_message *m)
{
    uint32_t uid = m->row.uid;
    bool was = seqset_contains(&u->x->found, uid), is = seqset_contains(&u->matched, uid);
    if (u->x->ages)
        note_due(u->x, u->x->query, m->row.internal_date, clock_wall_s());
    if (m->expunged || m->row.modseq > u->told)
        return;
    bool moves = was && is && u->x->order && imap_context_order_moves(u->x->order);
    if (moves || (was && !is))
        leaves(u, m->seq, uid);
    if (moves || (is && !was))
        comes(u, m->seq, uid);
}

static enum result
compare_all(struct update *u, struct fault *f)
{
    struct view_cursor cursor;
    struct view_message got[BATCH];
    size_t n;
    enum result r;
    if (view_cursor_init(&cursor, u->session->view, &u->suspects, true, f) != R_OK)
        return R_FAIL;
    while ((r = view_next(&cursor, got, BATCH, &n, f)) == R_OK)
        for (size_t i = 0; i < n; i++)
            compare(u, &got[i]);
    return r == R_FAIL ? R_FAIL : R_OK;
}

static enum result
update_one(struct update *u, const struct seqset *touched, struct fault *f)
{
    struct imap_context *x = u->x;
    for (uint32_t i = 0; i < touched->count; i++)
        seqset_add_range(&u->suspects, touched->ranges[i].first, touched->ranges[i].last);
    if (move_bounds(u, f) != R_OK || move_star(u, f) != R_OK)
        return R_FAIL;
    if (u->suspects.count == 0)
        return R_OK;
    if (ask_again(u, f) != R_OK || compare_all(u, f) != R_OK)
        return R_FAIL;
    x->added = &u->came_uids;
    return settle(u, f);
}

enum result
imap_contexts_update(struct imap_session *s, bool untold, struct arena *a, struct fault *f)
{
    struct seqset touched;
    struct view_mark mark;
    struct imap_context *next;
    if (!s->contexts)
        return R_OK;
    mark = s->contexts->mark;
    if (view_touched(s->view, untold, &mark, a, &touched, f) != R_OK)
        return R_FAIL;
    for (struct imap_context *x = s->contexts->first; x; x = next) {
        struct update *u = ARENA_NEW(a, struct update);
        next = x->next;
        *u = update_of(s, x, a);
        u->told = untold ? UINT64_MAX : mark.modseq;
        if (update_one(u, &touched, f) == R_OK)
            continue;
        if (f->kind == FAULT_CLOSED || view_gone(s->view)) {
            imap_contexts_end(s);  // an order may be changed by half
            return R_FAIL;
        }
        fail(u, f);
    }
    if (!s->contexts)
        return R_OK;
    s->contexts->mark = mark;
    imap_contexts_wait(s);
    return R_OK;
}
