#ifndef LMTP_SESSION_H
#define LMTP_SESSION_H

// The inside of an LMTP session. Only files of lmtp/ include this.

#include "lmtp/lmtp.h"
#include "io/loop.h"
#include "mail/delivered.h"
#include "mail/filter.h"
#include "mail/intake.h"
#include "wire/smtp.h"

struct lmtp_recipient {
    struct lmtp_recipient *next;
    struct span address, original;  // original: by ORCPT, or the address
    struct span orcpt, notify;      // as they were given, in clear; p NULL: not
    bool wants_success;             // NOTIFY has SUCCESS, and there is a sender to be told
    struct lmtp_targets targets;
    // What became of it.
    enum result result;
    struct fault fault;
    struct span refusal;  // by scripts or scanners: lines; p NULL: none
    bool loops;           // the message goes round in a loop
    struct lmtp_way {
        unsigned here;    // its targets that have it here
        unsigned onward;  // addresses elsewhere that it went on to
        bool asked_on;    // the only one, with the sender's wish for reports
    } way;
};

// A mailbox that has the message of this transaction.
struct lmtp_done {
    struct lmtp_done *next;
    uint64_t account, mailbox;
    struct span name, detail;
    bool part;  // a script filed it there: by that no target is done
    bool here;  // it has reached who it is for; else a script sent it on, or refused it
};

// Why scanners do not get a message; what is behind the spool's `size` goes into the intake then.
enum lmtp_unseen { LMTP_SEEN, LMTP_TOO_LARGE, LMTP_NO_ROOM };

// A message and what scanners make of it.
struct lmtp_seen {
    struct lmtp_spool {
        bool on;
        enum lmtp_unseen unseen;
        int fd;
        uint64_t size;
    } spool;           // as it comes
    uint64_t came_at;  // in the intake: behind what is put in front of it here
    enum lmtp_fate fate;
    bool virus, large;
    struct span reason;
    struct filter_scan said;
};

// An address elsewhere that the message of this transaction went to.
struct lmtp_gone {
    struct lmtp_gone *next;
    struct span address;
};

struct lmtp_session {
    struct lmtp_session *prev, *next;
    struct conn *conn;
    const struct lmtp_host *host;
    struct arena *arena;    // of the transaction
    struct arena *scratch;  // of the command under way
    struct timer silence;   // between commands
    struct span remote;     // address
    struct buf client;      // name given with LHLO
    struct arena *lifetime;
    bool busy, quitting, draining, greeted;
    uint8_t bad;  // commands in a row
    bool has_sender;
    struct span sender;  // "" for <>
    struct {
        struct span auth, ret, envid;  // as they were given, in clear; p NULL: not
        bool utf8;                     // SMTPUTF8
    } said;
    uint64_t announced;  // octets, by SIZE; 0: nothing was said
    struct {
        struct lmtp_recipient *first, **end;
        // to whose account's home the session goes before the command goes on; NULL: none
        struct lmtp_recipient *bound;
        unsigned count, tries;
        size_t targets;  // of all of them
        struct lmtp_done *done;
        struct lmtp_gone *gone;
    } rcpt;
    // of the message as it comes; NULL: nobody has several mailboxes, or wants a report
    struct delivered_digest *digest;
    struct intake *intake;  // while BDAT chunks come in
    struct lmtp_seen scan;
    bool intake_failed;
    struct fault intake_fault;
};

// Answers. "250 2.0.0 text"; multi-line ones are written by the command.
void lmtp_say(struct lmtp_session *s, int code, const char *enhanced, const char *text);
void lmtp_say_fault(struct lmtp_session *s, const struct fault *f, struct span address);
void lmtp_reset(struct lmtp_session *s);  // the transaction is over
// Is the session to go on in the home of the recipient's account? Then the command ends here.
bool lmtp_session_leaves(struct lmtp_session *s, struct lmtp_recipient *r);

// command.c: suspends; runs one line.
void lmtp_command(struct lmtp_session *s, struct span line);
// The same; what is left of RCPT once the session is where its recipient's account is.
void lmtp_recipient_arrived(struct lmtp_session *s, struct lmtp_recipient *r);
// delivery.c. May a header field show it: no control characters, and something like an address.
bool lmtp_is_address(struct span s);
// Does the address name the user so: "ann" or "ann@x.org" of "ann+lists@x.org"?
bool lmtp_is_named(struct span address, struct span user);
// Suspends; the recipients' answers.
void lmtp_deliver(struct lmtp_session *s);
// scan.c
void lmtp_scan_begin(struct lmtp_session *s);
// R_NONE: not kept for scanners.
enum result lmtp_scan_take(struct lmtp_session *s, struct span bytes) MUST_CHECK;
// Suspends. Shows it to them, and writes it into the intake, with their fields. What is unseen is marked.
void lmtp_scan_finish(struct lmtp_session *s);
void lmtp_scan_end(struct lmtp_session *s);
// report.c
// A report to the sender is due for it (RFC 3461 section 5.2.3).
bool lmtp_report_is_due(const struct lmtp_session *s, const struct lmtp_recipient *r);
// Suspends. Those that are due, durably; where that cannot be now the recipient's answer is that it is to come again.
void lmtp_report(struct lmtp_session *s);
// Up to so many octets of the header, from `at` in the intake on, in the transaction's arena.
enum result lmtp_header(struct lmtp_session *s, uint64_t at, size_t max, struct span *out,
                        struct fault *f) MUST_CHECK;
// As SMTP writes it; in the transaction's arena.
struct span lmtp_written(struct lmtp_session *s, struct span address);
// elsewhere.c
bool lmtp_is_elsewhere(const struct lmtp_target *t);
// Has any target of the recipient a mailbox here?
bool lmtp_any_here(const struct lmtp_recipient *r);
// Is there a way out? Without one neither reports nor what goes on are promised.
bool lmtp_can_send(const struct lmtp_session *s);
// Suspends. The recipient's targets that are elsewhere: the message is on its way to them, durably. FAULT_CANNOT: never.
enum result lmtp_forward(struct lmtp_session *s, struct lmtp_recipient *r,
                         struct fault *f) MUST_CHECK;
// data.c: suspend.
void lmtp_data(struct lmtp_session *s);
void lmtp_bdat(struct lmtp_session *s, struct span args);

#endif
