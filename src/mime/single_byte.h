#ifndef MIME_SINGLE_BYTE_H
#define MIME_SINGLE_BYTE_H

// Charsets in which each octet is a character (ISO 8859, Windows 125x, KOI8): what ICU makes of each of the 256, so that text is
// converted by a table. Private to this folder.
// Threads: any; tables are made once, and stay: at most as many as ICU has such charsets, 1.3 KB each.

#include "base/buf.h"

struct mime_single_byte;

// `name`: one that ICU lists. NULL: not such a charset.
const struct mime_single_byte *mime_single_byte_find(const char *name);
// Is the lower half ASCII?
bool mime_single_byte_is_ascii(const struct mime_single_byte *t);
// Puts any octets as UTF-8, as ICU would.
void mime_single_byte_put(const struct mime_single_byte *t, struct span in,
                          struct buf *out);

#endif
