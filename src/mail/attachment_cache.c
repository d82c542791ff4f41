#include "mail/attachment_cache.h"

#include "base/budget.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/pack.h"
#include "base/table.h"
#include "base/zstd_frame.h"

// A pack is the texts, then a row for each, then {u32 rows, u32 octets of the rows, u32 PACK_VERSION}.
// A row: u64 emailid, u64 part, u8 verdict, span section, u32 at, u32 packed, u32 octets.
enum {
    PACK_VERSION = 0x50415431,
    PACK_TAIL = 12,
    PACK_FLUSH = 262144,  // octets that wait
    ENTRIES_FLUSH = 1024,
    PACK_SMALL = 1048576,
    SMALL_PACKS = 8,  // are made one
    ROW_MOST = 256,
    SECTION = 23,
    LEVEL = 3
};

struct pack {
    struct pack *next;  // older ones first
    uint64_t number;
    uint64_t octets;
    size_t rows;
    bool moves;  // what it has goes into a new one
};

struct entry {
    UT_hash_handle hh;
    struct attachment_key key;
    struct pack *pack;  // NULL: it waits
    uint32_t at, packed, octets;
    uint8_t verdict, section_n;
    char section[SECTION + 1];
};

struct attachment_cache {
    struct store *store;
    uint64_t account;
    struct entry *entries;
    struct pack *packs, **packs_end;
    uint64_t last;
    struct buf waiting;  // packed texts
    size_t waiting_count, charged;
};

static void
tell(const struct attachment_cache *c, const struct fault *f)
{
    log_warning("mail", "texts of attachments are lost, and made anew",
                field_number("account", "account=%", c->account), log_fault(f));
}

static struct span
pack_name(uint64_t number, char name[DERIVED_NAME + 1])
{
    int n = snprintf(name, DERIVED_NAME + 1, "files-%016llx", (unsigned long long)number);
    return span_of(name, (size_t)n);
}

// ---- entries ----

static void
forget(struct attachment_cache *c, struct entry *e)
{
    HASH_DEL(c->entries, e);
    budget_give(BUDGET_TABLES, sizeof *e);
    free(e);
}

static struct entry *
find(struct attachment_cache *c, const struct attachment_key *key)
{
    struct entry *e;
    HASH_FIND(hh, c->entries, key, sizeof *key, e);
    return e;
}

static void
add(struct attachment_cache *c, const struct entry *row)
{
    struct entry *old = find(c, &row->key), *e = calloc(1, sizeof *e);
    must(e != NULL);
    budget_force(BUDGET_TABLES, sizeof *e);
    if (old)
        forget(c, old);
    *e = *row;
    HASH_ADD(hh, c->entries, key, sizeof e->key, e);
}

static void
forget_of(struct attachment_cache *c, const struct pack *p)
{
    struct entry *e, *next;
    HASH_ITER(hh, c->entries, e, next)
    if (e->pack == p)
        forget(c, e);
}

// What waits is in the ledger too.
static void
charge(struct attachment_cache *c)
{
    if (c->waiting.cap > c->charged)
        budget_force(BUDGET_TABLES, c->waiting.cap - c->charged);
    else
        budget_give(BUDGET_TABLES, c->charged - c->waiting.cap);
    c->charged = c->waiting.cap;
}

// ---- packs ----

static struct pack *
pack_new(struct attachment_cache *c, uint64_t number)
{
    struct pack *p = calloc(1, sizeof *p);
    must(p != NULL);
    p->number = number;
    *c->packs_end = p;
    c->packs_end = &p->next;
    if (number > c->last)
        c->last = number;
    return p;
}

static void
pack_remove(struct attachment_cache *c, struct pack *p)
{
    char name[DERIVED_NAME + 1];
    struct fault f;
    struct pack **at = &c->packs;
    forget_of(c, p);
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    if (c->packs_end == &p->next)
        c->packs_end = at;
    if (derived_remove(c->store, c->account, pack_name(p->number, name), &f) != R_OK)
        tell(c, &f);
    free(p);
}

static bool
take_row(struct unpack *u, uint64_t texts, struct entry *e)
{
    e->key.emailid = unpack_u64(u);
    e->key.number = unpack_u64(u);
    e->verdict = unpack_u8(u);
    struct span section = unpack_span(u);
    e->at = unpack_u32(u);
    e->packed = unpack_u32(u);
    e->octets = unpack_u32(u);
    if (u->bad || section.n > SECTION || e->verdict >= EXTRACT_VERDICTS ||
        e->octets > LIMIT_extract_text || (uint64_t)e->at + e->packed > texts)
        return false;
    e->section_n = (uint8_t)section.n;
    if (section.n > 0)
        memcpy(e->section, section.p, section.n);
    return true;
}

