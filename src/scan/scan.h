#ifndef SCAN_SCAN_H
#define SCAN_SCAN_H

// A scan is what services outside say of a message: rspamd (spam, and viruses by its antivirus module) by HTTP, clamd (viruses) by
// its own protocol. The same role tells rspamd what users call junk, and a URL of new mail. The questions below are put by mail
// (scan/link.h) and carried out in the role scan (scan/service.h).
// Trust: what services say may be anything: it is capped and read as data. Threads: any.

#include "base/pack.h"

enum scan_kind { SCAN_CHECK, SCAN_LEARN_SPAM, SCAN_LEARN_HAM, SCAN_PUSH, SCAN_KINDS };
enum scan_status {
    SCAN_DONE,
    SCAN_LATER,    // nobody answered, or not so that it could be understood
    SCAN_REFUSED,  // it will never be taken
    SCAN_STATUSES
};

// A text in a file: `size` octets from its beginning.
struct scan_text {
    int fd;
    uint64_t size;
};

// What a scanner is told beside the message. Addresses as they are in the envelope, without <>.
struct scan_envelope {
    struct span from, helo,
        ip;  // ip: of who brought the message to our transfer agent; empty: unknown
    struct span user;  // the only one who gets it, or who learns; empty: several
    struct span to;    // packed spans, LIMIT_scan_about octets at most
};
void scan_envelope_put(struct buf *b, const struct scan_envelope *e);
enum result scan_envelope_get(struct span packed, struct scan_envelope *out) MUST_CHECK;

enum scan_judgement { SCAN_HAM, SCAN_SPAM, SCAN_SURELY_SPAM, SCAN_JUDGEMENTS };
enum scan_virus { SCAN_VIRUS_UNKNOWN, SCAN_VIRUS_NONE, SCAN_VIRUS_FOUND, SCAN_VIRUSES };

// Octets that are not printable ASCII are not in these texts.
struct scan_verdict {
    bool missing;                     // a scanner that is set did not answer
    bool large;                       // one takes nothing of that size
    bool scored;                      // the two numbers, the judgement, the symbols count
    int64_t score, required;          // thousandths of a point
    uint8_t judgement;                // enum scan_judgement
    uint8_t virus;                    // enum scan_virus
    struct span virus_name, symbols;  // symbols: "A(1.20), B(-0.10)"
};
void scan_verdict_put(struct buf *b, const struct scan_verdict *v);
enum result scan_verdict_get(struct span packed, struct scan_verdict *out) MUST_CHECK;

#endif
