#include "imap/context_order.h"

#include "base/budget.h"
#include "io/task.h"

// Comers are sorted among themselves; then each looks for its place behind the one before, by strides that double. So one
// comer costs some log n readings, and many of them never more than a few times n.

enum { OFTEN = 64 };

struct member {
    uint32_t uid;
    uint32_t modseq_low, modseq_high;  // when it was put in
};

struct imap_context_order {
    struct sort_program program;
    bool moves;
    struct member *list;
    size_t n, room;
};

static struct member
member_of(const struct imap_found *m)
{
    return (struct member){m->uid, (uint32_t)m->modseq, (uint32_t)(m->modseq >> 32)};
}

// ---- the list ----

static enum result
make_room(struct imap_context_order *o, size_t more, struct fault *f)
{
    size_t room = o->n + more;
    if (room <= o->room)
        return R_OK;
    room += room / 8 + 16;
    if (budget_take(BUDGET_TABLES, (room - o->room) * sizeof *o->list, f) != R_OK)
        return R_FAIL;
    o->list = realloc(o->list, room * sizeof *o->list);
    must(o->list != NULL);
    o->room = room;
    return R_OK;
}

enum result
imap_context_order_new(const struct sort_program *p, const struct query *query,
                       const struct imap_found *list, size_t n,
                       struct imap_context_order **out, struct fault *f)
{
    struct imap_context_order *o = calloc(1, sizeof *o);
    must(o != NULL);
    o->program = *p;
    o->program.query = query;
    for (unsigned i = 0; i < p->n; i++)
        o->moves |= p->list[i].key == SORT_MODSEQ;
    if (make_room(o, n, f) != R_OK) {
        imap_context_order_free(&o);
        return R_FAIL;
    }
    for (size_t i = 0; i < n; i++)
        o->list[i] = member_of(&list[i]);
    o->n = n;
    *out = o;
    return R_OK;
}

void
imap_context_order_free(struct imap_context_order **o)
{
    if (!*o)
        return;
    budget_give(BUDGET_TABLES, (*o)->room * sizeof *(*o)->list);
    free((*o)->list);
    free(*o);
    *o = NULL;
}

size_t
imap_context_order_size(const struct imap_context_order *o)
{
    return o->n;
}

bool
imap_context_order_moves(const struct imap_context_order *o)
{
    return o->moves;
}

// ---- leaving ----

struct pair {
    uint32_t uid, number;
};

static int
by_uid(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    return x->uid < y->uid ? -1 : x->uid > y->uid;
}

static struct pair *
pairs_of(const struct seqset *uids, const struct seqset *numbers, struct arena *a, size_t n)
{
    struct pair *pairs = arena_array(a, n + 1, sizeof *pairs);
    struct seqset_iter i = {0}, k = {0};
    size_t at = 0;
    while (seqset_next(uids, &i, &pairs[at].uid) &&
           seqset_next(numbers, &k, &pairs[at].number))
        at++;
    must(at == n);
    return pairs;
}

void
imap_context_order_leave(struct imap_context_order *o, const struct seqset *gone,
                         const struct seqset *numbers, struct arena *a,
                         struct imap_context_places *out)
{
    size_t n = seqset_size(gone), kept = 0;
    const struct pair *pairs = pairs_of(gone, numbers, a, n);
    *out = (struct imap_context_places){.list = arena_array(a, n + 1, sizeof *out->list)};
    for (size_t i = 0; i < o->n; i++) {
        struct pair key = {.uid = o->list[i].uid};
        const struct pair *left =
            out->n < n && key.uid >= pairs[0].uid && key.uid <= pairs[n - 1].uid
                ? bsearch(&key, pairs, n, sizeof key, by_uid)
                : NULL;
        if (left)
            out->list[out->n++] =
                (struct imap_context_place){i + 1, left->uid, left->number};
        else
            o->list[kept++] = o->list[i];
    }
    must(out->n == n);
    o->n = kept;
}

// ---- coming ----

struct coming {
    struct imap_context_order *o;
    struct view *view;
    struct arena *mine, *other;  // of the values of who comes, and of who is there
    struct sort_value values[SORT_KEYS];
    uint32_t uid;
    unsigned readings;
};

