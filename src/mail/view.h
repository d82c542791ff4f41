#ifndef MAIL_VIEW_H
#define MAIL_VIEW_H

// A view is what one session was told of one mailbox: how many messages there are, which sequence number is
// which UID, and up to which change it has been told. The table is shared; a view is a few numbers, and
// messages expunged elsewhere stay readable in it until view_sync has told of them.
// Owner: the session that opened it. Threads: the session's loop; functions suspend when the account's home is
// another thread or the table must be loaded.

#include "mail/user.h"
#include "wire/seqset.h"

struct view;

struct view_info {
    uint64_t mailbox;
    uint32_t uidvalidity, uidnext;
    uint32_t exists, recent;
    uint32_t
        first_unseen;  // sequence number, 0 when all are seen (or a large mailbox's table is not loaded)
    uint64_t modseq;  // HIGHESTMODSEQ: everything up to it was told
    uint32_t rights;
    bool read_only;
};

struct view_message {
    uint32_t seq;
    bool recent;
    bool expunged;           // elsewhere, and not yet told: the message is still readable
    struct message_row row;  // row.keywords: for view_keywords
};

// Called on the loop that opened the view when something changed (empty, coalesced).
typedef void view_poke_fn(void *arg);

// A read-write open takes \Recent (RFC 3501 section 2.3.2). The poke function may be NULL.
enum result view_open(const struct mailbox_ref *ref, bool read_only, view_poke_fn *poke,
                      void *arg, struct view **v_out, struct fault *f) MUST_CHECK;
void view_close(struct view **v);  // takes NULL; does not suspend
void view_info(const struct view *v, struct view_info *out);
uint32_t view_exists(const struct view *v);
struct account *view_account(const struct view *v);
// the mailbox was deleted (RFC 9051: [CLOSED], or NO)
bool view_gone(const struct view *v);

// Names of all keywords of the mailbox, for FLAGS and PERMANENTFLAGS. In the arena.
enum result view_keyword_list(struct view *v, struct arena *a, struct span **names_out,
                              size_t *n_out, struct fault *f) MUST_CHECK;
// Names of one keyword set. A set keeps its number as long as the view is open.
enum result view_keywords(struct view *v, uint32_t set, struct arena *a,
                          struct span **names_out, size_t *n_out,
                          struct fault *f) MUST_CHECK;

// Suspends. What '*' means in a sequence set: EXISTS, or the highest UID of the view (0 when it is empty).
enum result view_star(struct view *v, bool by_uid, uint32_t *star_out,
                      struct fault *f) MUST_CHECK;

// A cursor over the messages of a set, ascending. The set must outlive it. Sequence numbers beyond the view:
// R_FAIL with FAULT_BAD (RFC 9051 section 9: seq-number); UIDs that do not exist are passed over.
struct view_cursor {
    struct view *view;
    const struct seqset *set;  // NULL: all messages
    bool by_uid;
    // Only messages with a higher modseq, all of these flags, and none of those; set after init.
    uint64_t since;
    uint16_t flags, no_flags;
    uint32_t next_seq;  // position; internal
    uint32_t range;
};
enum result view_cursor_init(struct view_cursor *c, struct view *v,
                             const struct seqset *set, bool by_uid,
                             struct fault *f) MUST_CHECK;
// Up to max messages; R_NONE at the end. Between calls the sequence numbers stay (only view_sync moves them).
enum result view_next(struct view_cursor *c, struct view_message *out, size_t max,
                      size_t *n_out, struct fault *f) MUST_CHECK;

// Suspends. UIDs out of `uids` (NULL: all below UIDNEXT) that were expunged after `since`. Where the tombstones do not
// reach back that far: all that are not there (RFC 7162 section 3.2.6). What view_sync has yet to tell is left out.
enum result view_vanished(struct view *v, uint64_t since, const struct seqset *uids,
                          struct arena *a, struct seqset *out, struct fault *f) MUST_CHECK;

// What changed since the last sync; the view advances.
struct view_delta {
    // sequence numbers in the order to be announced (each counts after the one before)
    uint32_t *expunged;
    uint32_t *expunged_uids;
    size_t expunged_count;
    // flags changed by others (or this session's non-silent changes elsewhere)
    struct view_message *changed;
    size_t changed_count;
    uint32_t exists, recent;  // after the above
    bool exists_changed, keywords_changed, gone;
    uint32_t fresh_first, fresh_last;  // UIDs of what came; none when first is above last
    // VIEW_LOST: expunged ones that stay numbered for now, descending
    uint32_t *lost, *lost_uids;
    size_t lost_count;
};
// Telling of expunges is allowed now; changes of flags, or new messages too, stay for a later time.
enum { VIEW_EXPUNGE = 1, VIEW_HOLD_FLAGS = 2, VIEW_HOLD_NEW = 4, VIEW_LOST = 8 };
enum result view_sync(struct view *v, unsigned flags, struct arena *a,
                      struct view_delta *out, struct fault *f) MUST_CHECK;
bool view_pending(const struct view *v);  // cheap: may view_sync have something to tell?

// How far somebody has followed the messages of a view.
struct view_mark {
    uint64_t modseq;
    uint32_t uid;
};
// Suspends. UIDs of the messages in the view that came or changed behind the mark, whoever changed them, and perhaps a few
// more; the mark moves on to what view_sync has told or, with `untold`, to what there is.
enum result view_touched(struct view *v, bool untold, struct view_mark *mark,
                         struct arena *a, struct seqset *out, struct fault *f) MUST_CHECK;

#endif
