#ifndef PULL_PULL_H
#define PULL_PULL_H

// A pull reads an account of another IMAP server (RFC 9051, 3501) and tells what is there to who keeps it (struct pull_ops).
// It changes nothing on that server: mailboxes are opened by EXAMINE, messages read by BODY.PEEK[].
// Owner: the task that calls it, in a process that has nothing but the connection (docs/decisions/0032-moving-in.md).
// Trust: the server may be hostile; whatever it says is capped here, and judged again by who takes it.

#include "wire/seqset.h"
#include <openssl/types.h>

enum pull_tls { PULL_STARTTLS, PULL_TLS, PULL_PLAIN };

struct pull_source {
    const char *host;  // the certificate must be for it
    SSL_CTX *trust;    // NULL with PULL_PLAIN
    bool unverified;   // whoever answers is believed
    enum pull_tls tls;
    const char *user;
    const char *password;  // "": a token
    const char *token;     // of OAUTHBEARER (RFC 7628) or XOAUTH2; "": a password
    const char *master;    // who logs in for the user (RFC 4616's authcid); "": the user
    const char *mailbox;   // only this one and what is below it; "": all
    bool guids;            // Dovecot's X-GUID is asked for
    uint64_t rate;         // octets a second; 0: as fast as it goes
    uint32_t patience_ms;  // for which an answer is waited for
};

// How a mailbox stands at the source, or stood when it was last settled; numbers are 0 where they are not known.
struct pull_state {
    uint32_t uidvalidity;
    uint32_t done;      // UIDs up to this one were looked at
    uint32_t messages;  // of these
    uint64_t modseq;
};

// Where the same message is in several mailboxes, and one of them holds all (X-GM-EXT-1, OBJECTID, RFC 6154 section 2).
enum pull_role {
    PULL_FOLDER,
    PULL_ALL,    // holds all messages but those of \Junk and \Trash
    PULL_LABEL,  // what it holds is in PULL_ALL
};

struct pull_mailbox {
    struct span name;   // UTF-8, levels separated by '/'
    struct span there;  // as the source calls it, in UTF-8
    bool altered;       // a '/' inside of a level was changed
    enum pull_role role;
    struct span use;  // "\\Sent"; SPAN_NONE: none
    uint32_t uidvalidity, uidnext, messages;
    uint64_t modseq;
};

struct pull_message {
    uint32_t uid;
    uint16_t flags;  // enum pull_flag
    bool has_date;
    int64_t date;
    int16_t zone_min;
    uint64_t size;
    // EMAILID, X-GM-MSGID: the same in every mailbox that holds the message; SPAN_NONE
    struct span id;
    struct span guid;  // where it is asked for
    struct span *keywords;
    size_t keyword_count;
    struct span *labels;  // X-GM-LABELS, as they came
    size_t label_count;
};

// The same numbers as enum message_flag (store/row.h).
enum pull_flag {
    PULL_SEEN = 1,
    PULL_ANSWERED = 2,
    PULL_FLAGGED = 4,
    PULL_DELETED = 8,
    PULL_DRAFT = 16
};

// Who takes it. R_FAIL of any ends the pull. May block.
struct pull_ops {
    // first every name, then what is subscribed to
    enum result (*announce)(void *arg, const struct pull_mailbox *m, struct fault *f);
    enum result (*subscribed)(void *arg, struct span name, struct fault *f);
    // how it stood when it was last settled; all 0: it never was
    enum result (*recall)(void *arg, struct span name, struct pull_state *out,
                          struct fault *f);
    // nothing has changed since
    enum result (*unchanged)(void *arg, const struct pull_mailbox *m, struct fault *f);
    enum result (*begin)(void *arg, const struct pull_mailbox *m, struct fault *f);
    // of the mailbox, with rising UIDs
    enum result (*offer)(void *arg, const struct pull_message *m, struct fault *f);
    // which of those that were offered since the last time are wanted
    enum result (*wanted)(void *arg, struct arena *a, struct seqset *out, struct fault *f);
    enum result (*message)(void *arg, const struct pull_message *m, struct fault *f);
    enum result (*octets)(void *arg, struct span octets, struct fault *f);
    // of the message; why SPAN_NONE: it is whole
    enum result (*end)(void *arg, struct span why, struct fault *f);
    // All up to state->done was told; last: it is the mailbox's end.
    enum result (*settle)(void *arg, const struct pull_state *state, uint32_t gone,
                          bool last, struct fault *f);
    enum result (*problem)(void *arg, struct span where, struct span why, struct fault *f);
    void *arg;
};

// Suspends. Takes the connected fd. FAULT_CLOSED, FAULT_UNAVAILABLE: another try may do better; all else is final.
enum result pull_run(const struct pull_source *source, int fd, const struct pull_ops *ops,
                     struct fault *f) MUST_CHECK;

#endif
