#ifndef CTL_IMPORT_STATE_H
#define CTL_IMPORT_STATE_H

// How far an import from another server came in a mailbox: a private annotation of the user (RFC 5464),
// /private/vendor/vendor.posthorn/import/HASH, where HASH stands for the source's mailbox. All suspend.

#include "ctl/parcel.h"
#include "mail/user.h"

// `source`: of the mailbox there. All 0 where there is none, or it cannot be read.
void import_state_load(struct mail_user *u, struct span target, struct span source,
                       struct parcel_state *out);
#define IMPORT_STATE_ENTRIES "/private/vendor/vendor.posthorn/import/"

enum result import_state_save(struct mail_user *u, struct span target, struct span source,
                              const struct parcel_state *s, struct fault *f) MUST_CHECK;

#endif
