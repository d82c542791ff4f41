#include "store/segment.h"

#include "base/hash.h"

#include <fcntl.h>
#include <unistd.h>

static void
push(uint64_t **list, uint32_t *count, uint32_t *cap, uint64_t v)
{
    if (*count == *cap) {
        *cap = *cap > 0 ? *cap * 2 : 256;
        *list = reallocarray(*list, *cap, sizeof **list);
        must(*list != NULL);
    }
    (*list)[(*count)++] = v;
}

void
table_add(struct table *t, const struct record_header *h, uint64_t offset)
{
    push(&t->offsets, &t->count, &t->count_cap, offset);
    if (h->flags & RECORD_BODY_EXTERNAL)
        push(&t->externals, &t->external_count, &t->external_cap, h->body_id);
}

void
table_cut(struct table *t, uint32_t count, uint32_t externals)
{
    must(count <= t->count && externals <= t->external_count);
    t->count = count;
    t->external_count = externals;
}

void
table_done(struct table *t)
{
    free(t->offsets);
    free(t->externals);
    *t = (struct table){0};
}

// ---- on disk ----

static void
list_put(struct buf *b, const uint64_t *list, uint32_t n)
{
    char *room = n > 0 ? buf_reserve(b, (size_t)n * 8) : NULL;
    for (uint32_t i = 0; room && i < n; i++)
        layout_put_u64(room + (size_t)i * 8, list[i]);
    b->n += room ? (size_t)n * 8 : 0;
}

static enum result
table_text_write(struct segments *s, uint32_t number, struct span text, struct fault *f)
{
    char temp[SEGMENT_NAME], name[SEGMENT_NAME];
    int fd, dir = s->v->journal_fd;
    segment_name(temp, number, "idn");
    segment_name(name, number, "idx");
    unlinkat(dir, temp, 0);
    if (disk_create(dir, temp, &fd, f) != R_OK)
        return R_FAIL;
    enum result r = disk_write(fd, 0, text, f);
    close(fd);
    if (r == R_OK && renameat(dir, temp, dir, name) != 0)
        r = fault_errno(f, FAULT_DISK, "rename of an offset table");
    if (r != R_OK)
        unlinkat(dir, temp, 0);
    return r;
}

enum result
segments_table_write(struct segments *s, const struct segment_header *h,
                     const struct table *t, uint64_t end, struct fault *f)
{
    struct buf b;
    size_t body = ((size_t)t->count + t->external_count) * 8;
    buf_init(&b, LAYOUT_TABLE + body);
    must(buf_reserve(&b, LAYOUT_TABLE + body) != NULL);
    b.n = LAYOUT_TABLE;
    list_put(&b, t->offsets, t->count);
    list_put(&b, t->externals, t->external_count);
    size_t split = LAYOUT_TABLE + (size_t)t->count * 8;
    struct table_header head = {.segment = h->number,
                                .rewrites = h->rewrites,
                                .count = t->count,
                                .externals = t->external_count,
                                .nonce = h->nonce,
                                .end = end,
                                .offsets_sum =
                                    hash64(span_slice(buf_span(&b), LAYOUT_TABLE, split)),
                                .externals_sum = hash64(span_skip(buf_span(&b), split))};
    table_header_put(b.p, &head);
    enum result r = table_text_write(s, h->number, buf_span(&b), f);
    buf_done(&b);
    return r;
}

