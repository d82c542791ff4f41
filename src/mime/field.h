#ifndef MIME_FIELD_H
#define MIME_FIELD_H

// What one header field says about a part. Private to this folder.
// Trust: none.
// Owner: the arena.

#include "mime/scan.h"

enum mime_field mime_field_of(struct span name);  // MIME_FIELDS when it is not kept
// Reads a Content-* or MIME-Version value into the part; the first of several counts.
void mime_field_apply(struct arena *a, struct mime_part *part, enum mime_field field,
                      struct span value);

#endif
