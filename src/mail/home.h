#ifndef MAIL_HOME_H
#define MAIL_HOME_H

// Inside an account: what its home thread owns. Only files of mail/ include this.
// A change runs as a function of the commit task: the changes that wait are run in order, each adds records
// with absolute outcomes computed from `next` (the state as it will be), the records are committed as one
// batch, then applied, and the callers go on. Nothing is visible before it is durable.
// Threads: the account's home only, except where said.

#include "base/limits.h"
#include "io/loop.h"
#include "io/task.h"
#include "mail/account.h"
#include "mail/quota_inside.h"
#include "mail/view.h"
#include "search/ledger.h"

#include <stdatomic.h>
#include "base/table.h"

struct home;
struct acl_who;

// A row as it will be when the batch that is being built is applied.
struct pending_row {
    UT_hash_handle hh;
    struct pending_key {
        uint64_t mailbox;
        uint64_t uid;
    } key;
    bool expunged;
    uint16_t flags;
    uint32_t *keywords;  // numbers, sorted
    size_t keyword_count;
};

// An expunged row that some view still shows.
struct ghost {
    uint64_t version;
    uint64_t modseq;  // of the expunge
    struct message_row row;
};

// A flag change of a range of UIDs, for views that were told shortly before it.
struct flag_event {
    uint64_t modseq;
    uint32_t first, last;
    const struct view *origin;
    uint64_t user;  // whose flags these are alone; 0: everybody's
};

// Who makes a change: is not told of it.
struct change_by {
    const struct view *view;       // of its flag changes
    const struct mail_user *user;  // of all others
    struct span renamed_to;        // RENAME INBOX: the new mailbox
};

// mail's part of a mailbox (mailbox_state.mail).
struct mailbox {
    uint64_t id;
    struct mailbox_state *state;  // NULL once the mailbox is gone
    struct mailbox *next_gone;    // account_use.gone
    struct view *views;
    uint64_t version;      // counts expunged rows; position in the ghost log
    struct ghost *ghosts;  // ghosts[0].version .. version
    size_t ghost_count, ghost_cap;
    struct flag_event *events;  // ring, of up to LIMIT_flag_events
    size_t event_at, event_count, event_cap;
    uint64_t events_from;  // events tell of every change with modseq > events_from
    uint64_t used_ms;
    unsigned pins;     // a change under way uses the table
    unsigned readers;  // tasks that let others run while they read it: no record is applied
    struct first_unseen {
        uint32_t seq;
        bool known;
    } first;
    struct {
        uint64_t next_batch;  // batch for which `next` holds
        struct mailbox_counts next;
        struct mailbox *touched;  // the next one of the batch (account_quota.touched)
    };
    uint32_t next_keywords;
    struct span *new_keywords;  // named in this batch; arena of the batch
    uint32_t burned;  // UIDs below this were given out, also by commits that failed
    // the \Recent mark as sessions have taken it, ahead of the state's
    uint32_t recent_taken;
    bool rows_dirty;                  // this batch changes too many rows to overlay
    struct mailbox_columns *columns;  // of SORT and THREAD; NULL: none
    struct mailbox_privates {
        struct private_set *sets;
        uint64_t modseq;  // highest of a private change since the account was opened
        bool whole;       // everybody who has flags here has a set, loaded or not
    } privates;
};

// Messages at or above this UID are \Recent to nobody yet.
static inline uint32_t
mailbox_recent_mark(const struct mailbox *m)
{
    return m->recent_taken > m->state->recent_mark ? m->recent_taken
                                                   : m->state->recent_mark;
}

struct thread_entry {
    UT_hash_handle hh;
    uint64_t key, threadid;
};

// By their keys, once a message came; `next`: of the batch.
struct threads {
    struct thread_entry *all, *next;
    bool loaded;
};

// When what an account remembers was looked through (remembered.h), and how much was put since.
struct remembered_round {
    int64_t at_s;
    unsigned puts;
};

struct change;

struct account {
    UT_hash_handle hh;
    uint64_t id;
    struct span user;
    struct mail *mail;
    struct home *home;
    struct state *kept_state;  // maybe packed: account_state
    struct account_use {
        bool settled;                    // since it was packed
        unsigned refs, commands;         // who has it open; commands of these at work
        struct mailbox *gone;            // deleted, and something still has them
        struct search_ledger searching;  // any thread
        atomic_bool others;              // somebody else than the owner looked in
        uint64_t seen,
            rested;  // task_count() when the state was looked up; at the last rest
    } use;
    bool opening;
    bool looked_up;          // names or threads, since the home's timer came by
    struct opener *openers;  // tasks that wait for the load, or for `applying`
    struct mailbox
        *applying;  // its rows are between two states: a large record is being applied
    struct timer idle;
    // changes
    struct change_queue {
        struct change *first, **end;
    } waiting;
    bool committing;
    uint64_t batch_number;
    uint64_t next_modseq;
    struct arena *batch_arena;  // while one is under way
    struct pending_row *pending;
    const struct change_by *by;  // who made the change that is being applied
    struct threads threads;
    struct account_names {
        struct name_entry *all, *by_id;
    } names;                    // of all mailboxes, once one was looked up
    struct watch_log *watched;  // while a session watches it
    struct account_rights {
        struct acls *acls;      // once a right was asked for
        struct shares *shares;  // of ACCOUNT_DIRECTORY
    } rights;
    struct {
        struct label_index *labels;  // once labels were asked for
        struct mail_index *index;    // of search
        struct remembered_round seen_round, sent_round;
        struct learn_wish *learning;  // of the batch (mail/learn.h)
    };
    struct account_quota quota;
};

