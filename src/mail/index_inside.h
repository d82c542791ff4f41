#ifndef MAIL_INDEX_INSIDE_H
#define MAIL_INDEX_INSIDE_H

// The inside of mail/index.h: index.c is its life, index_work.c makes it, index_sweep.c looks at all. Only files of mail/ include this. In the home.

#include "mail/home.h"
#include "mail/index.h"

// What segments are gathered in. A home has one, and keeps it for a while: new pages would cost as much as half the words.
struct index_builder {
    struct text_builder *text;  // NULL: none yet
    size_t charged;
    uint64_t used_ms;
};

// Rows of a mailbox up to this UID are in the index, or were looked at.
struct index_covered {
    uint64_t mailbox;
    uint32_t upto;
};

struct mail_index {
    struct account *account;
    struct text_index *text;  // NULL: not open
    struct timer timer;       // looks whether there is work
    unsigned users;           // finds and others that are inside it
    bool opening, working, damaged, gone;
    bool owed;  // there is work that was not done: the account stays in memory until it is
    bool came;  // mail did, and the timer is set to look at it
    struct mail_index *prev, *next;  // those that wait for their turn (mail_index_queue)
    bool queued;
    bool covered_known;
    uint64_t lookups;               // since the account was opened, or they led to a merge
    struct index_covered *covered;  // ascending by mailbox
    size_t covered_count, covered_room;
    struct {           // index_asked.c
        bool known;    // the string was looked for
        bool unsaved;  // it says something else
        int64_t at_s;  // 0: never
    } asked;
    uint64_t rest_until_ms;  // after a fault
    uint64_t used_ms;
};

// A record was applied to the account.
void mail_index_applied(struct account *a, enum record_type type);
void mail_index_opened(struct account *a);
void mail_index_free(struct account *a);
// Did mail come that was not looked at yet?
bool mail_index_expects(const struct account *a);
// Gives back what was not used for so long, maybe a->index itself; returns octets.
size_t mail_index_rest(struct account *a, uint64_t now_ms, uint64_t unused_ms);
// account.c
bool mail_index_is_on(const struct mail *m);
unsigned mail_index_after(const struct mail *m);
void mail_index_tell(struct account *a, const char *event, const struct fault *f);
bool mail_index_begin(struct account *a);  // false: another account of the home is at work
void mail_index_end(struct account *a);    // the next one's turn
// Somebody is between the two: x's timer is set when its turn comes.
void mail_index_queue(struct mail_index *x);
void mail_index_pass(
    struct account *a);  // it was its turn, and there was nothing to do: the next one's
void mail_index_unqueue(struct mail_index *x);
// Whoever is at work has it.
struct index_builder *mail_index_builder(struct account *a);
void mail_index_builder_charge(struct index_builder *b, size_t octets);
void mail_index_builder_free(struct index_builder *b);

bool mail_index_on(const struct account *a);

// Suspends. R_OK: x->text is open, and stays so until index_leave. R_NONE: not now. After a fault it is reported.
enum result mail_index_enter(struct mail_index *x) MUST_CHECK;
void mail_index_leave(struct mail_index *x);
// Something failed: damage drops it, anything else lets it rest.
void mail_index_failed(struct mail_index *x, const struct fault *f);

// Messages that came since the rows were looked at, at most.
uint64_t mail_index_fresh(const struct mail_index *x);
struct index_covered *mail_index_covered_of(struct mail_index *x, uint64_t mailbox);
// index_covered.c. Suspends. As it was saved; R_OK: or it never was.
enum result mail_index_covered_load(struct mail_index *x, struct fault *f) MUST_CHECK;
enum result mail_index_covered_save(struct mail_index *x, struct fault *f) MUST_CHECK;
enum result mail_index_covered_remove(struct account *a, struct fault *f) MUST_CHECK;
void mail_index_covered_clear(struct mail_index *x);

// index_asked.c. Is it one of those that are indexed? No, where it is not known yet.
bool mail_index_is_wanted(const struct mail_index *x);
// It is to be loaded before that can be said.
bool mail_index_wants_to_know(const struct mail_index *x);
void mail_index_asked_now(struct mail_index *x);
// Suspend.
enum result mail_index_asked_load(struct mail_index *x, struct fault *f) MUST_CHECK;
enum result mail_index_asked_save(struct mail_index *x, struct fault *f) MUST_CHECK;

// Damage of the mail's own tables is none of the index. Returns R_FAIL.
enum result mail_index_of_mail(struct fault *f);
// False: work is to end.
bool mail_index_goes_on(const struct mail_index *x);
// Suspends while there is too much load. The same answer.
bool mail_index_wait_for_ease(const struct mail_index *x);

// Are there enough fresh messages to index them?
bool mail_index_is_fresh(const struct mail_index *x);
// Is it often looked into? A merge costs about as much as so many lookups save that look into fewer segments then.
bool mail_index_is_busy(const struct mail_index *x);
// Suspends. Indexes what is fresh, merges.
void mail_index_work(struct mail_index *x);

// index_purge.c. Suspends. Documents of messages that are gone are dropped from the index.
enum result mail_index_drop_dead(struct mail_index *x, struct fault *f) MUST_CHECK;
// Suspends. The same (unless x->text is NULL), also of attachments' texts; and what could not be read is looked at again.
void mail_index_purge_work(struct mail_index *x);

#endif
