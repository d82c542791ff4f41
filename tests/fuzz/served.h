#ifndef FUZZ_SERVED_H
#define FUZZ_SERVED_H

// A mail floor on the mem engine with one home, made anew for every input and run in the caller's thread: what an
// input does depends on nothing but the input.

#include "io/conn.h"
#include "mail/intake.h"
#include "mail/url.h"

struct served {
    struct mail *mail;
    struct loop *loop;
    void *arg;
};

// Runs test(s) as a task in the home, to its end.
void served_run(void (*test)(struct served *s), void *arg);
// Adds one message to the INBOX of an account.
void served_deliver(struct served *s, uint64_t account, const char *text, uint16_t flags);
// Runs the loop some turns: what is posted or lies in sockets is taken up.
void served_turns(struct served *s, unsigned turns);
// A connection that `start` takes over: `in` is sent in pieces of `step` octets, then the end, and all that comes is put
// into `out`. Aborts when the server keeps the connection or leaves anything behind.
typedef void served_start_fn(struct served *s, struct conn *server);
void served_talk(struct served *s, served_start_fn *start, struct span in, size_t step,
                 struct buf *out);
// URLs with the server "h" are of alice, who is account 7; their `arg` is the struct served.
extern const struct mail_url_users served_url_users;
void served_imap(struct served *s, struct conn *server);  // a session of account 7, a start
// A command with this tag: the law, with x in place of each X.
void served_put_law(struct buf *in, char tag, const char *law, struct span x);

// What two runs may tell differently: runs of six and more digits become '#', a quoted text after INTERNALDATE and a token of
// URLAUTH too.
void served_mask(struct span in, struct buf *out);
// Every response of IMAP's is "* ..", "+ .." or "TAG OK|NO|BAD ..", ends in CRLF, and data balance their parentheses outside strings.
void served_check_imap(struct span out);
// A session that comes afterwards: the INBOX has as many messages as EXISTS tells, their UIDs rise.
void served_check_inbox(struct served *s);

#endif
