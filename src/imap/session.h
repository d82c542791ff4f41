#ifndef IMAP_SESSION_H
#define IMAP_SESSION_H

// A session is one logged-in IMAP connection. Between commands it owns no task, no arena and no buffers: the
// connection's handler collects input until one whole command is there, then a task runs it; IDLE is a state.
// Commands run one after the other in the order they came, pipelined ones too.
// Owner: itself, from imap_session_start until the connection ends or goes back to the host. Threads: its connection's loop.
// Trust: all input is from the peer; framing caps in wire/command.h, all other caps in limits.def.

#include "imap/ext.h"
#include "imap/language.h"
#include "io/conn.h"
#include "io/loop.h"
#include "io/message.h"
#include "io/served.h"
#include "mail/url.h"
#include "mime/charset.h"
#include "wire/command.h"

// UIDs, as SEARCH RETURN (SAVE) left them for "$" (RFC 9051 section 6.4.4.1). Gone with the selected mailbox.
struct imap_saved {
    struct arena *arena;  // NULL: the empty set
    struct seqset uids;
};

// What a session asks of who started it.
struct imap_host_ops {
    // Takes a connection, whose output is sent, back to where it was before login.
    void (*give_back)(struct conn **conn, void *arg);
    bool (*can_give_back)(void *arg);
    const struct mail_url_users *users;  // other users; NULL: no URLs with a server
    bool (*administers)(void *arg);      // is the session's user an administrator? NULL: no
    // The session is there, before anything is said; it has ended, its connection may go on for a moment. NULL: nobody asks.
    void (*started)(void *arg, struct imap_session *s);
    void (*ended)(void *arg);
};
struct imap_host {
    const struct imap_host_ops *ops;
    void *arg;
    uint32_t idle_ms, progress_ms;  // LIMIT_..., or less in tests; 0: these
    uint32_t notify_ms;             // between the "Still here" of IDLE; 0: never
    bool read_only;                 // it may change nothing at all
    bool gives_back;                // give_back may be asked for
};

struct imap_session {
    struct conn *conn;
    struct mail_user *user;
    struct imap_host host;
    const char *bye;           // what BYE said: the session is ending; NULL before
    struct view *view;         // NULL: nothing is selected
    uint32_t enabled;          // enum imap_enable
    enum collation collation;  // the active comparator (RFC 5255): SEARCH, SORT, THREAD
    enum language language;    // of texts (RFC 5255)
    bool busy;                 // a task runs for it
    bool idling;               // between IDLE and DONE
    struct {
        bool poked;     // idling or notified, and something changed
        bool key;       // of the selected mailbox: URLMECH is to be told
        bool leaving;   // the connection goes back to the host after the command
        bool draining;  // BYE is to be said after the command
    } due;
    uint8_t bad_commands;  // in a row
    struct {
        bool held;      // HIGHESTMODSEQ was told lower than a MODSEQ
        uint64_t told;  // the highest MODSEQ told since HIGHESTMODSEQ was looked at
    } modseq;
    struct command_reader reader;
    struct imap_command *command;  // while a task runs one
    struct buf line;               // the answer being written; empty between commands
    struct span idle_tag;          // owned
    struct imap_saved saved;
    struct {                             // what it is told of beside the mailbox
        struct mail_watch *metadata;     // ENABLE METADATA: who is told of changed entries
        struct imap_notify *notify;      // imap/notify.h; NULL before the first NOTIFY
        struct imap_contexts *contexts;  // imap/context.h; NULL: no search is followed
        struct imap_saved own;           // new messages it made: FETCH does not tell them
    };
    unsigned quota_passed;  // how often, when the client was told
    struct timer timer;     // autologout, keep-alive
    uint64_t input_ms;      // when the client last said something
    struct {
        uint64_t id;   // for the log
        char *client;  // served_facts; NULL: nothing is known
        char *mailbox;
        const struct served_recorder *recorder;  // NULL: nobody looks on
    };
    struct imap_session *next, **at;  // all sessions of this thread
};

// Takes conn and user over. Suspends. Sends the tagged OK of the LOGIN or AUTHENTICATE command and goes on with
// the unread bytes of the hand-over.
void imap_session_start(struct conn *conn, struct mail_user *user, const struct handover *h,
                        const struct imap_host *host);
