#ifndef BASE_PACK_H
#define BASE_PACK_H

// Pack writes and reads the typed fields of messages between roles, journal records and rows:
// integers big-endian (or LEB128 varints), byte strings with a varint length.
// Trust: unpack reads bytes from outside; the first wrong field sets `bad`, which stays set, and all
// later reads give zero. unpack_end fails when a field was bad or bytes are left over.

#include "base/buf.h"

void pack_u8(struct buf *b, uint8_t v);
void pack_u16(struct buf *b, uint16_t v);
void pack_u32(struct buf *b, uint32_t v);
void pack_u64(struct buf *b, uint64_t v);
void pack_var(struct buf *b, uint64_t v);
void pack_span(struct buf *b, struct span s);

struct unpack {
    struct span rest;
    bool bad;
};

static inline struct unpack
unpack_of(struct span s)
{
    return (struct unpack){s, false};
}

uint64_t unpack_var_long(struct unpack *u);  // of two octets and more, or none
static inline uint64_t
unpack_var(struct unpack *u)
{
    if (u->bad || u->rest.n == 0 || (unsigned char)*u->rest.p >= 0x80)
        return unpack_var_long(u);
    u->rest.n--;
    return (unsigned char)*u->rest.p++;
}
uint8_t unpack_u8(struct unpack *u);
uint16_t unpack_u16(struct unpack *u);
uint32_t unpack_u32(struct unpack *u);
uint64_t unpack_u64(struct unpack *u);
struct span unpack_span(struct unpack *u);  // borrowed from the input
enum result unpack_end(const struct unpack *u) MUST_CHECK;

#endif
