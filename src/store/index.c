#include "store/index.h"

#include "base/clock.h"
#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

// Pages go when nothing was read or written for so long; where that never comes, so often.
enum { QUIET_MS = 5000, BUSY_MS = 20000 };

// ---- keys ----

struct index_key
index_key(uint64_t account, enum index_letter letter)
{
    struct index_key k = {0};
    index_key_u64(&k, account);
    k.p[k.n++] = (char)letter;
    return k;
}

void
index_key_u64(struct index_key *k, uint64_t v)
{
    uint64_t big = __builtin_bswap64(v);
    memcpy(k->p + k->n, &big, sizeof big);
    k->n = (uint8_t)(k->n + sizeof big);
}

void
index_key_u32(struct index_key *k, uint32_t v)
{
    uint32_t big = __builtin_bswap32(v);
    memcpy(k->p + k->n, &big, sizeof big);
    k->n = (uint8_t)(k->n + sizeof big);
}

void
index_key_hash(struct index_key *k, struct span name)
{
    crypto_generichash((unsigned char *)k->p + k->n, 16, (const unsigned char *)name.p,
                       name.n, NULL, 0);
    k->n = (uint8_t)(k->n + 16);
}

uint64_t
index_key_get_u64(struct span key, size_t at)
{
    uint64_t v;
    must(at + sizeof v <= key.n);
    memcpy(&v, key.p + at, sizeof v);
    return __builtin_bswap64(v);
}

uint32_t
index_key_get_u32(struct span key, size_t at)
{
    uint32_t v;
    must(at + sizeof v <= key.n);
    memcpy(&v, key.p + at, sizeof v);
    return __builtin_bswap32(v);
}

// ---- faults ----

static const char distrusted[] = "distrusted";

static void
file_name(char out[PATH_MAX], const char *folder, const char *name)
{
    must(snprintf(out, PATH_MAX, "%s/%s", folder, name) < PATH_MAX);
}

void
index_distrust(const char *folder)
{
    char name[PATH_MAX];
    size_t n = strnlen(folder, PATH_MAX - sizeof distrusted - 1);
    memcpy(name, folder, n);
    name[n] = '/';
    memcpy(name + n + 1, distrusted, sizeof distrusted);
    int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
}

bool
index_distrusted(const struct index *ix)
{
    char mark[PATH_MAX];
    file_name(mark, ix->path, distrusted);
    return access(mark, F_OK) == 0;
}

static bool
is_damage(int rc)
{
    return rc == MDB_CORRUPTED || rc == MDB_PAGE_NOTFOUND || rc == MDB_BAD_TXN ||
           rc == MDB_PANIC || rc == MDB_INVALID || rc == MDB_VERSION_MISMATCH ||
           rc == MDB_INCOMPATIBLE || rc == MDB_BAD_VALSIZE || rc == MDB_CURSOR_FULL ||
           rc == MDB_NOTFOUND;
}

enum result
index_fault(struct index *ix, int rc, const char *what, struct fault *f)
{
    if (!is_damage(rc))
        return fault_set(f, FAULT_DISK, "index: %s: %s", what, mdb_strerror(rc));
    index_distrust(ix->path);
    return fault_set(f, FAULT_CORRUPTION,
                     "index: %s: %s; it will be made anew from the journal", what,
                     mdb_strerror(rc));
}

// ---- opening ----

// Puts or compares one value of the meta table; a fresh index has none.
static enum result
agree(struct index *ix, MDB_txn *txn, const char *name, struct span want, struct fault *f)
{
    MDB_val key = {strlen(name), (void *)(uintptr_t)name};
    MDB_val value = {want.n, (void *)(uintptr_t)want.p}, there;
    int rc = mdb_get(txn, ix->meta, &key, &there);
    if (rc == MDB_NOTFOUND)
        rc = mdb_put(txn, ix->meta, &key, &value, 0);
    else if (rc == 0 && !span_eq(want, span_of(there.mv_data, there.mv_size)))
        return fault_set(f, FAULT_CORRUPTION, "index: the %s is another one", name);
    return rc == 0 ? R_OK : index_fault(ix, rc, name, f);
}

