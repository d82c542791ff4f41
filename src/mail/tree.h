#ifndef MAIL_TREE_H
#define MAIL_TREE_H

// The mailbox tree as a user sees it: listing, CREATE, DELETE, RENAME, SUBSCRIBE, STATUS.
// RFC 9051 section 6.3. All functions suspend; names as in mail/user.h.

#include "mail/user.h"

struct tree_entry {
    struct span name;  // full, UTF-8
    // 0 when nothing of that name exists (a subscription, or a mount's parent level)
    uint64_t mailbox;
    struct mailbox_counts counts;
    uint32_t uidvalidity;
    uint32_t recent;           // after tree_recent
    uint64_t append_limit;     // of STATUS, where it was asked for
    uint64_t deleted_storage;  // after tree_deleted_storage
    uint32_t rights;
    uint8_t special_use;
    bool noselect;     // \NoSelect: exists only as a level
    bool nonexistent;  // \NonExistent
    bool has_children, subscribed;
    bool foreign;    // of a mounted tree
    bool privates;   // counts.unseen and counts.modseq are not the user's before tree_own
    bool no_access;  // \NoAccess (RFC 5465 section 3.1): listed, but it is not watched
};

// Subscriptions are the user's own, to mailboxes of mounted trees too.
// All entries the user may look up, and subscriptions whose mailbox is missing; sorted by name, a parent
// right before its children, INBOX first. Allocated in the arena.
enum result tree_list(struct mail_user *u, struct arena *a, struct tree_entry **out,
                      size_t *n_out, struct fault *f) MUST_CHECK;

// Makes missing parents too. FAULT_ALREADYEXISTS, FAULT_CANNOT, FAULT_LIMIT, FAULT_NOPERM, FAULT_USEATTR (the
// special use cannot be given, or another mailbox has it). use = USE_NONE for a plain CREATE.
enum result tree_create(struct mail_user *u, struct span name, enum special_use use,
                        struct mailbox_ref *ref_out, struct fault *f) MUST_CHECK;
// FAULT_CANNOT for INBOX; with children the mailbox becomes \NoSelect (RFC 9051 section 6.3.5);
// FAULT_HASCHILDREN when it already was \NoSelect and has children.
enum result tree_delete(struct mail_user *u, struct span name, struct fault *f) MUST_CHECK;
// Children move along; INBOX: its messages move, INBOX stays (RFC 9051 section 6.3.6). UIDVALIDITY and UIDs stay.
enum result tree_rename(struct mail_user *u, struct span from, struct span to,
                        struct fault *f) MUST_CHECK;
enum result tree_subscribe(struct mail_user *u, struct span name, bool on,
                           struct fault *f) MUST_CHECK;
// One mailbox with its counts; has_children is not looked for, nor by tree_find_id.
enum result tree_status(struct mail_user *u, struct arena *a, struct span name,
                        struct tree_entry *out, struct fault *f) MUST_CHECK;
// One name as LIST shows it, also a level or one that is not there (or may not be known: the same).
void tree_find(struct mail_user *u, struct arena *a, struct span name,
               struct tree_entry *out);
// The mailbox of this id under the name that it has now; nonexistent where the user may not look it up.
void tree_find_id(struct mail_user *u, struct arena *a, uint64_t mailbox,
                  struct tree_entry *out);
// Counts the \Recent messages of an entry: apart, since it may need the mailbox's table. R_NONE, here and below: the mailbox went since
// the entry was made, or the right to read it.
enum result tree_recent(struct mail_user *u, struct tree_entry *e,
                        struct fault *f) MUST_CHECK;

// Of mailboxes that others see too: how many messages are unseen by this user, and HIGHESTMODSEQ. Apart, as above.
enum result tree_own(struct mail_user *u, struct tree_entry *e, struct fault *f) MUST_CHECK;

// Sums up the sizes of the messages with \Deleted (RFC 9208 section 4.1.4).
enum result tree_deleted_storage(struct mail_user *u, struct tree_entry *e,
                                 struct fault *f) MUST_CHECK;

// Names for a special use in this language ("Gesendet"), and the special use that a foreign name means
// ("Sent Items", "INBOX.Sent", "[Gmail]/Sent Mail"): for new accounts and imports.
struct span tree_folder_name(struct span language, enum special_use use);
enum special_use tree_guess_use(struct span foreign_name);
// IMAP attribute of a special use ("\\Sent"); "" for USE_NONE. And back; USE_NONE when unknown.
const char *special_use_text(enum special_use use);
enum special_use special_use_from(struct span attribute);
// May a mailbox be given it? The others would need messages of their own.
bool special_use_offered(enum special_use use);

#endif
