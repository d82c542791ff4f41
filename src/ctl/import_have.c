#include "ctl/import_have.h"
#include "mail/message.h"
#include "mail/view.h"

enum { BATCH = 64 };

struct have_row {
    struct message_row row;
    bool used, hashed, offered;
    unsigned char hash[MESSAGE_HASH];
};

struct size_row {
    uint32_t size, row;
};

struct import_have {
    struct mail *mail;
    struct arena *arena;
    struct have_row *rows;  // by UID
    struct size_row *by_size;
    size_t count;
};

static int
compare_size(const void *a, const void *b)
{
    const struct size_row *x = a, *y = b;
    if (x->size != y->size)
        return x->size < y->size ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

static enum result
load_rows(struct import_have *h, struct view *v, struct fault *f)
{
    struct view_message messages[BATCH];
    struct view_cursor cursor;
    size_t n;
    enum result r = view_cursor_init(&cursor, v, NULL, false, f);
    h->rows = arena_array(h->arena, view_exists(v) + 1, sizeof *h->rows);
    while (r == R_OK && (r = view_next(&cursor, messages, BATCH, &n, f)) == R_OK)
        for (size_t i = 0; i < n; i++)
            h->rows[h->count++].row = messages[i].row;
    return r == R_NONE ? R_OK : r;
}

enum result
import_have_load(const struct mailbox_ref *ref, struct import_have **out, struct fault *f)
{
    struct view *v;
    if (view_open(ref, true, NULL, NULL, &v, f) != R_OK)
        return R_FAIL;
    struct import_have *h = calloc(1, sizeof *h);
    must(h != NULL);
    h->mail = account_mail(ref->account);
    h->arena = arena_new();
    enum result r = load_rows(h, v, f);
    view_close(&v);
    if (r != R_OK) {
        import_have_free(&h);
        return R_FAIL;
    }
    h->by_size = arena_array(h->arena, h->count + 1, sizeof *h->by_size);
    for (size_t i = 0; i < h->count; i++)
        h->by_size[i] = (struct size_row){h->rows[i].row.size, (uint32_t)i};
    qsort(h->by_size, h->count, sizeof *h->by_size, compare_size);
    *out = h;
    return R_OK;
}

void
import_have_free(struct import_have **h)
{
    if (*h == NULL)
        return;
    arena_free(&(*h)->arena);
    free(*h);
    *h = NULL;
}

size_t
import_have_count(const struct import_have *h)
{
    return h->count;
}

static struct have_row *
row_of(const struct import_have *h, uint32_t uid)
{
    size_t low = 0, high = h->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (h->rows[middle].row.uid < uid)
            low = middle + 1;
        else
            high = middle;
    }
    return low < h->count && h->rows[low].row.uid == uid ? &h->rows[low] : NULL;
}

bool
import_have_uid(struct import_have *h, uint32_t uid, int64_t date)
{
    struct have_row *row = row_of(h, uid);
    if (row == NULL || row->used || row->row.internal_date != date)
        return false;
    row->used = true;
    return true;
}

const struct message_row *
import_have_row(struct import_have *h, uint32_t uid)
{
    struct have_row *row = row_of(h, uid);
    if (row == NULL)
        return NULL;
    row->offered = true;
    return &row->row;
}

const struct message_row *
import_have_missing(const struct import_have *h, uint32_t last, size_t *at)
{
    while (*at < h->count && h->rows[*at].row.uid <= last) {
        const struct have_row *row = &h->rows[(*at)++];
        if (!row->offered)
            return &row->row;
    }
    return NULL;
}

static enum result
hash_row(struct import_have *h, struct have_row *row, struct fault *f)
{
    enum result r = message_hash(h->mail, &row->row, row->hash, f);
    row->hashed = r == R_OK;
    return r;
}

// The first index into by_size whose size is not below.
static size_t
first_of(const struct import_have *h, uint64_t size)
{
    size_t low = 0, high = h->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (h->by_size[middle].size < size)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

// The first row that has these octets and, if asked for, does not stand for another message yet.
static enum result
find_like(struct import_have *h, uint64_t size, struct span sha256, bool unused,
          struct have_row **out, struct fault *f)
{
    for (size_t i = first_of(h, size); i < h->count && h->by_size[i].size == size; i++) {
        struct have_row *row = &h->rows[h->by_size[i].row];
        if (unused && row->used)
            continue;
        if (!row->hashed && hash_row(h, row, f) != R_OK)
            return R_FAIL;
        if (!span_eq(span_of(row->hash, MESSAGE_HASH), sha256))
            continue;
        *out = row;
        return R_OK;
    }
    return R_NONE;
}

enum result
import_have_octets(struct import_have *h, uint64_t size, struct span sha256,
                   struct fault *f)
{
    struct have_row *row;
    enum result r = find_like(h, size, sha256, true, &row, f);
    if (r == R_OK)
        row->used = true;
    return r;
}

enum result
import_have_like(struct import_have *h, uint64_t size, struct span sha256,
                 const struct message_row **out, struct fault *f)
{
    struct have_row *row;
    enum result r = find_like(h, size, sha256, false, &row, f);
    if (r == R_OK)
        *out = &row->row;
    return r;
}
