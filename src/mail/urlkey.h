#ifndef MAIL_URLKEY_H
#define MAIL_URLKEY_H

// The mailbox access keys of RFC 4467 section 2.2: each user has one per mailbox, own or not, as META records of the own
// account. A key is random, and a mailbox without a key authorises nothing. Ids of mailboxes are never used twice, so a
// key dies with its mailbox.
// Owner: the caller. Threads: any loop; all but urlkey_token suspend.

#include "mail/user.h"

enum { URLKEY_SIZE = 32, URLKEY_TOKEN = 66 };

struct urlkey {
    unsigned char octets[URLKEY_SIZE];
};

// R_NONE: there is none, and *out is a random one that nobody knows.
enum result urlkey_find(struct mail_user *u, const struct mailbox_ref *ref,
                        struct urlkey *out) MUST_CHECK;
// Makes one when there is none, or in any case (`fresh`), which revokes what the old one authorised. FAULT_LIMIT: the user
// has too many.
enum result urlkey_make(struct mail_user *u, const struct mailbox_ref *ref, bool fresh,
                        struct urlkey *out, struct fault *f) MUST_CHECK;
// Drops all keys of the user.
enum result urlkey_forget(struct mail_user *u, struct fault *f) MUST_CHECK;

// The INTERNAL token of a rump URL, in hex: "01", then HMAC-SHA-256 over UIDVALIDITY and the rump's octets. The first octet
// names the algorithm.
void urlkey_token(const struct urlkey *k, uint32_t uidvalidity, struct span rump,
                  char out[URLKEY_TOKEN]);

#endif
