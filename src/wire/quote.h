#ifndef WIRE_QUOTE_H
#define WIRE_QUOTE_H

// Quote prints strings for IMAP answers: atom or quoted where the grammar allows, a literal otherwise.
// `utf8` is the session's mode (UTF8=ACCEPT or IMAP4rev2 enabled): then valid UTF-8 may stand in quoted strings.
// A NUL cannot travel in a string; 0x80 is sent in its place.

#include "base/buf.h"

void quote_string(struct buf *b, struct span s, bool utf8);   // quoted or literal
void quote_astring(struct buf *b, struct span s, bool utf8);  // atom where possible
void quote_nstring(struct buf *b, struct span s, bool utf8);  // NIL when s.p is NULL
// A mailbox name, held as UTF-8: as it is in UTF-8 mode, as modified UTF-7 otherwise. Always quoted or literal
// unless a plain atom.
void quote_mailbox(struct buf *b, struct span name, bool utf8);

#endif
