// The index on disk with arbitrary rows under keys of every letter: all that reads it gives rows or FAULT_CORRUPTION.
// Headers that are accepted print as they were.
#include "store/index.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ACCOUNT = 7, MAILBOX = 9, KEY_MAX = 39 };

static struct index *ix;
static char folder[] = "/dev/shm/index_fuzz.XXXXXX";

static void
put_rows(struct span in)
{
    static const char letters[] = "ABDKMPRSTX";
    MDB_txn *txn;
    must(mdb_txn_begin(ix->env, NULL, 0, &txn) == 0 && mdb_drop(txn, ix->rows, 0) == 0);
    while (in.n >
           3) {  // letter, octets of the key behind the usual ones, octets of the value
        size_t extra = (uint8_t)in.p[1] & 31, n = (uint8_t)in.p[2];
        struct index_key key =
            index_key(ACCOUNT, (enum index_letter)letters[(uint8_t)in.p[0] % 10]);
        if (in.p[1] & 32)
            index_key_u64(&key, MAILBOX);
        struct span tail =
            span_slice(in, 3, 3 + (extra < (size_t)(KEY_MAX - key.n) ? extra : 0));
        memcpy(key.p + key.n, tail.p, tail.n);
        MDB_val k = {key.n + tail.n - (in.p[1] & 64 ? key.n - 9 : 0), key.p}, v;
        struct span value = span_slice(in, 3 + tail.n, 3 + tail.n + n);
        v = (MDB_val){value.n, (void *)(uintptr_t)value.p};
        must(mdb_put(txn, ix->rows, &k, &v, 0) == 0);
        in = span_skip(in, 3 + tail.n + value.n);
    }
    must(mdb_txn_commit(txn) == 0);
}

static void
fine(enum result r, const struct fault *f)
{
    must(r != R_FAIL || f->kind == FAULT_CORRUPTION);
}

static void
read_all(void)
{
    struct fault f;
    struct state *st = NULL;
    struct index_position p;
    struct index_table t = {.expected = 4};
    struct arena *arena = arena_new();
    struct store_tombstones dead = {.a = arena};
    struct store_deleted gone = {.a = arena, .max = 1000};
    struct store_keywords names = {.a = arena};
    struct store_privates own = {0};
    struct store_thread_key *keys = NULL;
    uint64_t *ids = NULL;
    size_t n;
    enum result r = index_load_state(ix, ACCOUNT, &st, &p, &f);
    fine(r, &f);
    if (r == R_OK)
        state_free(&st);
    fine(r = index_load_table(ix, ACCOUNT, MAILBOX, &t, &f), &f);
    for (uint32_t i = 1; r == R_OK && i < t.table.count; i++)
        must(t.table.rows[i - 1].uid < t.table.rows[i].uid);
    if (r == R_OK)
        message_table_done(&t.table);
    fine(index_tombstones(ix, ACCOUNT, MAILBOX, &dead, &f), &f);
    fine(index_deleted(ix, ACCOUNT, &gone, &f), &f);
    fine(index_keywords(ix, ACCOUNT, MAILBOX, &names, &f), &f);
    fine(index_privates(ix, ACCOUNT, MAILBOX, 1, &own, &f), &f);
    fine(index_thread_keys(ix, ACCOUNT, &keys, &n, &f), &f);
    fine(index_accounts(ix, &ids, &n, &f), &f);
    arena_free(&arena);
    free(own.list);
    free(keys);
    free(ids);
}

static void
headers(struct span in)
{
    struct index_account a;
    struct mailbox_row m;
    struct buf b, again;
    buf_init(&b, SIZE_MAX);
    buf_init(&again, SIZE_MAX);
    if (index_account_get(in, &a) == R_OK) {
        index_account_put(&b, &a);
        must(index_account_get(buf_span(&b), &a) == R_OK);
        index_account_put(&again, &a);
    } else if (index_mailbox_get(in, &m) == R_OK) {
        index_mailbox_put(&b, &m);
        must(index_mailbox_get(buf_span(&b), &m) == R_OK);
        index_mailbox_put(&again, &m);
    }
    must(span_eq(buf_span(&b), buf_span(&again)));
    buf_done(&b);
    buf_done(&again);
}

static void
folder_remove(void)
{
    struct fault f;
    index_close(&ix);
    (void)!index_remove(folder, &f);
    (void)!rmdir(folder);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fault f;
    if (!ix) {
        must(mkdtemp(folder) != NULL);
        must(index_open(folder, (const uint8_t *)"0123456789abcdef", codec_find(0), &ix,
                        &f) == R_OK);
        must(mdb_env_set_flags(ix->env, MDB_NOSYNC, 1) == 0);
        (void)atexit(folder_remove);
    }
    put_rows(span_of(data, size));
    read_all();
    headers(span_of(data, size));
    return 0;
}
