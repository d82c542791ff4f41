#ifndef RELAY_RECODE_H
#define RELAY_RECODE_H

// A text in the form that a smarthost takes which lacks 8BITMIME (RFC 6152 section 3) or BINARYMIME (RFC 3030 section 3): parts
// that cannot go as they are become quoted-printable or base64 (RFC 2045 section 6), all else stays octet for octet. What is
// signed as it is (multipart/signed, RFC 1847 section 2.1) is not touched: then the mail goes back.
// Trust: the text may be any octets; its structure is found under the caps of mime/scan.h. Threads: any; blocks.

#include "relay/queue_file.h"

enum recode_aim {
    RECODE_7BIT,      // lines of ASCII
    RECODE_NO_BINARY  // lines; octets above 127 may stay
};
struct recoded {
    uint64_t n, wire_n;  // as struct queue_head has them
    uint32_t traits;
    const char *why;  // of R_NONE
};
// What the text needs, read from the queue's file, into `to`, which is empty. R_NONE: it cannot be done, and recoded.why says it.
enum result relay_recode(int fd, const struct queue_mail *m, enum recode_aim aim, int to,
                         struct recoded *out, struct fault *f) MUST_CHECK;
// Is the header of the message, or of a part, beyond ASCII (RFC 6532)?
enum result relay_header_is_utf8(int fd, const struct queue_mail *m, bool *out,
                                 struct fault *f) MUST_CHECK;

#endif
