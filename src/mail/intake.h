#ifndef MAIL_INTAKE_H
#define MAIL_INTAKE_H

// Intake is the one way a message comes in (APPEND, LMTP, import): bytes are scanned, hashed and staged in
// one pass, then committed. Memory is bounded by the intake budget; large bodies go to a file as they come.
// Owner: the task that began it. All functions but begin suspend.

#include "mail/change.h"
#include "mail/quota.h"

struct intake;

struct intake_params {
    uint16_t flags;
    const struct span *keywords;
    size_t keyword_count;
    bool has_internal_date;  // else: now, server's zone
    int64_t internal_date;
    int16_t zone_min;
    uint32_t uid;                // import keeps UIDs: 0 = next, else must be >= UIDNEXT
    uint64_t emailid, threadid;  // 0 = new
    uint32_t save_date;          // 0 = now
    bool imported;               // from another store (RFC 9979 $imported)
    uint8_t quota;               // enum quota_how of the first message: of all
};

struct intake_result {
    uint32_t uidvalidity, uid;
    uint64_t emailid, threadid;
};

struct intake *intake_begin(struct mail *m);
// FAULT_TOOBIG past message_size_max (the rest may be given and is ignored). FAULT_LIMIT: no memory for it now.
enum result intake_write(struct intake *in, struct span bytes, struct fault *f) MUST_CHECK;
uint64_t intake_size(const struct intake *in);
// The body goes to a file, however small it is: before the first octet. For one of many messages.
void intake_spill(struct intake *in);
// Ends the message; afterwards it can be committed, also several times (LMTP: one body, many recipients).
enum result intake_finish(struct intake *in, struct fault *f) MUST_CHECK;
// After finish: gives the memory of the scan back and keeps what a commit needs. For one of many messages.
enum result intake_pack(struct intake *in, struct fault *f) MUST_CHECK;
// SHA-256 of the finished message.
struct span intake_hash(const struct intake *in);
// The message is on disk in that mailbox when this is R_OK.
enum result intake_commit(struct intake *in, const struct mailbox_ref *dest,
                          const struct intake_params *p, struct intake_result *out,
                          struct fault *f) MUST_CHECK;

// Several messages as one commit, in this order, with UIDs that follow one another: all are there, or none. out: n of
// them. FAULT_LIMIT when they are too many for one commit.
// `replaced` (may be NULL): the one message that goes in the same commit, or, in another account, right after it
// (RFC 8508). FAULT_EXPUNGEISSUED, and nothing is done, when it is not there.
struct intake_item {
    struct intake *intake;
    struct intake_params params;
};
struct intake_batch {
    const struct intake_item *items;
    size_t n;
    const struct selection *replaced;
    const struct record_meta
        *note;  // NULL, or a value of the account that is set in the same commit
};
enum result intake_commit_all(const struct intake_batch *batch,
                              const struct mailbox_ref *dest, struct intake_result *out,
                              struct fault *f) MUST_CHECK;
void intake_free(struct intake **in);

// The delivery target of an account: its INBOX, or the folder `detail` of the own tree when there is one (exact, else in any case).
enum result intake_delivery_target(struct account *a, struct span detail,
                                   struct mailbox_ref *ref_out, struct fault *f) MUST_CHECK;
// Import: UIDVALIDITY and UIDNEXT of a foreign mailbox are taken over by one that never had a message; one that has
// that UIDVALIDITY already only raises its UIDNEXT.
enum result intake_adopt(const struct mailbox_ref *ref, uint32_t uidvalidity,
                         uint32_t uidnext, struct fault *f) MUST_CHECK;

#endif
