#ifndef STORE_STORE_H
#define STORE_STORE_H

// The store: durable accounts. An account is an ordered fold of records; a commit is one atomic, durable
// batch of records on one account; bodies are immutable blobs written before (or with) the record that names
// them. Engines: the embedded one (journal + LMDB) and `mem` for tests, behind this header.
// OK means on disk: store_commit returns R_OK only after fdatasync of the journal.
// Threads: one struct store for the process, all calls from any loop thread; calls marked "Suspends." run in
// a task. Internally: one journal thread (group commit), one checkpoint thread (LMDB), a pool for reads.
// Errors: FAULT_DISK (ENOSPC, EIO; after EIO on fdatasync the volume stays stopped), FAULT_CORRUPTION.

#include "base/arena.h"
#include "store/codec.h"
#include "store/record.h"
#include "store/state.h"

struct store;
typedef void store_report_fn(const char *line, void *arg);

struct store_options {
    const char *path;    // the data directory
    const char *engine;  // "embedded" or "mem"
    const char *codec;   // "identity", "scramble"
    bool
        compress;  // bodies that come from now on; older programs then refuse the directory
    uint64_t segment_size;  // journal segments, octets (0 = 64 MiB)
    uint64_t unfolded_max;  // octets of records kept before commits wait (0 = 64 MiB)
    uint32_t retention_s;   // how long expunged bodies stay
    unsigned io_threads;    // 0 = 4
    // What opening found and did (a cut tail, an index made anew), a line each; may be NULL.
    store_report_fn *report;
    void *report_arg;
    // The index turned out damaged while in use: log it and end the process, the next open makes it anew.
    // Called once, in the checkpoint thread; commits fail from then on. May be NULL.
    void (*broken)(const struct fault *f, void *arg);
    void *broken_arg;
};

// Opens, folds the journal's tail into memory or index, and returns ready to serve. Takes flock on
// data/lock; FAULT_INUSE when another process has it.
enum result store_open(const struct store_options *o, struct store **s_out,
                       struct fault *f) MUST_CHECK;
void store_retention(struct store *s, uint32_t seconds);  // from any thread
// An account's own retention: the value of its META record of this key, u64 seconds.
extern const struct span store_retention_key;
// Of such a value; SPAN_NONE, or an empty one: the store's.
uint32_t store_retention_of(const struct store *s, struct span value);
void store_close(struct store **s);  // checkpoints and closes; no task may be inside
// The index in this data directory is not to be trusted: the next store_open makes it anew from the journal.
// For the handler of SIGBUS, SIGSEGV and SIGABRT (async-signal-safe).
void store_index_distrust(const char *path);

// A new id, unique on this server for ever (EMAILID, THREADID, MAILBOXID share the space). Never 0.
uint64_t store_id_next(struct store *s);

// Whose journal this is: a backup, and what is restored from it, have the same. R_NONE: the engine has none (mem).
enum { STORE_UUID = 16 };
enum result store_uuid(const struct store *s, uint8_t out[STORE_UUID]);

// ---- an account's state ----

// Suspends. The account's headers: rows at the checkpoint plus its unfolded records. R_NONE: no such account.
enum result store_state_load(struct store *s, uint64_t account, struct state **state_out,
                             struct fault *f) MUST_CHECK;
// Suspends. Loads the mailbox's message table into its state; at once when it is loaded. Batches may be
// applied meanwhile.
enum result store_table_load(struct store *s, struct state *st, uint64_t mailbox,
                             struct fault *f) MUST_CHECK;
// The account's state is gone from memory: nobody will apply to it. (Bookkeeping of unfolded records.)
void store_state_closed(struct store *s, uint64_t account);
// Suspends. Ids of all accounts, ascending.
enum result store_accounts(struct store *s, struct arena *a, uint64_t **ids_out,
                           size_t *n_out, struct fault *f) MUST_CHECK;

// One tombstone: an expunged message, still readable (and restorable) until it is forgotten.
struct store_tombstone {
    struct message_row row;
    uint64_t modseq;  // of the expunge
    int64_t when_s;
    bool moved;            // by MOVE: the message is in another mailbox
    struct span keywords;  // packed list of the mailbox's numbers
};
// A flag word that a user other than the owner had of their own on an expunged message.
struct store_mark {
    uint64_t user;
    uint32_t uid;
    uint16_t flags;
};
struct store_tombstones {
    struct arena *a;  // the caller's; what is found is allocated there
    // in: those behind this place; out: the last one's, where a further call goes on
    uint64_t modseq;
    uint32_t uid;
    size_t max;  // in: no more than this; 0 = all
    // in: only those that the index has already, which takes no fold; store_gone_fresh tells the others
    bool indexed;
    // in: the marks of these tombstones too, in no order; a page of more than LIMIT_tombstone_marks ends before max
    bool marked;
    struct store_tombstone *list;
    size_t n;
    struct store_mark *marks;
    size_t mark_count;
    bool last;  // nothing is behind these
};
// Suspends. Tombstones of a mailbox, ascending by modseq and UID; also of a deleted mailbox: what it held has the
// modseq of its deletion.
enum result store_tombstones(struct store *s, struct state *st, uint64_t mailbox,
                             struct store_tombstones *out, struct fault *f) MUST_CHECK;

