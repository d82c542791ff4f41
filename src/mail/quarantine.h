#ifndef MAIL_QUARANTINE_H
#define MAIL_QUARANTINE_H

// Quarantine: mail that scanners kept from its recipients, one entry for each of them, until an administrator releases or deletes it, or
// its time is over. It is mail of ACCOUNT_QUARANTINE: as durable as any other, in backups, and in nobody's quota. What an entry is
// about is a value of that account, "held/ID", set in the commit of the message, whose EMAILID is the entry's id.
// Owner: none. Threads: any loop, in a task. All suspend.

#include "base/arena.h"
#include "mail/delivered.h"
#include "mail/intake.h"

struct quarantine_entry {
    uint64_t id, octets;
    int64_t since_s;
    uint64_t account;  // who would have it
    struct span user, from, to, reason;
};

// `key` (mail/delivered.h; NULL: none) is noted with it, until quarantine_end: what comes again meanwhile is one entry.
// FAULT_LIMIT: LIMIT_quarantine entries are there.
enum result quarantine_put(struct mail *m, const struct quarantine_entry *e,
                           struct intake *in, const struct delivered_key *key,
                           struct fault *f) MUST_CHECK;
void quarantine_end(struct mail *m, const struct delivered_key *key);
// All of a user (account 0: of everybody), oldest first; in the arena.
enum result quarantine_list(struct mail *m, uint64_t account, struct arena *a,
                            struct quarantine_entry **out, size_t *n_out,
                            struct fault *f) MUST_CHECK;
// FAULT_NONEXISTENT. header: its beginning, up to the end of the header.
enum result quarantine_show(struct mail *m, uint64_t id, struct arena *a,
                            struct quarantine_entry *out, struct span *header_out,
                            struct fault *f) MUST_CHECK;
// Into the recipient's INBOX, past scripts and scanners; then the entry goes. Where that fails both are there.
enum result quarantine_release(struct mail *m, uint64_t id, struct fault *f) MUST_CHECK;
enum result quarantine_delete(struct mail *m, uint64_t id, struct fault *f) MUST_CHECK;
// What came before that.
enum result quarantine_expire(struct mail *m, int64_t before_s, uint64_t *count_out,
                              struct fault *f) MUST_CHECK;

#endif
