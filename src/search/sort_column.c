#include "search/sort_column.h"

#include "io/task.h"
#include "search/sort_inside.h"

#include <stdlib.h>

// Texts are in chunks, one for each time that messages came; a column holds the chunks of those before it.

enum { CHUNKS_MOST = 32, AT_ONCE = 4096, TEXT_STEP = 64 };

struct chunk {
    struct column head;  // of its count, references and octets; no UIDs
    struct chunk *before;
    uint32_t depth;  // itself and those before
    char texts[];
};

struct sort_column {
    struct column head;
    uint32_t *ranks;  // of its messages
    struct sort_value *values;
    uint32_t value_count;
    struct chunk *chunk;  // the last one
};

// ---- memory ----

static void
chunk_free(struct column *c)
{
    struct column *before = (struct column *)((struct chunk *)c)->before;
    free(c);
    column_unref(&before);  // at most CHUNKS_MOST deep
}

static enum result
chunk_new(struct chunk *before, size_t octets, struct chunk **out, struct fault *f)
{
    struct chunk *k = calloc(1, sizeof *k + octets);
    must(k != NULL);
    k->head.refs = 1;
    k->head.free = chunk_free;
    if (column_take(&k->head, octets, f) != R_OK) {
        free(k);
        return R_FAIL;
    }
    k->before = (struct chunk *)column_ref((struct column *)before);
    k->depth = before ? before->depth + 1 : 1;
    *out = k;
    return R_OK;
}

static void
sort_column_free(struct column *head)
{
    struct sort_column *c = (struct sort_column *)head;
    struct column *chunk = (struct column *)c->chunk;
    column_unref(&chunk);
    free(c->ranks);
    free(c->values);
    free(c);
}

static enum result
column_new(uint32_t messages, uint32_t values, struct sort_column **out, struct fault *f)
{
    struct sort_column *c = calloc(1, sizeof *c);
    must(c != NULL);
    c->head.refs = 1;
    c->head.free = sort_column_free;
    size_t octets = (size_t)messages * 2 * sizeof(uint32_t) + values * sizeof *c->values;
    *out = c;
    if (column_take(&c->head, octets, f) != R_OK)
        return R_FAIL;
    c->head.uids = reallocarray(NULL, messages + 1, sizeof *c->head.uids);
    c->ranks = reallocarray(NULL, messages + 1, sizeof *c->ranks);
    c->values = reallocarray(NULL, values + 1, sizeof *c->values);
    must(c->head.uids && c->ranks && c->values);
    return R_OK;
}

// ---- ranks ----

bool
sort_column_of(enum sort_key key)
{
    return key == SORT_DATE || sort_is_text(key);
}

size_t
sort_column_ranks(const struct column *head, const uint32_t *uids, size_t n,
                  uint32_t *ranks)
{
    const struct sort_column *c = (const struct sort_column *)head;
    size_t missing = 0;
    uint32_t at = 0;
    for (size_t i = 0; i < n; i++) {
        if (c)
            at = column_from(head, at, uids[i]);
        bool there = c && at < head->count && head->uids[at] == uids[i];
        ranks[i] = there ? c->ranks[at] : SORT_NO_RANK;
        missing += !there;
        if (i % AT_ONCE == AT_ONCE - 1)
            task_yield();
    }
    return missing;
}

// ---- values of both ----

struct merge {
    const struct sort_column *old;  // may be empty
    struct sort_column *made;
    struct sort *sort;
    unsigned criterion;
    bool rewrite;     // the old texts are copied too: there are too many chunks
    uint32_t at;      // of the old values; those before it are in
    uint32_t *moved;  // the old ranks' new ones
    uint32_t *ranks;  // of the sort's messages
    char *free;       // of the new chunk's texts
    uint64_t work;    // since the last yield
};

// A value was compared or copied.
static void
worked(struct merge *m, const struct sort_value *v)
{
    m->work += 1 + (v->text ? v->number / TEXT_STEP : 0);
    if (m->work < AT_ONCE)
        return;
    m->work = 0;
    task_yield();
}

static const struct sort_value *
value_of(const struct merge *m, uint32_t message)
{
    return &m->sort->values[(size_t)message * m->sort->program.n + m->criterion];
}

