#ifndef CTL_IMPORT_H
#define CTL_IMPORT_H

// The inside of the verbs `import` and `restore` (of one folder or message): parcels come in, messages are staged one after the other and committed many at a
// time, in order. What the person should know is collected as rows and counts.
// Owner: the verb's task; commits run in tasks of their own and only touch what is said here.

#include "ctl/import_have.h"
#include "ctl/import_names.h"
#include "ctl/import_pull.h"
#include "ctl/parcel.h"
#include "ctl/verb.h"
#include "io/task.h"
#include "mail/intake.h"

// What restore adds: messages of a backup of this very store keep their EMAILID and THREADID.
struct import_restore {
    bool dry_run;
    bool known;         // this store has a uuid
    uint8_t store[16];  // of store_uuid
    uint64_t id_end;    // ids below were given out by this store
    struct emailids *ids;
    uint64_t new_ids;                                  // messages that got a new EMAILID
    uint64_t messages, octets, present, left, others;  // at the mailbox's begin
};

struct import_message {
    struct import_message *next;  // deferred
    struct import *import;
    struct arena *arena;
    struct parcel_message head;  // in the arena
    struct parcel_origin origin;
    struct intake *intake;  // NULL: it is there already
    struct intake_params params;
    bool failed;
    struct fault fault;
};

struct import {
    struct verb_call *call;
    struct mail_user *user;
    struct import_restore *restore;  // NULL: import
    struct import_pull *pull;        // NULL: not from another server
    struct arena *arena;
    struct import_names names;
    bool mapped, subscriptions, broken;  // the source has a list of subscriptions
    struct import_counts counts;
    struct buf notes;  // rows for the person
    // the mailbox
    struct arena *mailbox_arena;
    struct parcel_mailbox source;
    struct span target;  // SPAN_NONE: it cannot be made, its messages are left out
    struct mailbox_ref ref;
    bool keep_uids;
    uint32_t uidnext;  // UIDs below were given out
    struct import_have *have;
    struct import_message *deferred, **deferred_end;
    unsigned deferred_count;
    struct import_message *message;  // coming in
    // commits under way
    unsigned flying;
    struct task *waiter;
};

// import_mailbox.c. Suspend.
// After the last name was announced.
enum result import_map(struct import *im, struct fault *f) MUST_CHECK;
enum result import_mailbox_begin(struct import *im, const struct parcel_mailbox *m,
                                 struct fault *f) MUST_CHECK;
enum result import_mailbox_end(struct import *im, struct fault *f) MUST_CHECK;
// Until all is committed, and UIDNEXT is the source's; the mailbox stays open.
enum result import_mailbox_settle(struct import *im, struct fault *f) MUST_CHECK;
// The source broke off: what came is kept, nothing is settled, so that the next run finds the UIDs still free.
void import_mailbox_drop(struct import *im);
// import_message.c. Suspend; a message that fails is left out, R_FAIL is for what ends the import.
enum result import_message_begin(struct import *im, struct span payload,
                                 struct fault *f) MUST_CHECK;
enum result import_message_origin(struct import *im, struct span payload,
                                  struct fault *f) MUST_CHECK;
void import_message_octets(struct import *im, struct span octets);
enum result import_message_end(struct import *im, struct fault *f) MUST_CHECK;
void import_message_abort(struct import *im, struct span why);
// RFC 9051 section 9: flag-keyword = atom.
bool import_is_keyword(struct span s);
// Commits the messages that waited for the end of their mailbox, under new UIDs.
enum result import_deferred_commit(struct import *im, struct fault *f) MUST_CHECK;
void import_message_free(struct import_message **m);
// Until at most n commits are under way.
void import_wait(struct import *im, unsigned n);

// verbs_import.c. Suspends. Takes the parcels of the verb's feed; r NULL: of an import.
enum result import_run(struct verb_call *c, struct span user, struct import_restore *r,
                       struct fault *f) MUST_CHECK;
// import_restore.c. Suspend.
enum result import_restore_begin(struct import *im, struct fault *f) MUST_CHECK;
void import_restore_end(struct import *im);
// Ids and dates for a message that is to be committed.
enum result import_restore_ids(struct import_message *m, struct fault *f) MUST_CHECK;
void import_restore_mailbox_begin(struct import *im);
// A row for the mailbox, and one for all.
void import_restore_mailbox_end(struct import *im);
void import_restore_report(struct import *im);

// import_facts.c. Suspends. Scripts, entries, rights: what is missing is added, what is there stays.
enum result import_fact(struct import *im, struct span payload, struct fault *f) MUST_CHECK;

// Of a report's field `facts`.
#define IMPORT_FACTS_STYLE "; % scripts, entries, rights and settings"
// A row for the person; not kept when there are very many.
void import_note(struct import *im, const char *type, const struct field *fields, size_t n);
// One more was left out.
void import_leave_out(struct import *im, struct span where, struct span why);

#endif