void imap_session_drain(void);      // BYE to all sessions of this thread, between commands
unsigned imap_session_count(void);  // of this thread
extern const struct served_ops imap_served;
// ext/id.c: pairs as the gate keeps them ("name" "x")
void imap_client_known(struct imap_session *s, struct span pairs);
// Of what was removed from the selected mailbox, for the log.
void imap_audit_expunged(const struct imap_command *c, uint64_t messages);

// record.c: what the client sent and was sent, without passwords and keys of URLs. NULL: nobody looks on any more.
void imap_record(struct imap_session *s, const struct served_recorder *r);
// What was taken off the input, while somebody looks on: a command up to its first streamed literal, a piece of one, and
// what was not understood.
void imap_record_command(struct imap_session *s, struct span text);
void imap_record_piece(struct imap_session *s, struct span text);
void imap_record_refused(struct imap_session *s, size_t octets);
// Calls fn for the other sessions of the same user, which are all of this thread.
void imap_session_others(struct imap_session *s,
                         void (*fn)(struct imap_session *other, void *arg), void *arg);
// a view_poke_fn: tells a client that idles, or uses NOTIFY, what changed
void imap_session_poke(void *session);

static inline bool
imap_enabled(const struct imap_session *s, uint32_t bits)
{
    return (s->enabled & bits) == bits;
}
// Are removed messages told by UID (RFC 7162 section 3.2.10, RFC 9586)?
static inline bool
imap_vanishes(const struct imap_session *s)
{
    return (s->enabled & (ENABLE_QRESYNC | ENABLE_UIDONLY)) != 0;
}
// Who reads what a URL stands for.
static inline struct mail_url_reader
imap_url_reader(const struct imap_session *s)
{
    return (struct mail_url_reader){s->user, s->view, s->host.ops->users, s->host.arg};
}
static inline bool
imap_utf8(const struct imap_session *s)  // may names and quoted strings hold UTF-8?
{
    return (s->enabled & (ENABLE_REV2 | ENABLE_UTF8)) != 0;
}

// Parameters of a command in parentheses (RFC 4466): "(CHANGEDSINCE 17 VANISHED)".
enum { PARAMS_MAX = 8 };
struct imap_params {
    const struct imap_word *words[PARAMS_MAX];
    unsigned count;
};

// How far a command is, for who waits for it (RFC 9585).
struct imap_progress {
    uint64_t since_ms;  // when it began, or last waited for its client
    uint64_t done;      // items
    uint64_t goal;      // 0: unknown
    bool line_open;     // a line of its answer has left in part
};

// A streamed literal on its way in.
struct imap_inflow {
    bool open;      // it was asked for, or comes by itself
    uint64_t left;  // octets not yet read
    size_t taken;   // octets that the last imap_stream_read lent
};

// One command while it runs; lives in its own arena.
struct imap_command {
    struct imap_session *session;
    const struct imap_verb *verb;
    struct arena *arena;  // dies with the tagged answer
    struct span tag;
    struct parse parse;      // where run goes on
    bool uid;                // the UID form
    struct span name;        // ARGS_MAILBOX*, ARGS_NAME*
    struct span spelled;     // the same as the client wrote it, in UTF-8
    struct mailbox_ref ref;  // ARGS_MAILBOX*
    struct seqset set;       // ARGS_SET*
    struct span set_text;    // the same as the client wrote it
    bool by_uid;             // set holds UIDs: the UID form, or "$"
    // valid while has_stream: the literal that comes next on the connection
    struct command_literal stream;
    bool has_stream;
    struct imap_inflow inflow;  // of it
    struct imap_progress progress;
    size_t parts;        // octets between and behind its literals so far
    bool untagged_only;  // no tagged answer now (IDLE)
    bool
        by_number;  // UID SEARCH with sequence numbers: no EXPUNGE before its tagged answer
    bool aware;     // has a word that enables CONDSTORE
    bool refused;   // `answer` goes with NO
    uint32_t limited_uid;  // RFC 9738: messages below were left out; 0: none
    struct imap_params params;
    struct buf answer;  // "[CODE] text" of the tagged OK; empty: "NAME completed"
    void *own;          // the verb's own, in the arena
};

// So many items are done, of `goal` (0: nobody knows).
static inline void
imap_progress(struct imap_command *c, uint64_t done, uint64_t goal)
{
    c->progress.done = done;
    c->progress.goal = goal;
}

