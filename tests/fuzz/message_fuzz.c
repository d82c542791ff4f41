// Messages between roles: what is accepted prints to octets that parse to the same message; the first octet picks the
// type. A ticket opens only with its key, before its end, and with every bit in place.
#include "base/limits.h"
#include "io/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MESSAGES = 36 };
#define MESSAGE(name) +1
#define END
#define U8(type, member, most)
#define U32(type, member)
#define U64(type, member)
#define I64(type, member)
#define BOOL(type, member)
#define TEXT(type, member)
_Static_assert(
#include "io/message.def"
    == MESSAGES, "every message has a row");

// Printing may be shorter than what came (a varint has spellings), but what was printed is final.
#define ROUND_TRIP(number, type)                                                           \
    case number: {                                                                         \
        struct type m;                                                                     \
        if (type##_get(body, &m) == R_OK) {                                                \
            type##_put(&b, &m);                                                            \
            must(!b.over && b.n <= body.n && type##_get(buf_span(&b), &m) == R_OK);        \
            type##_put(&again, &m);                                                        \
            must(span_eq(buf_span(&b), buf_span(&again)));                                 \
            must(type##_get(span_slice(buf_span(&b), 0, b.n - 1), &m) == R_FAIL);          \
        }                                                                                  \
        break;                                                                             \
    }

static void
one_message(unsigned type, struct span body)
{
    struct buf b, again;
    buf_init(&b, LIMIT_channel_message);
    buf_init(&again, LIMIT_channel_message);
    switch (type) {
        ROUND_TRIP(0, auth_start)
        ROUND_TRIP(1, auth_step)
        ROUND_TRIP(2, auth_reply)
        ROUND_TRIP(3, auth_offer)
        ROUND_TRIP(4, handover)
        ROUND_TRIP(5, ticket)
        ROUND_TRIP(6, lookup)
        ROUND_TRIP(7, lookup_reply)
        ROUND_TRIP(8, resolve_request)
        ROUND_TRIP(9, admin_request)
        ROUND_TRIP(10, admin_reply)
        ROUND_TRIP(11, listen_socket)
        ROUND_TRIP(12, peer)
        ROUND_TRIP(13, secret)
        ROUND_TRIP(14, ping)
        ROUND_TRIP(15, extract_room)
        ROUND_TRIP(16, extract_request)
        ROUND_TRIP(17, extract_reply)
        ROUND_TRIP(18, extract_offer)
        ROUND_TRIP(19, revoked)
        ROUND_TRIP(20, token_fetch)
        ROUND_TRIP(21, directory_ask)
        ROUND_TRIP(22, directory_answer)
        ROUND_TRIP(23, directory_list)
        ROUND_TRIP(24, directory_names)
        ROUND_TRIP(25, directory_changed)
        ROUND_TRIP(26, identity_changed)
        ROUND_TRIP(27, relay_begin)
        ROUND_TRIP(28, relay_submit)
        ROUND_TRIP(29, relay_taken)
        ROUND_TRIP(30, relay_return)
        ROUND_TRIP(31, relay_returned)
        ROUND_TRIP(32, scan_ask)
        ROUND_TRIP(33, scan_answer)
        ROUND_TRIP(34, pipe_ask)
        ROUND_TRIP(35, pipe_answer)
    }
    buf_done(&b);
    buf_done(&again);
}

static void
one_ticket(struct span in)
{
    const struct span key = SPAN("0123456789abcdef0123456789abcdef");
    struct ticket t, got;
    struct buf b;
    must(ticket_open(in, key, 0, &got) == R_FAIL);  // nobody guesses a MAC
    if (ticket_get(in, &t) != R_OK || t.expiry_ms < 0 || t.expiry_ms == INT64_MAX)
        return;
    buf_init(&b, LIMIT_channel_message);
    ticket_seal(&b, &t, key);
    must(ticket_open(buf_span(&b), key, 0, &got) == R_OK && got.account == t.account);
    must(got.serial == t.serial && span_eq(got.user, t.user));
    must(ticket_open(buf_span(&b), key, t.expiry_ms + 1, &got) == R_NONE);
    b.p[t.serial % b.n] ^= 1;
    must(ticket_open(buf_span(&b), key, 0, &got) == R_FAIL);
    buf_done(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span body = span_skip(span_of(data, size), 1);
    one_message(size > 0 ? data[0] % MESSAGES : 0, body);
    one_ticket(body);
    return 0;
}
