#ifndef MAIL_FILTER_STORED_H
#define MAIL_FILTER_STORED_H

// Stored mail goes through scripts: because an IMAP command made or changed it (RFC 6785), or because its user asks
// (FILTER=SIEVE). The scripts are those of the mailbox's owner and of the administrator; they act as the owner. A message that
// is not kept gets \\Deleted (RFC 6785 section 2.2.4); whatever goes wrong leaves it as it is. What a script does is no event.
// Owner: the caller. Threads: the session's; all suspend.

#include "mail/user.h"
#include "sieve/sieve.h"

enum filter_cause {
    FILTER_APPEND = 1,
    FILTER_COPY = 2,  // MOVE, too
    FILTER_FLAG = 4,
    FILTER_ASKED = 8
};

// Which scripts were asked for.
enum filter_which { FILTER_DELIVERY, FILTER_PERSONAL, FILTER_GLOBAL, FILTER_SCRIPT };

struct filter_occasion {
    enum filter_cause cause;
    struct span user;                // who is logged in
    const struct mailbox_ref *from;  // FILTER_COPY: where the messages were
    enum filter_which which;         // FILTER_ASKED
    struct span script;              // its name, or its text
    bool administrator;              // FILTER_SCRIPT: the text is the administrator's
};

struct filter_stored;
// R_NONE: no script is there for these messages. Of FILTER_ASKED: FAULT_NONEXISTENT, no such script; FAULT_SCRIPT: it does
// not compile, `why` says where.
enum result filter_stored_open(const struct mailbox_ref *ref,
                               const struct filter_occasion *o, struct filter_stored **out,
                               struct fault *f) MUST_CHECK;
// One message; `changed`: its flags that are different now, "\\Seen $x". R_NONE: it is not there. What went wrong with it is
// put into `problem`, lines with CRLF. FAULT_LIMIT: LIMIT_sieve_stored_work is used up, nothing was done.
enum result filter_stored_run(struct filter_stored *s, uint32_t uid, struct span changed,
                              struct buf *problem, struct fault *f) MUST_CHECK;
// Who looks on (`posthorn sieve filter`). The functions are called in the home, and do not suspend.
struct filter_onlooker {
    bool dry;  // nothing is done, nor remembered
    // each action that the scripts want; NULL: the message is not kept in its place
    void (*action)(void *arg, const struct sieve_action *a);
    // what the scripts do, line by line; may be NULL
    void (*trace)(void *arg, unsigned line, struct span text);
    void *arg;
};
// From here on each message may take LIMIT_sieve_stored_work of its own. The onlooker must outlive it.
void filter_stored_watch(struct filter_stored *s, const struct filter_onlooker *o);
// The first message of the mailbox, as it was opened, that has a higher UID. R_NONE: there is none.
enum result filter_stored_next(struct filter_stored *s, uint32_t *uid,
                               struct fault *f) MUST_CHECK;
void filter_stored_close(struct filter_stored **s);  // takes NULL

#endif
