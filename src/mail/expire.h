#ifndef MAIL_EXPIRE_H
#define MAIL_EXPIRE_H

// Expire: what has been in a mailbox for longer than the mailbox's rule allows is expunged, by the day it came there
// (SAVEDATE, RFC 8514), whatever its INTERNALDATE. It is an ordinary expunge: sessions are told, undelete brings it
// back until the retention is over. Done in changes of LIMIT_expire_step messages, each atomic; between two of them
// others have their turn. Threads: any loop, in a task.

#include "mail/account.h"

struct expire_rule {
    // "Trash" or "\Trash": the mailbox of that special use. Else a full name; "/Trash": of that name, whatever its use.
    struct span where;
    uint64_t age_s;
};

struct expire_policy {
    const struct expire_rule *rules;  // the first that means a mailbox is the mailbox's
    size_t rule_count;
    const struct span *keep;  // messages with one of these keywords stay
    size_t keep_count;
    bool keep_flagged;  // those with \Flagged do, too
};

struct expire_wish {
    const struct expire_policy *policy;
    int64_t now_s;
    bool dry_run;
    uint64_t max;  // no more messages than this; 0: all
};

struct expire_folder {
    struct span name;           // full, in the arena
    uint64_t messages, octets;  // expunged (dry_run: that would be)
    uint64_t kept;              // old enough, but exempt
};

// Suspends. The account's mailboxes that have a rule and of whose messages some are old enough.
enum result expire_account(struct account *account, const struct expire_wish *wish,
                           struct arena *a, struct expire_folder **out, size_t *n_out,
                           struct fault *f) MUST_CHECK;

#endif
