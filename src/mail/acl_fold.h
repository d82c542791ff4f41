#ifndef MAIL_ACL_FOLD_H
#define MAIL_ACL_FOLD_H

// The access control lists of an account in memory, and what a change of them touches. Only files of mail/ include this.
// In the home.

#include "mail/acl.h"
#include "mail/home.h"

// Of one mailbox; empty when it has none. Borrowed until the next record is applied.
const struct acl_list *acl_list_of(struct account *a, uint64_t mailbox);
// Does any mailbox of the account have an entry of this identifier?
bool acl_names(struct account *a, struct span identifier);
// Calls fn for each entry of all mailboxes until it says false; it may put records, and apply none.
typedef bool acl_each_fn(uint64_t mailbox, const struct acl_entry *e, void *arg);
void acl_each(struct account *a, acl_each_fn *fn, void *arg);
size_t acl_identifiers(struct account *a);  // entries of all mailboxes together
// The META record "acl/IDENTIFIER"; without rights it takes the entry away.
void acl_put(struct account *a, struct store_batch *b, uint64_t mailbox,
             const struct acl_entry *e);

// Around a record that is applied: the lists follow, then the rights of all who look.
void acl_applied(struct account *a, enum record_type type, struct span meta);
void acls_free(struct account *a);

// The list of `from` is given to `to` as well, a mailbox of the same batch.
void acl_put_copy(struct account *a, struct store_batch *b, uint64_t from, uint64_t to);
// `to` gets the list of `from` and nothing that it inherits from `parent`.
void acl_put_instead(struct account *a, struct store_batch *b, uint64_t parent,
                     uint64_t from, uint64_t to);

// What the mailbox_ref's user has now, and never more than the ref says.
uint32_t ref_rights(const struct mailbox_ref *ref);
// Suspends. The same ref with these rights.
struct mailbox_ref ref_now(const struct mailbox_ref *ref);
// Flags that these rights may set (RFC 4314 section 4).
uint16_t acl_flags(uint32_t rights);
// FAULT_NONEXISTENT: not to be looked up; FAULT_NOPERM: `need` is missing in part.
enum result acl_check(uint32_t rights, uint32_t need, struct fault *f) MUST_CHECK;
// For a change of the view's mailbox, where it is made: what was allowed when the command began may be revoked since.
// FAULT_NONEXISTENT: deleted, or not to be read any more; FAULT_NOPERM as acl_check.
enum result view_may(const struct view *v, uint32_t need, struct fault *f) MUST_CHECK;
// May a mailbox be made at the top of another's tree?
bool acl_makes_roots(const struct acl_who *who, const struct account *a);
// May anything below the mailbox be looked up?
bool acl_sees_below(const struct acl_who *who, struct account *a, uint64_t mailbox);
// The view's rights as they are now; without l and r it ends as if the mailbox were deleted.
void view_rights_settle(struct view *v);

#endif