// Calls fn for ranges of UIDs, in no order, whose expunge after `since` is applied and may not be in the index yet. When
// store_tombstones (indexed) is asked afterwards, the two tell of all.
typedef void store_gone_fn(uint32_t first, uint32_t last, void *arg);
void store_gone_fresh(struct store *s, const struct state *st, uint64_t mailbox,
                      uint64_t since, store_gone_fn *fn, void *arg);

// A deleted mailbox that is not forgotten, as it was.
struct store_deleted_mailbox {
    struct store_deleted_mailbox *next;
    uint64_t id, parent, created_modseq;
    uint64_t modseq;  // of the deletion
    int64_t when_s;
    struct span name;
    uint32_t uidvalidity;
    uint8_t special_use, flags;
    struct mailbox_counts counts;
};
struct store_deleted {
    struct arena *a;
    size_t max;  // in; FAULT_LIMIT when there are more
    struct store_deleted_mailbox *first;
    size_t n;
};
// Suspends. By id.
enum result store_deleted(struct store *s, struct state *st, struct store_deleted *out,
                          struct fault *f) MUST_CHECK;
struct store_keywords {
    struct arena *a;
    struct span *names;  // by number
    size_t n;
};
// Suspends. Keywords of a deleted mailbox.
enum result store_keywords(struct store *s, struct state *st, uint64_t mailbox,
                           struct store_keywords *out, struct fault *f) MUST_CHECK;

struct store_private {
    uint32_t uid;
    uint16_t flags;
    uint64_t modseq;
};
struct store_privates {
    struct arena *a;  // the caller's; the list is allocated there
    struct store_private *list;
    size_t n;
};
// Suspends. A user's private rows of a shared mailbox, ascending by uid.
enum result store_privates(struct store *s, struct state *st, uint64_t mailbox,
                           uint64_t user, struct store_privates *out,
                           struct fault *f) MUST_CHECK;

struct store_private_user {
    uint64_t mailbox, user;
};
struct store_private_users {
    struct arena *a;  // as above
    struct store_private_user *list;
    size_t n;
};
// Suspends. Who has private rows, in which mailboxes of the account.
enum result store_private_users(struct store *s, struct state *st,
                                struct store_private_users *out,
                                struct fault *f) MUST_CHECK;

// Suspends. All thread keys of the account's messages with their THREADID, oldest first (record_added.thread_keys).
struct store_thread_key {
    uint64_t key, threadid;
};
enum result store_thread_keys(struct store *s, struct state *st, struct arena *a,
                              struct store_thread_key **out, size_t *n_out,
                              struct fault *f) MUST_CHECK;

// ---- bodies on their way in ----

// A body collects a message: in memory up to LIMIT_intake_inline, then in a file of its own under data/bodies.
struct store_body;
struct store_body *store_body_new(struct store *s);
// Suspends when it writes to a file or the intake budget makes it spill.
enum result store_body_write(struct store_body *b, struct span bytes,
                             struct fault *f) MUST_CHECK;
// Suspends. No more bytes; a file is fdatasynced with its folder. Afterwards it may be put into batches.
enum result store_body_finish(struct store_body *b, struct fault *f) MUST_CHECK;
uint64_t store_body_size(const struct store_body *b);
// Suspends where the body is in a file. After finish: n octets from `at`, which are there.
enum result store_body_read(const struct store_body *b, uint64_t at, char *dst, size_t n,
                            struct fault *f) MUST_CHECK;
// All of it goes to a file, however small it is: before the first octet.
void store_body_spill(struct store_body *b);
void store_body_free(struct store_body **b);  // what no record names is removed

// ---- commit ----

struct store_batch;
struct store_batch *store_batch_new(struct store *s, uint64_t account, uint64_t session,
                                    uint64_t actor);
// `meta` is copied. `body` (ADDED only, else NULL) stays the caller's and must live until the commit returned.
void store_batch_add(struct store_batch *b, enum record_type type, struct span meta,
                     struct store_body *body);
size_t store_batch_count(const struct store_batch *b);
size_t
store_batch_octets(const struct store_batch
                       *b);  // of metadata; at most LIMIT_record_meta can be committed
