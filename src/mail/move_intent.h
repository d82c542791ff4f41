#ifndef MAIL_MOVE_INTENT_H
#define MAIL_MOVE_INTENT_H

// MOVE and REPLACE into another account are two commits: the messages come there, then they go here. An intent of the source account, written
// before, and a mark of the target, in one commit with what came, tell after a crash between the two that the messages are still
// to go: at worst they are in both for a moment, and never in none.
// Both are META records of the accounts (docs/format.md). Only files of mail/ include this. Threads: move_put_* and move_recover in the account's home, the others in any task.

#include "mail/rows.h"

struct move_intent {
    uint64_t source, target;  // accounts
    uint64_t id;              // random
    bool replaces;            // what goes is expunged: another message takes its place
};

// Suspends. Durable when it is R_OK.
enum result move_begin(struct account *source, uint64_t mailbox, const struct seqset *uids,
                       struct move_intent *i, struct fault *f) MUST_CHECK;
// In the target's change that puts the messages, and in the source's that takes them away.
void move_put_arrived(struct account *target, struct store_batch *b,
                      const struct move_intent *i);
void move_put_left(struct account *source, struct store_batch *b,
                   const struct move_intent *i);
// Suspends. Nothing came: the intent goes. The messages left: the mark goes. What fails is done when the account is opened again.
void move_abandon(struct account *source, const struct move_intent *i);
void move_end(struct account *target, const struct move_intent *i);
// Suspends. The messages came and could not leave: they stay in both, as the client is told. What fails is tried again until
// it is done.
void move_undo(struct account *source, struct account *target, const struct move_intent *i);

// The account was loaded: a task finishes what an earlier process left.
void move_recover(struct account *a);

#endif