// A newer program's index stays as it is. From format 3 on its checksum follows, so that damage is not taken for one.
static enum result
refuse_newer(struct index *ix, MDB_txn *txn, struct fault *f)
{
    MDB_val key = {6, (void *)(uintptr_t) "format"}, there;
    if (mdb_get(txn, ix->meta, &key, &there) != 0)
        return R_OK;
    struct span s = span_of(there.mv_data, there.mv_size);
    struct span head = span_slice(s, 0, s.n > 8 ? s.n - 8 : 0);
    struct unpack u = unpack_of(s), sum = unpack_of(span_skip(s, head.n));
    uint32_t format = unpack_u32(&u);
    if (u.bad || format <= INDEX_FORMAT || unpack_u64(&sum) != hash64(head) || sum.bad)
        return R_OK;
    return fault_set(f, FAULT_UNAVAILABLE,
                     "index: it has format %u, this program knows up to %d: use a newer "
                     "one, or make it anew with `posthorn rebuild`",
                     format, INDEX_FORMAT);
}

static enum result
check_meta(struct index *ix, MDB_txn *txn, const uint8_t uuid[16], struct fault *f)
{
    const uint32_t order = 0x01020304;  // rows are stored as they are in memory
    struct buf format;
    buf_init(&format, 64);
    pack_u32(&format, INDEX_FORMAT);
    pack_u32(&format, INDEX_ENVIRONMENTS);
    buf_put(&format, span_of(&order, sizeof order));
    pack_u8(&format, ix->codec->id);
    pack_u64(&format, hash64(buf_span(&format)));
    enum result r = refuse_newer(ix, txn, f);
    if (r == R_OK)
        r = agree(ix, txn, "format", buf_span(&format), f);
    if (r == R_OK)
        r = agree(ix, txn, "uuid", span_of(uuid, 16), f);
    buf_done(&format);
    return r;
}

static enum result
open_tables(struct index *ix, const uint8_t uuid[16], struct fault *f)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(ix->env, NULL, 0, &txn);
    if (rc != 0)
        return index_fault(ix, rc, "begin", f);
    rc = mdb_dbi_open(txn, "meta", MDB_CREATE, &ix->meta);
    if (rc == 0)
        rc = mdb_dbi_open(txn, "rows", MDB_CREATE, &ix->rows);
    if (rc == 0)
        rc = mdb_dbi_open(txn, "caches", MDB_CREATE, &ix->caches);
    if (rc != 0) {
        mdb_txn_abort(txn);
        return index_fault(ix, rc, "tables", f);
    }
    if (check_meta(ix, txn, uuid, f) != R_OK) {
        mdb_txn_abort(txn);
        return R_FAIL;
    }
    rc = mdb_txn_commit(txn);
    return rc == 0 ? R_OK : index_fault(ix, rc, "commit", f);
}

// A file that is shorter than its last page would be SIGBUS later.
static enum result
check_length(struct index *ix, struct fault *f)
{
    MDB_envinfo info;
    MDB_stat stat;
    struct stat file;
    int fd;
    if (mdb_env_info(ix->env, &info) != 0 || mdb_env_stat(ix->env, &stat) != 0 ||
        mdb_env_get_fd(ix->env, &fd) != 0 || fstat(fd, &file) != 0)
        return fault_errno(f, FAULT_DISK, "index: length");
    if ((uint64_t)file.st_size < (info.me_last_pgno + 1) * (uint64_t)stat.ms_psize)
        return fault_set(f, FAULT_CORRUPTION, "index: the file is shorter than its pages");
    return R_OK;
}

static int
try_open(struct index *ix, const char *folder, size_t map_size)
{
    int rc = mdb_env_create(&ix->env);
    if (rc != 0)
        return rc;
    ix->map_size = map_size;
    mdb_env_set_mapsize(ix->env, map_size);
    mdb_env_set_maxdbs(ix->env, 4);
    mdb_env_set_maxreaders(ix->env, 512);
    rc = mdb_env_open(ix->env, folder, MDB_NOTLS, 0600);
    if (rc != 0) {
        mdb_env_close(ix->env);
        ix->env = NULL;
    }
    return rc;
}

