#ifndef MIME_MESSAGE_ID_H
#define MIME_MESSAGE_ID_H

// Message ids in Message-ID, In-Reply-To and References (RFC 5322 section 3.6.4), in the one form in which they are
// compared (RFC 5256 section 3): without brackets, white space and comments; quoted strings without their quotes.
// Trust: none.

#include "base/buf.h"

// A field's value as it is read: {value}.
struct mime_message_ids {
    struct span rest;
    unsigned unended;  // comments and quoted strings that did not end so far
};
// Takes the next id off and appends it to `out`; what is no id is passed over. False: there is no more, and nothing was
// appended. Linear in the value.
bool mime_message_id_next(struct mime_message_ids *ids, struct buf *out);
// Has it, in that form, an '@' with something on both sides?
bool mime_message_id_valid(struct span id);

#endif
