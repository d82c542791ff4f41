#ifndef MAIN_SELF_SIGNED_H
#define MAIN_SELF_SIGNED_H

// A certificate for trying things: self-signed, ECDSA P-256, for localhost and the loopback addresses.
// Trust: nobody should. Threads: any.

#include "base/fault.h"

// Writes both files (0600) unless they are there already.
enum result self_signed_make(const char *certificate, const char *key,
                             struct fault *f) MUST_CHECK;

#endif
