#ifndef LMTP_MAPS_H
#define LMTP_MAPS_H

// Tables for Postfix by its socketmap protocol (socketmap_table(5)): netstrings "NAME KEY", answered by "OK DATA", "NOTFOUND ",
// "TEMP REASON" or "PERM REASON".
//   alias         an address: what it is to become, with commas between (virtual_alias_maps). A user's own address is not found
//   domain        a domain: is it ours (virtual_mailbox_domains)
//   recipient     an address: does somebody get its mail (virtual_mailbox_maps)
//   sender_login  an address: the users who may send as it, with commas between (smtpd_sender_login_maps)

#include "lmtp/question.h"

extern const struct question_ops maps_ops;

#endif
