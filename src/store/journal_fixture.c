#include "store/journal_fixture.h"

#include "base/limits.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <ftw.h>
#include <unistd.h>

void
fixture_init(struct fixture *x, const char *how, uint64_t segment_size)
{
    bool scramble = span_starts(span_str(how), SPAN("scramble"));
    *x = (struct fixture){.codec = scramble ? "scramble" : "identity",
                          .compress = span_ends(span_str(how), SPAN(" zstd")),
                          .segment_size = segment_size};
    snprintf(x->path, sizeof x->path, "/tmp/journal_test.XXXXXX");
    assert_non_null(mkdtemp(x->path));
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void
fixture_done(struct fixture *x)
{
    journal_close(&x->j);
    nftw(x->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

enum result
fixture_open(struct fixture *x)
{
    struct journal_options o = {.path = x->path,
                                .codec = codec_by_name(x->codec),
                                .compress = x->compress,
                                .segment_size = x->segment_size,
                                .known_seq = x->known_seq,
                                .inspect = x->inspect,
                                .on_durable = x->on_durable,
                                .arg = x->arg,
                                .pool = x->pool};
    return journal_open(&o, &x->j, &x->recovery, &x->fault);
}

void
fixture_copy(const struct fixture *from, struct fixture *to)
{
    char command[256];
    fixture_init(to, from->codec, from->segment_size);
    to->compress = from->compress;
    snprintf(command, sizeof command, "cp -a --sparse=always %s/. %s/", from->path,
             to->path);
    assert_int_equal(system(command), 0);
}

void
fixture_path(const struct fixture *x, const char *file, char path[128])
{
    snprintf(path, 128, "%s/%s", x->path, file);
}

void
fixture_text(struct buf *out, uint64_t seed, size_t n)
{
    buf_printf(out, "Subject: secret %llu\r\n", (unsigned long long)seed);
    uint64_t v = seed * 2654435761u + 1;
    while (out->n < n) {
        v = v * 6364136223846793005u + 1442695040888963407u;
        buf_put_char(out, (char)('a' + (v >> 33) % 26));
    }
    out->n = n < out->n ? n : out->n;
}

struct store_body *
fixture_body(struct journal *j, uint64_t seed, size_t n)
{
    struct buf text;
    struct fault f;
    struct store_body *b = body_new(j);
    buf_init(&text, n + 64);
    fixture_text(&text, seed, n);
    struct span rest = buf_span(&text);
    for (size_t step = 1; rest.n > 0; step = step * 3 + 1) {  // pieces of every size
        struct span piece = span_slice(rest, 0, step);
        assert_int_equal(store_body_write(b, piece, &f), R_OK);
        rest = span_skip(rest, piece.n);
    }
    assert_int_equal(store_body_finish(b, &f), R_OK);
    assert_int_equal(store_body_size(b), n);
    buf_done(&text);
    return b;
}

size_t
fixture_body_size(uint64_t number)
{
    static const size_t sizes[] = {0,     1,      700,    5000,   65535, 65536,
                                   65537, 131072, 131073, 262144, 300001};
    return sizes[number % (sizeof sizes / sizeof sizes[0])];
}

static void
meta_text(struct buf *out, uint64_t number, uint64_t i)
{
    buf_printf(out, "mailbox Private/%llu of record %llu", (unsigned long long)number,
               (unsigned long long)i);
}

enum result
fixture_commit(struct journal *j, uint64_t number, uint64_t *blob_out, struct fault *f)
{
    struct store_batch *b = store_batch_new(NULL, number, 77, 88);
    struct store_body *body = fixture_body(j, number, fixture_body_size(number));
    struct buf meta;
    buf_init(&meta, 1000);
    for (uint64_t i = 0; i < number % 3 + 1; i++) {
        buf_reset(&meta);
        meta_text(&meta, number, i);
        store_batch_add(b, i == 0 ? RECORD_ADDED : RECORD_FLAGS, buf_span(&meta),
                        i == 0 ? body : NULL);
    }
    enum result r = journal_commit(j, b, f);
    if (r == R_OK && blob_out)
        *blob_out = store_batch_place(b, 0).blob;
    store_batch_free(&b);
    store_body_free(&body);
    buf_done(&meta);
    return r;
}

struct count {
    uint64_t batch, pos, seq;
};

static enum result
count_record(const struct journal_record *r, void *arg, struct fault *f)
{
    struct count *c = arg;
    struct buf want;
    (void)f;
    if (r->header.batch_pos == 0)
        c->batch++;
    c->pos = r->header.batch_pos;
    assert_int_equal(r->header.account, c->batch);
    assert_int_equal(r->header.batch_count, c->batch % 3 + 1);
    assert_int_equal(r->place.seq, c->seq + 1);
    c->seq = r->place.seq;
    buf_init(&want, 1000);
    meta_text(&want, c->batch, c->pos);
    assert_true(span_eq(r->meta, buf_span(&want)));
    buf_done(&want);
    return R_OK;
}

uint64_t
fixture_batches(struct journal *j)
{
    struct count c = {0};
    struct fault f = {0};
    struct journal_scan s = {.from = 1, .bodies = true, .record = count_record, .arg = &c};
    if (journal_scan(j, &s, &f) != R_OK)
        fail_msg("scan: %s", f.why);
    assert_int_equal(c.seq + 1, journal_end(j));
    assert_int_equal(c.pos, c.batch == 0 ? 0 : c.batch % 3);
    return c.batch;
}

bool
fixture_blob_good(struct journal *j, uint64_t blob, uint64_t number)
{
    size_t n = fixture_body_size(number);
    struct buf want, got;
    struct fault f;
    buf_init(&want, n + 64);
    buf_init(&got, n + 1);
    fixture_text(&want, number, n);
    char *room = buf_reserve(&got, n + 1);
    bool good =
        journal_blob_read(j, blob, 0, n, room, &f) == R_OK && memcmp(room, want.p, n) == 0;
    for (size_t from = 0; good && from < n; from += n / 3 + 1) {
        size_t len = n - from < 70000 ? n - from : 70000;
        good = journal_blob_read(j, blob, from, len, room, &f) == R_OK &&
               memcmp(room, want.p + from, len) == 0 &&
               journal_blob_read(j, blob, from, len, NULL, &f) == R_OK;
    }
    buf_done(&want);
    buf_done(&got);
    return good;
}
