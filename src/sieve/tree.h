#ifndef SIEVE_TREE_H
#define SIEVE_TREE_H

// The tree of a script as its grammar says (RFC 5228 section 8.2), before anything is known of what the words mean.
// Trust: none; depth and counts are bounded by LIMIT_sieve_*. Owner: the arena.

#include "sieve/lex.h"

enum sieve_argument_kind { ARGUMENT_TAG, ARGUMENT_NUMBER, ARGUMENT_STRING, ARGUMENT_LIST };

struct sieve_text {
    struct span text;
    struct sieve_text *next;
};

struct sieve_argument {
    enum sieve_argument_kind kind;
    struct span tag;
    uint64_t number;
    struct sieve_text *texts;
    size_t n;  // texts
    unsigned line, column;
    struct sieve_argument *next;
};

// A command or a test.
struct sieve_node {
    struct span name;
    struct span source;  // without block and semicolon
    unsigned line, column;
    struct sieve_argument *arguments;
    struct sieve_node *tests;
    bool test_list;  // in parentheses
    struct sieve_node *block;
    bool has_block;
    struct sieve_node *next;
};

// *out is NULL for a script without commands.
enum result sieve_parse(struct arena *a, struct span script, struct sieve_node **out,
                        struct sieve_error *e) MUST_CHECK;

#endif
