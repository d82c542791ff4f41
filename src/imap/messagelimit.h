#ifndef IMAP_MESSAGELIMIT_H
#define IMAP_MESSAGELIMIT_H

// How many messages one command may be about (RFC 9738). Clients are told; a limit that is only told refuses nothing.
// Owner: the process's settings; of a command: itself. Threads: settings from any, the rest in the session's loop.

#include "imap/session.h"

struct imap_message_limits {
    uint32_t messages;  // of one command; 0: any number
    bool enforced;
    uint32_t saved;  // of one COPY or APPEND, where `messages` is 0; 0: any number
};
void imap_message_limits_set(const struct imap_message_limits *l);

// Suspends. Cuts the set down to the newest messages that one command may be about; the tagged answer tells what was
// left out.
enum result imap_limit_newest(struct imap_command *c, struct seqset *set, bool by_uid,
                              struct fault *f) MUST_CHECK;
// Is the limit in force, and the selected mailbox larger?
bool imap_limit_matters(const struct imap_command *c);
// Suspends. COPY is done whole or not at all: FAULT_TOOMANY when c->set has more messages.
enum result imap_limit_copy(struct imap_command *c, struct fault *f) MUST_CHECK;
// FAULT_TOOMANY: more messages than one APPEND may have, than a page may have.
enum result imap_limit_append(struct imap_command *c, uint64_t messages,
                              struct fault *f) MUST_CHECK;
enum result imap_limit_page(struct imap_command *c, uint64_t messages,
                            struct fault *f) MUST_CHECK;
// Tells of c->limited_uid before or in the tagged answer. `f`: what the command failed with, or NULL.
void imap_limit_tell(struct imap_command *c, const struct fault *f);

#endif
