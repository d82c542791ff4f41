#ifndef IMAP_STORE_H
#define IMAP_STORE_H

// STORE as its parameters see it (SLOT_STORE): c->own while it runs.

#include "imap/session.h"
#include "mail/change.h"

struct imap_store {
    struct flag_change change;
    bool silent;
};

#endif