static enum result
read_rows(struct attachment_cache *c, struct derived *d, struct pack *p, struct buf *rows,
          struct fault *f)
{
    char tail[PACK_TAIL];
    uint64_t size = derived_size(d);
    if (size < PACK_TAIL || derived_read(d, size - PACK_TAIL, tail, PACK_TAIL, f) != R_OK)
        return fault_set(f, FAULT_CORRUPTION, "a pack of texts has no end");
    struct unpack u = unpack_of(span_of(tail, PACK_TAIL));
    uint32_t n = unpack_u32(&u), octets = unpack_u32(&u), version = unpack_u32(&u);
    char *room = version == PACK_VERSION && octets <= size - PACK_TAIL
                     ? buf_reserve(rows, octets)
                     : NULL;
    if (!room || derived_read(d, size - PACK_TAIL - octets, room, octets, f) != R_OK)
        return fault_set(f, FAULT_CORRUPTION, "a pack of texts has no rows");
    u = unpack_of(span_of(room, octets));
    for (uint32_t i = 0; i < n; i++) {
        struct entry e = {.pack = p};
        if (!take_row(&u, size - PACK_TAIL - octets, &e))
            return fault_set(f, FAULT_CORRUPTION, "a row of a pack of texts is wrong");
        add(c, &e);
    }
    p->octets = size;
    p->rows = n;
    return R_OK;
}

static void
pack_open(struct attachment_cache *c, struct span name, uint64_t number)
{
    struct derived *d;
    struct fault f;
    struct buf rows;
    enum result r = derived_open(c->store, c->account, name, &d, &f);
    if (r == R_NONE)
        return;
    struct pack *p = pack_new(c, number);
    buf_init(&rows, (size_t)LIMIT_attachments * ROW_MOST);
    if (r == R_OK) {
        r = read_rows(c, d, p, &rows, &f);
        derived_close(&d);
    }
    buf_done(&rows);
    if (r == R_OK)
        return;
    tell(c, &f);
    pack_remove(c, p);
}

static bool
pack_number(struct span name, uint64_t *number_out)
{
    char text[24] = {0}, *end;
    if (!span_starts(name, SPAN("files-")) || name.n != 22)
        return false;
    memcpy(text, name.p + 6, 16);
    *number_out = strtoull(text, &end, 16);
    return end == text + 16;
}

struct attachment_cache *
attachment_cache_open(struct store *s, uint64_t account)
{
    struct attachment_cache *c = calloc(1, sizeof *c);
    struct derived_list list = {.a = arena_new()};
    struct fault f;
    uint64_t number;
    must(c != NULL);
    c->store = s;
    c->account = account;
    c->packs_end = &c->packs;
    buf_init(&c->waiting, PACK_FLUSH + LIMIT_extract_text * 2);
    if (derived_list(s, account, &list, &f) != R_OK)
        tell(c, &f);
    for (size_t i = 0; i < list.n; i++)
        if (pack_number(list.entries[i].name, &number))
            pack_open(c, list.entries[i].name, number);
    arena_free(&list.a);
    return c;
}

void
attachment_cache_free(struct attachment_cache **cp)
{
    struct attachment_cache *c = *cp;
    struct entry *e, *next;
    if (!c)
        return;
    HASH_ITER(hh, c->entries, e, next)
    forget(c, e);
    for (struct pack *p = c->packs, *after; p; p = after) {
        after = p->next;
        free(p);
    }
    buf_done(&c->waiting);
    charge(c);
    free(c);
    *cp = NULL;
}

// ---- reading ----

static enum result
read_packed(const struct attachment_cache *c, const struct entry *e, char *dst,
            struct fault *f)
{
    char name[DERIVED_NAME + 1];
    struct derived *d;
    if (e->packed == 0)
        return R_OK;
    if (!e->pack) {
        memcpy(dst, c->waiting.p + e->at, e->packed);
        return R_OK;
    }
    enum result r =
        derived_open(c->store, c->account, pack_name(e->pack->number, name), &d, f);
    if (r == R_OK) {
        r = derived_read(d, e->at, dst, e->packed, f);
        derived_close(&d);
    }
    return r == R_NONE ? fault_set(f, FAULT_CORRUPTION, "a pack of texts is gone") : r;
}

