#ifndef WIRE_POLICY_H
#define WIRE_POLICY_H

// Requests of Postfix to a policy service (its SMTPD_POLICY_README): lines "name=value", ended by an empty one. LF ends a
// line. Nothing here does I/O.
// Trust: any bytes; a request is capped by the caller (LIMIT_policy_request), its lines here.

#include "base/fault.h"
#include "base/span.h"

// Octets of the first request with its empty line, or 0 when it is not whole yet.
size_t policy_request_end(struct span input);

// What is asked, borrowed; SPAN_NONE where an attribute is missing. Attributes that are not known are passed over, and of
// two with one name the last one counts.
struct policy_request {
    struct span request;         // "smtpd_access_policy"
    struct span protocol_state;  // "RCPT"
    struct span recipient, sender;
    struct span sasl_username;  // who is logged in; empty: nobody
    uint64_t size;              // as MAIL announced it; 0: nothing was said
};
// R_FAIL (FAULT_BAD): a line without '=', or without a name, or with NUL or CR; too many or too long ones; a size that is no
// number.
enum result policy_request_parse(struct span text, struct policy_request *out,
                                 struct fault *f) MUST_CHECK;

#endif
