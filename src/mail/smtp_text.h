#ifndef MAIL_SMTP_TEXT_H
#define MAIL_SMTP_TEXT_H

// The text of a mail as SMTP's commands bring it, for the servers that have them (LMTP, submission): from the connection to
// who wants it, in pieces of any cut. R_FAIL: the client said nothing for so long, or is gone: the session is over.
// Trust: any octets. Owner: the session, whose reading is paused meanwhile. Threads: its loop's; both suspend.

#include "io/conn.h"

// May suspend.
typedef void smtp_text_fn(void *arg, struct span bytes);

// Behind the 354 of DATA, to CRLF.CRLF, without the dots that were doubled (wire/smtp.h).
enum result smtp_text_data(struct conn *c, uint32_t silence_ms, smtp_text_fn *fn,
                           void *arg) MUST_CHECK;
// Behind BDAT (RFC 3030): so many octets, which come whatever the answer will be. fn NULL: they are dropped.
enum result smtp_text_chunk(struct conn *c, uint64_t size, uint32_t silence_ms,
                            smtp_text_fn *fn, void *arg) MUST_CHECK;

#endif
