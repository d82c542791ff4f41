#ifndef BENCH_CORPUS_H
#define BENCH_CORPUS_H

// A corpus is a pool of messages to send: seeded multipart mail (the same for the same seed), or an mbox. Each message sent
// is made unique by a number in its Message-ID, so that no server can share its bytes with another's.
// Owner: the caller. Trust: an mbox is taken as it is. Threads: one.

#include "base/buf.h"

struct corpus;

// size 0: sizes spread evenly on a logarithmic scale from 2 to 98 KB, as mail is.
struct corpus *corpus_new(uint64_t seed, size_t count, size_t size);
// The messages of an mbox; dots: as they go over SMTP and LMTP (RFC 5321 section 4.5.2).
enum result corpus_read(const char *path, bool dots, struct corpus **out,
                        struct fault *f) MUST_CHECK;
void corpus_free(struct corpus **c);

// The next message, in turn; valid until the next call.
struct span corpus_next(struct corpus *c);

#endif
