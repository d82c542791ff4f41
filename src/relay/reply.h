#ifndef RELAY_REPLY_H
#define RELAY_REPLY_H

// A smarthost's answer (RFC 5321 section 4.2, RFC 2034), and what its EHLO offers.
// Trust: any octets. Lines and their number are capped; what is kept is printable.

#include "base/buf.h"

enum smtp_cap {
    SMTP_PIPELINING = 1,
    SMTP_SIZE = 2,
    SMTP_8BITMIME = 4,
    SMTP_SMTPUTF8 = 8,
    SMTP_DSN = 16,
    SMTP_DELIVERBY = 32,
    SMTP_STARTTLS = 64,
    SMTP_AUTH = 128,
    SMTP_CHUNKING = 256,
    SMTP_BINARYMIME = 512,
};

enum { SMTP_STATUS = 16, SMTP_WORDS = 500 };

struct smtp_reply {
    uint16_t code;
    char status[SMTP_STATUS];    // "5.1.1", as told or as the code means
    char words[SMTP_WORDS + 1];  // all lines, printable, blanks for line ends
};

// Octets that the reply takes at the front of the input; 0: it is not whole yet. R_FAIL (FAULT_BAD): it is none.
enum result smtp_reply_take(struct span input, struct smtp_reply *out, size_t *used_out,
                            struct fault *f) MUST_CHECK;
// As said when there was no answer: code 0.
void smtp_reply_none(struct smtp_reply *out, const char *status, const char *words);

struct smtp_offer {
    unsigned caps;      // enum smtp_cap
    uint64_t size_max;  // 0: not told
    uint64_t by_min;    // seconds
    char mechanisms[SMTP_WORDS + 1];
};
// Of the whole 250 of EHLO, which smtp_reply_take took.
void smtp_offer_read(struct span reply, struct smtp_offer *out);
bool smtp_offer_has(const struct smtp_offer *o, const char *mechanism);

#endif
