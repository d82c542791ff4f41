#ifndef MAIL_WATCH_LOG_H
#define MAIL_WATCH_LOG_H

// What the watches of an account were not told of yet. Only files of mail/ include this. In the home.

#include "mail/acl_fold.h"
#include "mail/mount.h"
#include "mail/watch.h"

// When something happened last, by whom, and when by anybody else.
struct watch_when {
    uint64_t serial, others;
    const struct mail_user *by;
};

// Of one mailbox: what happened to its messages.
struct watch_note {
    UT_hash_handle hh;
    struct watch_note *newer, *older;
    struct watch_note_key {
        uint64_t mailbox;
        uint64_t user;  // whose own flags changed; 0: what everybody sees
    } key;
    uint64_t serial;            // of the last change
    struct watch_when when[5];  // by bit of enum watch_kind
};

struct watch_change {
    uint64_t serial, mailbox;
    const struct mail_user *by;
    unsigned kind;
    struct span name;  // inside the account; of an entry its key. Owned, with `old`
    struct span old;
};

struct watch_list {
    struct watch_change *p;  // ascending by serial
    size_t count, cap, max;
    uint64_t lost;  // changes up to this one were dropped before all were told
};

// A watch in one account.
struct watch_ear {
    struct watch_ear *next, **prev;
    struct mail_watch *watch;
    struct account *account;
    uint64_t user;  // whose watch it is
    struct span prefix;
    struct acl_who *who;
    bool own, late;
    // Others' trees: names that this ear may be told of, and what it may do with the mailbox that a record is about.
    struct watch_list shown;
    uint32_t had;
    bool owes;      // something up to the log's serial is to be told
    uint64_t told;  // serial
};

struct watch_log {
    uint64_t serial;
    struct watch_list names, entries;
    struct watch_note *notes, *newest, *oldest;
    struct watch_ear *ears;
};

struct mail_watch {
    struct poke *poke;
    struct mail_user *user;
    atomic_uint kinds, pending;
    atomic_uint open;  // ears that are linked, and the session
    struct watch_ear **ears;
    size_t ear_count, ear_room;
    atomic_bool stale;  // there may be more trees
    struct mail_watch *user_next, **user_at;
};

// Its user is another now. In the session's thread; does not suspend.
void watch_become(struct mail_watch *w, struct acl_who *who);
// There may be trees that it does not hear. Any task of the session's thread.
void watch_stale(struct mail_watch *w);
// Suspends. Trees that came since the watch was opened are heard, too.
void watch_extend(struct mail_watch *w);
// Around a change of the rights on a mailbox.
void watch_rights_before(struct account *a, uint64_t mailbox);
void watch_rights_after(struct account *a, uint64_t mailbox);
// What the ear may hear of the mailbox now. In the home.
unsigned watch_may(const struct watch_ear *e, uint64_t mailbox);
void watch_list_clear(struct watch_list *l);
void watch_list_drop(struct watch_list *l, size_t i, size_t n);
void watch_trim(struct watch_log *log);  // what every ear was told of
// Tells the ear of a mailbox that it may look up now and could not (e->had) before, or the reverse.
void watch_rights_changed(struct watch_ear *e, const struct mailbox_state *m);

// An entry was changed by a commit that is applied.
void watch_entry(struct account *a, uint64_t mailbox, struct span key,
                 const struct mail_user *by);

// What a record is about to change, and that it did.
struct watch_before {
    bool was;
    uint8_t flags;
    uint32_t unseen;
    struct span name;
};
void watch_look(struct account *a, enum record_type type, struct span meta,
                struct watch_before *out);
void watch_applied(struct account *a, enum record_type type, struct span meta,
                   const struct watch_before *was);

// Those of the kinds that the ear is told of, of a change that `user` alone sees, or (0) everybody.
unsigned watch_kinds_for(const struct watch_ear *e, unsigned kinds,
                         struct watch_note_key key);
// The ear was told of everything; what no ear waits for is forgotten.
void watch_told(struct watch_ear *e);
// The last change of this kind that was not `by`'s.
uint64_t watch_when(const struct watch_when *w, const struct mail_user *by);

#endif
