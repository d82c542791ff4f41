#ifndef MAIL_FORWARD_H
#define MAIL_FORWARD_H

// The header of a message that is passed on to an address elsewhere: by a script's redirect, or because an alias or a user's forward
// leads there. It says by whom, in X-Sieve-Redirected-From as Dovecot's redirect does, so that a message which comes again is known.
// Trust: headers may be any octets. Any thread.

#include "base/buf.h"

// Did it come by `from` before, or through too many servers (RFC 5321 section 6.3)?
bool forward_is_loop(struct span header, struct span from);
// The header without the Return-Path that was put in front when the message arrived here.
void forward_put_original(struct buf *b, struct span header);
// The same, with the mark: as it goes on.
void forward_put_header(struct buf *b, struct span header, struct span from);

#endif
