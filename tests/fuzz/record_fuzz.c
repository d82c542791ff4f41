// Journal records: any octets, every type; what is accepted prints to octets that are accepted and print the same. Packed
// lists are walked to their end.

#include "store/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TRY(type, name)                                                                    \
    case RECORD_##type: {                                                                  \
        struct record_##name r;                                                            \
        if (record_##name##_get(meta, &r) != R_OK)                                         \
            break;                                                                         \
        record_##name##_put(&one, &r);                                                     \
        must(one.n <= meta.n && record_##name##_get(buf_span(&one), &r) == R_OK);          \
        record_##name##_put(&two, &r);                                                     \
        must(span_eq(buf_span(&one), buf_span(&two)));                                     \
        break;                                                                             \
    }

static void
try(uint8_t type, struct span meta)
{
    struct buf one, two;
    buf_init(&one, SIZE_MAX);
    buf_init(&two, SIZE_MAX);
    switch ((enum record_type)type) {
        TRY(ACCOUNT, account)
        TRY(MAILBOX, mailbox)
        TRY(MAILBOX_GONE, mailbox_gone)
        TRY(SUBSCRIBE, subscribe)
        TRY(KEYWORD, keyword)
        TRY(ADDED, added)
        TRY(COPIED, copied)
        TRY(FILED, filed)
        TRY(FLAGS, flags)
        TRY(EXPUNGED, expunged)
        TRY(FORGOTTEN, forgotten)
        TRY(RECENT, recent)
        TRY(PRIVATE, private)
        TRY(PRIVATES, privates)
        TRY(PRIVATES_GONE, privates_gone)
        TRY(META, meta)
        TRY(RESTORED, restored)
        TRY(MOVED, expunged)
    case RECORD_ACCOUNT_GONE:
    case RECORD_IMAGE:
        break;  // without a payload
    }
    buf_done(&one);
    buf_done(&two);
}

static void
lists(struct span in)
{
    struct unpack u = unpack_of(in);
    struct record_group g;
    struct record_row row;
    uint32_t first, last;
    while (record_ranges_next(&u, &first, &last) == R_OK)
        must(first > 0 && last >= first);
    u = unpack_of(in);
    while (record_groups_next(&u, &g) == R_OK)
        must(g.keywords.n + g.ranges.n <= in.n);
    u = unpack_of(in);
    while (record_rows_next(&u, &row) == R_OK)
        must(row.row.uid > 0 && row.keywords.n <= in.n);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    try(data[0], span_of(data + 1, size - 1));
    lists(span_of(data + 1, size - 1));
    return 0;
}
