#ifndef CTL_ACCOUNT_H
#define CTL_ACCOUNT_H

// The account that a verb names: for import and export, whose arguments are FORMAT PATH USER FOLDER; of import UIDL_FORMAT; DRY
// and PROVE of import from a server.

#include "ctl/verb.h"
#include "mail/user.h"

enum {
    ARG_FORMAT,
    ARG_PATH,
    ARG_USER,
    ARG_FOLDER,
    ARG_UIDL_FORMAT,
    ARG_PULL_DRY,
    ARG_PULL_PROVE
};

// Suspends. "public", where no user has that name, is the tree of nobody. FAULT_NONEXISTENT: there is no such user. Close it with mail_user_close.
enum result account_of(struct verb_call *c, struct span name, struct mail_user **u_out,
                       struct fault *f) MUST_CHECK;
// A folder's name as clients may write it, INBOX in any case; none where it is empty.
enum result account_folder(struct arena *a, struct span written, struct span *name_out,
                           struct fault *f) MUST_CHECK;

#endif
