#ifndef PULL_SESSION_H
#define PULL_SESSION_H

// The inside of a pull, for src/pull only: a conversation with the server. All functions but session_say suspend.
// Owner: pull_run's stack.

#include "io/conn.h"
#include "pull/frame.h"
#include "pull/response.h"

// A mailbox of the server.
struct session_mailbox {
    struct span raw;  // its name as the server writes it
    struct pull_mailbox is;
    struct pull_state was;
    bool noselect, subscribed, has_status, visit;
    char delimiter;
    uint32_t known;  // UIDs below were given out when the mailboxes were listed; 0: no idea
    const struct seqset
        *only;  // of a label that no mailbox shows: UIDs in the mailbox of all; else NULL
};

struct session_label;  // labels.c

struct session {
    const struct pull_source *source;
    const struct pull_ops *ops;
    struct conn *conn;
    struct arena *arena;  // of the session
    struct arena *line;   // of the response
    struct response response;
    struct buf cut;  // a response out of which a message was streamed
    uint32_t caps;
    unsigned tag, answered;  // the last one sent, and the last one that was answered
    // Where a message's octets go; NULL: none was asked for.
    enum result (*stream)(struct session *s, void *arg, uint64_t size, struct fault *f);
    void *stream_arg;
    bool streamed;  // the last response had one
    bool labels;    // a mailbox holds all messages, and ids tell which are the same
    bool sets;      // the server puts the UID before the message
    bool falls;     // and answers a set in another order than that of UIDs
    uint64_t octets, since_ms;  // for the rate
    struct span prefix;         // of the personal namespace, which names here are without
    struct words own, others;   // prefixes of all personal namespaces, and of others
    struct session_mailbox *mailboxes;
    size_t count, room;
    struct session_label
        *names;  // by what the server calls them: mailboxes, and labels without one
};

// A tagged command; returns the number of its tag.
unsigned session_say(struct session *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
// The next response into s->response; valid until the next one.
enum result session_next(struct session *s, struct fault *f) MUST_CHECK;
// Responses up to the tagged one of the oldest command that waits; each untagged one is given to fn (may be NULL). R_NONE:
// the server says no, f has its words.
typedef enum result session_fn(struct session *s, void *arg, struct fault *f);
enum result session_await(struct session *s, session_fn *fn, void *arg,
                          struct fault *f) MUST_CHECK;
// Octets of a message's literal, piece by piece, to the taker where they are wanted.
enum result session_octets(struct session *s, uint64_t size, bool wanted,
                           struct fault *f) MUST_CHECK;

// login.c: from the connected descriptor to a session that is logged in, with its capabilities.
enum result session_login(struct session *s, int fd, struct fault *f) MUST_CHECK;
// list.c: fills mailboxes, tells their names and what is subscribed.
enum result session_list(struct session *s, struct fault *f) MUST_CHECK;
// A name of the server as its own and ours, into out->there, name and altered. R_FAIL: it cannot be a mailbox's.
enum result session_name(struct session *s, struct span raw, char delimiter,
                         struct pull_mailbox *out) MUST_CHECK;
struct session_mailbox *
session_find_all(struct session *s);  // NULL: there is no mailbox of all
// labels.c: labels of a message in the mailbox of all; and the labels that no mailbox shows, as if one did.
void session_take_labels(struct session *s, const struct pull_message *m);
void session_labels_done(struct session *s);
enum result session_visit_hidden(struct session *s, struct fault *f) MUST_CHECK;
// visit.c
enum result session_visit(struct session *s, struct session_mailbox *m,
                          struct fault *f) MUST_CHECK;

#endif
