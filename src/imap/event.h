#ifndef IMAP_EVENT_H
#define IMAP_EVENT_H

// What a command did to messages, for the Sieve scripts of their mailbox (RFC 6785): ext/imapsieve.c runs them before the
// tagged answer. What goes wrong with a script is logged, and the command has done what it did.
// Owner: the command. All suspend, but imap_sieve_server_set.

#include "imap/session.h"
#include "mail/change.h"
#include "mail/filter_stored.h"

// NULL: no script is there. `from`: where messages were copied from, else NULL.
struct filter_stored *imap_event_begin(struct imap_command *c,
                                       const struct mailbox_ref *ref,
                                       enum filter_cause cause,
                                       const struct mailbox_ref *from);
// The messages that came. Ends the event, which may be NULL.
void imap_event_end(struct imap_command *c, struct filter_stored **event,
                    const struct seqset *uids);
// The same of messages that were copied to `target` from the session's mailbox.
void imap_event_copied(struct imap_command *c, const struct mailbox_ref *target,
                       const struct seqset *uids);
// The scripts of the session's mailbox, for flags that were changed there.
void imap_event_changed(struct imap_command *c, const struct flag_difference *changed,
                        size_t n);
// change_flags of the session's mailbox, with the scripts behind it.
enum result imap_event_flags(struct imap_command *c, const struct selection *sel,
                             struct flag_change *change, struct flag_result *out,
                             struct fault *f) MUST_CHECK;

// The ManageSieve server that CAPABILITY names; "": none listens. From any thread.
void imap_sieve_server_set(const char *host, const char *port);
bool imap_sieve_listens(void);

#endif
