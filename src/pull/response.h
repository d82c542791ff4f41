#ifndef PULL_RESPONSE_H
#define PULL_RESPONSE_H

// One response of an IMAP server, read (RFC 9051 section 7 and 9, RFC 3501, 7162, 8474). What we
// do not know is passed over; what is wrong where servers are known to be wrong (flags, dates) is left out.
// Owner: the arena. Trust: any bytes, framed by framer; of a streamed literal nothing but "NIL" is left.

#include "pull/pull.h"

enum pull_cap_bit {
#define CAP(id, text) CAP_BIT_##id,
#include "pull/caps.def"
#undef CAP
};
#define PULL_CAP(id) (1U << CAP_BIT_##id)

enum response_kind {
    RESPONSE_OTHER,  // nothing that we look at
    RESPONSE_CONTINUE,
    RESPONSE_TAGGED,
    RESPONSE_STATE,  // untagged OK, NO, BAD, BYE, PREAUTH
    RESPONSE_CAPABILITY,
    RESPONSE_LIST,
    RESPONSE_LSUB,
    RESPONSE_STATUS,
    RESPONSE_EXISTS,
    RESPONSE_EXPUNGE,
    RESPONSE_FETCH,
    RESPONSE_NAMESPACE
};
enum response_condition { SAYS_OK, SAYS_NO, SAYS_BAD, SAYS_BYE, SAYS_PREAUTH };
enum response_code {
    CODE_OTHER,
    CODE_UIDVALIDITY,
    CODE_UIDNEXT,
    CODE_HIGHESTMODSEQ,
    CODE_CAPABILITY,
    CODE_ALERT,
    CODE_UNAVAILABLE
};
enum response_attribute { LIST_NOSELECT = 1, LIST_SUBSCRIBED = 2 };

struct words {
    struct span *items;
    size_t n, room;
};

struct response {
    enum response_kind kind;
    struct span tag;
    enum response_condition condition;
    struct span text;  // for people; of CONTINUE what it says
    enum response_code code;
    uint64_t number;  // of the code; EXISTS, EXPUNGE, FETCH: the sequence number
    uint32_t caps;
    // LIST, LSUB, STATUS
    struct span name;  // as it came
    // NAMESPACE: prefixes of what is the user's own, and of what is not
    struct words own, others;
    char delimiter;  // 0: NIL
    unsigned attributes;
    struct span use;  // "\\Sent"
    struct pull_mailbox status;
    // FETCH
    bool has_uid, has_flags, has_size;
    struct pull_message message;
    bool has_body;
    struct span body;  // where it is no literal; SPAN_NONE: NIL, or streamed
};

// FAULT_BAD: it cannot be read.
enum result response_read(struct span text, struct arena *a, struct response *out,
                          struct fault *f) MUST_CHECK;

#endif
