#ifndef EXTRACT_READERS_H
#define EXTRACT_READERS_H

// The readers behind extract_read, for this folder only.

#include "extract/extract.h"

enum extract_verdict extract_office(struct span document, struct extract_out *out);
enum extract_verdict extract_rtf(struct span document, struct extract_out *out);
enum extract_verdict extract_html(struct span document, struct extract_out *out);
enum extract_verdict extract_plain(struct span document, struct extract_out *out);

// office.c to xml.c: the text of one XML file of an office document.
enum office_dialect {
    OFFICE_WORD = 1,
    OFFICE_SHEET = 2,
    OFFICE_SLIDE = 4,
    OFFICE_ODF = 8,
    OFFICE_FACTS = 16,     // title, author, keywords
    OFFICE_MANIFEST = 32,  // of ODF: says whether it is encrypted
};
struct office_xml;
struct office_xml *office_xml_new(enum office_dialect dialect, struct extract_out *out);
// R_FAIL: no more of it can be read.
enum result office_xml_feed(struct office_xml *x, struct span piece) MUST_CHECK;
// Ends it. EXTRACT_DONE, EXTRACT_DAMAGED, or EXTRACT_ENCRYPTED where the manifest says so.
enum extract_verdict office_xml_free(struct office_xml **x);

#endif
