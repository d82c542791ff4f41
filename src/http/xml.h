#ifndef HTTP_XML_H
#define HTTP_XML_H

// XML, written.

#include "base/buf.h"

// Text as an element's content, or an attribute's value.
void xml_put_text(struct buf *out, struct span text);
// <name>text</name> and a line's end, `depth` times two blanks before it.
void xml_put(struct buf *out, unsigned depth, const char *name, struct span text);
void xml_put_number(struct buf *out, unsigned depth, const char *name, unsigned number);

#endif
