#ifndef MAIL_INDEX_H
#define MAIL_INDEX_H

// The search index of an account (search/text_index.h) and its life: a task of the account's home indexes what came, a
// segment for many messages, and merges segments. It can be made anew at any time; what is not in it yet is scanned by who
// searches. When its disk fails it rests for a while, and when it is damaged it is dropped and made anew; mail goes on.
// Threads: any loop, in a task.

#include "mail/account.h"
#include "search/text_index.h"

enum mail_index_mode {
    MAIL_INDEX_ELSEWHERE,  // as it begins: a process that makes none, asks none and drops none
    MAIL_INDEX_OFF,        // none is asked or made, and what there is is dropped
    MAIL_INDEX_ASKED,      // only accounts whose text was searched of late are indexed
    MAIL_INDEX_ALL,
};
// Which indexes are made. test_after: messages after which an index is made, at once; 0: LIMIT_index_fresh. From any thread.
void mail_index_set(struct mail *m, enum mail_index_mode mode, unsigned test_after);
enum mail_index_mode mail_index_mode(const struct mail *m);
// No more work begins, and what is at work ends soon. From any thread.
void mail_index_stop(struct mail *m);
// The task at work calls it when it could not make an index, or had to drop it: for the log. Set before the loops run.
typedef void mail_index_report_fn(struct account *a, const char *event,
                                  const struct fault *f);
void mail_index_report(struct mail *m, mail_index_report_fn *fn);

// Suspends. R_NONE: there is no index to ask (none yet, or off), or it could not be read: scan.
enum result mail_index_find(struct account *a, const struct text_lookup *lookups, size_t n,
                            struct text_found **out);
// Suspends. At the end of a search that called mail_index_find, whatever that said: what is due is indexed now. `wants`: it was one for which an
// account gets an index, where only those that are asked have one.
void mail_index_found_free(struct account *a, struct text_found **found, bool wants);
// Suspends. The account is asked for, as by a search: what is due of it is indexed now.
void mail_index_want(struct account *a);
// Suspends. Is the account indexed, as far as that is due? R_NONE: not; it need not be open.
enum result mail_index_wanted_of(struct mail *m, uint64_t account,
                                 struct fault *f) MUST_CHECK;

struct mail_index_state {
    struct text_stats stats;
    uint64_t memory;     // octets it holds
    uint64_t files;      // octets of the texts of attachments that are kept
    uint64_t unindexed;  // messages that came since, at most; they are scanned
    enum mail_index_mode mode;
    int64_t asked_s;  // when it was asked for; 0: never that is known. Of MAIL_INDEX_ASKED
    bool on, wanted, working, resting;
};
// Suspends.
enum result mail_index_state(struct account *a, struct mail_index_state *out,
                             struct fault *f) MUST_CHECK;
// Suspends until the account is indexed as far as it is due, or cannot be for now.
void mail_index_catch_up(struct account *a);
// Suspends. Removes what the index and the cache of attachments' texts keep of messages that are gone; what could not be read when it was to
// be indexed is tried again. R_NONE: not now, others are at work. It is logged when it fails.
enum result mail_index_purge(struct account *a);
// Has this derived string something of the mail, that is to go with it?
bool mail_index_is_of_mail(struct span string);

// The sweep: accounts that nobody uses are indexed too (index_sweep.c).
// Suspends. Drops what there is of accounts that are not in the store any more.
enum result mail_index_sweep(struct mail *m, struct fault *f) MUST_CHECK;
// Suspends. Is the account in memory, and does it see to its index by itself: was it looked at since it was opened and since mail came, or does what is due
// keep it in memory until it is done? It is neither opened nor woken for that.
bool mail_index_sees_to_itself(struct mail *m, uint64_t account);
// Suspends until what is due of the account, which need not be open, is indexed, or cannot be for now; it leaves memory again when nobody else uses
// it. R_NONE: it sees to itself, and was passed over; never with `all`, which is for after a change of mode.
enum result mail_index_visit(struct mail *m, uint64_t account, bool all,
                             struct fault *f) MUST_CHECK;

#endif