// The first old value, from m->at on, that is not less.
static uint32_t
old_from(const struct merge *m, const struct sort_value *v)
{
    uint32_t step = 1, low = m->at, high = low, n = m->old->value_count;
    while (high < n && sort_value_compare(&m->old->values[high], v) < 0) {
        low = high + 1;
        high = n - low > step ? low + step : n;
        step *= 2;
    }
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (sort_value_compare(&m->old->values[mid], v) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

// `copied`: its text goes into the new chunk.
static void
put_value(struct merge *m, struct sort_value v, bool copied)
{
    m->made->head.shared += v.text ? v.number : 0;
    if (copied && v.text && v.number > 0) {
        memcpy(m->free, v.text, v.number);
        v.text = m->free;
        m->free += v.number;
    }
    m->made->values[m->made->value_count++] = v;
}

static void
take_old(struct merge *m, uint32_t end)
{
    for (; m->at < end; m->at++) {
        m->moved[m->at] = m->made->value_count;
        put_value(m, m->old->values[m->at], m->rewrite);
        worked(m, &m->old->values[m->at]);
    }
}

// Ranks of the sort's messages, which come in order; old values go in between.
static void
merge_values(struct merge *m, const uint32_t *order)
{
    const struct sort_value *last = NULL;
    for (size_t i = 0; i < m->sort->count; i++) {
        const struct sort_value *v = value_of(m, order[i]);
        if (!last || sort_value_compare(last, v) != 0) {
            take_old(m, old_from(m, v));
            if (m->at < m->old->value_count &&
                sort_value_compare(&m->old->values[m->at], v) == 0)
                take_old(m, m->at + 1);
            else
                put_value(m, *v, true);
            last = v;
        }
        m->ranks[order[i]] = m->made->value_count - 1;
        worked(m, v);
    }
    take_old(m, m->old->value_count);
}

static void
merge_messages(struct merge *m, const uint32_t *uids)
{
    struct sort_column *made = m->made;
    uint32_t at = 0, n = 0, old_count = m->old->head.count;
    for (size_t i = 0; i < m->sort->count || at < old_count; n++) {
        bool old =
            i == m->sort->count || (at < old_count && m->old->head.uids[at] <= uids[i]);
        if (old && i < m->sort->count && m->old->head.uids[at] == uids[i])
            i++;
        made->head.uids[n] = old ? m->old->head.uids[at] : uids[i];
        made->ranks[n] = old ? m->moved[m->old->ranks[at++]] : m->ranks[i++];
        if (n % AT_ONCE == AT_ONCE - 1)
            task_yield();
    }
    made->head.count = n;
}

// ---- a new column ----

// Texts that are equal are kept once.
static size_t
texts_size(struct merge *m, const uint32_t *order)
{
    const struct sort_value *last = NULL;
    size_t n = m->rewrite ? m->old->head.shared : 0;
    for (size_t i = 0; i < m->sort->count; i++) {
        const struct sort_value *v = value_of(m, order[i]);
        if (v->text && (!last || sort_value_compare(last, v) != 0))
            n += v->number;
        worked(m, v);
        last = v;
    }
    return n;
}

static enum result
chunk_for(struct merge *m, const uint32_t *order, struct fault *f)
{
    struct chunk *before = m->old->chunk;
    m->rewrite = before && before->depth == CHUNKS_MOST;
    if (chunk_new(m->rewrite ? NULL : before, texts_size(m, order), &m->made->chunk, f) !=
        R_OK)
        return R_FAIL;
    m->free = m->made->chunk->texts;
    return R_OK;
}

static enum result
merge(struct merge *m, const uint32_t *uids, struct fault *f)
{
    const uint32_t *order;
    size_t old_values = m->old->value_count, fresh = m->sort->count;
    size_t old_count = m->old->head.count;
    if (old_count + fresh > UINT32_MAX / 2)
        return fault_set(f, FAULT_LIMIT, "a sort column is too long");
    if (sort_take(m->sort, (old_values + fresh) * sizeof(uint32_t), f) != R_OK ||
        column_new((uint32_t)(old_count + fresh), (uint32_t)(old_values + fresh), &m->made,
                   f) != R_OK ||
        sort_order_by(m->sort, m->criterion, &order, f) != R_OK ||
        chunk_for(m, order, f) != R_OK)
        return R_FAIL;
    m->moved = reallocarray(NULL, old_values + fresh + 1, sizeof *m->moved);
    must(m->moved != NULL);
    m->ranks = m->moved + old_values;
    merge_values(m, order);
    merge_messages(m, uids);
    free(m->moved);
    return R_OK;
}

enum result
sort_column_more(struct column *old, struct sort *s, unsigned criterion,
                 const uint32_t *uids, struct column **out, struct fault *f)
{
    static const struct sort_column none;
    struct merge m = {.old = old ? (const struct sort_column *)old : &none,
                      .sort = s,
                      .criterion = criterion};
    enum result r = merge(&m, uids, f);
    struct column *made = (struct column *)m.made;
    if (r == R_OK)
        *out = made;
    else
        column_unref(&made);
    return r;
}
