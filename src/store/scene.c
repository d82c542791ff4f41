#include "store/scene.h"

#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

char scene_folder[64], scene_copy[64], scene_last_report[512];
int scene_reports;

_Noreturn void
scene_fail(const char *why)
{
    fprintf(stderr, "%s\n", why);
    abort();
}

static int
remove_one(const char *name, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(name);
}

void
scene_clean(char *name)
{
    nftw(name, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int
scene_begin(void **unused)
{
    (void)unused;
    must(snprintf(scene_folder, sizeof scene_folder, "/tmp/store_test.XXXXXX") > 0);
    must(snprintf(scene_copy, sizeof scene_copy, "/tmp/store_test.XXXXXX") > 0);
    scene_reports = 0;
    return mkdtemp(scene_folder) && mkdtemp(scene_copy) ? 0 : -1;
}

int
scene_end(void **unused)
{
    (void)unused;
    scene_clean(scene_folder);
    scene_clean(scene_copy);
    return 0;
}

void
scene_note(const char *line, void *arg)
{
    (void)arg;
    scene_reports++;
    must(snprintf(scene_last_report, sizeof scene_last_report, "%s", line) >= 0);
}

struct store_options
scene_options(const char *engine, const char *codec)
{
    bool compress = strcmp(codec, "zstd") == 0;
    return (struct store_options){.path = scene_folder,
                                  .engine = engine,
                                  .codec = compress ? "identity" : codec,
                                  .compress = compress,
                                  .segment_size = 1 << 20,
                                  .retention_s = 1000,
                                  .io_threads = 1,
                                  .report = scene_note};
}

struct store *
scene_open(const struct store_options *o)
{
    struct store *s;
    struct fault f;
    if (store_open(o, &s, &f) != R_OK)
        scene_fail(f.why);
    return s;
}

static struct store_body *
message_body(struct store *s, uint64_t number)
{
    char text[64];
    struct fault f;
    struct store_body *b = store_body_new(s);
    int n = snprintf(text, sizeof text, "Subject: message %llu\r\n\r\n",
                     (unsigned long long)number);
    for (int i = number % 3 == 0 ? -100 : 0; i < 10; i++)  // some are worth compressing
        must(store_body_write(b, span_of(text, (size_t)n), &f) == R_OK);
    must(store_body_finish(b, &f) == R_OK);
    return b;
}

// Gives the model's rows the places that the commit gave their bodies.
static void
settle(struct state *model, const struct store_batch *b)
{
    struct kept *k = model->inside->kept;
    for (uint32_t i = 0; i < model->mailbox_count; i++)
        for (uint32_t row = 0; row < model->mailboxes[i]->counts.exists; row++) {
            uint64_t *blob = &model->mailboxes[i]->rows[row].blob;
            if (*blob >> 62 != 0)
                *blob = store_batch_place(b, *blob & 0xffff).blob;
        }
    for (size_t i = 0; i < k->tombstone_count; i++)
        if (k->tombstones[i].row.blob >> 62 != 0)
            k->tombstones[i].row.blob =
                store_batch_place(b, k->tombstones[i].row.blob & 0xffff).blob;
}

// Commits up to `most` generated records as one batch; the model and the home's state (if any) follow. A COPIED
// record is the first of its batch, since it names bodies that are on disk.
void
scene_commit(struct store *s, struct generator *g, struct state *home, size_t most)
{
    struct fault f;
    struct store_batch *b = store_batch_new(s, g->state->account, 1, 2);
    struct store_body *bodies[16] = {0};
    size_t n = 1 + generator_random(g, most), i;
    must(n <= 16);
    for (i = 0; i < n; i++) {
        struct generator before = *g;
        generator_next(g);
        if (g->type == RECORD_COPIED && i > 0) {
            g->seed = before.seed;
            g->modseq = before.modseq;
            g->id = before.id;
            break;
        }
        if (g->type == RECORD_ADDED)
            bodies[i] = message_body(s, g->id);
        store_batch_add(b, g->type, buf_span(&g->meta), bodies[i]);
        generator_apply(g, (struct record_place){g->state->applied + 1, 1ull << 62 | i});
    }
    n = i;
    if (store_commit(s, b, &f) != R_OK)
        scene_fail(f.why);
    settle(g->state, b);
    for (i = 0; i < n; i++) {
        struct record_place place = store_batch_place(b, i);
        if (home && state_apply(home, store_batch_type(b, i), store_batch_meta(b, i), place,
                                &f) != R_OK)
            scene_fail(f.why);
        store_body_free(&bodies[i]);
    }
    store_batch_free(&b);
}

void
scene_index_damage(struct index_key prefix, bool gone)
{
    struct folder folder;
    struct index *ix;
    struct fault f;
    MDB_txn *txn;
    MDB_cursor *cursor;
    char name[160];
    embedded_index_folder(name, sizeof name, scene_folder, "index");
    MDB_val k = {prefix.n, prefix.p}, v = {7, "garbage"}, there;
    must(folder_open(scene_folder, false, &folder, &f) == R_OK);
    must(index_open(name, folder.uuid, codec_by_name("identity"), &ix, &f) == R_OK);
    must(mdb_txn_begin(ix->env, NULL, 0, &txn) == 0);
    must(mdb_cursor_open(txn, ix->rows, &cursor) == 0);
    must(mdb_cursor_get(cursor, &k, &there, MDB_SET_RANGE) == 0);
    must(span_starts(span_of(k.mv_data, k.mv_size), span_of(prefix.p, prefix.n)));
    must((gone ? mdb_cursor_del(cursor, 0) : mdb_cursor_put(cursor, &k, &v, MDB_CURRENT)) ==
         0);
    must(mdb_txn_commit(txn) == 0);
    index_close(&ix);
    folder_close(&folder);
}

void
scene_load_tables(struct store *s, struct state *st)
{
    struct fault f;
    for (uint32_t i = 0; i < st->mailbox_count; i++)
        if (store_table_load(s, st, st->mailboxes[i]->id, &f) != R_OK)
            scene_fail(f.why);
}

void
scene_dump(struct state *st, struct buf *out)
{
    buf_init(out, SIZE_MAX);
    generator_dump(st, true, out);
    buf_put_char(out, '\0');
}

void
scene_expect_model(struct store *s, struct generator *g)
{
    struct state *st, *model = g->state;
    struct fault f = {0};
    struct buf want, got;
    if (store_state_load(s, model->account, &st, &f) != R_OK)
        scene_fail(f.why);
    scene_load_tables(s, st);
    scene_dump(model, &want);
    scene_dump(st, &got);
    if (strcmp(got.p, want.p) != 0) {
        fprintf(stderr, "got:\n%s\nwant:\n%s\n", got.p, want.p);
        scene_fail("a state differs");
    }
    buf_done(&want);
    buf_done(&got);
    for (uint64_t id = 1; id < 30; id++) {
        struct arena *a = arena_new();
        struct store_tombstones found = {.a = a};
        size_t kept = 0;
        uint64_t mailbox = model->account << 40 | id;
        must(store_tombstones(s, st, mailbox, &found, &f) == R_OK);
        for (size_t i = 0; i < model->inside->kept->tombstone_count; i++)
            kept += model->inside->kept->tombstones[i].mailbox == mailbox;
        must(found.n == kept);
        arena_free(&a);
    }
    state_free(&st);
    store_state_closed(s, model->account);
}

void
scene_expect_verified(struct store *s, uint64_t errors)
{
    struct store_verify_result r = {0};
    struct fault f;
    if (store_verify(s, scene_note, NULL, &r, &f) != R_OK)
        scene_fail(f.why);
    if (errors == 0 && r.errors > 0)
        scene_fail(scene_last_report);
    must(r.errors >= errors);
}
