#include "imap/sort_inside.h"

#include "io/task.h"
#include "search/sort_column.h"

// Sorting by ranks. A new column costs what it is long, so that few messages that it lacks are read for themselves.

enum { FEW = 64, SHARE = 8, AT_ONCE = 4096 };

struct ranking {
    struct sorting *d;
    struct sort_program program;  // what there are columns of, rising
    struct column *columns[SORT_KEYS];
    uint32_t *ranks[SORT_KEYS];  // of what was found
    uint32_t *uids;
    size_t missing, octets;
    struct sorting more;  // what is read for the columns
    uint32_t *more_uids;
};

static void
yield_at(size_t i)
{
    if (i % AT_ONCE == AT_ONCE - 1)
        task_yield();
}

// False: some value is in no row and no column.
static bool
begin(struct ranking *r)
{
    const struct sort_program *p = r->d->program;
    if (!p->summary || p->collation != COLLATION_CASEMAP)
        return false;
    r->program.collation = p->collation;
    for (unsigned i = 0; i < p->n; i++) {
        if (p->list[i].key == SORT_RELEVANCY)
            return false;
        if (sort_column_of(p->list[i].key))
            sort_program_add(&r->program, p->list[i].key, false);
    }
    return true;
}

static enum result
take(struct ranking *r, size_t count, uint32_t **out, struct fault *f)
{
    if (search_ledger_take(r->d->ledger, count * sizeof **out, f) != R_OK)
        return R_FAIL;
    r->octets += count * sizeof **out;
    *out = reallocarray(NULL, count + 1, sizeof **out);
    must(*out != NULL);
    return R_OK;
}

static struct view *
view_of(const struct ranking *r)
{
    return r->d->search->c->session->view;
}

// ---- what the columns have ----

static enum result
look_up(struct ranking *r, struct fault *f)
{
    struct sorting *d = r->d;
    if (take(r, d->n, &r->uids, f) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < d->n; i++)
        r->uids[i] = d->found[i].uid;
    for (unsigned k = 0; k < r->program.n; k++) {
        if (take(r, d->n, &r->ranks[k], f) != R_OK)
            return R_FAIL;
        if (mail_column_get(view_of(r), r->program.list[k].key, &r->columns[k]) != R_OK)
            return R_NONE;
        r->missing += sort_column_ranks(r->columns[k], r->uids, d->n, r->ranks[k]);
    }
    return R_OK;
}

static bool
is_worth_it(const struct ranking *r)
{
    size_t longest = 0;
    for (unsigned k = 0; k < r->program.n; k++)
        if (r->columns[k] && r->columns[k]->count > longest)
            longest = r->columns[k]->count;
    return r->missing == 0 || (r->d->n >= FEW && r->d->n >= longest / SHARE);
}

// ---- what they lack ----

static bool
is_missing(const struct ranking *r, size_t i)
{
    for (unsigned k = 0; k < r->program.n; k++)
        if (r->ranks[k][i] == SORT_NO_RANK)
            return true;
    return false;
}

static enum result
choose_missing(struct ranking *r, struct fault *f)
{
    struct sorting *d = r->d, *more = &r->more;
    size_t n = 0;
    for (size_t i = 0; i < d->n; i++) {
        n += is_missing(r, i);
        yield_at(i);
    }
    *more = *d;
    more->program = &r->program;
    more->found = NULL;
    more->n = 0;
    more->room = 0;
    if (search_ledger_take(d->ledger, n * sizeof *more->found, f) != R_OK)
        return R_FAIL;
    more->room = n;  // what is given back
    if (take(r, n, &r->more_uids, f) != R_OK)
        return R_FAIL;
    more->found = reallocarray(NULL, n + 1, sizeof *more->found);
    must(more->found != NULL);
    for (size_t i = 0; i < d->n; i++) {
        yield_at(i);
        if (!is_missing(r, i))
            continue;
        r->more_uids[more->n] = r->uids[i];
        more->found[more->n++] = d->found[i];
    }
    return R_OK;
}

static enum result
extend(struct ranking *r, unsigned k, struct fault *f)
{
    struct column *longer;
    if (sort_column_more(r->columns[k], r->more.sort, k, r->more_uids, &longer, f) != R_OK)
        return R_FAIL;
    column_unref(&r->columns[k]);
    r->columns[k] = longer;
    mail_column_offer(view_of(r), r->program.list[k].key, longer);
    must(sort_column_ranks(longer, r->uids, r->d->n, r->ranks[k]) == 0);
    return R_OK;
}

static enum result
complete(struct ranking *r, struct fault *f)
{
    if (r->missing == 0)
        return R_OK;
    if (choose_missing(r, f) != R_OK || sorting_read(&r->more, f) != R_OK)
        return R_FAIL;
    for (unsigned k = 0; k < r->program.n; k++)
        if (extend(r, k, f) != R_OK)
            return R_FAIL;
    return R_OK;
}

// ---- the sort ----

static void
end_of_reading(struct ranking *r)
{
    sort_free(&r->more.sort);
    free(r->more.found);
    search_ledger_give(r->d->ledger, r->more.room * sizeof *r->more.found);
}

static void
set_ranks(struct ranking *r, unsigned criterion, unsigned column)
{
    for (size_t i = 0; i < r->d->n; i++) {
        sort_set_number(r->d->sort, criterion, i, r->ranks[column][i]);
        yield_at(i);
    }
}

static enum result
set_all(struct ranking *r, struct fault *f)
{
    struct sorting *d = r->d;
    if (sort_new(d->program, d->n, d->ledger, &d->sort, f) != R_OK)
        return R_FAIL;
    if (d->program->n != r->program.n && sorting_set_rows(d, d->sort, f) != R_OK)
        return R_FAIL;
    for (unsigned i = 0, k = 0; i < d->program->n; i++)
        if (sort_column_of(d->program->list[i].key))
            set_ranks(r, i, k++);
    return R_OK;
}

static void
end(struct ranking *r)
{
    for (unsigned k = 0; k < SORT_KEYS; k++) {
        column_unref(&r->columns[k]);
        free(r->ranks[k]);
    }
    free(r->uids);
    free(r->more_uids);
    search_ledger_give(r->d->ledger, r->octets);
}

enum result
sorting_rank(struct sorting *d, struct fault *f)
{
    struct ranking r = {.d = d};
    if (!begin(&r))
        return R_NONE;
    enum result done = look_up(&r, f);
    if (done == R_OK && !is_worth_it(&r))
        done = R_NONE;
    if (done == R_OK)
        done = complete(&r, f);
    end_of_reading(&r);
    if (done == R_OK)
        done = set_all(&r, f);
    end(&r);
    if (done != R_FAIL)
        return done;
    sort_free(&d->sort);
    return f->kind == FAULT_LIMIT ? R_NONE : R_FAIL;
}
