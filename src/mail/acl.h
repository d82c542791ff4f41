#ifndef MAIL_ACL_H
#define MAIL_ACL_H

// The rights of RFC 4314. A mailbox has a list of identifiers with rights, META records of it ("acl/IDENTIFIER"). What a
// user may do with it is decided by ONE function, acl_rights, from that list and from who asks:
//   the rights of all identifiers that mean the user, together, less those of their negative forms ("-IDENTIFIER").
//   The owner has all rights where no entry names the owner, and l and a in any case.
//   An administrator has all rights in the public tree, and on every mailbox of others that may be looked up.
// Without l there are no other rights: such a mailbox is to the user as one that does not exist.
// Identifiers: a user's name, "owner", "anyone", "authenticated" (everyone who logged in), "$NAME" (a group), each with
// or without "-". They are stored in the form of user names (auth/name.h), so that Ann and ann are one.

#include "mail/user.h"

struct store_batch;

// Who asks. Never changes; counted references, from any thread.
struct acl_who {
    uint64_t account;
    struct span name;
    struct span *groups;  // without "$"
    size_t group_count;
    bool admin;
    bool closed;  // may not open mailboxes to everybody (acl_anyone)
    // test_mount: rights on everything of that account, beside its lists
    uint64_t granted_account;
    uint32_t granted;
    size_t size;  // in octets, with the texts behind it
    _Atomic unsigned refs;
};

// What auth and the settings say of a user beside the name.
struct acl_identity {
    const struct span *groups;
    size_t group_count;
    bool admin, closed;
};
struct acl_who *acl_who_new(uint64_t account, struct span name,
                            const struct acl_identity *more);
struct acl_who *acl_who_ref(struct acl_who *who);
void acl_who_unref(struct acl_who **who);  // takes NULL

// In the home of the account. THE decision: rights on a mailbox that is there; 0: it may not be looked up.
uint32_t acl_rights(const struct acl_who *who, struct account *a, uint64_t mailbox);

struct acl_entry {
    struct span identifier;  // in its stored form
    uint32_t rights;
};
struct acl_list {
    struct acl_entry *p;  // sorted by identifier
    size_t n;
};
struct acl_where {
    bool owner;        // the mailbox is in the user's own account
    bool common;       // in ACCOUNT_PUBLIC
    uint32_t granted;  // beside the list
};
// The same from a list: for acl_rights, and for tests.
uint32_t acl_decide(const struct acl_who *who, const struct acl_where *where,
                    const struct acl_list *list);

// The stored form. R_FAIL (FAULT_BAD): SASLprep or the form of user names refuses it (RFC 4314 section 3).
enum result acl_identifier(struct arena *a, struct span given, struct span *out,
                           struct fault *f) MUST_CHECK;
// Rights as given, with the virtual c (k and x) and d (e and t): section 2.1.1. R_FAIL (FAULT_BAD): a letter that is no right.
enum result acl_rights_parse(struct span letters, uint32_t *out,
                             struct fault *f) MUST_CHECK;
// As ACL and MYRIGHTS show them: with c and d where a member is there.
enum { ACL_TEXT = 16 };
void acl_rights_put(uint32_t rights, char out[ACL_TEXT]);
// "anyone", "authenticated"
bool acl_is_everybody(struct span identifier);

// Suspends. May the user read all messages of the account? What is looked up for them in what is kept for the whole of
// it (the text index) costs time by what is in other mailboxes, and who waits learns of that.
bool acl_reads_all(const struct mail_user *u, struct account *a);

// ---- changes and reading: suspend; the right a is checked, in the home, together with the change ----

enum acl_op { ACL_SET, ACL_ADD, ACL_REMOVE, ACL_DELETE };
struct acl_change {
    struct span identifier;  // as acl_identifier made it
    enum acl_op op;
    uint32_t rights;
    uint32_t was, is;  // out: of the entry
};
// "+lr", "-w", "lrs": op and rights. R_FAIL as acl_rights_parse.
enum result acl_change_parse(struct span text, struct acl_change *out,
                             struct fault *f) MUST_CHECK;
// FAULT_NONEXISTENT, FAULT_NOPERM (also where who is `closed` grants to everybody), FAULT_LIMIT (LIMIT_acl_entries, LIMIT_acl_account). The owner's entry never loses l and a.
// Rights that are none take the entry away; for the owner's they stay, as "la".
enum result acl_change(const struct mailbox_ref *ref, struct acl_change *change,
                       struct fault *f) MUST_CHECK;
// All entries, the owner's first: it is told even where it is implicit. In the arena.
enum result acl_get(const struct mailbox_ref *ref, struct arena *a, struct acl_list *out,
                    struct fault *f) MUST_CHECK;
// A user's name, or "$GROUP", means nobody any more: its entries go everywhere, and what that user's account granted to others.
// So who gets the name later gets nothing with it. R_FAIL: some may be there still; it can be said again.
enum result acl_forget(struct mail *m, struct span identifier, struct fault *f) MUST_CHECK;
// LISTRIGHTS: what the identifier has always; the rest may be given, each right apart. Does not suspend.
uint32_t acl_always(const struct mailbox_ref *ref, struct span identifier);

#endif
