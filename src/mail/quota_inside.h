#ifndef MAIL_QUOTA_INSIDE_H
#define MAIL_QUOTA_INSIDE_H

// Quota inside an account's home. THE check is quota_room: every change that adds asks it, in its change function, before
// it puts the first record; changes run one after the other, so that no two can both pass. Only files of mail/ include this.

#include "mail/quota.h"

#include <stdatomic.h>

struct mailbox;
struct quota_member;

// What one account's home knows of its quota.
struct account_quota {
    struct usage limits;  // QUOTA_DEFAULT: as `outer`; valid while `known`
    struct usage outer;   // an outer user database's; QUOTA_DEFAULT: the settings'
    bool known;
    bool applying;                // records of the batch are in the state in part
    bool asked;                   // of the change under way, in labels mode
    uint8_t how;                  // enum quota_how, of that
    bool over, warning;           // a limit is passed; a task looks after warnings
    unsigned warned;              // per cent that the user was told of; valid while `known`
    struct mailbox *touched;      // mailboxes of the batch, whose `next` holds
    struct usage seen;            // after the last batch
    struct quota_member *member;  // of a domain with limits
    atomic_uint passed;
};

// Suspends (first use of the domain). May this change add so much? FAULT_OVERQUOTA. FAULT_UNAVAILABLE: the domain is being
// summed up. In labels mode, where every change is alone in its batch and \All gets copies, the answer comes from
// quota_grown, which the commit task asks behind the change.
enum result quota_room(struct account *a, const struct usage *more, enum quota_how how,
                       struct fault *f) MUST_CHECK;
// Messages of so many octets.
enum result quota_room_messages(struct account *a, size_t n, uint64_t octets,
                                enum quota_how how, struct fault *f) MUST_CHECK;
// Suspends. The same at the end of a change that is alone in its batch, for what it has put of messages.
enum result quota_grown(struct account *a, enum quota_how how, struct fault *f) MUST_CHECK;
// quota_grown, behind label_follow in labels mode.
enum result quota_room_behind(struct account *a, enum quota_how how,
                              struct fault *f) MUST_CHECK;
// What the account will hold when the batch that is being built is applied.
struct usage quota_next(struct account *a);
struct usage quota_limits(struct account *a);
void quota_settle(struct account *a);      // the batch is over
void quota_wait(const struct account *a);  // suspends: until none is being applied
void quota_changed(struct account *a, struct span meta);  // a META record was applied
void quota_opened(struct account *a);                     // Suspends. It came into memory

// quota_warn.c: starts the task that warns, or arms the warnings again.
void quota_warn(struct account *a);
unsigned quota_warned(struct account *a);  // as the record says

// quota_domain.c
struct quotas;
struct quotas *quotas_new(void);
void quotas_free(struct quotas **q);
struct quotas *mail_quotas(const struct mail *m);
// An account came into memory: it is counted in its domain.
void quota_attach(struct account *a);
// R_OK: taken from what the domain has left.
enum result quota_domain_take(struct account *a, const struct usage *more,
                              struct fault *f) MUST_CHECK;
// The same, and nothing is taken.
enum result quota_domain_fits(struct account *a, const struct usage *more,
                              struct fault *f) MUST_CHECK;
void quota_domain_settle(struct account *a);

// The settings, in parts that may change at any time.
struct quota_now {
    _Atomic uint64_t limits[USAGE_KINDS];
    atomic_uint grace;
    atomic_uchar warnings[QUOTA_WARNINGS];
    atomic_bool exceeded_permanent;
    _Atomic(const char *) hostname, local_domain;
};
struct quota_now *quotas_now(struct quotas *q);

// Keys and values of limits in META records: "quota/STORAGE", "quota/example.org/STORAGE".
void quota_limits_read(struct state *s, struct span prefix, struct usage *out);
void quota_limits_put(struct account *a, struct store_batch *b, struct span prefix,
                      const struct usage *limits);

#endif