// drops the records from there on
void store_batch_cut(struct store_batch *b, size_t count);
enum record_type store_batch_type(const struct store_batch *b, size_t i);
struct span store_batch_meta(const struct store_batch *b, size_t i);
// after the commit
struct record_place store_batch_place(const struct store_batch *b, size_t i);
void store_batch_free(struct store_batch **b);
// Suspends. All records of the batch on disk, or none: after R_FAIL none of it will ever be seen, also not after
// a restart (unless the volume stopped: then the outcome is unknown until the restart, and nothing is answered OK).
// The caller applies the batch (state_apply) in its home when this returns.
enum result store_commit(struct store *s, struct store_batch *b,
                         struct fault *f) MUST_CHECK;

// ---- bodies and caches on their way out ----

// Suspends (on a page-cache miss). Reads len octets of the message at offset into dst; checksums are verified
// per frame. FAULT_CORRUPTION when damaged or compacted away. dst NULL: only the checksums, nothing is unpacked.
enum result store_blob_read(struct store *s, uint64_t blob, uint64_t offset, size_t len,
                            char *dst, struct fault *f) MUST_CHECK;
// Tells the kernel that this will be read soon.
void store_blob_readahead(struct store *s, uint64_t blob);

// Caches (structure, envelope, summary) of messages, as given in record_added.cache. Between begin and end
// nothing may suspend; spans are valid until end. R_NONE: no cache (too large, or not there): scan the body.
struct store_cache_reader;
struct store_cache_reader *store_cache_begin(struct store *s);
enum result store_cache_find(struct store_cache_reader *r, uint64_t blob,
                             struct span *cache_out);
void store_cache_end(struct store_cache_reader **r);

// ---- keeping ----

// Oldest message row version in use is not tracked by the store: mail/ says which blobs live views still show.
typedef bool store_blob_in_use_fn(uint64_t blob, void *arg);

struct store_verify_result {
    uint64_t records, accounts, mailboxes, messages, bodies, errors;
};
// Suspends. Every acknowledged record present, checksums right (bodies too), index equals fold of the journal.
enum result store_verify(struct store *s, store_report_fn *report, void *arg,
                         struct store_verify_result *r_out, struct fault *f) MUST_CHECK;
// Offline (takes the lock itself): makes the index anew from the journal alone.
enum result store_rebuild(const struct store_options *o, store_report_fn *report, void *arg,
                          struct fault *f) MUST_CHECK;

// Suspends. A consistent online copy as one stream: all that was acknowledged before the call.
typedef enum result store_sink_fn(struct span bytes, void *arg, struct fault *f);
enum result store_backup(struct store *s, store_sink_fn *sink, void *arg,
                         struct fault *f) MUST_CHECK;
// Offline: fills an empty data directory from such a stream; UIDNEXT, modseq and ids jump (RESTORED records).
typedef enum result store_source_fn(char *dst, size_t len, size_t *n_out, void *arg,
                                    struct fault *f);  // *n_out 0 = end
enum result store_restore(const struct store_options *o, store_source_fn *source, void *arg,
                          struct fault *f) MUST_CHECK;

// The same, but nothing jumps: to look into a backup, never to serve it.
enum result store_unpack(const struct store_options *o, store_source_fn *source, void *arg,
                         struct fault *f) MUST_CHECK;
// Behind either, once all that belongs to the backup is there: until then store_open refuses the directory.
enum result store_restore_end(const struct store_options *o, struct fault *f) MUST_CHECK;

// Suspends. Forgets tombstones whose retention is over (commits FORGOTTEN records through forget(), which mail/
// gives, so that homes stay the only writers), then rewrites segments with enough dead bodies. *freed_out octets.
typedef enum result store_forget_fn(uint64_t account, uint64_t mailbox,
                                    uint64_t up_to_modseq, void *arg);
struct store_compaction {
    int64_t now_s;
    store_forget_fn *forget;
    store_blob_in_use_fn *in_use;  // called in a pool thread; may be NULL
    void *arg;                     // of both
};
enum result store_compact(struct store *s, const struct store_compaction *c,
                          uint64_t *freed_out, struct fault *f) MUST_CHECK;
// Call it every few seconds: gives back memory that a store at rest needs not. True when it did so now.
bool store_rest(struct store *s);
// Suspends. Folds everything into the index now (tests, shutdown, before copying).
enum result store_checkpoint(struct store *s, struct fault *f) MUST_CHECK;

struct store_stats {
    uint64_t commits, syncs, records, bytes_written, unfolded_bytes, segments;
};
void store_stats_get(struct store *s, struct store_stats *out);

#endif
