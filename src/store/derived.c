#include "store/derived_inside.h"

#include "base/limits.h"

#include <unistd.h>

bool
derived_name_good(const char *name)
{
    size_t n = strnlen(name, DERIVED_NAME + 1);
    for (size_t i = 0; i < n; i++)
        if (!ascii_is_digit(name[i]) && name[i] != '-' && (name[i] < 'a' || name[i] > 'z'))
            return false;
    return n > 0 && n <= DERIVED_NAME;
}

int
derived_entry_compare(const void *a, const void *b)
{
    return span_cmp(((const struct derived_entry *)a)->name,
                    ((const struct derived_entry *)b)->name);
}

static void
name_take(char out[DERIVED_NAME + 1], struct span name)
{
    must(name.n <= DERIVED_NAME);
    memcpy(out, name.p, name.n);
    out[name.n] = '\0';
    must(derived_name_good(out));
}

// ---- writing ----

static void
writer_end(struct derived_writer **w)
{
    (*w)->store->engine->derived->end(*w);
    buf_done(&(*w)->plain);
    free(*w);
    *w = NULL;
}

enum result
derived_create(struct store *s, uint64_t account, struct span name,
               struct derived_writer **w_out, struct fault *f)
{
    struct derived_writer *w = calloc(1, sizeof *w);
    must(w != NULL);
    w->store = s;
    w->account = account;
    w->fd = w->folder_fd = -1;
    name_take(w->name, name);
    buf_init(&w->plain, LIMIT_derived_string);
    if (s->engine->derived->create(w, f) != R_OK) {
        writer_end(&w);
        return R_FAIL;
    }
    *w_out = w;
    return R_OK;
}

enum result
derived_append(struct derived_writer *w, struct span octets, struct fault *f)
{
    if (octets.n > LIMIT_derived_string - w->size)
        return fault_set(f, FAULT_LIMIT, "a derived string is too long");
    while (octets.n > 0) {
        size_t room =
            w->plain.n < DERIVED_PIECE ? DERIVED_PIECE - w->plain.n : DERIVED_PIECE;
        struct span piece = span_slice(octets, 0, room);
        buf_put(&w->plain, piece);
        w->size += piece.n;
        octets = span_skip(octets, piece.n);
        if (w->plain.n >= DERIVED_PIECE &&
            w->store->engine->derived->write(w, false, f) != R_OK)
            return R_FAIL;
    }
    return R_OK;
}

uint64_t
derived_written(const struct derived_writer *w)
{
    return w->size;
}

enum result
derived_commit(struct derived_writer **w, struct fault *f)
{
    const struct derived_engine *e = (*w)->store->engine->derived;
    enum result r = e->write(*w, true, f);
    if (r == R_OK)
        r = e->commit(*w, f);
    writer_end(w);
    return r;
}

void
derived_abort(struct derived_writer **w)
{
    if (*w)
        writer_end(w);
}

enum result
derived_put(struct store *s, uint64_t account, struct span name, struct span octets,
            struct fault *f)
{
    struct derived_writer *w;
    if (derived_create(s, account, name, &w, f) != R_OK)
        return R_FAIL;
    if (derived_append(w, octets, f) == R_OK)
        return derived_commit(&w, f);
    derived_abort(&w);
    return R_FAIL;
}

// ---- reading ----

enum result
derived_open(struct store *s, uint64_t account, struct span name, struct derived **d_out,
             struct fault *f)
{
    struct derived *d = calloc(1, sizeof *d);
    must(d != NULL);
    d->store = s;
    d->account = account;
    d->fd = -1;
    name_take(d->name, name);
    enum result r = s->engine->derived->open(d, f);
    if (r == R_OK)
        *d_out = d;
    else
        derived_close(&d);
    return r;
}

uint64_t
derived_size(const struct derived *d)
{
    return d->size;
}

enum result
derived_read(struct derived *d, uint64_t offset, char *dst, size_t n, struct fault *f)
{
    if (offset > d->size || n > d->size - offset)
        return fault_set(f, FAULT_CORRUPTION, "derived string %s: no such range", d->name);
    return n > 0 ? d->store->engine->derived->read(d, offset, dst, n, f) : R_OK;
}

void
derived_close(struct derived **d)
{
    if (!*d)
        return;
    (*d)->store->engine->derived->close(*d);
    free(*d);
    *d = NULL;
}

// ---- all of them ----

enum result
derived_remove(struct store *s, uint64_t account, struct span name, struct fault *f)
{
    char text[DERIVED_NAME + 1];
    name_take(text, name);
    return s->engine->derived->remove(s, account, text, f);
}

enum result
derived_list(struct store *s, uint64_t account, struct derived_list *out, struct fault *f)
{
    out->entries = NULL;
    out->n = 0;
    return s->engine->derived->list(s, account, out, f);
}

enum result
derived_accounts(struct store *s, struct arena *a, uint64_t **ids_out, size_t *n_out,
                 struct fault *f)
{
    uint64_t *list = NULL;
    size_t n = 0;
    if (s->engine->derived->accounts(s, &list, &n, f) != R_OK)
        return R_FAIL;
    uint64_t *ids = arena_array(a, n + 1, sizeof *ids);
    if (n > 0)
        memcpy(ids, list, n * sizeof *ids);
    free(list);
    *ids_out = ids;
    *n_out = n;
    return R_OK;
}

enum result
derived_clear(struct store *s, uint64_t account, struct fault *f)
{
    return s->engine->derived->clear(s, account, f);
}

enum result
derived_clear_all(struct store *s, struct fault *f)
{
    return s->engine->derived->clear_all(s, f);
}
