#ifndef RELAY_SMTP_INSIDE_H
#define RELAY_SMTP_INSIDE_H

// The inside of struct smtp, for src/relay/smtp*.c only.

#include "relay/smtp.h"
#include "io/conn.h"

struct smtp {
    const struct smarthost *host;
    struct conn *conn;
    struct smtp_offer offer;
    struct smtp_reply reply;  // the last
    unsigned mails, heard;    // heard: replies of this transaction
    bool broken;
    bool unsure;  // of this transaction: a whole text was not answered
};

void smtp_say(struct smtp *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
// Suspends. The next reply, within the step's deadline; into s->reply.
enum result smtp_listen(struct smtp *s, uint32_t deadline_ms, struct fault *f) MUST_CHECK;
// The same, and its code must be of that class (2, 3); else FAULT_UNAVAILABLE with its words.
enum result smtp_expect(struct smtp *s, unsigned class, uint32_t deadline_ms,
                        struct fault *f) MUST_CHECK;
enum result smtp_authenticate(struct smtp *s, struct fault *f) MUST_CHECK;  // smtp_auth.c

#endif