static enum result
read_text(const struct attachment_cache *c, const struct entry *e, struct buf *text,
          struct fault *f)
{
    if (e->octets == 0)
        return R_OK;
    char *packed = calloc(1, (size_t)e->packed + 1);
    char *room = buf_reserve(text, e->octets);
    must(packed != NULL);
    enum result r = room ? read_packed(c, e, packed, f)
                         : fault_set(f, FAULT_TOOBIG, "a text is too long");
    if (r == R_OK && zstd_unpack(span_of(packed, e->packed), room, e->octets) != R_OK)
        r = fault_set(f, FAULT_CORRUPTION, "a text cannot be unpacked");
    if (r == R_OK)
        text->n += e->octets;
    free(packed);
    return r;
}

enum result
attachment_cache_find(struct attachment_cache *c, const struct attachment_key *key,
                      enum extract_verdict *verdict_out, struct buf *text)
{
    struct fault f;
    struct entry *e = find(c, key);
    if (!e)
        return R_NONE;
    if (read_text(c, e, text, &f) != R_OK) {
        tell(c, &f);
        if (e->pack)
            pack_remove(c, e->pack);
        else
            forget(c, e);
        return R_NONE;
    }
    *verdict_out = (enum extract_verdict)e->verdict;
    return R_OK;
}

void
attachment_cache_each(struct attachment_cache *c, attachment_cache_fn *fn, void *arg)
{
    struct entry *e, *next;
    HASH_ITER(hh, c->entries, e, next)
    fn(arg, &e->key, (enum extract_verdict)e->verdict, span_of(e->section, e->section_n));
}

// ---- writing ----

static void
put_row(struct buf *rows, const struct entry *e, uint32_t at)
{
    pack_u64(rows, e->key.emailid);
    pack_u64(rows, e->key.number);
    pack_u8(rows, e->verdict);
    pack_span(rows, span_of(e->section, e->section_n));
    pack_u32(rows, at);
    pack_u32(rows, e->packed);
    pack_u32(rows, e->octets);
}

// What of the cache goes into a new pack: what waits, or what is in packs that move.
static bool
belongs(const struct entry *e, bool moved)
{
    return moved ? e->pack && e->pack->moves : !e->pack;
}

static enum result
write_entries(struct attachment_cache *c, struct derived_writer *w, bool moved,
              struct buf *rows, struct fault *f)
{
    struct entry *e, *next;
    uint32_t n = 0, at = 0;
    HASH_ITER(hh, c->entries, e, next)
    {
        if (!belongs(e, moved))
            continue;
        char *packed = calloc(1, (size_t)e->packed + 1);
        must(packed != NULL);
        enum result r = read_packed(c, e, packed, f);
        if (r == R_OK)
            r = derived_append(w, span_of(packed, e->packed), f);
        free(packed);
        if (r != R_OK)
            return R_FAIL;
        put_row(rows, e, at);
        at += e->packed;
        n++;
    }
    uint32_t octets = (uint32_t)rows->n;
    pack_u32(rows, n);
    pack_u32(rows, octets);
    pack_u32(rows, PACK_VERSION);
    return rows->over ? fault_set(f, FAULT_TOOBIG, "too many texts")
                      : derived_append(w, buf_span(rows), f);
}

static enum result
write_pack(struct attachment_cache *c, bool moved, struct pack **p_out, struct fault *f)
{
    char name[DERIVED_NAME + 1];
    struct derived_writer *w;
    struct buf rows;
    uint64_t number = c->last + 1;
    if (derived_create(c->store, c->account, pack_name(number, name), &w, f) != R_OK)
        return R_FAIL;
    buf_init(&rows, (size_t)LIMIT_attachments * ROW_MOST);
    enum result r = write_entries(c, w, moved, &rows, f);
    buf_done(&rows);
    uint64_t octets = derived_written(w);
    if (r != R_OK)
        derived_abort(&w);
    else
        r = derived_commit(&w, f);
    if (r != R_OK)
        return R_FAIL;
    *p_out = pack_new(c, number);
    (*p_out)->octets = octets;
    return R_OK;
}

// The entries that were written are that pack's, in the order in which they were written.
static void
move_entries(struct attachment_cache *c, bool moved, struct pack *p)
{
    struct entry *e, *next;
    uint32_t at = 0;
    HASH_ITER(hh, c->entries, e, next)
    {
        if (!belongs(e, moved) || e->pack == p)
            continue;
        e->pack = p;
        e->at = at;
        at += e->packed;
        p->rows++;
    }
}

