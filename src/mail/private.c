#include "mail/private.h"

#include "base/budget.h"
#include "base/clock.h"
#include "base/limits.h"
#include "mail/label_mode.h"
#include "mail/mount.h"

// ---- who ----

uint64_t
private_user(const struct account *a, const struct mail_user *u)
{
    return u ? account_id(u->own.account) : a->id;
}

bool
private_foreign(const struct account *a, uint64_t user)
{
    return user != a->id;
}

void
account_shared(struct account *a)
{
    atomic_store(&a->use.others, true);
}

uint16_t
private_mask(const struct account *a, uint64_t user)
{
    return private_foreign(a, user) ? mail_private_flags(a->mail) : 0;
}

// In labels mode a message has the same flags in all mailboxes, so that they are in the rows.
bool
private_apart(struct account *a, const struct mailbox *m)
{
    return (a->use.others || m->state->privates) && !label_mode(a, NULL);
}

// ---- lists ----

static size_t
find_between(const struct private_list *l, size_t low, size_t high, uint32_t uid)
{
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (l->p[mid].uid < uid)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

const struct private_entry *
private_find(const struct private_list *l, uint32_t uid, size_t *at)
{
    size_t from = *at < l->n && l->p[*at].uid <= uid ? *at : 0, step = 1, to = from;
    while (to < l->n && l->p[to].uid < uid) {
        from = to;
        to = step < l->n - to ? to + step : l->n;
        step *= 2;
    }
    *at = find_between(l, from, to, uid);
    return *at < l->n && l->p[*at].uid == uid ? &l->p[*at] : NULL;
}

static void
list_grow(struct private_list *l, size_t n)
{
    if (n <= l->cap)
        return;
    size_t cap = n + n / 4;
    budget_force(BUDGET_TABLES, (cap - l->cap) * sizeof *l->p);
    l->p = reallocarray(l->p, cap, sizeof *l->p);
    must(l->p != NULL);
    l->cap = cap;
}

static void
list_free(struct private_list *l)
{
    budget_give(BUDGET_TABLES, l->cap * sizeof *l->p);
    free(l->p);
    *l = (struct private_list){0};
}

// How many UIDs of `more` are not in the list.
static size_t
count_new(const struct private_list *l, const struct private_entry *more, size_t n)
{
    size_t at = 0, fresh = 0;
    for (size_t i = 0; i < n; i++)
        fresh += private_find(l, more[i].uid, &at) == NULL;
    return fresh;
}

// One sweep from the end; `more` takes the place of older entries.
static void
list_merge(struct private_list *l, const struct private_entry *more, size_t n)
{
    size_t fresh = count_new(l, more, n), i = l->n, k = n;
    list_grow(l, l->n + fresh);
    l->n += fresh;
    for (size_t to = l->n; k > 0;) {
        bool both = i > 0 && l->p[i - 1].uid == more[k - 1].uid;
        if (i > 0 && !both && l->p[i - 1].uid > more[k - 1].uid) {
            l->p[--to] = l->p[--i];
            continue;
        }
        l->p[--to] = more[--k];
        i -= both;
    }
}

static uint32_t
count_seen(const struct private_entry *p, size_t n)
{
    uint32_t seen = 0;
    for (size_t i = 0; i < n; i++)
        seen += (p[i].flags & FLAG_SEEN) != 0;
    return seen;
}

// ---- sets ----

static struct private_set *
set_find(const struct mailbox *m, uint64_t user)
{
    struct private_set *s = m->privates.sets;
    while (s && s->user != user)
        s = s->next;
    return s;
}

static struct private_set *
set_of(struct mailbox *m, uint64_t user)
{
    struct private_set *s = set_find(m, user);
    if (s)
        return s;
    s = KEEP_NEW(struct private_set);
    budget_force(BUDGET_TABLES, sizeof *s);
    s->user = user;
    s->next = m->privates.sets;
    m->privates.sets = s;
    return s;
}

static void
set_free(struct private_set *s)
{
    list_free(&s->list);
    list_free(&s->gone);
    budget_give(BUDGET_TABLES, sizeof *s);
    KEEP_FREE(s);
}

static void
set_fill(struct private_set *s, const struct store_privates *found)
{
    list_grow(&s->list, found->n);
    s->list.n = found->n;
    s->modseq = 0;
    for (size_t i = 0; i < found->n; i++) {
        const struct store_private *p = &found->list[i];
        s->list.p[i] = (struct private_entry){p->uid, p->flags, p->modseq};
        if (p->modseq > s->modseq)
            s->modseq = p->modseq;
    }
    s->seen = count_seen(s->list.p, s->list.n);
    s->first_known = false;
    s->loaded = true;
}

// In the commit task: what is durable was applied, and nothing else becomes durable meanwhile.
static enum result
set_load(struct account *a, struct mailbox *m, struct private_set *s, struct fault *f)
{
    struct store_privates found = {.a = arena_new()};
    enum result r = R_OK;
    if (m->state->privates && !s->loaded)
        r = store_privates(mail_store(a->mail), account_state(a), m->id, s->user, &found,
                           f);
    if (r == R_OK && !s->loaded)
        set_fill(s, &found);
    arena_free(&found.a);
    return r;
}

enum result
private_open_here(struct account *a, struct mailbox *m, uint64_t user,
                  struct private_set **out, struct fault *f)
{
    struct private_set *s = set_of(m, user);
    s->refs++;
    m->pins++;
    enum result r = set_load(a, m, s, f);
    m->pins--;
    if (r == R_OK)
        *out = s;
    else
        private_close(s);
    return r;
}

struct open_call {
    uint64_t mailbox, user;
    struct private_set *set;
};

static enum result
open_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    struct open_call *c = arg;
    struct mailbox *m = mailbox_of(a, c->mailbox);
    (void)b;
    if (!m)
        return fault_set(f, FAULT_NONEXISTENT, "mailbox is gone");
    return private_open_here(a, m, c->user, &c->set, f);
}

