#ifndef MAIL_UNDELETE_H
#define MAIL_UNDELETE_H

// Undelete brings back what was expunged or deleted and is not forgotten yet: into the old mailbox, into a new one of
// the old name, or below "Restored" when that name belongs to another mailbox now. Flags (but \Deleted of what was
// expunged), keywords, dates, EMAILID and THREADID are kept; UIDs are new. What the target has (the same EMAILID)
// and what was moved away last is left alone, so that a second run brings nothing.
// Each folder is brought in changes of some thousand messages, each atomic; memory is bounded by that, and by some
// octets for every tombstone of the mailbox at hand.
// Owner: one task. All functions but close suspend.

#include "mail/user.h"

struct undelete_wish {
    int64_t since_s;     // what was deleted then or later
    int64_t over_s;      // the retention of what was deleted up to then is over
    struct span folder;  // and what is below it; empty: all
    bool dry_run;
};

struct undelete_folder {
    struct span from, to;       // full names, valid until undelete_close
    bool whole;                 // the mailbox itself had been deleted
    bool made;                  // and is there again now
    uint64_t messages, octets;  // brought back (dry_run: that would be)
    uint64_t present, moved,
        over;  // not brought: there already, moved elsewhere, retention over
    uint64_t keywords_left_out;  // the target has too many
    bool forgotten;              // older ones have been compacted away
    bool failed;
    struct fault why;
};

struct undelete;
// FAULT_NONEXISTENT: there is and was no such folder. FAULT_LIMIT: too many deleted mailboxes.
enum result undelete_open(struct mail_user *user, const struct undelete_wish *wish,
                          struct undelete **out, struct fault *f) MUST_CHECK;
// The next folder; R_NONE: that was all. What concerns one folder only is told in it; R_FAIL is for the disk.
enum result undelete_next(struct undelete *u, struct undelete_folder *out,
                          struct fault *f) MUST_CHECK;
void undelete_close(struct undelete **u);

#endif
