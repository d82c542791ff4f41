#ifndef STORE_RECORD_H
#define STORE_RECORD_H

// The typed records of the journal: every change of an account is one of these, with absolute outcomes
// (UID, modseq, resulting flags, counts), so that applying is mechanical, deterministic and idempotent.
// The rules that choose the contents live in mail/. Format numbers are in record.def and never reused.
// Spans are borrowed from the record's bytes. Trust: record_NAME_get checks every field and every packed list;
// record_NAME_put aborts on a list that is not ascending.

#include "base/arena.h"
#include "base/pack.h"
#include "store/row.h"

enum record_type {
#define RECORD(name, number) RECORD_##name = (number),
#include "store/record.def"
#undef RECORD
};

// ACCOUNT: the account exists. modseq and quota are the account's own.
struct record_account {
    struct span user;
    int64_t created_s;
    uint64_t modseq;
};

// MAILBOX: created, renamed, or its attributes changed. parent 0 = top level; name is one level, UTF-8 NFC.
struct record_mailbox {
    uint64_t id, parent, modseq;
    struct span name;
    uint32_t uidvalidity;
    uint8_t special_use;  // enum special_use
    uint8_t flags;        // MAILBOX_*
};
enum { MAILBOX_NOSELECT = 1 };  // a level that exists only for its children

// MAILBOX_GONE: deleted with all it held; the rows stay undeletable until forgotten.
struct record_mailbox_gone {
    uint64_t id, modseq;
    int64_t when_s;
};

// SUBSCRIBE: by full name, whether or not a mailbox of that name exists (RFC 9051 section 6.3.7).
struct record_subscribe {
    struct span name;
    bool on;
};

// KEYWORD: number `index` of this mailbox now means this keyword (spelling kept, compared without case).
struct record_keyword {
    uint64_t mailbox;
    uint32_t index;
    struct span name;
};

// ADDED: one new message, the body follows in the same record or in a file of its own.
// keywords: packed list of keyword numbers (record_keywords_*).
struct record_added {
    uint64_t mailbox;
    // keywords and blob unused here: the list below, and this record's place
    struct message_row row;
    struct span keywords;
    struct span content_hash;  // SHA-256 of the message
    uint32_t key_id;           // 0 = not encrypted
    // u64 hashes of (message id, base subject): own first, then what it refers to
    struct span thread_keys;
    struct mailbox_counts counts;
    struct span cache;  // structure and summary (mime/index.h, render.h); may be empty
};

// COPIED: memberships of messages whose bodies are there already (COPY, MOVE, undelete).
struct record_copied {
    uint64_t mailbox;
    struct mailbox_counts counts;
    struct span rows;  // packed; see record_rows_*
};

// FILED: the message of the ADDED record that stands `back` records before in the batch is in this mailbox too.
struct record_filed {
    uint64_t mailbox;
    struct mailbox_counts counts;
    uint32_t back;
    struct message_row row;  // keywords and blob unused here
    struct span keywords;
};

// FLAGS: groups of messages with the same resulting flags and keywords.
struct record_flags {
    uint64_t mailbox, modseq;
    struct mailbox_counts counts;
    struct span groups;  // packed; see record_groups_*
};

// EXPUNGED: these UIDs are gone; the rows become tombstones with this modseq. MOVED has the same fields: the
// messages went to another mailbox, so that undelete leaves these tombstones alone.
struct record_expunged {
    uint64_t mailbox, modseq;
    int64_t when_s;
    struct mailbox_counts counts;
    struct span uids;  // packed ranges; see record_ranges_*
};

// FORGOTTEN: tombstones up to this modseq are dropped (retention over); the VANISHED horizon moves.
struct record_forgotten {
    uint64_t mailbox, up_to_modseq;
};

// RECENT: the \Recent mark: messages with uid < mark are not recent any more.
struct record_recent {
    uint64_t mailbox;
    uint32_t mark;
};

// PRIVATE: a user's own flags on a message of a shared mailbox (RFC 4314, private \Seen).
struct record_private {
    uint64_t mailbox, user, modseq;
    uint32_t uid;
    uint16_t flags;
};

// PRIVATES: a user's own flags (those in mask) of messages that others see too. No row's modseq and no HIGHESTMODSEQ
// rises but that user's. The owner's flags stay in the rows.
struct record_privates {
    uint64_t mailbox, user, modseq;
    bool own;         // the user is the mailbox's owner
    uint16_t mask;    // enum message_flag
    uint32_t unseen;  // own: of the mailbox's counts
    // Packed; flags within mask, no keywords. The ranges name messages that are there, and no others.
    struct span groups;
};

// PRIVATES_GONE: the user was deleted; what they had in this mailbox is dropped.
struct record_privates_gone {
    uint64_t mailbox, user;
};

// META: a named value of the account (mailbox 0) or of a mailbox: ACL, METADATA, settings, Sieve scripts.
// An empty value deletes. A mailbox's HIGHESTMODSEQ rises to modseq (RFC 7162 section 3.2).
struct record_meta {
    uint64_t mailbox, modseq;
    struct span key, value;
};

// RESTORED: the store went back to an older state: every UIDNEXT and modseq of the account jumped by these
// amounts; where there was no room the mailbox has a new UIDVALIDITY (in a MAILBOX record of its own).
struct record_restored {
    uint32_t uid_jump;
    uint64_t modseq_jump, id_jump;
    int64_t when_s;
};

#define RECORD_CODEC(name)                                                                 \
    void record_##name##_put(struct buf *b, const struct record_##name *r);                \
    enum result record_##name##_get(struct span meta, struct record_##name *r_out)         \
        MUST_CHECK;

RECORD_CODEC(account)
RECORD_CODEC(mailbox)
RECORD_CODEC(mailbox_gone)
RECORD_CODEC(subscribe)
RECORD_CODEC(keyword)
RECORD_CODEC(added)
RECORD_CODEC(copied)
RECORD_CODEC(filed)
RECORD_CODEC(flags)
RECORD_CODEC(expunged)
RECORD_CODEC(forgotten)
RECORD_CODEC(recent)
RECORD_CODEC(private)
RECORD_CODEC(privates)
RECORD_CODEC(privates_gone)
RECORD_CODEC(meta)
RECORD_CODEC(restored)

enum { RECORD_HASH_SIZE = 32, RECORD_ZONE_MAX = 99 * 60 + 99 };

// Packed lists inside records: ranges, keyword numbers and rows ascend and never overlap or repeat. Writers
// append to a buf; readers are cursors with a sticky error (R_NONE at the end, R_FAIL on damage).
void record_ranges_add(struct buf *b, uint32_t first, uint32_t last);
enum result record_ranges_next(struct unpack *u, uint32_t *first_out, uint32_t *last_out);

void record_keywords_add(struct buf *b, uint32_t index);
enum result record_keywords_next(struct unpack *u, uint32_t *index_out);

// A group: UID ranges that now have these flags and keyword numbers.
struct record_group {
    uint16_t flags;
    struct span keywords;  // record_keywords list
    struct span ranges;    // record_ranges list
};
void record_groups_add(struct buf *b, const struct record_group *g);
enum result record_groups_next(struct unpack *u, struct record_group *g_out);

struct record_row {
    struct message_row row;
    struct span keywords;
};
void record_rows_add(struct buf *b, const struct record_row *r);
enum result record_rows_next(struct unpack *u, struct record_row *r_out);

#endif
