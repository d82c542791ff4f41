#ifndef MAIL_PUSH_H
#define MAIL_PUSH_H

// The push hook: the URL of the setting push_url is told of mail that came for a user by LMTP, by a POST of JSON (docs/spam.md has
// its form). What comes within LIMIT_push_delay_ms is told at once. What is not taken is tried again, later and later, and goes
// with what came meanwhile; after LIMIT_push_tries it is logged, counted and forgotten, as is what waits when the server ends.
// Who waits is bounded: LIMIT_push_waiting users of a thread, LIMIT_push_messages of each.
// Owner: the thread. Threads: the account's home.

#include "mail/intake.h"

// Before any thread; whether it tells senders and subjects may change, from any thread.
void push_set(bool on);
void push_details(bool on);
// Suspends. It is on disk there, and not quiet (mail/arrive.h). Of what is in \Junk and \Trash nobody is told.
void push_new(struct account *a, uint64_t mailbox, const struct intake_result *at,
              const struct intake *in);
// Of this thread: what waits is forgotten.
void push_stop(void);

#endif
