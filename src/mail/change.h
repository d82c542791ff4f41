#ifndef MAIL_CHANGE_H
#define MAIL_CHANGE_H

// Changes of messages in a view's mailbox: STORE, COPY, MOVE, EXPUNGE. Each is one atomic commit; after R_OK it
// is on disk and the account's other sessions have been poked. All suspend. The caller checked the command's
// rights with mail_access or view_info; these functions check them again (one function, mail_access's).

#include "mail/view.h"

// Which messages: sequence numbers of the view or UIDs; set NULL is all of them.
struct selection {
    struct view *view;
    const struct seqset *set;
    bool by_uid;
};

// "\\Seen" in any case; 0: no system flag that can be set.
uint16_t change_flag_from(struct span name);

// "\\Seen $x", in the arena.
struct span change_flag_names(struct arena *a, uint16_t flags, const struct span *keywords,
                              size_t n);

enum flag_op { FLAG_OP_SET, FLAG_OP_ADD, FLAG_OP_REMOVE };

struct flag_change {
    enum flag_op op;
    uint16_t flags;               // enum message_flag
    const struct span *keywords;  // names
    size_t keyword_count;
    bool has_unchangedsince;  // RFC 7162 section 3.1.3
    uint64_t unchangedsince;
    bool tells_changed;  // of each message: what became different of it
};

// Flags of a message that are set now, or no more; those that a user has alone on another's mailbox are not told.
struct flag_difference {
    uint32_t uid;
    uint16_t flags;
    const uint32_t *numbers;  // of keywords
    size_t n;
    struct span names;  // "\\Seen $x"
};

struct flag_result {
    struct flag_difference *changed;  // ascending, where tells_changed asked for it
    size_t changed_count;
    // the addressed messages as they are now, ascending; in the arena
    struct view_message *messages;
    size_t count;
    struct view_message *modified;  // failed UNCHANGEDSINCE, ascending
    size_t modified_count;
    uint64_t modseq;  // of this change; 0 when no message changed
    // a keyword is new in this mailbox: FLAGS is due (RFC 9051 section 7.3.5)
    bool keywords_changed;
};

// Expunged messages are passed over (the caller answers NO [EXPUNGEISSUED]). A refused right (s, t, w) on part
// of the flags: those flags are left alone (RFC 4314 section 4); FAULT_NOPERM when none is allowed.
enum result change_flags(const struct selection *sel, const struct flag_change *change,
                         struct arena *a, struct flag_result *out,
                         struct fault *f) MUST_CHECK;

// Removes messages with \Deleted, of these UIDs when uids is given (UID EXPUNGE, RFC 4315). view_sync tells of them.
enum result change_expunge(struct view *v, const struct seqset *uids, uint64_t *count_out,
                           struct fault *f) MUST_CHECK;

struct copy_result {
    uint32_t uidvalidity;
    struct seqset source, target;  // UIDs in corresponding order (COPYUID); in the arena
    size_t count;
};

// Copies (moves) into dest, possibly of another account. EMAILID, THREADID, flags, keywords and dates are kept.
// FAULT_EXPUNGEISSUED, and nothing copied, when a sequence number stands for an expunged message.
// A move is one commit within an account; across accounts the copy is durable before the expunge.
enum result change_copy(const struct selection *sel, const struct mailbox_ref *dest,
                        bool move, struct arena *a, struct copy_result *out,
                        struct fault *f) MUST_CHECK;

#endif