enum result
private_open(struct account *a, struct mailbox *m, uint64_t user, struct private_set **out,
             struct fault *f)
{
    struct private_set *s = set_find(m, user);
    if (!m->state)
        return fault_set(f, FAULT_NONEXISTENT, "mailbox is gone");
    if (!s && !m->state->privates) {
        s = set_of(m, user);
        s->loaded = true;
    }
    if (s && s->loaded) {
        s->refs++;
        *out = s;
        return R_OK;
    }
    struct open_call c = {m->id, user, NULL};
    if (account_change(a, open_change, &c, CHANGE_OF_MODE, NULL, f) != R_OK) {
        private_close(c.set);
        return R_FAIL;
    }
    *out = c.set;
    return R_OK;
}

void
private_close(struct private_set *s)
{
    if (!s)
        return;
    must(s->refs > 0);
    s->refs--;
    s->used_ms = clock_mono_ms();
}

void
private_rest(struct mailbox *m, uint64_t before_ms)
{
    struct private_set **at = &m->privates.sets, *s;
    while ((s = *at) != NULL) {
        if (s->refs > 0 || s->used_ms > before_ms) {
            at = &s->next;
            continue;
        }
        *at = s->next;
        set_free(s);
        m->privates.whole = false;
    }
}

void
private_free(struct mailbox *m)
{
    while (m->privates.sets) {
        struct private_set *s = m->privates.sets;
        m->privates.sets = s->next;
        set_free(s);
    }
}

// ---- as the user sees it ----

void
private_overlay(struct view *v, struct message_row *row, bool ghost)
{
    struct private_set *s = v->mine.set;
    const struct private_entry *e = NULL;
    size_t at = 0;
    if (ghost)
        e = private_find(&s->gone, row->uid, &at);
    else if (s->list.n > 0)
        e = private_find(&s->list, row->uid, &v->mine.at);
    uint16_t mine = e ? e->flags & v->mine.mask : 0;
    row->flags = (uint16_t)((row->flags & ~v->mine.mask) | mine);
    if (e && e->modseq > row->modseq)
        row->modseq = e->modseq;
}

