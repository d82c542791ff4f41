#include "mail/filter_seen.h"

static const struct remembered_kind seen = {SPAN("filter/seen/"), LIMIT_sieve_seen};

static struct span
key_span(const struct filter_mark *m)
{
    return remembered_key_span(m->key);
}

static void
make_key(char key[REMEMBERED_KEY], enum filter_seen_kind kind, struct span id)
{
    char prefix[] = "filter/seen/?/";
    prefix[seen.prefix.n] = (char)kind;
    remembered_key(key, span_str(prefix), id);
}

static bool
is_seen(struct account *a, struct span key, int64_t now_s)
{
    struct span rest;
    return remembered_find(a, key, now_s, &rest) == R_OK;
}

static struct filter_mark *
find_mark(struct filter_marks *marks, const char *key)
{
    for (size_t i = 0; i < marks->n; i++)
        if (memcmp(marks->p[i].key, key, REMEMBERED_KEY) == 0)
            return &marks->p[i];
    return NULL;
}

enum result
filter_seen(struct account *a, struct filter_marks *marks, const struct filter_ask *ask,
            bool *seen_out, struct fault *f)
{
    struct filter_mark mark = {.until_s = marks->now_s + (int64_t)ask->seconds};
    *seen_out = false;
    if (ask->seconds == 0)
        return R_OK;
    make_key(mark.key, ask->kind, ask->id);
    *seen_out = is_seen(a, key_span(&mark), marks->now_s);
    mark.fresh = !*seen_out;
    if (*seen_out && !ask->last)
        return R_OK;
    struct filter_mark *m = find_mark(marks, mark.key);
    if (!m && marks->n == LIMIT_sieve_marks)
        return fault_set(f, FAULT_LIMIT, "more than %d ids are to be remembered",
                         LIMIT_sieve_marks);
    if (!m)
        m = &marks->p[marks->n++];
    *m = mark;
    return R_OK;
}

void
filter_marks_redirected(struct filter_marks *marks)
{
    size_t n = 0;
    for (size_t i = 0; i < marks->n; i++)
        if (marks->p[i].key[seen.prefix.n] == SEEN_REDIRECTED)
            marks->p[n++] = marks->p[i];
    marks->n = n;
}

enum result
filter_marks_check(struct account *a, void *arg, struct fault *f)
{
    const struct filter_marks *marks = arg;
    for (size_t i = 0; i < marks->n; i++)
        if (marks->p[i].fresh && is_seen(a, key_span(&marks->p[i]), marks->now_s))
            return fault_set(f, FAULT_INUSE, "another delivery has the same id");
    return R_OK;
}

void
filter_marks_put(struct account *a, struct store_batch *b, void *arg)
{
    const struct filter_marks *marks = arg;
    if (marks->n > 0)
        remembered_make_room(a, b, &seen, &a->seen_round, marks->n, marks->now_s);
    for (size_t i = 0; i < marks->n; i++)
        remembered_put(a, b, key_span(&marks->p[i]), marks->p[i].until_s, SPAN_NONE);
}