// THE way to the state: as it is, unpacked. Pointers into it are good until the task ends, or what they point to is deleted. NULL: the
// account is being opened.
static inline struct state *
account_state(const struct account *a)
{
    struct account *used = (struct account *)(uintptr_t)a;
    used->use.seen = task_count();
    if (used->kept_state)
        state_unpack(used->kept_state);
    return used->kept_state;
}

// R_NONE: not in this batch, call again in the next one (only behind another change).
typedef enum result change_fn(struct account *a, struct store_batch *b, void *arg,
                              struct fault *f);
enum {
    CHANGE_ALONE = 1,   // only as the first and last of a batch: changes of the tree
    CHANGE_OF_MODE = 2  // label_follow has nothing to add to it
};

// Suspends. In the home, in a task. R_OK: fn's records are on disk and applied.
// by: NULL for nobody who watches.
enum result account_change(struct account *a, change_fn *fn, void *arg, unsigned flags,
                           const struct change_by *by, struct fault *f) MUST_CHECK;
uint64_t change_modseq(struct account *a);  // a fresh modseq
// May this change add so many octets of records? R_NONE: not in this batch, but alone in the next one (`first`: the
// batch was empty when the change began). FAULT_LIMIT: never.
enum result change_room(const struct store_batch *b, bool first, size_t octets,
                        struct fault *f) MUST_CHECK;
void
account_ref(struct account *a);  // in the home: one user more, of an account that is open
void account_unref(struct account *a);  // in the home: one user less
// The same, and an account without users leaves memory at once, unless mail that came has still to be looked at: for who looks at all of them.
void account_let_go(struct account *a);
// In the home: as it is in memory. NULL: it is not, or is being opened.
struct account *account_in_memory(struct mail *m, uint64_t id);

struct mailbox *mailbox_of(struct account *a, uint64_t id);  // NULL when there is none
// Suspends. The table is there when this is R_OK, until the next suspension (or while pinned).
enum result mailbox_load(struct account *a, struct mailbox *m, struct fault *f) MUST_CHECK;
// mailbox_load for who suspends while it looks at the table: rows, header and ghosts stay as they are until
// mailbox_read_end. Between the two no mailbox_load, and no change.
enum result mailbox_read_begin(struct account *a, struct mailbox *m,
                               struct fault *f) MUST_CHECK;
void mailbox_read_end(struct account *a, struct mailbox *m);
// Suspends until no record is half applied to the mailbox; it may be gone then. For who looks at rows without mailbox_load.
void mailbox_settle(struct account *a, struct mailbox *m);
// Suspends. Around the apply of a record to the mailbox (NULL: to none).
void mailbox_apply_begin(struct account *a, struct mailbox *m);
void mailbox_apply_end(struct account *a);
// In a loop over rows, by its counter. Suspends from time to time, so that others have their turn.
static inline void
yield_at(size_t i)
{
    if (i % LIMIT_rows_at_once == 0)
        task_yield();
}
// frees mail's part when nothing needs it
void mailbox_release(struct account *a, struct mailbox *m);
// The counts as they will be; changes edit them and put them into their record.
struct mailbox_counts *mailbox_next(struct account *a, struct mailbox *m);
// FAULT_LIMIT when the mailbox ran out of UIDs.
enum result mailbox_next_uid(struct account *a, struct mailbox *m, uint32_t *uid_out,
                             struct fault *f) MUST_CHECK;

// The row's flags as they will be. R_NONE when it will be expunged.
struct row_flags {
    uint16_t flags;
    const uint32_t *keywords;
    size_t keyword_count;
};
enum result pending_get(struct account *a, struct mailbox *m, const struct message_row *row,
                        struct row_flags *out);
void pending_set(struct account *a, struct mailbox *m, uint32_t uid,
                 const struct row_flags *now);
void pending_expunge(struct account *a, struct mailbox *m, uint32_t uid);

// Numbers of keyword names in the mailbox as it will be, sorted and unique; new names get KEYWORD records, or are
// passed over when b is NULL. FAULT_LIMIT before anything was put.
struct keyword_names {
    const struct span *names;
    size_t n;
};
struct keyword_list {
    uint32_t *numbers;
    size_t n;
};
enum result keyword_numbers(struct account *a, struct mailbox *m, struct store_batch *b,
                            const struct keyword_names *names, struct keyword_list *out,
                            struct fault *f) MUST_CHECK;
