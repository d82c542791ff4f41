#ifndef MAIL_REMEMBERED_H
#define MAIL_REMEMBERED_H

// What an account remembers for a time: META records of the account. The key is a prefix and the first 128 bits of an id's
// SHA-256 in hex; the value begins with the second until which it holds (u64), and what follows is its owner's. The records are
// put in the commit of what they tell of, so they are as true as that after a crash. Only files of mail/ include this.
// Threads: the account's home.

#include "mail/home.h"

enum { REMEMBERED_KEY = 48 };
void remembered_key(char key[REMEMBERED_KEY], struct span prefix, struct span id);
struct span remembered_key_span(const char key[REMEMBERED_KEY]);

// What follows the second in the value; borrowed until the next apply. R_NONE: there is none, or its time is over.
enum result remembered_find(struct account *a, struct span key, int64_t now_s,
                            struct span *rest_out) MUST_CHECK;
void remembered_put(struct account *a, struct store_batch *b, struct span key,
                    int64_t until_s, struct span rest);
void remembered_drop(struct account *a, struct store_batch *b, struct span key);

// Before n new ones are put, since a key whose time is over may be among them: from time to time drops what begins with the
// prefix and is past its time, and, of more than `most`, those that end first.
struct remembered_kind {
    struct span prefix;
    size_t most;
};
void remembered_make_room(struct account *a, struct store_batch *b,
                          const struct remembered_kind *kind,
                          struct remembered_round *round, size_t n, int64_t now_s);

#endif
