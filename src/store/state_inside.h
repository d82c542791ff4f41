#ifndef STORE_STATE_INSIDE_H
#define STORE_STATE_INSIDE_H

// The inside of struct state, for the files of this folder.
// Threads: the account's home; a struct message_table belongs to the thread that fills it until it is installed.

#include "store/apply.h"

#include "base/keep.h"
#include "base/table.h"

struct store_privates;
struct store_tombstones;
struct store_private_users;

struct keyword_sets *keyword_sets_new(void);
void keyword_sets_free(struct keyword_sets **sets);
size_t keyword_sets_memory(const struct keyword_sets *sets);
// The set of a packed list (record_keywords_*) that was checked.
uint32_t keyword_sets_intern_packed(struct keyword_sets *sets, struct span list);
// The set as a packed list.
void keyword_sets_pack(const struct keyword_sets *sets, uint32_t set, struct buf *b);

// A message table on its way into a mailbox.
struct message_table {
    struct message_row *rows;
    uint32_t count, cap;
    struct keyword_sets *sets;
};
struct message_table message_table_new(uint32_t expected);
void message_table_done(struct message_table *t);
// uid above all that are there, or R_FAIL.
enum result message_table_append(struct message_table *t, const struct message_row *row,
                                 struct span keywords) MUST_CHECK;

struct mailbox_entry {
    struct mailbox_state m;  // first: a mailbox_state is the start of its entry
    uint32_t count;          // of rows; counts.exists except in the middle of a record
    size_t charged;          // octets in the budget
};

struct value_entry {
    UT_hash_handle hh;
    struct span key;  // mailbox id and name
    struct span value;
    size_t charged;  // octets in the budget
};

// What a state that keeps everything holds besides (engine mem, tests): tombstones,
// deleted mailboxes and private rows.
struct kept_row {
    uint64_t mailbox, modseq;
    int64_t when_s;
    bool moved;
    struct message_row row;
    struct span keywords;  // packed
};
struct kept_mailbox {
    struct mailbox_row row;
    uint64_t modseq;
    int64_t when_s;
    struct span *keywords;
    uint32_t keyword_count;
};
struct kept {
    struct kept_row *tombstones;
    size_t tombstone_count, tombstone_cap;
    struct kept_mailbox *deleted;
    size_t deleted_count;
    struct record_private *privates;  // ascending by mailbox, user, uid
    size_t private_count, private_cap;
    struct record_private *marks;  // of tombstones, with the modseq of the expunge
    size_t mark_count, mark_cap;
};

struct state_inside {
    struct value_entry *values;
    struct usage usage;
    int64_t created_s;
    bool exists;  // an ACCOUNT record was applied
    state_mailbox_gone_fn *gone_fn;
    void *gone_arg;
    struct kept *kept;  // NULL in ordinary states
};

// Counts a mailbox into what the account holds (sign 1), or out of it (-1).
void state_count(struct state_inside *in, const struct mailbox_state *m, int sign);
void state_value_add(struct state_inside *in, struct value_entry *v);
void state_value_remove(struct state_inside *in, struct value_entry *v);  // frees it
void state_kept_done(struct kept *k);  // it is empty afterwards

// A state that keeps tombstones and private rows, with every table loaded from the start.
struct state *state_new_keeping(uint64_t account);

void state_private_put(struct kept *k, const struct record_private *p);
// As store_rows.privates_drop, of the account `owner`.
void state_privates_drop(struct kept *k, uint64_t mailbox, uint64_t user,
                         struct span ranges, uint64_t buried, uint64_t owner);
void state_marks_forget(struct kept *k, uint64_t mailbox, uint64_t up_to_modseq);
// Those of the tombstones that `out` has; and is that all?
void state_marks_list(const struct kept *k, uint64_t mailbox, uint64_t owner,
                      struct store_tombstones *out);
// A user's rows in a mailbox; the caller frees.
void state_privates_list(const struct kept *k, uint64_t mailbox, uint64_t user,
                         struct store_privates *out);
void state_private_users(const struct kept *k, struct store_private_users *out);

extern const struct store_rows state_rows;  // target: struct state *

static inline struct mailbox_entry *
state_entry(struct mailbox_state *m)
{
    return (struct mailbox_entry *)(void *)m;
}
struct mailbox_entry *state_mailbox_add(struct state *s, uint64_t id);
void state_mailbox_remove(struct state *s, struct mailbox_entry *e);
void state_entry_free(struct mailbox_entry *e);  // nothing has it any more
void state_subscriptions_clear(struct state *s);
// Where the name is among the subscriptions, or belongs.
bool state_subscription_find(const struct state *s, struct span name, uint32_t *at_out);
void state_clear(struct state *s);  // all mailboxes, values and subscriptions
void state_row_insert(struct mailbox_entry *e, const struct message_row *row,
                      struct span keywords);
void state_recharge(struct mailbox_entry *e);

// Installs a table read at some position; the account's later records up to state.applied are then replayed
// with state_table_replay and checked against the header with state_table_check.
void state_table_install(struct mailbox_state *m, struct message_table *t);
// The table of another state's mailbox, which has none afterwards.
void state_table_move(struct mailbox_state *from, struct mailbox_state *to);
enum result state_table_replay(struct state *s, struct mailbox_state *m,
                               enum record_type type, struct span meta,
                               struct record_place place, struct fault *f) MUST_CHECK;
// FAULT_CORRUPTION (and the table is dropped) when the header counts other rows.
enum result state_table_check(struct mailbox_state *m, struct fault *f) MUST_CHECK;

#endif
