// The files that Dovecot keeps beside a Maildir do not crash their readers; names survive the way out and back.
#include "ctl/uidlist.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
there_and_back(struct span name)
{
    struct buf stored, back;
    struct fault f;
    buf_init(&stored, SIZE_MAX);
    buf_init(&back, SIZE_MAX);
    storage_name_encode(name, '.', &stored);
    if (stored.n < 1000) {
        must(storage_name_decode(buf_span(&stored), '.', &back, &f) == R_OK);
        must(span_eq(buf_span(&back), name));
    }
    buf_done(&stored);
    buf_done(&back);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = span_of(data, size), rest = in, names[MAILDIR_LETTERS] = {0};
    struct arena *a = arena_new();
    struct uidlist l;
    struct fault f;
    struct buf name, decoded;
    int version = 0;
    uint64_t wire;
    buf_init(&name, 8192);
    buf_init(&decoded, 8192);
    if (uidlist_parse(in, a, &l, &f) == R_OK)
        for (size_t i = 0; i < l.count; i++)
            must(uidlist_find(&l, l.entries[i].base) != NULL);
    keyword_file_parse(in, a, names);
    (void)!maildir_wire_size(maildir_base(in), &wire);
    (void)maildir_letters(in);
    while (subscriptions_next(&rest, '.', &version, &name) == R_OK) {
        buf_reset(&decoded);
        (void)!storage_name_decode(buf_span(&name), '.', &decoded, &f);
    }
    if (utf8_valid(in) && size < 500 && memchr(data, 0, size) == NULL)
        there_and_back(in);
    buf_done(&name);
    buf_done(&decoded);
    arena_free(&a);
    return 0;
}
