#ifndef STORE_STATE_H
#define STORE_STATE_H

// The state of one account in memory: the fold of its records. Headers are always there; a mailbox's
// message table only while needed (store_table_load), and it may be dropped at any time (table_drop).
// Owner: mail/account. Threads: the account's home only. Nothing here is visible before it is durable:
// state_apply is called with records that are on disk.

#include "store/record.h"

// Distinct sets of keyword numbers of one mailbox's rows; set 0 is empty. Sets keep their numbers, also when the
// table is dropped and loaded again, until state_sets_drop.
struct keyword_sets;
size_t keyword_sets_count(const struct keyword_sets *sets);
// The set as sorted keyword numbers. Borrowed until the next intern.
const uint32_t *keyword_sets_get(const struct keyword_sets *sets, uint32_t set,
                                 size_t *n_out);
// The set with exactly these numbers (sorted, unique), made when new.
uint32_t keyword_sets_intern(struct keyword_sets *sets, const uint32_t *numbers, size_t n);

struct mailbox_state {
    uint64_t id, parent;
    struct span name;  // one level, UTF-8
    uint32_t uidvalidity;
    uint8_t special_use, flags;
    uint32_t recent_mark;
    uint64_t created_modseq;
    uint64_t horizon;  // tombstones at or below this modseq are forgotten
    struct mailbox_counts counts;
    struct span *keywords;  // keyword number -> name
    uint32_t keyword_count;
    struct keyword_sets *sets;  // NULL until the table is loaded
    struct message_row *rows;   // ascending by uid; counts.exists of them when loaded
    uint32_t row_cap;
    bool loaded;
    bool privates;  // somebody has (had) private flags here
    // mail/'s own data for this mailbox (views); freed by mail (state_on_mailbox_gone)
    void *mail;
};

struct subscription {
    struct span name;
};

// What an account holds, for its quota: the sums of its mailboxes' headers, kept with every record.
enum usage_kind {
    USAGE_STORAGE,      // octets: RFC822.SIZE of every row
    USAGE_MESSAGES,     // rows
    USAGE_MAILBOXES,    // but for levels
    USAGE_ANNOTATIONS,  // octets: values of METADATA
    USAGE_KINDS
};
struct usage {
    uint64_t n[USAGE_KINDS];
};

struct state {
    uint64_t account;
    struct span user;
    uint64_t modseq;                   // highest of the account
    uint64_t applied;                  // sequence of the last record applied
    struct mailbox_state **mailboxes;  // ascending by id; deleted ones are removed
    uint32_t mailbox_count, mailbox_cap;
    struct subscription *subscriptions;  // ascending by name
    uint32_t subscription_count;
    bool gone;
    bool yields;         // state_apply lets other tasks run in the middle of a large record
    struct span packed;  // state_pack; p NULL: it is not
    struct state_inside *inside;
};

struct record_place {
    uint64_t seq;   // of the whole journal, strictly rising
    uint64_t blob;  // segment << 32 | record number
};

struct state *state_new(uint64_t account);
void state_free(struct state **s);
// Makes one block of all that can be read from it at once: mailboxes without a table and without mail's own data, subscriptions, values
// that are not large. Nothing may be looked up until state_unpack, which state_apply does by itself; the usage stays known. Both do
// nothing when it is done already.
void state_pack(struct state *s);
void state_unpack(struct state *s);
// Of a packed state: the mailbox_states that are left move to where they hold few pages (keep_move).
void state_settle(struct state *s);
static inline bool
state_is_packed(const struct state *s)
{
    return s->packed.p != NULL;
}
// fn is called when a mailbox is about to leave: deleted by a record, or the account is gone, or state_free.
// It frees mailbox_state.mail; afterwards the mailbox_state is invalid.
typedef void state_mailbox_gone_fn(struct mailbox_state *m, void *arg);
void state_on_mailbox_gone(struct state *s, state_mailbox_gone_fn *fn, void *arg);
// NULL when there is none
struct mailbox_state *state_mailbox(struct state *s, uint64_t id);
// Index of the first mailbox with an id >= id (mailbox_count when there is none).
uint32_t state_mailbox_at(const struct state *s, uint64_t id);
// Applies one durable record; those with place.seq <= applied do nothing. R_FAIL only when the record is damaged
// or contradicts the table (FAULT_CORRUPTION). Suspends when s->yields: meanwhile the rows of the record's mailbox are
// between two states, and its header is as before.
enum result state_apply(struct state *s, enum record_type type, struct span meta,
                        struct record_place place, struct fault *f) MUST_CHECK;
// Index of the first row with row.uid >= uid (counts.exists when there is none). Table loaded.
uint32_t state_row_at(const struct mailbox_state *m, uint32_t uid);
// The same from an index on that is not behind it; quick where it is near.
uint32_t state_row_from(const struct mailbox_state *m, uint32_t from, uint32_t uid);
void state_table_drop(struct mailbox_state *m);
const struct usage *state_usage(const struct state *s);
// nobody has set numbers any more; unless the table is loaded
void state_sets_drop(struct mailbox_state *m);
size_t state_table_memory(const struct mailbox_state *m);
bool state_subscribed(const struct state *s, struct span name);
// R_NONE when there is no such value. Borrowed until the next apply.
enum result state_meta_find(struct state *s, uint64_t mailbox, struct span key,
                            struct span *value_out) MUST_CHECK;
// Calls fn for every value of the account and of its mailboxes, in no order.
typedef void state_meta_fn(uint64_t mailbox, struct span key, struct span value, void *arg);
void state_meta_each(const struct state *s, state_meta_fn *fn, void *arg);

#endif
