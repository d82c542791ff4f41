#ifndef MAIL_MAILDROP_SETS_H
#define MAIL_MAILDROP_SETS_H

// What an account keeps for POP3 beside its mail, as META records (docs/format.md): UIDs of INBOX that POP3 has hidden, those
// that it has fetched (where messages are deleted some time after that), and unique ids that came with an import.
// Only files of mail/ include this. In the home, but for maildrop_sets_read.

#include "mail/home.h"
#include "mail/uidl.h"
#include "wire/seqset.h"

enum maildrop_set { MAILDROP_HIDDEN, MAILDROP_FETCHED };

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
// That of a message that comes in, unless it is what it would have by itself, or none: it has 1 to LIMIT_uidl octets of 0x21 to
// 0x7E.
void maildrop_uidl_note(struct account *a, struct store_batch *b, const struct mailbox *m,
                        uint32_t uid, struct span uidl);
// Those of messages that go, or went before.
void maildrop_uidls_put_gone(const struct maildrop_uidls *u, const struct seqset *gone,
                             struct account *a, struct store_batch *b,
                             const struct mailbox *m);

#endif
