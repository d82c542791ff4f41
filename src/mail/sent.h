#ifndef MAIL_SENT_H
#define MAIL_SENT_H

// Sent: the copy of a message that its user has submitted, and what becomes of the message that it answers or forwards
// (docs/decisions/0029-sent.md). The copy goes to the user's mailbox with the special use \Sent, which is made when there is
// none, with \Seen. In the same commit the originals, found by their Message-IDs, are marked:
//   \Answered   In-Reply-To, unless the subject begins with "Fwd:" or "Fw:"
//   $Forwarded  that message then; X-Forwarded-Message-Id (Thunderbird); the last of References where there is no In-Reply-To;
//               messages that are attached
// Most clients append a copy of their own, too. There is one all the same:
// - they appended first: nothing is filed, the marks are set;
// - APPEND comes later with the same octets: it is answered with the UID that is there, flags are united, nothing is stored;
// - with other octets (Bcc), or among several, or by REPLACE: theirs is stored, with the flags of both, and ours goes, in one commit.
// Which copies are ours is remembered for LIMIT_sent_days, over restarts: "sent/copy/HASH", META records of the account.
// Threads: any loop, in a task.

#include "mail/intake.h"

struct sent_message {
    struct intake *intake;  // finished, not packed: what is filed
    // SHA-256 of what the client sent, where it is not what is filed; n 0: it is
    struct span client_hash;
    bool id_added;  // the client sent no Message-ID: its copy is known by its octets
};
struct sent_result {
    enum sent_how {
        SENT_FILED,
        SENT_THERE,  // a message with this Message-ID was there
        SENT_OFF,    // by the setting, or for this user
    } how;
    struct intake_result copy;   // of SENT_FILED
    size_t answered, forwarded;  // messages that were marked now
};
// Suspends. After R_OK copy and marks are on disk. R_FAIL: nothing is; FAULT_OVERQUOTA past what deliveries may pass it by.
enum result sent_file(struct mail_user *u, const struct sent_message *m,
                      struct sent_result *out, struct fault *f) MUST_CHECK;

// The setting sent_copy. From any thread. (What `user set` says of one user: mail_user_sent_set.)
void mail_sent_set(struct mail *m, bool on);
bool mail_sent(const struct mail *m);

#endif
