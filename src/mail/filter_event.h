#ifndef MAIL_FILTER_EVENT_H
#define MAIL_FILTER_EVENT_H

// Which scripts an occasion has (filter_stored.h): the mailbox's or the server's entry /shared/imapsieve/script names one of
// its owner (RFC 6785 section 2.3.1), the administrator's setting imapsieve has others. Only files filter*.c of mail/ include
// this, and who reads the setting.

#include "base/buf.h"
#include "base/fault.h"

// "COPY,APPEND [FROM ->] MAILBOX: before FILE". Mailboxes are names, "*" for any, or uses (\Junk).
struct filter_event_rule {
    unsigned causes;  // enum filter_cause
    struct span from, mailbox;
    bool after;
    struct span file;
};
// R_FAIL: it is no such rule; `why` says what is wrong. Borrowed from the text.
enum result filter_event_rule_read(struct span text, struct filter_event_rule *out,
                                   struct fault *f) MUST_CHECK;

struct filter_stored;
struct filter_occasion;
// In the home. Suspends. R_NONE: none.
enum result filter_event_steps(struct filter_stored *s, const struct filter_occasion *o,
                               struct fault *f) MUST_CHECK;

#endif
