#include "io/message.h"

#include <stddef.h>

// A message is a row per field; one walker puts them and one gets them.
enum field_kind { FIELD_U8, FIELD_BOOL, FIELD_U32, FIELD_U64, FIELD_I64, FIELD_SPAN };

struct field {
    enum field_kind kind;
    uint8_t max;  // of FIELD_U8
    size_t at;    // offset in the struct
};

static void
put_field(struct buf *b, const struct field *row, const char *p)
{
    switch (row->kind) {
    case FIELD_U8:
    case FIELD_BOOL:
        pack_u8(b, *(const uint8_t *)p);
        break;
    case FIELD_U32:
        pack_u32(b, *(const uint32_t *)p);
        break;
    case FIELD_U64:
    case FIELD_I64:
        pack_u64(b, *(const uint64_t *)p);
        break;
    case FIELD_SPAN:
        pack_span(b, *(const struct span *)p);
        break;
    }
}

static void
get_field(struct unpack *u, const struct field *row, char *p)
{
    uint8_t small;
    switch (row->kind) {
    case FIELD_U8:
    case FIELD_BOOL:
        small = unpack_u8(u);
        u->bad |= small > (row->kind == FIELD_BOOL ? 1 : row->max);
        memcpy(p, &small, u->bad ? 0 : 1);
        break;
    case FIELD_U32:
        *(uint32_t *)p = unpack_u32(u);
        break;
    case FIELD_U64:
    case FIELD_I64:
        *(uint64_t *)p = unpack_u64(u);
        break;
    case FIELD_SPAN:
        *(struct span *)p = unpack_span(u);
        break;
    }
}

static void
put(struct buf *b, const void *m, const struct field *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        put_field(b, &rows[i], (const char *)m + rows[i].at);
}

// Not inlined: in the copy for a message of few fields the compiler sees kinds that its rows never have.
__attribute__((noinline)) static enum result
get(struct span body, void *m, const struct field *rows, size_t n)
{
    struct unpack u = unpack_of(body);
    for (size_t i = 0; i < n; i++)
        get_field(&u, &rows[i], (char *)m + rows[i].at);
    return unpack_end(&u);
}

#define U8(type, name, max) {FIELD_U8, max, offsetof(struct type, name)},
#define BOOL(type, name) {FIELD_BOOL, 1, offsetof(struct type, name)},
#define U32(type, name) {FIELD_U32, 0, offsetof(struct type, name)},
#define U64(type, name) {FIELD_U64, 0, offsetof(struct type, name)},
#define I64(type, name) {FIELD_I64, 0, offsetof(struct type, name)},
#define TEXT(type, name) {FIELD_SPAN, 0, offsetof(struct type, name)},
#define MESSAGE(type) static const struct field type##_fields[] = {
#define END                                                                                \
    }                                                                                      \
    ;
#include "io/message.def"

#define CODEC(type)                                                                        \
    void type##_put(struct buf *b, const struct type *m)                                   \
    {                                                                                      \
        put(b, m, type##_fields, sizeof type##_fields / sizeof type##_fields[0]);          \
    }                                                                                      \
    enum result type##_get(struct span body, struct type *m_out)                           \
    {                                                                                      \
        struct type m = {0};                                                               \
        if (get(body, &m, type##_fields,                                                   \
                sizeof type##_fields / sizeof type##_fields[0]) != R_OK)                   \
            return R_FAIL;                                                                 \
        *m_out = m;                                                                        \
        return R_OK;                                                                       \
    }

CODEC(auth_start)
CODEC(auth_step)
CODEC(auth_reply)
CODEC(auth_offer)
CODEC(handover)
CODEC(ticket)
CODEC(lookup)
CODEC(lookup_reply)
CODEC(resolve_request)
CODEC(admin_request)
CODEC(admin_reply)
CODEC(listen_socket)
CODEC(peer)
CODEC(secret)
CODEC(ping)
CODEC(extract_room)
CODEC(extract_request)
CODEC(extract_reply)
CODEC(extract_offer)
CODEC(revoked)
CODEC(token_fetch)
CODEC(directory_ask)
CODEC(directory_answer)
CODEC(directory_list)
CODEC(directory_names)
CODEC(directory_changed)
CODEC(identity_changed)
CODEC(relay_begin)
CODEC(relay_submit)
CODEC(relay_taken)
CODEC(relay_return)
CODEC(relay_returned)
CODEC(scan_ask)
CODEC(scan_answer)
CODEC(pipe_ask)
CODEC(pipe_answer)
