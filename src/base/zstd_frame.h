#ifndef BASE_ZSTD_FRAME_H
#define BASE_ZSTD_FRAME_H

// Octets in memory as one zstd frame (RFC 8878), and back. A thread that uses it keeps a context for each way (0.4 MB for
// pieces of 64 KiB) until it ends; a context that a large piece has made large is given back at once.
// Trust: what is unpacked may be anything; never more is written than the size that it must have.
// Threads: any.

#include "base/span.h"

size_t zstd_pack_max(size_t n);  // octets that n octets can become
// Octets written to out; 0 when they would be more than max.
size_t zstd_pack(struct span plain, int level, char *out, size_t max);
// R_FAIL: it is no such frame, or not of exactly n octets; out may then hold anything.
enum result zstd_unpack(struct span packed, char *out, size_t n) MUST_CHECK;

#endif
