#ifndef MIME_SUMMARY_H
#define MIME_SUMMARY_H

// The summary holds what SEARCH, SORT and THREAD want of a message's header, decoded to UTF-8
// (RFC 2047), packed for the cache. Each field is cut at LIMIT_mime_summary octets, References at LIMIT_mime_references.
// Trust: damaged bytes give R_FAIL (FAULT_CORRUPTION).
// Owner: spans borrow the packed bytes.

#include "base/buf.h"
#include "mime/date.h"
#include "mime/scan.h"

struct mime_summary {
    struct span subject,
        base_subject;       // base subject: RFC 5256 section 2.1, not case-folded
    bool reply_or_forward;  // the subject said so (RFC 5256 section 2.1)
    // whole fields, decoded, several joined with ", "
    struct span from, to, cc, bcc, sender, reply_to;
    struct span sort_from, sort_to,
        sort_cc;                           // mailbox part of the first address (RFC 5256)
    struct span display_from, display_to;  // display name, else mailbox@host (RFC 5957)
    // message ids in the form of mime/message_id.h, valid or not; may be empty
    struct span message_id;
    struct span
        in_reply_to;         // the first one of the field that is valid, else the first one
    struct span references;  // one NUL between two
    bool has_date;
    struct mime_date date;
    uint8_t flags;  // for mime_summary_header
};

// Appends one raw value as the summary has it: decoded; of a subject with its white space made single spaces.
void mime_summary_value(struct buf *text, bool subject, struct span raw);
// May the field (subject, from, to, cc, bcc, an address) be only the beginning of what the message has?
bool mime_summary_cut(struct span field);

// What a search of the header for one field can be told without it. A row of the table of fields by the field's name, SIZE_MAX: not one of
// them. Of a row: all there is of the field in the header, as mime_streams_field has it before it is folded, is appended; or there is no
// such field; or the summary cannot say (doubled and odd fields, and all of messages that came before it could).
enum mime_summary_answer { MIME_SUMMARY_UNSURE, MIME_SUMMARY_ABSENT, MIME_SUMMARY_TEXT };
size_t mime_summary_row(struct span name);
enum mime_summary_answer mime_summary_header(const struct mime_summary *s, size_t row,
                                             struct buf *text);

void mime_summary_put(struct buf *b, const struct mime_part *root);
enum result mime_summary_get(struct span packed, struct mime_summary *out,
                             struct fault *f) MUST_CHECK;

// The summary by the header alone; of it subject, base_subject, sort_* and display_* are not cut (but for LIMIT_mime_header). In the arena.
enum result mime_summary_whole(struct arena *a, struct span header,
                               struct mime_summary *out, struct fault *f) MUST_CHECK;

#endif
