#ifndef MIME_HTML_H
#define MIME_HTML_H

// The text that HTML shows: elements parted by line ends, without what is hidden (head, script, style). Pushed in any cuts.
// Never fails: what is broken is read as a browser does.
// Trust: none. Time is linear and memory bounded: where elements lie too deep, or a tag or comment is too long, what was open is forgotten
// (LIMIT_html_depth, LIMIT_html_tag).
// Owner: mime_html_new .. mime_html_free. Threads: one at a time.

#include "base/buf.h"

// The reader gets slices of this size, or up to three octets less where a character would be cut (it would take the rest for
// ISO-8859-1), however the text comes in, so that what it says does not depend on that; so few octets that what is checked between
// two of them cannot grow much.
enum { MIME_HTML_SLICE = 512 };

struct mime_html;
struct mime_html *mime_html_new(void);
void mime_html_free(struct mime_html **h);  // takes NULL
// Appends to `out` what can be told so far; drain it after each call. It is valid UTF-8 when what is fed is.
void mime_html_feed(struct mime_html *h, struct span utf8, struct buf *out);
void mime_html_end(struct mime_html *h, struct buf *out);  // ready for new text

// The character that is shown for this one: browsers take U+0080 to U+009F, which mostly come from references like &#146;, for
// those of windows-1252 (HTML, "numeric character reference end state").
uint32_t mime_html_character(uint32_t point);

// Appends the text of whole HTML in UTF-8.
void mime_html_text(struct buf *b, struct span utf8);

#endif
