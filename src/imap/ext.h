#ifndef IMAP_EXT_H
#define IMAP_EXT_H

// What an IMAP extension consists of, as rows: one descriptor per file of base/ and ext/, listed in ext.def.
// From the rows come the dispatcher, CAPABILITY, ENABLE, `posthorn capabilities` and docs/rfcs.md. The dispatcher alone
// checks what the rows say (state, arguments, rights, read-only), so that no verb can forget it.
// Owner: static tables. Threads: any.

#include "base/buf.h"
#include "mail/user.h"
#include "wire/parse.h"

struct imap_session;
struct imap_command;
struct view_info;

enum imap_state { IMAP_AUTH = 1, IMAP_SELECTED = 2, IMAP_ANY = 3 };

enum imap_args {
    ARGS_NONE,          // nothing follows the verb
    ARGS_OWN,           // run parses everything, the first space included
    ARGS_MAILBOX,       // a mailbox name, then the end: c->name, c->ref
    ARGS_MAILBOX_MORE,  // a mailbox name: c->name, c->ref; run parses the rest from the space on
    ARGS_NAME,          // a mailbox name that need not exist, then the end: c->name
    ARGS_NAME_MORE,  // the same, and run parses the rest
    ARGS_SET,        // a sequence set, then the end: c->set, c->by_uid
    ARGS_SET_MORE,   // the same, and run parses the rest from the space on
};

enum imap_verb_flag {
    // without UID: no EXPUNGE is told before its tagged answer (RFC 9051 section 7.5.1)
    VERB_SEQ = 1,
    VERB_UID = 2,        // has a UID form too
    VERB_ONLY_UID = 32,  // this row is the UID form alone (UID EXPUNGE)
    VERB_CHANGES = 4,  // changes the selected mailbox: refused when it was opened read-only
    VERB_QUIET = 8,    // no untagged updates before its tagged answer
    VERB_READS = 64,   // changes nothing: for who came by a read-only password, too
    VERB_TRYCREATE = 16,  // a mailbox that is not there answers [TRYCREATE]
};

// `rights` are those needed on the named mailbox (ARGS_MAILBOX*), else on the selected one. run suspends; it has
// answered untagged when it returns. R_FAIL becomes tagged NO or BAD by faults.def.
typedef enum result imap_run_fn(struct imap_command *c, struct fault *f);
struct imap_verb {
    const char *name;
    enum imap_args args;
    uint8_t states;   // enum imap_state; 0: never after login
    uint8_t flags;    // enum imap_verb_flag
    uint32_t rights;  // enum right
    imap_run_fn *run;
};

// Words fill slots of the commands: what stands behind `as` is defined by the file that owns the slot.
enum imap_slot {
    SLOT_FETCH,
    SLOT_FETCH_MODIFIER,
    SLOT_SEARCH,
    SLOT_SEARCH_RETURN,
    SLOT_THREAD,      // algorithms: enum threading_kind
    SLOT_SORT,        // criteria
    SLOT_STORE,       // modifiers
    SLOT_STORE_ITEM,  // what is stored: FLAGS
    SLOT_SELECT,
    SLOT_APPEND,
    SLOT_LIST_SELECT,
    SLOT_LIST_RETURN,
    SLOT_STATUS,
    SLOT_CREATE,
};
struct imap_word {
    enum imap_slot slot;
    const char *name;  // upper case
    uint32_t value;    // for the slot's owner: an enum or bit
    union {
        const struct imap_fetch_item *fetch;    // imap/fetch.h
        const struct imap_search_key *search;   // imap/search.h
        const struct imap_list_option *list;    // imap/list.h
        const struct imap_status_item *status;  // imap/status.h
        const struct imap_append_data *append;  // imap/append.h
        const struct imap_store_item *store;    // imap/store.h
        // SLOT_FETCH_MODIFIER, SLOT_STORE, SLOT_SELECT, SLOT_CREATE, SLOT_SEARCH_RETURN
        const struct imap_param *param;
    } as;
};
// A parameter of a command: `parse` reads its value (from the space on, if it has one) into the command; NULL when it
// has none. `begin`, when the command is parsed to its end: checks what parse could not, and tells what comes
// first; may be NULL, suspends.
struct imap_param {
    void (*parse)(struct imap_command *c, struct parse *p);
    enum result (*begin)(struct imap_command *c, struct fault *f);
};

// Bits of ENABLE (RFC 5161); a session tests them by imap_enabled.
enum imap_enable {
    ENABLE_REV2 = 1,
    ENABLE_UTF8 = 2,
    ENABLE_CONDSTORE = 4,
    ENABLE_QRESYNC = 8,
    ENABLE_UIDONLY = 16,
    ENABLE_METADATA = 32
};

struct imap_ext {
    const char *name;        // as in ext.def
    const char *rfc;         // "RFC 9051 section 6.3.13"
    const char *capability;  // "UIDPLUS", several separated by spaces; NULL for none
    // For texts with values: puts " APPENDLIMIT=35651584". s: NULL where nobody is logged in. Suspends.
    void (*capability_put)(const struct imap_session *s, struct buf *b);
    // NULL: always. When false, the capability is not told and the verbs are unknown.
    bool (*offered)(const struct imap_session *s);
    const char *enable;             // ENABLE argument; NULL for none
    uint32_t enable_bits;           // what it enables, with what it implies
    const struct imap_verb *verbs;  // ended by a row without a name
    const struct imap_word *words;  // the same
    // untagged answers of SELECT, in the order of ext.def; may be NULL. Suspends.
    enum result (*on_select)(struct imap_command *c, const struct view_info *v,
                             struct fault *f);
    // untagged answers about what is not the selected mailbox, where these may be; may be NULL. Suspends.
    void (*on_sync)(struct imap_session *s, struct arena *a);
    // The command under way has taken a second more; between two lines, outside its task. May be NULL.
    void (*on_tick)(struct imap_session *s);
    void (*on_end)(struct imap_session *s);  // the session ends; may be NULL
};

#define EXT(name) extern const struct imap_ext imap_ext_##name;
#include "imap/ext.def"
#undef EXT

// All descriptors, ended by NULL.
extern const struct imap_ext *const imap_exts[];

// NULL when unknown in this session
const struct imap_verb *imap_verb_find(const struct imap_session *s, struct span name,
                                       bool uid);
// By which metrics count it; NULL: that of unknown ones.
unsigned imap_verb_number(const struct imap_verb *verb);
void imap_verbs_tell(void);  // their names, to the metrics
// NULL when unknown
const struct imap_word *imap_word_find(enum imap_slot slot, struct span name);
// "IMAP4rev1 IMAP4rev2 ...": what is offered after login
void imap_capabilities_put(const struct imap_session *s, struct buf *b);

#endif
