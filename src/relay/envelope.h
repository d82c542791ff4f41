#ifndef RELAY_ENVELOPE_H
#define RELAY_ENVELOPE_H

// The envelope as octets: as it travels from mail to the role relay, and as it lies in the queue's files (docs/format.md).
// Trust: of what is unpacked every address, count and word is checked: mail may be taken over, a file damaged.

#include "relay/relay.h"

// FAULT_BAD, FAULT_TOOMANY: it cannot be sent.
enum result relay_envelope_check(const struct relay_envelope *e,
                                 struct fault *f) MUST_CHECK;
void relay_envelope_put(struct buf *b, const struct relay_envelope *e);
// Spans are borrowed from `packed`, the recipients lie in the arena.
enum result relay_envelope_get(struct span packed, struct arena *a,
                               struct relay_envelope *out, struct fault *f) MUST_CHECK;
// "SUCCESS,DELAY", in any case (RFC 3461 section 4.1), and back. R_FAIL: it is not of that form.
enum result relay_notify_read(struct span words, uint8_t *out) MUST_CHECK;
void relay_notify_put(struct buf *b, uint8_t notify);
// The same of RET (section 4.3).
enum result relay_ret_read(struct span word, uint8_t *out) MUST_CHECK;
// Of an ORCPT and an ENVID that are no longer xtext (sections 4.2, 4.4).
enum result relay_orcpt_check(struct span orcpt, struct fault *f) MUST_CHECK;
enum result relay_envid_check(struct span envid, struct fault *f) MUST_CHECK;

#endif