// Huge and sparse; less where the address space is limited.
static enum result
open_environment(struct index *ix, const char *folder, struct fault *f)
{
    int rc = ENOMEM;
    for (size_t size = 1ull << 40; rc == ENOMEM && size >= 1ull << 30; size /= 4)
        rc = try_open(ix, folder, size);
    return rc == 0 ? R_OK : index_fault(ix, rc, "open", f);
}

static enum result
make_folder(const char *name, struct fault *f)
{
    if (mkdir(name, 0700) == 0 || errno == EEXIST)
        return R_OK;
    return fault_errno(f, FAULT_DISK, "index: mkdir");
}

enum result
index_open(const char *folder, const uint8_t uuid[16], const struct codec *codec,
           struct index **ix_out, struct fault *f)
{
    char zero[PATH_MAX], mark[PATH_MAX];
    file_name(zero, folder, "0");
    file_name(mark, folder, distrusted);
    if (access(mark, F_OK) == 0)
        return fault_set(f, FAULT_CORRUPTION, "index: was found damaged before");
    if (make_folder(folder, f) != R_OK || make_folder(zero, f) != R_OK)
        return R_FAIL;
    struct index *ix = calloc(1, sizeof *ix);
    must(ix != NULL);
    must(pthread_mutex_init(&ix->lock, NULL) == 0);
    ix->codec = codec;
    ix->path = strdup(folder);
    must(ix->path != NULL);
    if (open_environment(ix, zero, f) != R_OK || check_length(ix, f) != R_OK ||
        open_tables(ix, uuid, f) != R_OK) {
        index_close(&ix);
        return R_FAIL;
    }
    *ix_out = ix;
    return R_OK;
}

void
index_close(struct index **ix)
{
    if (!*ix)
        return;
    if ((*ix)->env)
        mdb_env_close((*ix)->env);
    pthread_mutex_destroy(&(*ix)->lock);
    free((*ix)->path);
    free(*ix);
    *ix = NULL;
}

enum result
index_remove(const char *folder, struct fault *f)
{
    static const char *const files[] = {"0/data.mdb", "0/lock.mdb", distrusted};
    char name[PATH_MAX];
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        file_name(name, folder, files[i]);
        if (unlink(name) != 0 && errno != ENOENT && errno != ENOTDIR)
            return fault_errno(f, FAULT_DISK, "index: unlink");
    }
    return R_OK;
}

// ---- resting ----

void
index_enter(struct index *ix)
{
    pthread_mutex_lock(&ix->lock);
    ix->users++;
    ix->uses++;
    ix->rested = false;
    pthread_mutex_unlock(&ix->lock);
}

void
index_leave(struct index *ix)
{
    pthread_mutex_lock(&ix->lock);
    must(ix->users > 0);
    ix->users--;
    pthread_mutex_unlock(&ix->lock);
}

// Each page that is touched brings its neighbours into the process, and they stay: with many idle sessions that
// is most of its memory. Setting the size maps the file anew (lmdb.h: only without transactions).
static void
map_anew(struct index *ix, uint64_t now_ms)
{
    must(mdb_env_set_mapsize(ix->env, ix->map_size) == 0);
    ix->rested = true;
    ix->rested_ms = now_ms;
}

// Nothing was read or written since it was last asked, some seconds ago.
static bool
was_quiet(struct index *ix, uint64_t now_ms)
{
    if (now_ms < ix->seen_ms + QUIET_MS)
        return false;
    bool quiet = ix->uses == ix->uses_seen;
    ix->uses_seen = ix->uses;
    ix->seen_ms = now_ms;
    return quiet;
}

bool
index_rest(struct index *ix)
{
    uint64_t now_ms = clock_mono_ms();
    pthread_mutex_lock(&ix->lock);
    bool may = ix->users == 0 && !ix->rested;
    bool quiet = was_quiet(ix, now_ms) && may;
    if (quiet || (may && now_ms >= ix->rested_ms + BUSY_MS))
        map_anew(ix, now_ms);
    pthread_mutex_unlock(&ix->lock);
    return quiet;
}