// Sets the text of the tagged OK: imap_answer(c, "[APPENDUID %u %u] Done", ...).
void imap_answer(struct imap_command *c, const char *fmt, ...) PRINTF_LIKE(2, 3);
// Sets the text of the tagged NO, where the code says more than faults.def can: "[BADURL /x;UID=1] ...". R_FAIL.
enum result imap_answer_no(struct imap_command *c, struct fault *f, enum fault_kind kind,
                           const char *fmt, ...) PRINTF_LIKE(4, 5) MUST_CHECK;

// Suspends. c->name to c->ref, for verbs that parse their mailbox themselves.
enum result imap_mailbox_access(struct imap_command *c, uint32_t rights,
                                struct fault *f) MUST_CHECK;

// Reads a parenthesised list of parameters of this slot, each at most once.
void imap_params_parse(struct imap_command *c, struct parse *p, enum imap_slot slot);
// Suspends. After parse_end: what the parameters do first.
enum result imap_params_begin(struct imap_command *c, struct fault *f) MUST_CHECK;

// RFC 7162 section 3.1: a command with c->aware makes the session CONDSTORE-aware; the first one is told HIGHESTMODSEQ.
void imap_condstore_aware(struct imap_command *c);

// Suspends. Resolves "$", '*' and ranges against the selected mailbox; *by_uid is in-out (true for "$").
enum result imap_set_resolve(struct imap_session *s, struct span text, bool *by_uid,
                             struct arena *a, struct seqset *out,
                             struct fault *f) MUST_CHECK;
// Suspends. '*' and ranges against a view.
enum result imap_set_read(struct view *v, struct span text, bool by_uid, struct arena *a,
                          struct seqset *out, struct fault *f) MUST_CHECK;
// Suspends. The UIDs of the messages that are there; set NULL: of all.
enum result imap_uids_of(struct view *v, const struct seqset *set, bool by_uid,
                         struct arena *a, struct seqset *out, struct fault *f) MUST_CHECK;
// Between the pieces of a long answer from this view. R_FAIL: the client went (FAULT_CLOSED), or the mailbox did or the right to
// read it (FAULT_NONEXISTENT).
enum result imap_goes_on(const struct imap_session *s, const struct view *v,
                         struct fault *f) MUST_CHECK;
// copies; NULL: empty
void imap_saved_set(struct imap_session *s, const struct seqset *uids);

// Suspends. Tells the client what changed in the selected mailbox; `flags` as for view_sync. The dispatcher does this
// after every command; verbs call it only when they must tell before.
enum result imap_sync(struct imap_session *s, unsigned flags, struct arena *a,
                      struct fault *f) MUST_CHECK;
// Suspends. All that changed in the selected mailbox, whatever NOTIFY asks for.
enum result imap_sync_all(struct imap_session *s, struct arena *a,
                          struct fault *f) MUST_CHECK;
// The same after a command that expunges; tells HIGHESTMODSEQ in its OK on QRESYNC sessions.
enum result imap_sync_expunged(struct imap_command *c, struct fault *f) MUST_CHECK;
// Is it the selected mailbox?
bool imap_is_selected(const struct imap_session *s, uint64_t mailbox);
// Closes the selected mailbox, if any, without a word.
void imap_unselect(struct imap_session *s);

// Runs s->command to its tagged answer; called by the session's task. Suspends.
void imap_dispatch(struct imap_session *s);

// The streamed literal (APPEND). imap_stream_accept asks for it when it is synchronising; what is not accepted or not
// read to its end when run returns is dropped by the dispatcher.
void imap_stream_accept(struct imap_command *c);
// Suspends. The next octets, borrowed until the next call; R_NONE at the end; FAULT_CLOSED when the client went.
enum result imap_stream_read(struct imap_command *c, struct span *out,
                             struct fault *f) MUST_CHECK;
// Suspends. After the literal's end: c->parse goes on with what follows it, up to the end of the command or the next
// streamed literal (has_stream).
enum result imap_stream_rest(struct imap_command *c, struct fault *f) MUST_CHECK;
// Suspends. The literal that comes next, whole, at most max octets (FAULT_TOOBIG), without NUL unless it is a literal8; in the
// arena. c->parse goes on behind it.
enum result imap_stream_collect(struct imap_command *c, size_t max, struct span *out,
                                struct fault *f) MUST_CHECK;
// Suspends. Drops what run left unread of the command, for the dispatcher.
void imap_stream_drop(struct imap_command *c);

#endif
