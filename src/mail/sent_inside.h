#ifndef MAIL_SENT_INSIDE_H
#define MAIL_SENT_INSIDE_H

// The inside of sent.h: whose Message-ID it is (sent_find.c), which copies are the server's (sent_ledger.c), and what an
// APPEND makes of one (sent_append.c, for intake_commit.c). Only files of mail/ include this. In the account's home.

#include "mail/home.h"
#include "mail/intake.h"
#include "mail/remembered.h"
#include "mime/summary.h"

// ---- messages by their Message-ID ----

struct sent_found {
    uint64_t mailbox;
    uint32_t *uids;  // ascending
    size_t n;
};
struct sent_sought {
    struct span id, base_subject;
    uint64_t mailbox;  // to be looked into alone; 0: all
    bool in_change;
};
// Suspends. In the arena. In all: those of the first mailbox that has any, INBOX first, \Junk, \Trash and \All last.
// R_NONE: there is none.
enum result sent_find(struct account *a, const struct sent_sought *s, struct arena *arena,
                      struct sent_found *out, struct fault *f) MUST_CHECK;
// The summary of a finished intake: borrows it. R_NONE: its header is too large for one.
enum result sent_summary(const struct intake *in, struct mime_summary *out);

// ---- what it answers and forwards ----

enum { SENT_ORIGINALS = 16 };
struct sent_original {
    struct span id, base_subject;
    bool forwarded;
};
struct sent_originals {
    struct sent_original p[SENT_ORIGINALS];
    size_t n;
};
// Suspends. What the message says of it; in the arena.
enum result sent_originals_of(const struct intake *in, struct arena *arena,
                              struct sent_originals *out, struct fault *f) MUST_CHECK;

// ---- the ledger ----

struct sent_copy {
    uint64_t mailbox;
    uint32_t uid;
    struct span hash, client_hash;  // SHA-256; n 0: there is no second
};
// The key of a message: by its Message-ID, or, where it has none, by its octets.
void sent_key(char key[REMEMBERED_KEY], struct span message_id, struct span hash);
enum result sent_ledger_find(struct account *a, const char key[REMEMBERED_KEY],
                             struct sent_copy *out) MUST_CHECK;
void sent_ledger_put(struct account *a, struct store_batch *b,
                     const char key[REMEMBERED_KEY], const struct sent_copy *copy);

// ---- APPEND into the mailbox that has the server's copies ----

// Copies of the server that the items of an APPEND meet in the mailbox.
struct sent_twins {
    const struct intake_item *items;  // those of the APPEND, with the flags of both
    bool same;  // the one item is there already, octet for octet; nothing goes
    uint32_t *uids;
    char (*keys)[REMEMBERED_KEY];
    size_t n;
    uint64_t octets;
};
struct sent_append {
    const struct intake_item *items;
    size_t n;
    bool replaces;    // another message goes: what is there is no answer
    uint32_t leaves;  // its UID, where it is in this mailbox; else 0
};
// Suspends. In a change. R_NONE: not in this batch.
enum result sent_twins_find(struct account *a, struct mailbox *m,
                            const struct sent_append *s, struct sent_twins *out,
                            struct fault *f) MUST_CHECK;
// The same one gets the item's flags, and is what came of it.
enum result sent_twin_merge(struct account *a, struct store_batch *b, struct mailbox *m,
                            const struct sent_twins *t, struct intake_result *out,
                            struct fault *f) MUST_CHECK;
// They go. Nothing refuses any more.
void sent_twins_put_away(struct account *a, struct store_batch *b, struct mailbox *m,
                         const struct sent_twins *t);

// ---- flags ----

// Suspends. In a change. The messages, ascending, get these flags and keywords beside their own; how many had not all.
struct sent_flags {
    const uint32_t *uids;
    size_t n;
    uint16_t flags;
    const struct span *keywords;
    size_t keyword_count;
};
enum result sent_flags_add(struct account *a, struct store_batch *b, struct mailbox *m,
                           const struct sent_flags *add, size_t *changed_out,
                           struct fault *f) MUST_CHECK;

#endif
