#ifndef SIEVE_REGEX_H
#define SIEVE_REGEX_H

// Extended regular expressions (POSIX 1003.2, as draft-ietf-sieve-regex has them) without back references. All ways to match are
// followed at once, character by character, so the time is at most the program's length times the text's, whatever the
// expression. The leftmost match, and of those the longest; groups take what comes first.
// Trust: none; no recursion but for groups within groups (LIMIT_sieve_regex_depth). Owner: the arena.

#include "base/arena.h"
#include "mime/charset.h"
#include "sieve/steps.h"

struct sieve_regex;

// Which letters are the same is the collation's to say, one by one: of ASCII, all, or none. NULL: it is no expression; *why says so.
struct sieve_regex *sieve_regex_compile(struct arena *a, struct span text,
                                        enum collation collation, const char **why);
size_t sieve_regex_groups(const struct sieve_regex *x);  // with the whole
size_t sieve_regex_effort(const struct sieve_regex *x);  // of its compilation
size_t sieve_regex_octets(const struct sieve_regex *x);  // that sieve_regex_find takes
// taken[0] is the match, then the groups; p is NULL where one took part in nothing. R_NONE: no match; R_FAIL: more
// steps than there may be. Suspends where the steps have a rest.
enum result sieve_regex_find(const struct sieve_regex *x, struct arena *scratch,
                             struct span text, struct span *taken,
                             struct sieve_steps *steps) MUST_CHECK;

#endif
