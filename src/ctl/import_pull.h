#ifndef CTL_IMPORT_PULL_H
#define CTL_IMPORT_PULL_H

// What an import from another server (pull/pull.h) does besides: it is asked which messages are wanted, brings flags up to
// date, and remembers with each mailbox how far it came: a private annotation of the user, lost with the mailbox.
// Owner: the verb's task; all functions suspend.

#include "ctl/import_ids.h"
#include "ctl/import_proof.h"
#include "ctl/parcel.h"
#include "base/limits.h"
#include "mail/view.h"

struct import;
struct import_message;

struct import_counts {
    uint64_t mailboxes, messages, octets, present, left_out, renumbered;
    uint64_t facts;  // of what is no mail
};

// A message that is here already, in another mailbox.
struct import_copy {
    struct import_ids_place from;
    struct parcel_message head;
};

// The mailbox that holds all messages, where the source has one; it was looked at before the others.
struct import_all {
    uint32_t box;
    struct import_have *have;
    struct import_ids *here;  // by EMAILID: what is there and here
};

// What is listed of a mailbox, wanted or not.
struct import_offered {
    uint64_t messages, octets;
};

struct import_pull {
    struct arena *arena, *batch, *scratch;
    struct span source;  // "ann@mail.example.org"
    bool dry_run;
    // mailboxes that messages are copied from
    struct mailbox_ref *boxes;
    uint32_t box_count, box_room;
    struct import_ids *ids;
    struct import_all all;
    // the mailbox
    struct view *view;
    struct view *writer;  // only where flags are changed: it takes \Recent
    struct parcel_state was;
    uint32_t left;  // the lowest UID that was left out; 0: none
    struct import_counts before;
    uint64_t flags, flags_before;  // messages whose flags were changed
    uint64_t unlabelled;           // copies here that were taken away, as they were there
    struct import_offered offered;
    struct import_proof *proof;  // NULL: none is wanted
    // what was offered since the last answer, or, when that was given, before it
    struct seqset wanted;
    struct import_copy copies[LIMIT_pull_batch];  // by UID
    size_t copy_count, copied;
    bool answered;
};

// `prove`: what came is read back from the disk, and the report has digests of both.
struct import_pull *import_pull_new(struct span source, bool dry_run, bool prove);
void import_pull_free(struct import_pull **p);  // takes NULL
bool import_pull_is_dry(const struct import_pull *p);

// PARCEL_RECALL, SAME, OFFER, ASK, SETTLE.
enum result import_pull_take(struct import *im, const struct parcel *p,
                             struct fault *f) MUST_CHECK;
// The mailbox was found or made, and nothing was read of it yet.
enum result import_pull_begin(struct import *im, struct fault *f) MUST_CHECK;
void import_pull_forget(struct import *im);  // it is left
// A message of this UID was left out: the next run looks at it again. 0: one that is not known.
void import_pull_left(struct import *im, uint32_t uid);
// The message is on disk there under this UID.
void import_pull_done(struct import *im, const struct import_message *m, uint32_t uid);

// import_copy.c, import_flags.c, import_unlabel.c
// What came is in the mailbox of all already, under another id or none: it is copied from there. R_NONE: it is not.
enum result import_pull_twin(struct import *im, const struct import_message *m,
                             struct fault *f) MUST_CHECK;
// At the end of a mailbox that shows a label: what lost it there loses it here. It stays where all messages are.
enum result import_unlabel(struct import *im, struct fault *f) MUST_CHECK;
// It is on disk under this UID; its octets have this SHA-256.
void import_pull_prove(struct import *im, const struct parcel_message *h, uint32_t uid,
                       struct span sha256);
// What is copied here and has a UID below, before a message that has it is placed: UIDs rise.
enum result import_pull_copy(struct import *im, uint32_t below, struct fault *f) MUST_CHECK;
// The flags and keywords of a message here become those that it has there.
enum result import_flags_bring(struct import *im, const struct message_row *row,
                               const struct parcel_message *h, struct fault *f) MUST_CHECK;

#endif
