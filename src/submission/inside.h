#ifndef SUBMISSION_INSIDE_H
#define SUBMISSION_INSIDE_H

// The inside of a submission session. Only files of submission/ include this.

#include "io/loop.h"
#include "submission/envelope.h"
#include "submission/header.h"
#include "submission/session.h"

struct submission_text;

struct submission_to {
    struct submission_to *next;
    struct relay_recipient to;
};

struct submission_session {
    struct submission_session *prev, *next;  // all of this thread
    struct conn *conn;
    struct mail_user *user;
    struct submission_host host;
    struct arena *arena;    // of the transaction
    struct arena *scratch;  // of the command under way
    struct buf client;      // the name that EHLO gave
    struct span remote;     // its address, as Received has it; empty: none
    char remote_text[64];
    char *hostname, *domain;  // what `host` says
    bool tls;
    bool busy;  // a task runs for it
    bool draining;
    const char *ending;  // why, for the log; NULL: it goes on
    uint8_t bad;         // commands in a row
    struct {
        bool there;                      // MAIL was taken
        struct relay_envelope envelope;  // without recipients
        struct submission_to *first, **end;
        size_t count, tries;
        size_t urls;                   // of BURL so far
        struct submission_text *text;  // while the pieces of BDAT and BURL come in
    } mail;
    struct timer timer;  // silence
    uint64_t input_ms;   // when the client last said something
    uint64_t id;
    uint64_t sent, recipients;  // for the log
    const struct served_recorder *recorder;
};

// session.c
void submission_say(struct submission_session *s, int code, const char *enhanced,
                    const char *text);
void submission_say_fault(struct submission_session *s, const struct fault *f);
void submission_reset(struct submission_session *s);  // the transaction is over

// command.c. Suspends. Runs one command, with its line end.
void submission_command(struct submission_session *s, struct span line);
// Is it a command without secrets? What is not is hidden from who looks on.
bool submission_may_be_shown(struct span line);

// burl.c. Suspends. "BURL URL [LAST]".
void submission_burl(struct submission_session *s, struct span args);

// text.c. The text of one mail on its way. Suspend, but for free, failed and fail.
struct submission_text *submission_text_new(struct submission_session *s);
void submission_text_take(void *text, struct span bytes);
// A reason why it is not taken: the first counts.
bool submission_text_failed(const struct submission_text *t);
void submission_text_fail(struct submission_text *t, const struct fault *f);
// It is whole: judges it, hands it over, answers.
void submission_text_finish(struct submission_text *t);
void submission_text_refuse(const struct submission_text *t);  // answers why it failed
void submission_text_free(struct submission_text **t);

#endif
