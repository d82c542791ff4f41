#include "ctl/frame.h"

void
frame_put(struct buf *b, enum frame_kind kind, struct span payload)
{
    must(payload.n < FRAME_MAX);
    pack_u32(b, (uint32_t)(payload.n + 1));
    pack_u8(b, (uint8_t)kind);
    buf_put(b, payload);
}

enum result
frame_get(struct span in, struct frame *out)
{
    struct unpack u = unpack_of(in);
    uint32_t n = unpack_u32(&u);
    uint8_t kind = unpack_u8(&u);
    if (u.bad)
        return R_NONE;
    if (n == 0 || n > FRAME_MAX || kind < FRAME_REQUEST || kind > FRAME_ROW)
        return R_FAIL;
    if (in.n < 4 + (size_t)n)
        return R_NONE;
    *out = (struct frame){kind, span_slice(in, FRAME_HEAD, 4 + (size_t)n), 4 + (size_t)n};
    return R_OK;
}

void
frame_put_status(struct buf *b, enum result r, const struct fault *f)
{
    pack_u8(b, r != R_OK);
    if (r == R_OK)
        return;
    pack_u8(b, (uint8_t)f->kind);
    buf_put_str(b, f->why[0] ? f->why : fault_info(f->kind)->name);
}

enum result
frame_get_status(struct span payload, bool *failed_out, struct fault *f)
{
    struct unpack u = unpack_of(payload);
    *failed_out = unpack_u8(&u) != 0;
    if (!*failed_out)
        return unpack_end(&u);
    uint8_t kind = unpack_u8(&u);
    if (u.bad || kind >= FAULT_COUNT)
        return R_FAIL;
    fault_set(f, kind, "%.*s", SPAN_ARG(u.rest));
    return R_OK;
}
