#ifndef CTL_FRAME_H
#define CTL_FRAME_H

// A frame is one message on the admin socket, between the command process and the process that holds the store:
// {u32 octets after this field, u8 kind, payload}. The command sends REQUEST, then INPUT .. INPUT_END where the verb
// reads; the answer is OUTPUT and NOTE in any number, then STATUS, which is the last.
// Trust: the socket admits root and the service user only; sizes are checked all the same.

#include "base/buf.h"
#include "base/pack.h"

enum frame_kind {
    FRAME_REQUEST = 1,  // verb's words as a packed span, then its arguments
    FRAME_INPUT,
    FRAME_INPUT_END,
    FRAME_OUTPUT,  // for standard output or the verb's file
    FRAME_NOTE,    // lines for the person, standard error
    FRAME_STATUS,  // u8: 0 done, 1 failed; then text
};

enum { FRAME_HEAD = 5, FRAME_MAX = 65536 };  // FRAME_MAX: octets after the size field

void frame_put(struct buf *b, enum frame_kind kind, struct span payload);

struct frame {
    enum frame_kind kind;
    struct span payload;  // borrowed from the input
    size_t size;          // octets of the input it took
};
// R_NONE: not whole yet. R_FAIL: no frame of ours.
enum result frame_get(struct span in, struct frame *out) MUST_CHECK;

#endif