// With the modseq it is sorted by.
static enum result
read_values(struct coming *c, const struct member *m, struct arena *a,
            struct sort_value *out, struct fault *f)
{
    struct seqset_range range = {m->uid, m->uid};
    struct seqset one = {.ranges = &range, .count = 1};
    struct view_cursor cursor;
    struct view_message got;
    size_t n = 0;
    if (++c->readings % OFTEN == 0)
        task_yield();
    arena_reset(a);
    if (view_cursor_init(&cursor, c->view, &one, true, f) != R_OK)
        return R_FAIL;
    enum result r = view_next(&cursor, &got, 1, &n, f);
    if (r != R_OK)
        return r == R_NONE ? fault_set(f, FAULT_EXPUNGEISSUED, "UID %u is gone", m->uid)
                           : R_FAIL;
    got.row.modseq = (uint64_t)m->modseq_high << 32 | m->modseq_low;
    return imap_sort_values(account_mail(view_account(c->view)), &c->o->program, &got.row,
                            a, out, f);
}

// Does who comes stand behind the member?
static enum result
is_behind(struct coming *c, size_t i, bool *out, struct fault *f)
{
    struct sort_value there[SORT_KEYS];
    const struct member *m = &c->o->list[i];
    if (read_values(c, m, c->other, there, f) != R_OK)
        return R_FAIL;
    int order = sort_compare(&c->o->program, c->values, there);
    *out = order > 0 || (order == 0 && c->uid > m->uid);
    return R_OK;
}

// Members below *from stand before who comes; *from becomes the place where it belongs.
static enum result
find_gap(struct coming *c, size_t *from, struct fault *f)
{
    size_t low = *from, high = c->o->n, stride = 1;
    bool behind;
    if (low < high) {  // what is new often comes last
        if (is_behind(c, high - 1, &behind, f) != R_OK)
            return R_FAIL;
        low = behind ? high : low;
        high -= !behind;
    }
    while (low < high) {
        size_t at = stride < high - low ? low + stride - 1 : low + (high - low) / 2;
        if (is_behind(c, at, &behind, f) != R_OK)
            return R_FAIL;
        if (behind) {
            low = at + 1;
            stride *= 2;
        } else {
            high = at;
            stride = SIZE_MAX;  // between the two by halves
        }
    }
    *from = low;
    return R_OK;
}

static enum result
find_gaps(struct coming *c, const struct imap_search *s, struct imap_context_places *out,
          struct fault *f)
{
    size_t gap = 0;
    for (size_t i = 0; i < out->n; i++) {
        const struct imap_found *m = &s->order[i];
        struct member who = member_of(m);
        c->uid = m->uid;
        if (read_values(c, &who, c->mine, c->values, f) != R_OK ||
            find_gap(c, &gap, f) != R_OK)
            return R_FAIL;
        out->list[i] =
            (struct imap_context_place){gap + i + 1, m->uid, s->c->uid ? m->uid : m->seq};
    }
    return R_OK;
}

// From the end on, so that nothing is written over.
static void
put_in(struct imap_context_order *o, const struct imap_search *s,
       const struct imap_context_places *places)
{
    size_t from = o->n;
    for (size_t i = places->n; i > 0; i--) {
        size_t gap = places->list[i - 1].at - i;
        memmove(&o->list[gap + i], &o->list[gap], (from - gap) * sizeof *o->list);
        o->list[gap + i - 1] = member_of(&s->order[i - 1]);
        from = gap;
    }
    o->n += places->n;
}

static enum result
come(struct imap_context_order *o, const struct imap_search *s,
     struct imap_context_places *out, struct fault *f)
{
    struct coming c = {.o = o, .view = s->c->session->view};
    *out = (struct imap_context_places){.n = seqset_size(&s->uids)};
    out->list = arena_array(s->c->arena, out->n + 1, sizeof *out->list);
    if (make_room(o, out->n, f) != R_OK)
        return R_FAIL;
    c.mine = arena_new_small();
    c.other = arena_new_small();
    enum result r = find_gaps(&c, s, out, f);
    arena_free(&c.mine);
    arena_free(&c.other);
    if (r == R_OK)
        put_in(o, s, out);
    return r;
}

enum result
imap_context_order_come(struct imap_context_order *o, struct imap_command *c,
                        const struct seqset *came, struct imap_context_places *out,
                        struct fault *f)
{
    struct query all = {.op = QUERY_ALL};
    struct imap_search s = {.c = c, .query = &all, .only = came};
    s.asked.prepared = true;
    if (imap_sort_find(&s, &o->program, f) != R_OK)
        return R_FAIL;
    if (seqset_size(&s.uids) != seqset_size(came))
        return fault_set(f, FAULT_EXPUNGEISSUED, "messages went while they were sorted");
    return come(o, &s, out, f);
}