// ---- reading ----

enum result
index_cursor_begin(struct index *ix, MDB_dbi table, MDB_txn **txn_out,
                   MDB_cursor **cursor_out, struct fault *f)
{
    MDB_txn *txn;
    index_enter(ix);
    int rc = mdb_txn_begin(ix->env, NULL, MDB_RDONLY, &txn);
    if (rc != 0) {
        index_leave(ix);
        return index_fault(ix, rc, "read", f);
    }
    rc = mdb_cursor_open(txn, table, cursor_out);
    if (rc != 0) {
        mdb_txn_abort(txn);
        index_leave(ix);
        return index_fault(ix, rc, "cursor", f);
    }
    *txn_out = txn;
    return R_OK;
}

void
index_cursor_end(struct index *ix, MDB_txn *txn, MDB_cursor *cursor)
{
    mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
    index_leave(ix);
}

enum result
index_read_begin(struct index *ix, struct index_reader *r, struct fault *f)
{
    *r = (struct index_reader){.ix = ix, .plain = ix->codec == codec_by_name("identity")};
    buf_init(&r->scratch, SIZE_MAX);
    return index_cursor_begin(ix, ix->rows, &r->txn, &r->cursor, f);
}

void
index_read_end(struct index_reader *r)
{
    index_cursor_end(r->ix, r->txn, r->cursor);
    buf_done(&r->scratch);
}

enum result
index_read_position(struct index_reader *r, struct index_position *out, struct fault *f)
{
    MDB_val key = {8, (void *)(uintptr_t) "position"}, value;
    int rc = mdb_get(r->txn, r->ix->meta, &key, &value);
    if (rc == MDB_NOTFOUND) {
        *out = (struct index_position){0};
        return R_OK;
    }
    if (rc != 0)
        return index_fault(r->ix, rc, "position", f);
    struct unpack u = unpack_of(span_of(value.mv_data, value.mv_size));
    struct index_position p = {.seq = unpack_u64(&u)};
    p.part_seq = unpack_u64(&u);
    p.part_account = unpack_u64(&u);
    p.max_id = unpack_u64(&u);
    if (unpack_end(&u) != R_OK)
        return index_fault(r->ix, MDB_CORRUPTED, "position", f);
    *out = p;
    return R_OK;
}

static enum result
decode(struct index_reader *r, MDB_val key, MDB_val value, struct span *value_out,
       struct fault *f)
{
    const struct codec *c = r->ix->codec;
    struct span k = span_of(key.mv_data, key.mv_size),
                v = span_of(value.mv_data, value.mv_size);
    if (v.n < c->overhead || k.n < 9)
        return index_fault(r->ix, MDB_CORRUPTED, "value", f);
    if (r->plain) {
        *value_out = v;
        return R_OK;
    }
    size_t n = v.n - c->overhead;
    buf_reset(&r->scratch);
    char *plain = buf_reserve(&r->scratch, n);
    struct codec_context ctx = {.a = index_key_get_u64(k, 0), .b = hash64(k)};
    if (c->decode(&ctx, v, plain) != R_OK)
        return index_fault(r->ix, MDB_CORRUPTED, "value", f);
    *value_out = span_of(plain, n);
    return R_OK;
}

bool
index_key_good(struct span key)
{
    static const uint8_t lengths['X' + 1] = {
        [INDEX_ACCOUNT] = 9,    [INDEX_MAILBOX] = 17,    [INDEX_DELETED] = 17,
        [INDEX_KEYWORD] = 21,   [INDEX_VALUE] = 33,      [INDEX_PRIVATE] = 29,
        [INDEX_ROW] = 21,       [INDEX_SUBSCRIBED] = 25, [INDEX_THREAD] = 17,
        [INDEX_TOMBSTONE] = 29, [INDEX_MARK] = 37};
    uint8_t letter = key.n > 8 ? (uint8_t)key.p[8] : 0;
    return letter < sizeof lengths && lengths[letter] != 0 && key.n == lengths[letter];
}

