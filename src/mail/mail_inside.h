#ifndef MAIL_MAIL_INSIDE_H
#define MAIL_MAIL_INSIDE_H

// All accounts: what their homes share (struct mail), and each home's own. Only account.c, mail.c, rest.c, shares.c and
// urlkey.c include this.

#include "mail/home.h"
#include "mail/index_inside.h"
#include "mail/urlkey.h"

struct home {
    struct loop *loop;
    struct store *store;
    struct account *accounts;
    struct timer resting;          // while it has accounts
    struct index_builder builder;  // of who is indexing
    bool indexing;                 // one account at a time
    struct mail_index *queued;     // who waits for that
    size_t dropped;                // octets of tables, since the heap was trimmed
    uint64_t packed;               // so often an account was
    uint32_t test_seed;
};

struct mail {
    struct mail_options options;
    // from the options, then as mail_settings says
    _Atomic(const char *) folder_language;
    _Atomic uint64_t message_size_max;
    _Atomic(const struct mail_entries *) entries;
    struct arena *entries_arena;  // of all that were ever set
    _Atomic uint64_t shares;      // mail/shares.h: the generation, from 1 on
    atomic_uint marks;
    atomic_uint private_flags;
    atomic_uint index_after;
    atomic_uint index_mode;  // enum mail_index_mode
    atomic_bool index_stopped;
    atomic_bool sent_copy;
    mail_index_report_fn *index_report;
    struct home *homes;
    struct quotas *quotas;
    struct attachments *attachments;  // one for each home
    _Atomic(struct urlkey *)
        url_key;  // the server's; NULL: nobody asked yet, or there is none
};

#endif
