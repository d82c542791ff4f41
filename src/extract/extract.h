#ifndef EXTRACT_EXTRACT_H
#define EXTRACT_EXTRACT_H

// An extraction is the text of a document that came as an attachment: PDF by pdftotext; OOXML, ODF, RTF, HTML and plain
// text by readers of our own. Only a child of the role `extract` reads a document (extract/job.h).
// Trust: none; documents are hostile. Every reader is linear in what it reads, and what it reads is bounded.
// Threads: any (constant data).

#include "base/buf.h"

enum extract_kind {
    EXTRACT_NONE,
    EXTRACT_PDF,
    EXTRACT_OFFICE,  // OOXML and ODF: the names in the archive tell which
    EXTRACT_RTF,
    EXTRACT_HTML,
    EXTRACT_PLAIN,
    EXTRACT_KINDS,
};

// How an extraction ended. Whatever it is, the text that was found until then counts.
enum extract_verdict {
    EXTRACT_DONE,
    EXTRACT_ENCRYPTED,
    EXTRACT_TOO_LARGE,
    EXTRACT_TIMEOUT,
    EXTRACT_DAMAGED,
    EXTRACT_TOOL_MISSING,
    EXTRACT_UNAVAILABLE,  // the role fell, or has no room: nothing is known of the document
    EXTRACT_VERDICTS,
};
const char *extract_verdict_name(enum extract_verdict v);  // "too large"

// What the type says ("application", "pdf"), else the file name where the type says nothing. EXTRACT_NONE for text/plain
// and text/html: they are text as they are.
enum extract_kind extract_kind_of(struct span type, struct span subtype, struct span name);

// Where the text goes, UTF-8, at most LIMIT_extract_text octets.
struct extract_out {
    void (*put)(void *arg, struct span text);
    void *arg;
    size_t n;
    bool full;  // there was more
};
void extract_put(struct extract_out *out, struct span utf8);

// A reader of our own, in this process: not for EXTRACT_PDF.
enum extract_verdict extract_read(enum extract_kind kind, struct span document,
                                  struct extract_out *out);

#endif
