#ifndef CTL_FRAME_H
#define CTL_FRAME_H

// A frame is one message on the admin socket, between the command process and the process that holds the store:
// {u32 octets after this field, u8 kind, payload}. The command sends REQUEST, then INPUT .. INPUT_END where the verb
// reads; the answer is ROW, NOTE and OUTPUT in any number, then STATUS, which is the last.
// Trust: the socket admits root and the service user only; sizes are checked all the same.

#include "base/buf.h"
#include "base/pack.h"

enum frame_kind {
    FRAME_REQUEST = 1,  // verb's words as a packed span, then its arguments
    FRAME_INPUT,
    FRAME_INPUT_END,
    FRAME_OUTPUT,  // octets for the verb's sink
    FRAME_NOTE,    // a row (field_put_row) for standard error
    FRAME_STATUS,  // u8: 0 done, 1 failed; then u8 enum fault_kind and why
    FRAME_ROW,     // a row for standard output
};

enum { FRAME_HEAD = 5, FRAME_MAX = 65536 };  // FRAME_MAX: octets after the size field

void frame_put(struct buf *b, enum frame_kind kind, struct span payload);

// The payload of STATUS; failed tells what frame_get_status filled f with.
void frame_put_status(struct buf *b, enum result r, const struct fault *f);
enum result frame_get_status(struct span payload, bool *failed_out,
                             struct fault *f) MUST_CHECK;

struct frame {
    enum frame_kind kind;
    struct span payload;  // borrowed from the input
    size_t size;          // octets of the input it took
};
// R_NONE: not whole yet. R_FAIL: no frame of ours.
enum result frame_get(struct span in, struct frame *out) MUST_CHECK;

#endif
