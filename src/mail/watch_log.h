#ifndef MAIL_WATCH_LOG_H
#define MAIL_WATCH_LOG_H

// What the watches of an account were not told of yet. Only files of mail/ include this. In the home.

#include "mail/home.h"
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
    uint32_t rights;
    unsigned may;  // kinds
    bool own;
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
    atomic_uint open;  // ears that are linked
    size_t ear_count;
    struct watch_ear ears[];
};

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
unsigned watch_kinds_for(const struct watch_ear *e, unsigned kinds, uint64_t user);
// The ear was told of everything; what no ear waits for is forgotten.
void watch_told(struct watch_ear *e);
// The last change of this kind that was not `by`'s.
uint64_t watch_when(const struct watch_when *w, const struct mail_user *by);

#endif
