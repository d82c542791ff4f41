#ifndef POP3_INSIDE_H
#define POP3_INSIDE_H

// The inside of a POP3 session. Only files of pop3/ include this.

#include "pop3/language.h"
#include "pop3/session.h"
#include "io/loop.h"

// The answer to the RETR that the client sends next (ahead.c).
struct pop3_ahead {
    uint32_t number;    // whose; 0: none is there
    uint32_t wanted;    // to be read; 0: none
    struct buf answer;  // as it will be sent
    size_t charged;
    struct timer timer;  // then it is dropped
};

struct pop3_session {
    struct pop3_session *prev, *next;  // all of this thread
    struct conn *conn;
    struct mail_user *user;
    struct maildrop *drop;
    struct pop3_host host;
    enum language language;
    bool utf8;  // octets above 127 may stand in headers
    bool busy;  // a task runs for it
    bool draining;
    const char *ending;  // why, for the log; NULL: it goes on
    uint8_t bad;         // commands in a row
    size_t passed_over;  // octets of a line that is too long
    uint32_t fetched;    // for the log
    uint64_t gone;
    struct timer timer;  // autologout
    uint64_t input_ms;   // when the client last said something
    uint64_t id;
    char *offered;  // capabilities that the gate told
    const struct served_recorder *recorder;
    struct pop3_ahead ahead;
};

void pop3_say(struct pop3_session *s, bool ok, const char *code, const char *text);
void pop3_say_fault(struct pop3_session *s, const struct fault *f);
// session.c. Suspends. Keeps what was read as \Seen, or logs that it could not.
void pop3_see(struct pop3_session *s);

// command.c. Suspends. Runs one command, without its line end.
void pop3_command(struct pop3_session *s, struct span line);
// Does the line begin with a verb of this state? What does not is not shown to who looks on.
bool pop3_is_known(struct span line);

// retrieve.c. Suspend. R_FAIL: nothing was sent. A message that fails in the middle ends the connection.
enum result pop3_retrieve(struct pop3_session *s, uint32_t n, struct fault *f) MUST_CHECK;
enum result pop3_top(struct pop3_session *s, uint32_t n, uint64_t lines,
                     struct fault *f) MUST_CHECK;
// Suspends. Appends the whole answer to RETR n, for later. False: it is too large, or cannot be read (RETR says why).
bool pop3_compose(struct pop3_session *s, uint32_t n, struct buf *out);

// ahead.c: most clients ask for one message after the other and wait for each (RFC 1939 section 5). While one takes the answer to
// RETR n, that to n + 1 is read and made ready: one for a session, LIMIT_pop3_ahead octets at most, for LIMIT_pop3_ahead_ms, and
// none while memory is short. It is what RETR would have sent: messages do not change, nor what the client can take.
void pop3_ahead_init(struct pop3_ahead *a);
void pop3_ahead_drop(struct pop3_ahead *a);
// The one after message n will be wanted.
void pop3_ahead_expect(struct pop3_session *s, uint32_t n);
// Suspends. Reads what is expected, when all answers have left.
void pop3_ahead_read(struct pop3_session *s);
// Sends it if it is that of message n.
bool pop3_ahead_send(struct pop3_session *s, uint32_t n);

#endif
