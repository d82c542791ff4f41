#ifndef LMTP_POLICY_H
#define LMTP_POLICY_H

// A policy service for Postfix (SMTPD_POLICY_README): at RCPT it says whether there is such a user and whether the mailbox
// has room, so that mail is refused while its sender is still there. Answers are DUNNO, or 550 5.1.1 for an unknown user of
// our domains, or 452 4.2.2 (552 5.2.2 by the setting quota_exceeded) for a full mailbox.
// Owner: a session owns itself and its connection until that ends. Threads: the loop it was started on.
// Trust: who may connect is decided before, as for LMTP. A request that cannot be read ends the connection without an
// answer, as the README asks for: Postfix then defers the mail.

#include "lmtp/lmtp.h"

// Takes conn over; host must outlive it.
void policy_session_start(struct conn *conn, const struct lmtp_host *host);
void policy_session_drain(void);      // ends all sessions of this thread, between requests
unsigned policy_session_count(void);  // of this thread

#endif
