#ifndef MAIL_MAILDROP_SETS_H
#define MAIL_MAILDROP_SETS_H

// What an account keeps for POP3 beside its mail, as META records (docs/format.md): UIDs of INBOX that POP3 has hidden, those
// that it has fetched (where messages are deleted some time after that), and unique ids that came with an import.
// Only files of mail/ include this. In the home, but for maildrop_sets_read.

#include "mail/home.h"
#include "wire/seqset.h"

enum maildrop_set { MAILDROP_HIDDEN, MAILDROP_FETCHED };

struct maildrop_uidls;

struct maildrop_sets {
    struct seqset hidden, fetched;
    struct maildrop_uidls *uidls;  // NULL: none
};

// Suspends. In the arena.
void maildrop_sets_read(struct view *v, struct arena *a, struct maildrop_sets *out);
void maildrop_sets_here(struct account *a, struct mailbox *m, struct arena *arena,
                        struct maildrop_sets *out);
// Alone in its batch. R_FAIL: too many ranges for one value, nothing was put.
enum result maildrop_set_put(struct account *a, struct store_batch *b,
                             const struct mailbox *m, enum maildrop_set which,
                             const struct seqset *uids) MUST_CHECK;

// A unique id as it is without an import.
void maildrop_uidl_put(struct buf *b, uint32_t uid, uint32_t uidvalidity);
// SPAN_NONE: it has none of its own. `u` may be NULL.
struct span maildrop_uidls_find(const struct maildrop_uidls *u, uint32_t uid);
// Those of messages that go, or went before.
void maildrop_uidls_put_gone(const struct maildrop_uidls *u, const struct seqset *gone,
                             struct account *a, struct store_batch *b,
                             const struct mailbox *m);

#endif
