#ifndef RELAY_QUEUE_FILE_H
#define RELAY_QUEUE_FILE_H

// One file of the queue (docs/format.md): a head, the envelope, the text as it came, and behind it notes that are only ever
// appended, each with its own checksum: what became of which recipient, when it is tried next. It is made under another
// name, synced, then linked to its own; a file that has its name is whole. A note that a crash cut is none.
// Trust: none of the octets: all are checked, a file that is damaged is FAULT_CORRUPTION.
// Threads: any; all but the pure functions block.

#include "relay/envelope.h"

enum { QUEUE_HEAD = 72, QUEUE_NAME = 24 };

struct queue_head {
    uint32_t envelope_n;
    uint32_t traits;  // enum relay_trait
    uint64_t text_n;
    uint64_t wire_n;  // octets of the text as SMTP sends it, but for doubled dots
    uint64_t created_ms;
    uint64_t envelope_hash, text_hash;
};

enum queue_state {
    QUEUE_WAITING,
    QUEUE_SENT,
    QUEUE_RELAYED,
    QUEUE_FAILED,
    QUEUE_EXPIRED,
    QUEUE_STATES
};

// What is known of a recipient: the smarthost's last answer to it.
struct queue_recipient {
    uint8_t state;  // enum queue_state
    bool told;      // its report was made, or none is due
    bool told_late;
    bool changed;        // since it was last written
    uint16_t code;       // 550; 0: it did not answer
    struct span status;  // "5.1.1"
    struct span reply;   // its words, or why there were none
};

// A file's contents, in an arena.
struct queue_mail {
    uint64_t id;
    struct queue_head head;
    struct relay_envelope envelope;
    struct queue_recipient *to;  // one for each of the envelope's
    uint32_t tries;
    int64_t next_s;  // 0: as soon as it can be
    bool held;
    bool released;       // its hold_until counts no more
    uint64_t notes_end;  // where the next note goes
};

void queue_name(uint64_t id, char out[QUEUE_NAME]);  // "0123456789abcdef.mail"
// R_NONE: no name of the queue's.
enum result queue_name_id(struct span name, uint64_t *id_out) MUST_CHECK;

// Durable when R_OK. FAULT_DISK, FAULT_TOOBIG, FAULT_BAD.
enum result queue_file_make(int folder, uint64_t id, struct span envelope,
                            const struct relay_text *text, struct fault *f) MUST_CHECK;
// R_NONE: it is gone.
enum result queue_file_read(int folder, uint64_t id, struct arena *a,
                            struct queue_mail *out, struct fault *f) MUST_CHECK;
enum result queue_file_open(int folder, uint64_t id, int *fd_out,
                            struct fault *f) MUST_CHECK;
// What queue_file_read does, of an open file.
enum result queue_file_load(int fd, uint64_t id, struct arena *a, struct queue_mail *out,
                            struct fault *f) MUST_CHECK;
// Does the text still have its checksum?
enum result queue_file_verify(int fd, const struct queue_mail *m,
                              struct fault *f) MUST_CHECK;
uint64_t queue_text_at(const struct queue_mail *m);
// Appends the note, durably, and moves m->notes_end.
enum result queue_file_note(int fd, struct queue_mail *m, struct span note,
                            struct fault *f) MUST_CHECK;

// Notes: packed (base/pack.h).
void queue_note_outcome(struct buf *b, const struct queue_mail *m, const size_t *which,
                        size_t n);
void queue_note_schedule(struct buf *b, uint32_t tries, int64_t next_s);
void queue_note_held(struct buf *b, bool held);
void queue_note_told(struct buf *b, const size_t *which, size_t n, bool late);

// ---- pure ----
void queue_head_put(struct buf *b, const struct queue_head *h);
enum result queue_head_get(struct span octets, struct queue_head *out,
                           struct fault *f) MUST_CHECK;
// Folds the notes that are whole; *used_out: their octets. FAULT_CORRUPTION: one with the right checksum makes no sense.
enum result queue_notes_fold(struct span notes, struct arena *a, struct queue_mail *m,
                             size_t *used_out, struct fault *f) MUST_CHECK;

#endif
