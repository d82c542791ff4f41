#ifndef CTL_QUOTA_WORDS_H
#define CTL_QUOTA_WORDS_H

// Limits as a person writes them, "storage=1G": for `quota set` and `user set` (verbs_quota.c).

#include "ctl/verb.h"

bool quota_word_is(struct span word);    // by its name
const char *quota_word(int usage_kind);  // its name
struct usage;
// The limit of one, as quota_set takes it; the others are QUOTA_KEEP.
enum result quota_word_read(struct span word, struct usage *limits_out,
                            struct fault *f) MUST_CHECK;
enum result quota_words_check(const struct span *list, size_t n,
                              struct fault *f) MUST_CHECK;
// Suspends. Of a user or "@domain"; says what they have then.
enum result quota_words_set(struct verb_call *c, struct span name, const struct span *list,
                            size_t n, struct fault *f) MUST_CHECK;
// Suspends. Says what an account has, unless it was never opened.
enum result quota_words_show(struct verb_call *c, uint64_t account, struct span user,
                             struct fault *f) MUST_CHECK;

#endif
