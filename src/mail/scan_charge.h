#ifndef MAIL_SCAN_CHARGE_H
#define MAIL_SCAN_CHARGE_H

// What a MIME scan keeps of a message lies in an arena, and how much that is the message decides: up to
// LIMIT_mime_headers and LIMIT_mime_parts. A scan_charge takes it from the intake budget as it grows.
// Owner: the arena, which gives the charge back when it ends. Threads: the arena's.

#include "base/arena.h"
#include "base/fault.h"

struct scan_charge;

// What the arena holds already is not counted.
struct scan_charge *scan_charge_new(struct arena *a);
// Takes what the arena has grown by since the last call. FAULT_LIMIT: the budget is used up.
enum result scan_charge_grow(struct scan_charge *c, struct fault *f) MUST_CHECK;

#endif
