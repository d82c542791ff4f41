#ifndef MAIL_ARRIVE_H
#define MAIL_ARRIVE_H

// Where a message that is delivered goes when no script says otherwise: spam into the folder with the use \Junk; into INBOX, or the
// folder of the address's detail, what is left - but for a thread that its reader has muted (RFC 9979: $muted on any message of
// the thread): that goes into the folder with the use \Archive (in labels mode \All), read. $followed wins: such mail is marked
// $notify and stays. An account without such a folder has the mail in INBOX, muted mail read.
// Owner: the caller. Threads: the account's home. Suspends.

#include "mail/intake.h"

struct arrive_ask {
    const struct intake *intake;  // finished
    struct span detail;           // of the address, where it may be a folder; else empty
    bool junk;
};
struct arrive_place {
    struct mailbox_ref ref;
    uint16_t flags;
    struct span keyword;  // p NULL: none
    bool quiet;           // nobody is to be told of it
};
enum result arrive_place(struct account *a, const struct arrive_ask *ask,
                         struct arrive_place *out, struct fault *f) MUST_CHECK;
// Params of a delivery to that place; borrow it.
struct intake_params arrive_params(const struct arrive_place *p);

#endif
