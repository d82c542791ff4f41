// Journal records: any octets, every type; what is accepted is walked to its end.

#include "store/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TRY(type, name)                                                                    \
    case RECORD_##type: {                                                                  \
        struct record_##name r;                                                            \
        return record_##name##_get(meta, &r) == R_OK ? 0 : -1;                             \
    }

static int
try(uint8_t type, struct span meta)
{
    switch ((enum record_type)type) {
        TRY(ACCOUNT, account)
        TRY(MAILBOX, mailbox)
        TRY(MAILBOX_GONE, mailbox_gone)
        TRY(SUBSCRIBE, subscribe)
        TRY(KEYWORD, keyword)
        TRY(ADDED, added)
        TRY(COPIED, copied)
        TRY(FLAGS, flags)
        TRY(EXPUNGED, expunged)
        TRY(FORGOTTEN, forgotten)
        TRY(RECENT, recent)
        TRY(PRIVATE, private)
        TRY(META, meta)
        TRY(RESTORED, restored)
    default:
        return -1;
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0)
        (void)try(data[0], span_of(data + 1, size - 1));
    return 0;
}
