#ifndef MAIL_FILTER_SEEN_H
#define MAIL_FILTER_SEEN_H

// What deliveries of an account remember for a time: ids that `duplicate` saw (RFC 7352), whom a vacation answered, where a
// redirect went. META records of the account, "filter/seen/KIND/HASH" with the second until which they hold, that are put in the
// commit of the delivery. Only files of mail/ include this. In the home.

#include "base/limits.h"
#include "mail/intake.h"
#include "mail/remembered.h"

enum filter_seen_kind {
    SEEN_DUPLICATE = 'd',
    SEEN_ANSWERED = 'v',
    SEEN_REDIRECTED = 'r',
};

struct filter_mark {
    char key[REMEMBERED_KEY];
    int64_t until_s;
    bool fresh;  // it was not seen when the script asked
};
// What a delivery is to remember, once it was.
struct filter_marks {
    struct filter_mark p[LIMIT_sieve_marks];
    size_t n;
    int64_t now_s;
};

// Is it remembered? And it will be, for so long; `last`: from now on anew, if it was. FAULT_LIMIT: too many at once.
struct filter_ask {
    enum filter_seen_kind kind;
    struct span id;
    uint64_t seconds;
    bool last;
};
enum result filter_seen(struct account *a, struct filter_marks *marks,
                        const struct filter_ask *ask, bool *seen_out,
                        struct fault *f) MUST_CHECK;
// Only those of redirects stay: these are out, whatever becomes of the delivery.
void filter_marks_redirected(struct filter_marks *marks);
// For intake_commit_spread. FAULT_INUSE: another delivery was quicker with one of them; the scripts are to run again.
enum result filter_marks_check(struct account *a, void *marks, struct fault *f) MUST_CHECK;
void filter_marks_put(struct account *a, struct store_batch *b, void *marks);

#endif
