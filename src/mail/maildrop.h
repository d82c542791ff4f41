#ifndef MAIL_MAILDROP_H
#define MAIL_MAILDROP_H

// A maildrop is INBOX as one POP3 session sees it (RFC 1939): the messages that were there when it was opened, under fixed
// numbers from 1, without those that POP3 has hidden. Messages that are expunged meanwhile stay readable. What is to go is
// noted, and goes all at once by maildrop_update; a maildrop that is closed without it changes nothing.
// Owner: the session. Threads: the session's loop, which is the account's home. Memory: 17 octets a message.

#include "mail/view.h"

// What becomes of messages that a client deletes.
enum maildrop_delete {
    MAILDROP_EXPUNGE,
    MAILDROP_HIDE,  // POP3 shows them no more; IMAP does
    MAILDROP_KEEP   // nothing: they are there again in the next session
};

struct maildrop_policy {
    enum maildrop_delete on_delete;
    uint32_t expire_days;  // fetched messages go so long after they came; 0: never
    bool marks_seen;
    bool read_only;  // nothing is changed at all
};

struct maildrop;

// Suspends.
enum result maildrop_open(struct mail_user *u, const struct maildrop_policy *policy,
                          struct maildrop **out, struct fault *f) MUST_CHECK;
void maildrop_close(struct maildrop **d);  // takes NULL

// Numbers are 1 to maildrop_last.
uint32_t maildrop_last(const struct maildrop *d);
uint32_t maildrop_count(const struct maildrop *d);   // without deleted ones
uint64_t maildrop_octets(const struct maildrop *d);  // of these
bool maildrop_is_deleted(const struct maildrop *d, uint32_t n);
uint32_t maildrop_size(const struct maildrop *d, uint32_t n);
// Appends the unique id: that of the server which the message was imported from, else UID and UIDVALIDITY, as Dovecot has it.
void maildrop_uidl(const struct maildrop *d, uint32_t n, struct buf *b);
// As message_read.
enum result maildrop_read(const struct maildrop *d, uint32_t n, uint64_t offset, size_t len,
                          char *dst, struct fault *f) MUST_CHECK;

void maildrop_delete(struct maildrop *d, uint32_t n);
void maildrop_undelete_all(struct maildrop *d);
void maildrop_fetched(struct maildrop *d, uint32_t n);  // RETR

// Suspends. What was fetched becomes \Seen, where the policy says so; not of what was deleted. For once at the end, whether
// or not an update follows.
enum result maildrop_see(struct maildrop *d, struct fault *f) MUST_CHECK;
bool maildrop_has_seen(const struct maildrop *d);  // would it do anything?
// Suspends. All deletions, by the policy, in one commit: on disk when this is R_OK; nothing is deleted when it is not.
// *gone_out: how many were expunged.
enum result maildrop_update(struct maildrop *d, uint64_t *gone_out,
                            struct fault *f) MUST_CHECK;

#endif