uint64_t
private_modseq(struct view *v, const struct message_row *row)
{
    const struct private_entry *e =
        v->mine.set->list.n > 0 ? private_find(&v->mine.set->list, row->uid, &v->mine.at)
                                : NULL;
    return e && e->modseq > row->modseq ? e->modseq : row->modseq;
}

uint32_t
private_unseen(const struct account *a, const struct mailbox *m,
               const struct private_set *s)
{
    const struct mailbox_counts *c = &m->state->counts;
    if (!(private_mask(a, s->user) & FLAG_SEEN))
        return c->unseen;
    return c->exists > s->seen ? c->exists - s->seen : 0;
}

uint64_t
private_highest(const struct mailbox *m, const struct private_set *s)
{
    uint64_t modseq = m->state->counts.modseq;
    return s->modseq > modseq ? s->modseq : modseq;
}

bool
private_counts(const struct account *a, const struct mailbox_state *s, uint64_t user,
               struct mailbox_counts *counts)
{
    struct private_set *mine = s->mail ? set_find(s->mail, user) : NULL;
    if (mine && mine->loaded) {
        counts->unseen = private_unseen(a, s->mail, mine);
        counts->modseq = private_highest(s->mail, mine);
        mine->used_ms = clock_mono_ms();
        return true;
    }
    if (s->privates)
        return false;
    if (private_mask(a, user) & FLAG_SEEN)
        counts->unseen = counts->exists;
    return true;
}

uint32_t
private_first_unseen(struct mailbox *m, struct private_set *s)
{
    const struct mailbox_state *t = m->state;
    size_t at = 0;
    uint32_t i = 0;
    if (s->first_known)
        return s->first_unseen;
    for (; i < t->counts.exists; i++) {
        const struct private_entry *e = private_find(&s->list, t->rows[i].uid, &at);
        if (!e || !(e->flags & FLAG_SEEN))
            break;
    }
    if (i == t->counts.exists)
        return 0;
    s->first_known = true;
    s->first_unseen = i + 1;
    return s->first_unseen;
}

uint64_t
private_position(const struct mailbox *m)
{
    uint64_t modseq = m->state->counts.modseq;
    return m->privates.modseq > modseq ? m->privates.modseq : modseq;
}

// ---- records that are applied ----

static void
group_entries(const struct record_privates *r, const struct record_group *g,
              struct private_list *out)
{
    struct unpack u = unpack_of(g->ranges);
    uint32_t first = 0, last = 0;
    out->n = 0;
    while (record_ranges_next(&u, &first, &last) == R_OK)
        for (uint64_t uid = first; uid <= last; uid++) {
            list_grow(out, out->n + 1);
            out->p[out->n++] = (struct private_entry){(uint32_t)uid, g->flags, r->modseq};
        }
}

static void
set_apply(struct private_set *s, const struct record_privates *r)
{
    struct unpack u = unpack_of(r->groups);
    struct private_list more = {0};
    struct record_group g;
    while (record_groups_next(&u, &g) == R_OK) {
        group_entries(r, &g, &more);
        list_merge(&s->list, more.p, more.n);
    }
    list_free(&more);
    s->seen = count_seen(s->list.p, s->list.n);
    s->first_known = false;
    if (r->modseq > s->modseq)
        s->modseq = r->modseq;
}

static void
applied(struct account *a, struct span meta)
{
    struct record_privates r;
    must(record_privates_get(meta, &r) == R_OK);
    struct mailbox *m = mailbox_of(a, r.mailbox);
    if (!m)
        return;
    struct private_set *s = m->privates.whole ? set_of(m, r.user) : set_find(m, r.user);
    if (s && s->loaded)
        set_apply(s, &r);
    if (r.own)
        m->first.known = false;
    if (r.modseq > m->privates.modseq)
        m->privates.modseq = r.modseq;
}

