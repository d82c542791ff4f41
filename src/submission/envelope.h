#ifndef SUBMISSION_ENVELOPE_H
#define SUBMISSION_ENVELOPE_H

// The parameters of MAIL and RCPT (RFC 1870, 6152, 6531, 3461, 4954, 2852, 4865) as the relay takes them. No I/O.
// Trust: any octets. What is refused is refused with the answer that the RFC has for it.

#include "base/arena.h"
#include "relay/relay.h"
#include "wire/smtp.h"

struct submission_answer {
    int code;
    const char *enhanced, *text;
};

struct submission_limits {
    uint64_t size_max;
    int64_t now_s;
    struct span domain;  // of <postmaster> without one
};

// "FROM:<ann@example.org> SIZE=100 ..." into the envelope, all but the recipients. Spans lie in the arena.
enum result submission_mail_read(struct span args, const struct submission_limits *l,
                                 struct arena *a, struct relay_envelope *out,
                                 struct submission_answer *why) MUST_CHECK;
// "TO:<bob@example.org> NOTIFY=NEVER". *path_out is the address without quotes.
struct submission_rcpt {
    struct relay_recipient to;
    struct smtp_path path;
};
enum result submission_rcpt_read(struct span args, const struct submission_limits *l,
                                 bool smtputf8, struct arena *a,
                                 struct submission_rcpt *out,
                                 struct submission_answer *why) MUST_CHECK;

#endif
