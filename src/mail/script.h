#ifndef MAIL_SCRIPT_H
#define MAIL_SCRIPT_H

// The Sieve scripts of an account: named texts, of which one at most is active. They are META records of the account
// (docs/format.md), so that whatever keeps its state keeps them too. Names are RFC 5804 section 1.6's, in NFC. Nobody
// looks at the texts here: who puts one has compiled it (sieve/sieve.h).
// Owner: the caller. Threads: any loop; all but script_name suspend.

#include "mail/account.h"

struct script_info {
    struct span name;
    size_t size;
    bool active;
};

// The name as it is kept. FAULT_CANNOT: empty, longer than LIMIT_sieve_name, no Net-Unicode, or with controls.
enum result script_name(struct arena *arena, struct span given, struct span *name_out,
                        struct fault *f) MUST_CHECK;

// In the account's home; does not suspend. Is one active?
bool script_is_active(struct account *a);

// By name, in the order of their octets; in the arena.
void script_list(struct account *a, struct arena *arena, struct script_info **out,
                 size_t *n_out);
// Appends to `text`, whose maximum is LIMIT_sieve_script at least. R_NONE: there is no such script.
enum result script_read(struct account *a, struct span name, struct buf *text) MUST_CHECK;
// The same of the active script and its name (LIMIT_sieve_name). R_NONE: none is.
enum result script_active(struct account *a, struct buf *text, struct buf *name) MUST_CHECK;

// Names are script_name's. Each is one commit. Faults beside the disk's: NONEXISTENT; TOOMANY scripts, TOOBIG a script
// (or CANNOT, an empty one), OVERQUOTA of all together; INUSE, the active one; ALREADYEXISTS.
// Would script_put do it? Nothing is changed.
enum result script_room(struct account *a, struct span name, uint64_t size,
                        struct fault *f) MUST_CHECK;
// New, or instead of the one of that name, which stays active if it is.
enum result script_put(struct account *a, struct span name, struct span text,
                       struct fault *f) MUST_CHECK;
enum result script_delete(struct account *a, struct span name, struct fault *f) MUST_CHECK;
// The active one stays active.
enum result script_rename(struct account *a, struct span from, struct span to,
                          struct fault *f) MUST_CHECK;
// SPAN_NONE: none is active from here on.
enum result script_activate(struct account *a, struct span name,
                            struct fault *f) MUST_CHECK;

#endif
