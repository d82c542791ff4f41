#ifndef STORE_BACKUP_H
#define STORE_BACKUP_H

// The octets of a backup stream: a magic line, then chunks {kind, length, id, chain} + data. `chain` is a
// checksum over this chunk and the chain before, so that a chunk is good only when all before it was.
// Neighbouring chunks of the same kind and id are one file. Trust: restore reads it from outside.

#include "base/span.h"

// Of a stream in which bodies may be compressed, and of one without; they have the same length.
#define BACKUP_MAGIC "posthorn backup2"
#define BACKUP_MAGIC_PLAIN "posthorn backup1"
enum { BACKUP_CHUNK = 24, BACKUP_DATA_MAX = 262144 };

enum backup_kind { BACKUP_SEGMENT = 'S', BACKUP_BODY = 'B', BACKUP_END = 'E' };

struct backup_chunk {
    uint32_t kind, length;
    uint64_t id;  // segment number, body id, 0
    uint64_t chain;
};

// sets c->chain
void backup_chunk_put(char *out, struct backup_chunk *c, uint64_t chain, struct span data);
void backup_chunk_get(const char *in, struct backup_chunk *c_out);
enum result backup_chunk_check(const struct backup_chunk *c, uint64_t chain,
                               struct span data) MUST_CHECK;

#endif
