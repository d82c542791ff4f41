#ifndef BENCH_SESSION_H
#define BENCH_SESSION_H

// A session is one connection to the server under load, never blocking: bytes wait to be sent, and lines that came are
// held against what is awaited. Lines are read to their first HEAD_MAX bytes; literals are lines like all others, since the
// corpus has no line that begins with a tag; where a line within a chunk announces one, it is passed over unseen.
// Owner: the crowd. Trust: the server is believed. Threads: one.

#include "base/buf.h"

#include <openssl/ssl.h>

enum await {
    AWAIT_NOTHING,
    AWAIT_GREETING,  // one line
    AWAIT_TAG,       // the tagged answer
    AWAIT_PLUS,      // a continuation
    AWAIT_CODES,     // `codes` final lines with a code (LMTP)
    AWAIT_OKS,       // `codes` lines +OK (POP3)
    AWAIT_DOTS,      // `codes` answers that end with a dot (POP3)
    AWAIT_EXISTS,    // an untagged EXISTS, any time
    AWAIT_STATUS,    // an untagged STATUS, any time
    AWAIT_CLOSE,     // the end of the connection
};

enum progress {
    PROGRESS_MORE,    // still waiting
    PROGRESS_ANSWER,  // what was awaited has come
    PROGRESS_BROKEN   // refused or ended: `head` tells
};

struct session {
    int fd;
    SSL *tls;
    bool shaken;  // the TLS handshake is over
    bool wants_out;
    bool stands_by;  // sends NOOP while others work
    struct buf out;
    enum await await;
    unsigned codes, tag;
    char head[96];
    size_t head_n;
    uint64_t received, started_us;
    uint64_t skip;  // bytes of a literal that need no look
    unsigned index, user, phase;
    uint64_t turns, piece, resumed;
};

enum result session_connect(struct session *s, uint16_t port, SSL_CTX *tls,
                            struct fault *f) MUST_CHECK;
void session_close(struct session *s);

// A new tag in front of what is put into s->out next; AWAIT_TAG waits for it.
void session_tag(struct session *s);
// Sends and receives what is possible now.
enum progress session_go(struct session *s);

#endif
