// Messages between roles: whatever is accepted prints and parses again; the first octet picks the type.
#include "base/limits.h"
#include "io/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ROUND_TRIP(number, type)                                                           \
    case number: {                                                                         \
        struct type m;                                                                     \
        if (type##_get(body, &m) == R_OK) {                                                \
            type##_put(&b, &m);                                                            \
            must(b.over || type##_get(buf_span(&b), &m) == R_OK);                          \
        }                                                                                  \
        break;                                                                             \
    }

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf b;
    buf_init(&b, LIMIT_channel_message);
    struct span body = span_skip(span_of(data, size), 1);
    switch (size > 0 ? data[0] % 12 : 0) {
        ROUND_TRIP(0, auth_start)
        ROUND_TRIP(1, auth_step)
        ROUND_TRIP(2, auth_reply)
        ROUND_TRIP(3, handover)
        ROUND_TRIP(4, ticket)
        ROUND_TRIP(5, lookup)
        ROUND_TRIP(6, lookup_reply)
        ROUND_TRIP(7, admin_request)
        ROUND_TRIP(8, admin_reply)
        ROUND_TRIP(9, listen_socket)
        ROUND_TRIP(10, peer)
        ROUND_TRIP(11, secret)
    }
    buf_done(&b);
    return 0;
}
