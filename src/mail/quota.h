#ifndef MAIL_QUOTA_H
#define MAIL_QUOTA_H

// Quota (RFC 9208): how much an account may hold, and how much all accounts of a domain may together. What an account holds
// is the sum of its mailboxes' headers (state_usage): every membership counts its RFC822.SIZE, what was expunged does not,
// and a shared mailbox counts to its owner. Limits of an account are META records of it (what
// an outer user database says of its user, too), those of a domain are META records
// of ACCOUNT_DIRECTORY; the settings have the defaults.
// The one check is in the account's home, against what will be (quota_inside.h). Threads: any loop; all suspend but where said.

#include "mail/user.h"

enum { QUOTA_WARNINGS = 8 };
#define QUOTA_NONE UINT64_MAX           // no limit
#define QUOTA_DEFAULT (UINT64_MAX - 1)  // as the settings say
#define QUOTA_KEEP (UINT64_MAX - 2)     // as it was
#define QUOTA_MAX ((uint64_t)INT64_MAX)

// How something comes, for what a limit means to it.
enum quota_how {
    QUOTA_USER,
    QUOTA_DELIVERY,  // LMTP: may pass the limit by the setting quota_grace
    QUOTA_WARNING,   // the server's own message: the account's limit does not hold it back
};

struct quota_settings {
    struct usage limits;  // QUOTA_NONE: none
    unsigned grace;       // per cent of a limit by which deliveries may pass it
    unsigned char warnings[QUOTA_WARNINGS];  // per cent, ascending; 0: no more
    bool exceeded_permanent;                 // LMTP answers 552, not 452
    const char *hostname;      // of the sender of warnings; lives as long as the mail
    const char *local_domain;  // of users without a domain; "" or NULL: they have none
};
// From any thread; does not suspend.
void mail_quota_set(struct mail *m, const struct quota_settings *s);
void mail_quota_limits(struct mail *m, struct usage *out);  // of who has none of their own
bool mail_quota_permanent(struct mail *m);
void mail_quota_stop(struct mail *m);  // no more accounts are opened to be counted

// "STORAGE", as RFC 9208 section 5 names them. USAGE_KINDS when there is none.
const char *quota_resource(enum usage_kind kind);
enum usage_kind quota_resource_from(struct span name);

struct quota {
    struct usage used, limits;  // QUOTA_NONE: none
    bool own[USAGE_KINDS];      // the limit is not the settings'
};
void quota_get(struct account *a, struct quota *out);
// Each limit is octets or a number up to QUOTA_MAX, or QUOTA_NONE, QUOTA_DEFAULT, QUOTA_KEEP.
enum result quota_set(struct account *a, const struct usage *limits,
                      struct fault *f) MUST_CHECK;
// The same, as an outer user database says: it counts where nothing is set by quota_set. Writes where it is another.
enum result quota_set_outer(struct account *a, const struct usage *limits,
                            struct fault *f) MUST_CHECK;
// Does a message of so many octets fit, as the account is now? For the time before it is read; the commit looks again.
// `delivered`: with what LMTP may pass the limit by.
enum result quota_fits(struct account *a, uint64_t octets, bool delivered,
                       struct fault *f) MUST_CHECK;

// How often the account has passed a limit of its messages, or storage, since it is in memory. Does not suspend.
unsigned quota_passed(const struct account *a);

// ---- roots, as a user sees them ----

enum { QUOTA_ROOTS = 2 };
struct quota_root {
    struct span name;  // "user/alice@example.org", "domain/example.org"; in the arena
    struct quota quota;
    bool hidden[USAGE_KINDS];  // rights are missing (RFC 9208 section 6)
};
struct quota_roots {
    struct quota_root root[QUOTA_ROOTS];
    size_t n;
};
// Those of a mailbox, which in the own tree need not exist.
enum result quota_roots_of(struct mail_user *u, struct span mailbox, struct arena *a,
                           struct quota_roots *out, struct fault *f) MUST_CHECK;
// All of the user's own.
enum result quota_roots_own(struct mail_user *u, struct arena *a, struct quota_roots *out,
                            struct fault *f) MUST_CHECK;
// "user/NAME" and "domain/NAME" taken apart; SPAN_NONE: another name.
struct span quota_root_user(struct span root);
struct span quota_root_domain(struct span root);

// ---- domains ----

// What all accounts of the domain hold; R_NONE: it never had a limit since the start, so nobody counts.
enum result quota_domain_get(struct mail *m, struct span domain, struct quota *out,
                             struct fault *f) MUST_CHECK;
enum result quota_domain_set(struct mail *m, struct span domain, const struct usage *limits,
                             struct fault *f) MUST_CHECK;
// Names of the domains with limits, sorted.
enum result quota_domains(struct mail *m, struct arena *a, struct span **names_out,
                          size_t *n_out, struct fault *f) MUST_CHECK;
// Where an account belongs: behind the last '@', or the first of our own domains. SPAN_NONE: nowhere. In the user's name.
struct span quota_domain_of(struct mail *m, struct span user);

#endif