// The view of a ghost still needs to know.
static void
set_expunge(struct mailbox *m, struct private_set *s, struct span uids)
{
    struct unpack u = unpack_of(uids);
    uint32_t first = 0, last = 0;
    size_t from = 0, to = 0;
    while (record_ranges_next(&u, &first, &last) == R_OK) {
        size_t start = find_between(&s->list, from, s->list.n, first);
        size_t end = find_between(&s->list, start, s->list.n, last);
        end += end < s->list.n && s->list.p[end].uid == last;
        memmove(s->list.p + to, s->list.p + from, (start - from) * sizeof *s->list.p);
        to += start - from;
        s->seen -= count_seen(s->list.p + start, end - start);
        if (m->views)
            list_merge(&s->gone, s->list.p + start, end - start);
        from = end;
    }
    memmove(s->list.p + to, s->list.p + from, (s->list.n - from) * sizeof *s->list.p);
    s->list.n = to + s->list.n - from;
    s->first_known = false;
}

// A change that comes into the sets while the rows leave, before anybody looks.
static void
expunged(struct account *a, struct span meta)
{
    struct record_expunged r;
    must(record_expunged_get(meta, &r) == R_OK);
    struct mailbox *m = mailbox_of(a, r.mailbox);
    for (struct private_set *s = m ? m->privates.sets : NULL; s; s = s->next) {
        s->first_known = false;
        if (s->list.n > 0)
            set_expunge(m, s, r.uids);
    }
}

static void
user_gone(struct account *a, struct span meta)
{
    struct record_privates_gone r;
    must(record_privates_gone_get(meta, &r) == R_OK);
    struct mailbox *m = mailbox_of(a, r.mailbox);
    struct private_set *s = m ? set_find(m, r.user) : NULL;
    if (!s)
        return;
    s->list.n = s->gone.n = 0;
    s->seen = 0;
    s->first_known = false;
}

void
private_applied(struct account *a, enum record_type type, struct span meta)
{
    if (type == RECORD_PRIVATES)
        applied(a, meta);
    if (type == RECORD_EXPUNGED || type == RECORD_MOVED)
        expunged(a, meta);
    if (type == RECORD_PRIVATES_GONE)
        user_gone(a, meta);
}

// ---- records that are made ----

// One group for each outcome, of exact ranges.
static void
put_group(struct buf *groups, struct buf *ranges, const struct private_put *p,
          uint16_t flags)
{
    uint32_t first = 0, last = 0;
    buf_reset(ranges);
    for (size_t i = 0; i < p->n; i++) {
        const struct private_entry *e = &p->entries[i];
        if (e->flags != flags)
            continue;
        if (first > 0 && e->uid != last + 1)
            record_ranges_add(ranges, first, last);
        if (first == 0 || e->uid != last + 1)
            first = e->uid;
        last = e->uid;
    }
    if (first == 0)
        return;
    record_ranges_add(ranges, first, last);
    struct record_group g = {flags, SPAN_NONE, buf_span(ranges)};
    record_groups_add(groups, &g);
}

void
private_put(struct account *a, struct store_batch *b, const struct private_put *p)
{
    struct buf groups, ranges, meta;
    struct record_privates r = {.mailbox = p->mailbox ? p->mailbox->id : p->made,
                                .user = p->user,
                                .modseq = p->modseq,
                                .own = !private_foreign(a, p->user),
                                .mask = mail_private_flags(a->mail),
                                .unseen =
                                    p->mailbox ? mailbox_next(a, p->mailbox)->unseen : 0};
    if (p->n == 0)
        return;
    buf_init(&groups, LIMIT_record_meta);
    buf_init(&ranges, LIMIT_record_meta);
    buf_init(&meta, LIMIT_record_meta);
    for (unsigned flags = 0; flags <= FLAG_ALL; flags++)
        if ((flags & ~(unsigned)r.mask) == 0)
            put_group(&groups, &ranges, p, (uint16_t)flags);
    r.groups = buf_span(&groups);
    record_privates_put(&meta, &r);
    must(!groups.over && !meta.over);
    store_batch_add(b, RECORD_PRIVATES, buf_span(&meta), NULL);
    struct private_set *s = p->mailbox ? set_find(p->mailbox, p->user) : NULL;
    if (s)
        s->batch = a->batch_number;
    buf_done(&groups);
    buf_done(&ranges);
    buf_done(&meta);
}
