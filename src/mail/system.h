#ifndef MAIL_SYSTEM_H
#define MAIL_SYSTEM_H

// Accounts that no user has: their ids have the top bit, which the user database never gives out.
// They have no standard folders, and they are made when something is first put into them.

#include "base/span.h"

#include <stdbool.h>
#include <stdint.h>

#define ACCOUNT_SYSTEM ((uint64_t)1 << 63)
#define ACCOUNT_PUBLIC (ACCOUNT_SYSTEM | 1)      // the tree "Public/"
#define ACCOUNT_DIRECTORY (ACCOUNT_SYSTEM | 2)   // META records only: who shares with whom
#define ACCOUNT_QUARANTINE (ACCOUNT_SYSTEM | 3)  // mail/quarantine.h

// First levels of the trees of other users ("Shared/USER/...") and of ACCOUNT_PUBLIC.
#define TREE_SHARED SPAN("Shared")
#define TREE_PUBLIC SPAN("Public")

static inline bool
account_is_system(uint64_t account)
{
    return (account & ACCOUNT_SYSTEM) != 0;
}

#endif
