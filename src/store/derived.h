#ifndef STORE_DERIVED_H
#define STORE_DERIVED_H

// Derived strings: named octet strings of an account that can be made anew from its mail (the segments of the search
// index). They are not in the journal and not in backups, and `posthorn rebuild` drops them; losing one loses no mail,
// so whoever has them drops and makes them anew on any fault. A string is whole or absent, also after a crash, and never
// changes: a second commit under its name replaces it.
// Trust: what is read was checked: frames have checksums, bound to store, account and name (FAULT_CORRUPTION).
// Threads: any loop thread; calls marked "Suspends." in a task. Names are the caller's to give out: one writer per name.

#include "store/store.h"

// Lower-case letters, digits, '-'.
enum { DERIVED_NAME = 31 };

struct derived_writer;
// Suspends.
enum result derived_create(struct store *s, uint64_t account, struct span name,
                           struct derived_writer **w_out, struct fault *f) MUST_CHECK;
// Suspends from time to time, when it writes.
enum result derived_append(struct derived_writer *w, struct span octets,
                           struct fault *f) MUST_CHECK;
uint64_t derived_written(const struct derived_writer *w);
// Suspends. R_OK: it is on disk, and found under its name. Ends the writer in any case.
enum result derived_commit(struct derived_writer **w, struct fault *f) MUST_CHECK;
void derived_abort(struct derived_writer **w);  // nothing is left; takes NULL
// Suspends. All of that for octets that are there.
enum result derived_put(struct store *s, uint64_t account, struct span name,
                        struct span octets, struct fault *f) MUST_CHECK;

struct derived;
// Suspends. R_NONE: there is none of this name. What is open stays readable when it is replaced, removed or cleared.
enum result derived_open(struct store *s, uint64_t account, struct span name,
                         struct derived **d_out, struct fault *f) MUST_CHECK;
uint64_t derived_size(const struct derived *d);
// Suspends on a page-cache miss. FAULT_CORRUPTION also when the range is not in it.
enum result derived_read(struct derived *d, uint64_t offset, char *dst, size_t n,
                         struct fault *f) MUST_CHECK;
void derived_close(struct derived **d);  // takes NULL

// Suspends. R_OK also when there is none.
enum result derived_remove(struct store *s, uint64_t account, struct span name,
                           struct fault *f) MUST_CHECK;

struct derived_entry {
    struct span name;
    uint64_t size;  // octets as they are kept
};
struct derived_list {
    struct arena *a;  // the caller's; the entries are allocated there
    struct derived_entry *entries;
    size_t n;
};
// Suspends. All strings of the account, by name. What a crash left half written is removed.
enum result derived_list(struct store *s, uint64_t account, struct derived_list *out,
                         struct fault *f) MUST_CHECK;
// Suspends. Accounts that have some, ascending; they may be gone from the store.
enum result derived_accounts(struct store *s, struct arena *a, uint64_t **ids_out,
                             size_t *n_out, struct fault *f) MUST_CHECK;
// Suspends. Drops all strings of the account, or of all accounts. What is being written fails.
enum result derived_clear(struct store *s, uint64_t account, struct fault *f) MUST_CHECK;
enum result derived_clear_all(struct store *s, struct fault *f) MUST_CHECK;

#endif
