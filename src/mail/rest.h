#ifndef MAIL_REST_H
#define MAIL_REST_H

// What a home's accounts hold and do not use goes: tables, names, what was folded from them; at last the state is packed (store/state.h).
// Idle sessions are many, and cost little. Threads: the home's. Only files of mail/ include this.

struct home;
struct mailbox;

void home_rest(void *home);  // its timer, while it has accounts
void home_test_packing(
    void *
        home);  // for tests: the same at once, as if a long time were over, of accounts at random
// Drops the tables that were not used for the longest time, while the ledger is over its soft limit; not that of `keep`.
void home_evict(struct home *h, const struct mailbox *keep);

#endif
