#ifndef MIME_MARKS_H
#define MIME_MARKS_H

// Marks are what a message tells of itself that clients show beside it (the keywords of RFC 9979). Trust: none.

#include "mime/scan.h"

// Is there a part that a client should offer to save? RFC 8621 section 4.1.4: what is neither the text nor in it. What is
// handled without the user is none: images that the text shows by their Content-ID, signatures, other forms of a text.
bool mime_has_attachment(const struct mime_part *root);

// These take the header block of a message.
// RFC 8058: an https URI, List-Unsubscribe-Post, and a DKIM signature that covers both (whether it is valid is for who
// checks signatures).
bool mime_is_one_click(struct span header);
// RFC 3834 section 5: Auto-Submitted other than "no".
bool mime_is_automatic(struct span header);

#endif
