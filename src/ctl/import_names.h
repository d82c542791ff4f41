#ifndef CTL_IMPORT_NAMES_H
#define CTL_IMPORT_NAMES_H

// Where the mailboxes of an import go: by their own name, but a foreign "Sent Items" or "Gesendet" goes to the account's
// own \Sent (and its children beneath it) instead of becoming a twin. Each special-use folder takes one foreign mailbox
// at most: the one of its own name when there is one, else the first; others stay as they are.
// Owner: the arena.

#include "mail/tree.h"

struct import_taken;
struct import_names {
    struct arena *arena;
    struct import_name {
        struct span name;
        enum special_use use;
    } * names;
    size_t count, cap;
    struct {
        struct span from, to;
    } maps[USE_COUNT];
    size_t map_count;
    struct import_taken *taken;
};

void import_names_init(struct import_names *n, struct arena *a);
void import_names_done(struct import_names *n);
// FAULT_LIMIT past LIMIT_mailboxes.
// `use`: what the source says that it is for, USE_NONE: its name tells.
enum result import_names_add(struct import_names *n, struct span name, enum special_use use,
                             struct fault *f) MUST_CHECK;
// After the last add. `entries` is the account's tree.
void import_names_map(struct import_names *n, const struct tree_entry *entries,
                      size_t count);
struct span import_names_target(const struct import_names *n, struct span name,
                                struct arena *a);
// The target (as mail_name_check left it) is this mailbox's alone. False: another one has it already.
bool import_names_take(struct import_names *n, struct span target);
// Of a target that was taken: it was made by this import, or never had mail before.
void import_names_set_fresh(struct import_names *n, struct span target);
bool import_names_is_fresh(const struct import_names *n, struct span target);

#endif