static unsigned
count_small(const struct attachment_cache *c)
{
    unsigned n = 0;
    for (const struct pack *p = c->packs; p; p = p->next)
        n += p->octets < PACK_SMALL;
    return n;
}

// What the packs that move have goes into one new pack, and they go.
static void
move_packs(struct attachment_cache *c, size_t entries)
{
    struct pack *made = NULL;
    struct fault f;
    if (entries > 0 && write_pack(c, true, &made, &f) != R_OK) {
        tell(c, &f);
        for (struct pack *p = c->packs; p; p = p->next)
            p->moves = false;
        return;
    }
    if (made)
        move_entries(c, true, made);
    for (struct pack *p = c->packs, *next; p; p = next) {
        next = p->next;
        if (p->moves)
            pack_remove(c, p);
    }
}

static void
join_small(struct attachment_cache *c)
{
    size_t entries = 0;
    if (count_small(c) < SMALL_PACKS)
        return;
    for (struct pack *p = c->packs; p; p = p->next) {
        p->moves = p->octets < PACK_SMALL;
        entries += p->moves ? p->rows : 0;
    }
    move_packs(c, entries);
}

static void
keep_bounds(struct attachment_cache *c)
{
    for (;;) {
        uint64_t octets = 0;
        for (const struct pack *p = c->packs; p; p = p->next)
            octets += p->octets;
        if (!c->packs || (octets <= LIMIT_attachment_octets &&
                          HASH_COUNT(c->entries) <= LIMIT_attachments))
            return;
        pack_remove(c, c->packs);
    }
}

bool
attachment_cache_waits(const struct attachment_cache *c)
{
    return c->waiting_count > 0;
}

void
attachment_cache_flush(struct attachment_cache *c)
{
    struct pack *p;
    struct fault f;
    if (c->waiting_count == 0)
        return;
    if (write_pack(c, false, &p, &f) == R_OK) {
        move_entries(c, false, p);
    } else {
        tell(c, &f);
        forget_of(c, NULL);
    }
    buf_done(&c->waiting);
    charge(c);
    c->waiting_count = 0;
    join_small(c);
    keep_bounds(c);
}

// Forgets those of a pack (NULL: that wait) that are not alive; how many it leaves.
static size_t
forget_dead(struct attachment_cache *c, const struct pack *p,
            bool (*alive)(void *arg, uint64_t emailid), void *arg)
{
    struct entry *e, *next;
    size_t left = 0;
    HASH_ITER(hh, c->entries, e, next)
    {
        if (e->pack != p)
            continue;
        if (alive(arg, e->key.emailid))
            left++;
        else
            forget(c, e);
    }
    return left;
}

// A pack has more rows than there are entries of it when some are dead, or were replaced.
void
attachment_cache_purge(struct attachment_cache *c,
                       bool (*alive)(void *arg, uint64_t emailid), void *arg)
{
    uint64_t last = c->last;  // packs behind it are new
    (void)forget_dead(c, NULL, alive, arg);
    for (struct pack *p = c->packs, *next; p && p->number <= last; p = next) {
        size_t left = forget_dead(c, p, alive, arg);
        next = p->next;
        p->moves = left < p->rows;
        if (p->moves)
            move_packs(c, left);
    }
}

void
attachment_cache_put(struct attachment_cache *c, const struct attachment_key *key,
                     enum extract_verdict verdict, struct span section, struct span text)
{
    struct entry e = {.key = *key,
                      .verdict = (uint8_t)verdict,
                      .section_n = (uint8_t)(section.n < SECTION ? section.n : SECTION),
                      .at = (uint32_t)c->waiting.n,
                      .octets = (uint32_t)text.n};
    memcpy(e.section, section.p, e.section_n);
    if (text.n > 0) {
        size_t bound = zstd_pack_max(text.n);
        char *room = buf_reserve(&c->waiting, bound);
        must(room != NULL);
        size_t n = zstd_pack(text, LEVEL, room, bound);
        must(n > 0);
        e.packed = (uint32_t)n;
        c->waiting.n += n;
    }
    add(c, &e);
    charge(c);
    c->waiting_count++;
    if (c->waiting.n >= PACK_FLUSH || c->waiting_count >= ENTRIES_FLUSH)
        attachment_cache_flush(c);
}
