#ifndef LMTP_POLICY_H
#define LMTP_POLICY_H

// A policy service for Postfix (SMTPD_POLICY_README). At RCPT it says whether there is such an address and whether the mailboxes
// that it leads to have room, so that mail is refused while its sender is still there: 550 5.1.1 for an unknown address of our
// domains, 452 4.2.2 (552 5.2.2 by the setting quota_exceeded) for a full mailbox. To users who are logged in it says, at any
// state, 553 5.7.1 for a sender that they may not use (setting policy_senders). Else DUNNO.
// A request that cannot be read ends the connection without an answer, as the README asks for: Postfix then defers the mail.

#include "lmtp/question.h"

extern const struct question_ops policy_ops;

#endif
