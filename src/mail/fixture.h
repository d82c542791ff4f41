#ifndef MAIL_FIXTURE_H
#define MAIL_FIXTURE_H

// For tests: a mail floor on the mem (or embedded) engine with two homes, and a function run as a task in the
// first of them.

#include "mail/intake.h"

struct fixture {
    struct mail *mail;
    struct store *store;
};

// Runs test(fixture) in a task on home 0 and comes back when it is done. path NULL: engine mem.
void fixture_run(const char *path, void (*test)(struct fixture *x));
// The same on the embedded engine, whose commits suspend, in a folder of its own.
void fixture_run_on_disk(void (*test)(struct fixture *x));

// These suspend, and abort when it cannot be done.
struct mail_user *fixture_user(struct fixture *x, uint64_t account, const char *name);
struct mailbox_ref fixture_ref(struct mail_user *u, const char *name);
// keyword NULL: none
struct intake_result fixture_append(struct fixture *x, const struct mailbox_ref *to,
                                    const char *text, uint16_t flags, const char *keyword);

// A message, an answer to it, and one that refers to it under another subject.
#define FIXTURE_HELLO "Message-ID: <1@a>\r\nSubject: Hello\r\n\r\nbody\r\n"
#define FIXTURE_ANSWER                                                                     \
    "Message-ID: <2@a>\r\nIn-Reply-To: <1@a>\r\nSubject: Re: Hello\r\n\r\nbody\r\n"
#define FIXTURE_OTHER                                                                      \
    "Message-ID: <3@a>\r\nReferences: <1@a>\r\nSubject: Another matter\r\n\r\nbody\r\n"

#endif
