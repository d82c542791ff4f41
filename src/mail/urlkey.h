#ifndef MAIL_URLKEY_H
#define MAIL_URLKEY_H

// The mailbox access keys of RFC 4467 section 2.2: each user has one per mailbox, own or not, as META records of the own
// account. A key is random, and a mailbox without a key authorises nothing. Ids of mailboxes are never used twice, so a
// key dies with its mailbox. The server has one more, its own: a token without its seal was never given out, and nothing that
// the URL names is looked at, so that no forged URL tells who or what is here by the time it takes.
// Owner: the caller. Threads: any loop; all but urlkey_seal and urlkey_token suspend.

#include "mail/user.h"

// What an authorised URL ends with is the seal, then the token. In octets of text.
enum { URLKEY_SIZE = 32, URLKEY_SEAL = 34, URLKEY_TOKEN = 32, URLKEY_WHOLE = 66 };

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

// The server's key. R_NONE: it never authorised an URL, and *out is a random one that nobody knows.
enum result urlkey_server(struct mail *m, struct urlkey *out, struct fault *f) MUST_CHECK;
// Makes it when there is none. It never changes.
enum result urlkey_server_make(struct mail *m, struct urlkey *out,
                               struct fault *f) MUST_CHECK;

// The INTERNAL token of a rump URL (RFC 4467 section 2.4), in hex: "02", which names the algorithm, and 16 octets of HMAC-SHA-256
// over the rump with the server's key; then as many over UIDVALIDITY and the rump with the mailbox access key.
void urlkey_seal(const struct urlkey *server, struct span rump, char out[URLKEY_SEAL]);
void urlkey_token(const struct urlkey *k, uint32_t uidvalidity, struct span rump,
                  char out[URLKEY_TOKEN]);

#endif
