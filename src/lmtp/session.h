#ifndef LMTP_SESSION_H
#define LMTP_SESSION_H

// The inside of an LMTP session. Only files of lmtp/ include this.

#include "lmtp/lmtp.h"
#include "io/loop.h"
#include "mail/intake.h"
#include "wire/smtp.h"

struct lmtp_recipient {
    struct lmtp_recipient *next;
    uint64_t account;
    struct span address, user, detail;
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
    uint64_t announced;  // octets, by SIZE; 0: nothing was said
    struct lmtp_recipient *recipients, **recipients_end;
    unsigned recipient_count, recipient_tries;
    struct intake *intake;  // while BDAT chunks come in
    bool intake_failed;
    struct fault intake_fault;
};

// Answers. "250 2.0.0 text"; multi-line ones are written by the command.
void lmtp_say(struct lmtp_session *s, int code, const char *enhanced, const char *text);
void lmtp_say_fault(struct lmtp_session *s, const struct fault *f, struct span address);
void lmtp_reset(struct lmtp_session *s);  // the transaction is over

// command.c: suspends; runs one line.
void lmtp_command(struct lmtp_session *s, struct span line);
// data.c: suspend.
void lmtp_data(struct lmtp_session *s);
void lmtp_bdat(struct lmtp_session *s, struct span args);

#endif
