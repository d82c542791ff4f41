#ifndef CTL_UIDLIST_H
#define CTL_UIDLIST_H

// The files that Dovecot keeps beside the messages of a Maildir folder: dovecot-uidlist (versions 1 and 3),
// dovecot-keywords, subscriptions. Reading is lenient: a line that makes no sense is passed over and counted.
// Owner: the arena. Trust: any bytes, capped by the caller.

#include "base/arena.h"
#include "base/buf.h"

struct uidlist_entry {
    struct span base;  // file name without ":2,..."
    uint32_t uid;
    bool has_zone;
    int16_t zone_min;  // our own field Z
    struct span uidl;  // POP3's unique id, where it has one of its own (P)
    struct span guid;  // where it is not the base (G)
};

struct uidlist {
    uint32_t uidvalidity, uidnext;  // 0: unknown
    struct uidlist_entry *entries;  // sorted by base
    size_t count;
    size_t bad_lines;
};

// FAULT_BAD when the header is none of a known version.
enum result uidlist_parse(struct span text, struct arena *a, struct uidlist *out,
                          struct fault *f) MUST_CHECK;
const struct uidlist_entry *uidlist_find(const struct uidlist *l, struct span base);

// Names of the letters a-z; SPAN_NONE where there is none.
enum { MAILDIR_LETTERS = 26 };
void keyword_file_parse(struct span text, struct arena *a,
                        struct span names[MAILDIR_LETTERS]);

// "cur" file names: what is before ":2," and the letters behind it.
struct span maildir_base(struct span file);
struct span maildir_letters(struct span file);
// ",W=123" in the base: the size as served over IMAP. R_NONE: it is not there.
enum result maildir_wire_size(struct span base, uint64_t *size_out);

// Takes the next name off the file's text: storage names, levels separated by `separator`. Both versions of the file. R_NONE at
// the end. *version is the caller's, 0 at first.
enum result subscriptions_next(struct span *rest, char separator, int *version,
                               struct buf *name);

// Storage names: levels separated by `separator`, modified UTF-7, or raw UTF-8 where that is not valid; "&AC4-" stands
// for '.' in a level (export writes it). FAULT_BAD: neither.
enum result storage_name_decode(struct span stored, char separator, struct buf *out,
                                struct fault *f) MUST_CHECK;
void storage_name_encode(struct span name, char separator, struct buf *out);

#endif