// From `key` on; without a key, on from where the cursor is.
static enum result
move(struct index_reader *r, MDB_val key, struct span prefix, struct span *key_out,
     struct span *value_out, struct fault *f)
{
    MDB_val value;
    int rc =
        mdb_cursor_get(r->cursor, &key, &value, key.mv_size > 0 ? MDB_SET_RANGE : MDB_NEXT);
    if (rc == MDB_NOTFOUND)
        return R_NONE;
    if (rc != 0)
        return index_fault(r->ix, rc, "scan", f);
    struct span k = span_of(key.mv_data, key.mv_size);
    if (!span_starts(k, prefix))
        return R_NONE;
    if (!index_key_good(k))
        return index_fault(r->ix, MDB_CORRUPTED, "key", f);
    if (decode(r, key, value, value_out, f) != R_OK)
        return R_FAIL;
    *key_out = k;
    return R_OK;
}

enum result
index_seek(struct index_reader *r, const struct index_key *from, struct span prefix,
           struct span *key_out, struct span *value_out, struct fault *f)
{
    MDB_val key = {from->n, (void *)(uintptr_t)from->p};
    return move(r, key, prefix, key_out, value_out, f);
}

enum result
index_next(struct index_reader *r, struct span prefix, struct span *key_out,
           struct span *value_out, struct fault *f)
{
    return move(r, (MDB_val){0}, prefix, key_out, value_out, f);
}

// ---- values ----

enum result
index_row_get(struct span value, struct index_row *out)
{
    if (value.n < INDEX_ROW_SIZE)
        return R_FAIL;
    memcpy(&out->row, value.p, INDEX_ROW_SIZE);
    out->keywords = span_skip(value, INDEX_ROW_SIZE);
    return R_OK;
}

void
index_account_put(struct buf *b, const struct index_account *a)
{
    pack_span(b, a->row.user);
    pack_u64(b, (uint64_t)a->row.created_s);
    pack_u64(b, a->row.modseq);
    pack_u64(b, a->last_seq);
}

enum result
index_account_get(struct span value, struct index_account *out)
{
    struct unpack u = unpack_of(value);
    struct index_account a = {.row.user = unpack_span(&u)};
    a.row.created_s = (int64_t)unpack_u64(&u);
    a.row.modseq = unpack_u64(&u);
    a.last_seq = unpack_u64(&u);
    if (unpack_end(&u) != R_OK)
        return R_FAIL;
    *out = a;
    return R_OK;
}

void
index_mailbox_put(struct buf *b, const struct mailbox_row *m)
{
    const struct mailbox_counts *c = &m->counts;
    pack_u64(b, m->id);
    pack_u64(b, m->parent);
    pack_span(b, m->name);
    pack_u32(b, m->uidvalidity);
    pack_u8(b, m->special_use);
    pack_u8(b, m->flags);
    pack_u32(b, m->recent_mark);
    pack_u64(b, m->created_modseq);
    pack_u64(b, m->horizon);
    pack_u32(b, c->uidnext);
    pack_u32(b, c->exists);
    pack_u32(b, c->unseen);
    pack_u32(b, c->deleted);
    pack_u64(b, c->size);
    pack_u64(b, c->modseq);
}

enum result
index_mailbox_get(struct span value, struct mailbox_row *out)
{
    struct unpack u = unpack_of(value);
    struct mailbox_row m = {.id = unpack_u64(&u)};
    struct mailbox_counts *c = &m.counts;
    m.parent = unpack_u64(&u);
    m.name = unpack_span(&u);
    m.uidvalidity = unpack_u32(&u);
    m.special_use = unpack_u8(&u);
    m.flags = unpack_u8(&u);
    m.recent_mark = unpack_u32(&u);
    m.created_modseq = unpack_u64(&u);
    m.horizon = unpack_u64(&u);
    c->uidnext = unpack_u32(&u);
    c->exists = unpack_u32(&u);
    c->unseen = unpack_u32(&u);
    c->deleted = unpack_u32(&u);
    c->size = unpack_u64(&u);
    c->modseq = unpack_u64(&u);
    if (unpack_end(&u) != R_OK)
        return R_FAIL;
    *out = m;
    return R_OK;
}