// Puts a KEYWORD record.
void keyword_put(struct store_batch *b, uint64_t mailbox, uint32_t index, struct span name);
// Names of the numbers of a set, borrowed from the state.
struct span keyword_name(const struct mailbox *m, uint32_t number);

// `among`: who puts the message there is not the owner, and joins only threads that have a message in it: of others nothing
// is to be learned. NULL: any thread.
struct thread_ask {
    const uint64_t *keys;
    size_t n;
    struct mailbox *among;
};
// The key of a message, or of one that it refers to: their thread is the same where their subjects are.
uint64_t thread_key(struct span message_id, struct span base_subject);
// Suspends (first use). The thread that has the key; R_NONE: no message ever had it.
enum result thread_find(struct account *a, uint64_t key, uint64_t *threadid_out,
                        struct fault *f) MUST_CHECK;
// Suspends (first use). The thread that a message with these keys joins, or a new id; remembered.
enum result thread_assign(struct account *a, const struct thread_ask *ask,
                          uint64_t *threadid_out, struct fault *f) MUST_CHECK;
// What the message's record keeps, so that it is remembered again. In the arena.
struct span thread_keys_pack(struct arena *arena, const struct thread_ask *ask);
void thread_remember(struct account *a, struct span packed_keys, uint64_t threadid);
void threads_free(struct account *a);
// the batch is over; what was committed was remembered when applied
void threads_settle(struct account *a);

// Applies one committed record and lets views know (apply.c).
void account_apply(struct account *a, enum record_type type, struct span meta,
                   struct record_place place);
void mailbox_poke(struct mailbox *m);
void mailbox_forget_events(struct mailbox *m);  // nobody will ask for them
void mailbox_trim(struct mailbox *m);           // ghosts that every view was told of

// A view, as the home sees it. `poke` outlives the view: it belongs to both threads (refs).
struct poke {
    atomic_uint refs;
    atomic_bool posted;
    struct loop *loop;
    view_poke_fn *fn;  // NULL once the view is closed (session's thread)
    void *arg;
};

struct poke *poke_new(view_poke_fn *fn, void *arg);
void
poke_post(struct poke *p);  // the function runs in its loop, once for any number of these
void poke_unref(struct poke *p);

struct uid_range {
    uint32_t first, last;
};

// Expunged messages a view was not told of, ascending by uid.
struct ghost_list {
    struct message_row *rows;
    uint32_t *seqs;
    size_t count;
    uint64_t version;  // of the mailbox, when this was made
};

struct view {
    struct view *next, **prev;  // in its mailbox
    struct account *account;
    struct mailbox *mailbox;
    struct poke *poke;
    atomic_bool pending;
    atomic_bool gone;
    bool read_only;
    _Atomic uint32_t rights;
    struct view_user {
        uint32_t keywords;        // that were told
        struct acl_who *who;      // NULL: nobody who has a session; the rights stay
        bool told;                // PERMANENTFLAGS were told since they changed
        struct view *next, **at;  // of the same user, in the session's thread
    } user;
    struct change_by by;  // its session
    uint64_t mailbox_id;
    uint32_t uidvalidity, uidnext;
    uint32_t exists, recent, first_unseen;
    uint32_t last_uid;  // rows above were not told
    struct view_private {
        struct private_set *set;
        uint64_t user;
        size_t at;         // where the last row was in the set
        uint16_t mask;     // flags that are in the set
        uint64_t highest;  // HIGHESTMODSEQ of the user when `modseq` was
    } mine;
    uint64_t modseq;   // flags and arrivals were told up to here: private_position
    uint64_t told;     // everything was, expunges too: HIGHESTMODSEQ (RFC 7162 section 3.2)
    uint64_t version;  // ghosts up to here were told
    struct uid_range *recents;  // UIDs that are \Recent in this session
    size_t recent_ranges;
    struct ghost_list ghosts;
};

// Its user is another now. In the session's thread; does not suspend.
void view_become(struct view *v, struct acl_who *who);
void view_poke(struct view *v);  // there is something to be told

// Suspends. Runs fn in the home.
typedef enum result view_fn(struct view *v, void *arg, struct fault *f);
enum result view_run(struct view *v, view_fn *fn, void *arg, struct fault *f) MUST_CHECK;
// Suspends. In the home: the table is there and v->ghosts is up to date, until the next suspension.
enum result view_table(struct view *v, struct fault *f) MUST_CHECK;

// In the home, table loaded: which message has this sequence number in the view, and the reverse.
void view_ghosts(struct view *v);  // brings v->ghosts up to date
void view_at(struct view *v, uint32_t seq, struct view_message *out);
size_t view_ghosts_below(const struct view *v, uint32_t uid);
// lowest seq whose uid >= uid; exists + 1 when none
uint32_t view_seq_from(struct view *v, uint32_t uid);
// Messages not told yet become \Recent in this view where the mark allows. Table loaded, unless all messages are.
void view_take_recent(struct view *v);
bool view_is_recent(const struct view *v, uint32_t uid);

#endif
