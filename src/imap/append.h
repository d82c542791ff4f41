#ifndef IMAP_APPEND_H
#define IMAP_APPEND_H

// The messages of one APPEND or REPLACE: each is streamed from the connection to an intake; they wait there until the
// command is whole and become one commit (RFC 3502). A form of message data other than a literal is a word of
// SLOT_APPEND with one struct imap_append_data.
// Owner: the command. Caps: LIMIT_append_messages, LIMIT_append_octets; memory: LIMIT_append_inline of bodies, the rest
// goes to files. Threads: the session's loop; all suspend but init and done.

#include "imap/session.h"
#include "mail/intake.h"

struct imap_append {
    struct imap_command *c;
    struct intake_item *items;
    size_t count, room;
    struct intake *in;  // of the message that is coming
    uint64_t size_max;  // of one message
    uint64_t octets, octets_inline;
    size_t keywords;
    bool watch_header, header_ended, line_empty;  // append_8bit
};

// Reads the data behind the word, from the space on, into a->in.
struct imap_append_data {
    enum result (*receive)(struct imap_append *a, struct fault *f);
};

// c->ref is known.
void imap_append_init(struct imap_append *a, struct imap_command *c);
void imap_append_done(struct imap_append *a);
// One append-message (RFC 4466 section 2.8), from the space before it on.
enum result imap_append_message(struct imap_append *a, struct fault *f) MUST_CHECK;
// The literal whose header comes next: its octets are added to a->in, c->parse goes on behind it.
enum result imap_append_literal(struct imap_append *a, struct fault *f) MUST_CHECK;
// May the message get so many octets more? FAULT_TOOBIG.
enum result imap_append_room(const struct imap_append *a, uint64_t octets,
                             struct fault *f) MUST_CHECK;
enum result imap_append_write(struct imap_append *a, struct span octets,
                              struct fault *f) MUST_CHECK;
// "[APPENDUID 7 3:5] "; nothing where the mailbox may not be read (RFC 4315 section 3).
void imap_append_put_uids(const struct imap_append *a, const struct intake_result *done,
                          struct buf *b);

// What the mailbox's scripts make of the messages that are there now (imap/event.h).
void imap_append_event(const struct imap_append *a, const struct intake_result *done);

// append_8bit = refuse (RFC 9755 section 4): a header with 8-bit octets comes in only after ENABLE. From any thread.
void imap_append_8bit_refuse(bool refuse);

#endif
