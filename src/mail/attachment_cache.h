#ifndef MAIL_ATTACHMENT_CACHE_H
#define MAIL_ATTACHMENT_CACHE_H

// The texts of an account's attachments, kept in packs of many (derived strings, store/derived.h): they can be made
// anew, so a fault here costs time, never an answer. Bounded by LIMIT_attachment_octets and LIMIT_attachments: the
// oldest pack goes first. Packed by zstd.
// Owner: one task at a time. Threads: the account's home. Trust: packs were checked by derived.h; their numbers
// are checked here.

#include "extract/extract.h"
#include "store/derived.h"

struct attachment_key {
    uint64_t emailid;
    uint64_t number;  // of the part
};

struct attachment_cache;
// Suspends. What cannot be read is dropped.
struct attachment_cache *attachment_cache_open(struct store *s, uint64_t account);
void attachment_cache_free(
    struct attachment_cache **c);  // takes NULL; what was not flushed is lost

// Suspends. R_NONE: it is not there.
enum result attachment_cache_find(struct attachment_cache *c,
                                  const struct attachment_key *key,
                                  enum extract_verdict *verdict_out,
                                  struct buf *text) MUST_CHECK;
// Suspends when a pack is full.
void attachment_cache_put(struct attachment_cache *c, const struct attachment_key *key,
                          enum extract_verdict verdict, struct span section,
                          struct span text);
// Suspends. What waits is written.
void attachment_cache_flush(struct attachment_cache *c);

bool attachment_cache_waits(const struct attachment_cache *c);

// Suspends. Packs that have texts of messages that are not alive are written again without them.
void attachment_cache_purge(struct attachment_cache *c,
                            bool (*alive)(void *arg, uint64_t emailid), void *arg);

typedef void attachment_cache_fn(void *arg, const struct attachment_key *key,
                                 enum extract_verdict verdict, struct span section);
void attachment_cache_each(struct attachment_cache *c, attachment_cache_fn *fn, void *arg);

#endif