// R_NONE: there is none for this segment as it is now.
static enum result
table_try(struct segments *s, struct handle *h)
{
    char name[SEGMENT_NAME], text[LAYOUT_TABLE];
    struct table_header t;
    struct fault ignored;
    uint64_t size;
    segment_name(name, h->segment.number, "idx");
    int fd = openat(s->v->journal_fd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return R_NONE;
    bool good = disk_size(fd, &size, &ignored) == R_OK &&
                disk_read(fd, 0, text, sizeof text, false, &ignored) == R_OK &&
                table_header_get(span_of(text, sizeof text), &t) == R_OK &&
                t.segment == h->segment.number && t.rewrites == h->segment.rewrites &&
                t.nonce == h->segment.nonce && t.end == h->size &&
                size == LAYOUT_TABLE + ((uint64_t)t.count + t.externals) * 8;
    if (!good) {
        close(fd);
        return R_NONE;
    }
    h->table = t;
    h->table_fd = fd;
    return R_OK;
}

static enum result
table_walk(struct segments *s, struct handle *h, struct table *t, struct fault *f)
{
    struct walk w;
    struct record_header r;
    enum result result = R_OK;
    uint64_t stop = segments_stop(s, h->segment.number);
    walk_init(&w, h->fd, h->size, &h->segment);
    while (result == R_OK && w.seq < stop) {
        result = walk_next(&w, &r, f);
        if (result == R_OK)
            table_add(t, &r, w.at);
    }
    if (result == R_NONE)
        result =
            fault_set(f, FAULT_CORRUPTION, "journal: segment %u is damaged at octet %llu",
                      h->segment.number, (unsigned long long)w.offset);
    walk_done(&w);
    return result;
}

static enum result
table_make(struct segments *s, struct handle *h, struct fault *f)
{
    struct table t = {0};
    enum result r = table_walk(s, h, &t, f);
    if (r == R_OK)
        r = segments_table_write(s, &h->segment, &t, h->size, f);
    table_done(&t);
    if (r == R_OK && table_try(s, h) != R_OK)
        r = fault_set(f, FAULT_DISK, "journal: the table of segment %u cannot be read back",
                      h->segment.number);
    return r;
}

// The segment may have been replaced since it was opened: takes the file that is there now.
static enum result
handle_refresh(struct segments *s, struct handle *h, struct fault *f)
{
    struct handle *now = NULL;
    if (segment_open(s, (uint32_t)h->id, O_RDONLY, &now, f) != R_OK)
        return R_FAIL;
    int old = h->fd;
    h->fd = now->fd;
    now->fd = old;
    h->size = now->size;
    h->segment = now->segment;
    handle_unpin(&s->handles, &now);
    return R_OK;
}

enum result
segments_table_open(struct segments *s, struct handle *h, struct fault *f)
{
    if (table_try(s, h) == R_OK)
        return R_OK;
    pthread_mutex_lock(&s->tables_lock);
    enum result r = handle_refresh(s, h, f);
    if (r == R_OK && table_try(s, h) != R_OK)
        r = table_make(s, h, f);
    pthread_mutex_unlock(&s->tables_lock);
    return r;
}

enum result
segments_table_rebuild(struct segments *s, uint32_t number, struct fault *f)
{
    struct handle *h = NULL;
    pthread_mutex_lock(&s->tables_lock);
    enum result r = segment_open(s, number, O_RDONLY, &h, f);
    if (r == R_OK)
        r = table_make(s, h, f);
    handles_forget(&s->handles, HANDLE_SEGMENT, number);
    pthread_mutex_unlock(&s->tables_lock);
    handle_unpin(&s->handles, &h);
    return r;
}

// ---- external bodies ----

static enum result
externals_sealed(struct handle *h, struct buf *ids, struct fault *f)
{
    size_t n = (size_t)h->table.externals * 8;
    char *room = n > 0 ? buf_reserve(ids, n) : NULL;
    if (n == 0)
        return R_OK;
    if (!room)
        return fault_set(f, FAULT_LIMIT, "journal: too many body files");
    enum result r = disk_read(h->table_fd, LAYOUT_TABLE + (uint64_t)h->table.count * 8,
                              room, n, false, f);
    if (r == R_OK && hash64(span_of(room, n)) != h->table.externals_sum)
        r = R_NONE;
    for (size_t i = 0; r == R_OK && i < n; i += 8) {
        uint64_t id = layout_u64(room + i);
        memcpy(room + i, &id, 8);
    }
    ids->n += r == R_OK ? n : 0;
    return r;
}

enum result
segments_externals(struct segments *s, uint32_t number, struct buf *ids, struct fault *f)
{
    struct handle *h = NULL;
    pthread_mutex_lock(&s->lock);
    bool open = number == s->count;
    if (open)
        buf_put(ids, span_of(s->open.externals, (size_t)s->open.external_count * 8));
    pthread_mutex_unlock(&s->lock);
    if (open)
        return R_OK;
    enum result r = R_NONE;
    for (int tries = 0; r == R_NONE && tries < 2; tries++) {
        if (tries > 0 && segments_table_rebuild(s, number, f) != R_OK)
            return R_FAIL;
        if (segments_pin(s, number, false, &h, f) != R_OK)
            return R_FAIL;
        r = externals_sealed(h, ids, f);
        handle_unpin(&s->handles, &h);
    }
    return r == R_NONE ? fault_set(f, FAULT_CORRUPTION,
                                   "journal: the table of segment %u is damaged", number)
                       : r;
}
