#ifndef MAIL_INTAKE_H
#define MAIL_INTAKE_H

// Intake is the one way a message comes in (APPEND, LMTP, import): bytes are scanned, hashed and staged in
// one pass, then committed. Memory is bounded by the intake budget; large bodies go to a file as they come.
// Owner: the task that began it. All functions but begin suspend.

#include "mail/change.h"
#include "mail/quota.h"
#include "mime/scan.h"

struct intake;
struct store_batch;

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
    struct span uidl;            // that it brings along for POP3 (mail/uidl.h); n 0: none
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
// After finish, and before pack: its structure, which lives as long as the intake.
const struct mime_part *intake_root(const struct intake *in);
// After finish: n octets from `at`, which are there.
enum result intake_read(const struct intake *in, uint64_t at, char *dst, size_t n,
                        struct fault *f) MUST_CHECK;
// After finish: what is behind `at`, in pieces, to `put`, until that is not R_OK.
typedef enum result intake_put_fn(void *arg, struct span piece, struct fault *f);
enum result intake_copy(const struct intake *in, uint64_t at, intake_put_fn *put, void *arg,
                        struct fault *f) MUST_CHECK;
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
// `by_client`: an APPEND or REPLACE, of which the mailbox may have the server's copy (mail/sent.h): then the UID may be of what
// is there.
struct intake_item {
    struct intake *intake;
    struct intake_params params;
};
struct intake_batch {
    const struct intake_item *items;
    size_t n;
    const struct selection *replaced;
    const struct record_meta
        *notes;  // values of the account that are set in the same commit
    size_t note_n;
    bool by_client;
};
enum result intake_commit_all(const struct intake_batch *batch,
                              const struct mailbox_ref *dest, struct intake_result *out,
                              struct fault *f) MUST_CHECK;
void intake_free(struct intake **in);

// One message, or forms of it, into several mailboxes of one account as one commit: all are there, or none. As mail that is
// delivered: rights are not asked. What has the same intake shares its body and EMAILID.
struct intake_place {
    uint64_t mailbox;
    struct intake_item item;
    struct intake_result out;
};
struct intake_spread {
    struct intake_place *places;
    size_t n;  // 0: only `along`
    // NULL, or: asked in the commit before anything is put, and what it puts then
    const struct intake_along {
        enum result (*check)(struct account *a, void *arg, struct fault *f);
        void (*put)(struct account *a, struct store_batch *b, void *arg);
        void *arg;
    } * along;
};
// FAULT_TRYCREATE: a mailbox is gone.
enum result intake_commit_spread(struct account *a, struct intake_spread *s,
                                 struct fault *f) MUST_CHECK;

// The delivery target of an account: its INBOX, or the folder `detail` of the own tree when there is one (exact, else in any case).
enum result intake_delivery_target(struct account *a, struct span detail,
                                   struct mailbox_ref *ref_out, struct fault *f) MUST_CHECK;
// Import: may a mailbox have the UIDVALIDITY of a foreign one with this UIDNEXT (0: unknown)? R_NONE: a mailbox of its name
// had it, was deleted, and had given UIDs from UIDNEXT on, which would come again.
enum result intake_may_adopt(const struct mailbox_ref *ref, uint32_t uidvalidity,
                             uint32_t uidnext, struct fault *f) MUST_CHECK;
// Import: UIDVALIDITY and UIDNEXT of a foreign mailbox are taken over by one that never had a message; one that has
// that UIDVALIDITY already only raises its UIDNEXT.
enum result intake_adopt(const struct mailbox_ref *ref, uint32_t uidvalidity,
                         uint32_t uidnext, struct fault *f) MUST_CHECK;

#endif
