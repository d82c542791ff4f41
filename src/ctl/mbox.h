#ifndef CTL_MBOX_H
#define CTL_MBOX_H

// Reads an mbox (RFC 4155, mboxrd quoting) that comes in pieces. A message begins at the start or after an empty line
// with "From " and a date. Headers that mail programs keep their state in (Status, X-Status, X-Keywords, X-UID,
// X-IMAPbase, Content-Length) are read and taken off; LF becomes CRLF. Messages that `export` wrote begin with
// X-Posthorn, which tells how many such headers follow and whether line ends are to be kept: those come back octet for
// octet.
// Owner: the caller. Trust: any bytes; a header is kept up to LIMIT_mbox_header, beyond that it is passed on as it is.

#include "base/arena.h"
#include "base/buf.h"

struct mbox_message {
    int64_t date;  // of the From line
    int16_t zone_min;
    bool has_date;
    uint32_t uid;          // 0: none
    uint16_t flags;        // enum message_flag
    struct span keywords;  // separated by spaces, borrowed until begin returns
    struct span uidl;      // POP3's unique id, of what `export` wrote; borrowed too
    uint32_t uidvalidity, uid_last;  // of X-IMAPbase, 0: none
    bool internal;  // "DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA": no mail
    uint64_t line;  // number of its From line
};

// R_FAIL of any ends the reading. octets and end come between begin and the next begin.
struct mbox_ops {
    enum result (*begin)(void *arg, const struct mbox_message *m, struct fault *f);
    enum result (*octets)(void *arg, struct span bytes, struct fault *f);
    enum result (*end)(void *arg, struct fault *f);
};

struct mbox {
    const struct mbox_ops *ops;
    void *arg;
    struct buf line;    // up to its LF; longer ones come in pieces
    struct buf header;  // of the message that begins
    struct mbox_message message;
    uint64_t lines;
    bool inside, in_header, internal;
    // the next octet begins a line; the line before was empty
    bool line_start, after_empty;
    bool held;     // an empty line: it belongs to the message unless a From line follows
    bool held_cr;  // it was CRLF
    bool keep_ends, no_final_end, no_body;  // X-Posthorn
    bool last_lf_held, last_cr;  // no_final_end: the line end waits for what follows
};

void mbox_init(struct mbox *m, const struct mbox_ops *ops, void *arg);
void mbox_done(struct mbox *m);
// FAULT_BAD when the first line is no From line.
enum result mbox_read(struct mbox *m, struct span piece, struct fault *f) MUST_CHECK;
enum result mbox_end(struct mbox *m, struct fault *f) MUST_CHECK;

// "From sender Wed Nov 25 22:21:57 2026", also with a zone before or after the year (local time without one).
enum result mbox_from_line(struct span line, int64_t *date_out, int16_t *zone_out);

#endif
