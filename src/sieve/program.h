#ifndef SIEVE_PROGRAM_H
#define SIEVE_PROGRAM_H

// A program: instructions with their checked calls. It has no recursion: blocks and tests are jumps, so running takes the
// same small stack for any script.
// Owner: the arena of sieve_compile. Threads: never changed once compiled.

#include "sieve/sieve.h"

// A string with ${variables} is pieces, put together when it is used (RFC 5229 section 3).
enum sieve_piece_kind { PIECE_TEXT, PIECE_VARIABLE, PIECE_MATCH, PIECE_OUTSIDE };
struct sieve_piece {
    enum sieve_piece_kind kind;
    struct span text;  // or a name outside of the script (namespaces), lower case
    unsigned number;   // of a variable or match
    struct sieve_piece *next;
};
struct sieve_string {
    struct span text;            // as written
    struct sieve_piece *pieces;  // NULL: text is all
};

struct sieve_name {
    struct span name;  // lower case
    bool global, declared;
};

struct sieve_value {
    uint64_t number;
    struct sieve_string *strings;
    size_t n;
    unsigned line, column;
};

struct sieve_tagged {
    const struct sieve_tag *tag;
    struct sieve_value value;
    struct sieve_tagged *next;
};

// The block that a call is in: the test that led there, and the block around.
struct sieve_cause {
    unsigned line;
    struct span source;
    bool otherwise;  // else: the test was false
    const struct sieve_cause *around;
};

enum { SIEVE_POSITIONS = 4 };

struct sieve_call {
    const struct sieve_command *command;
    unsigned line, column;
    struct span source;
    const struct sieve_cause *cause;
    struct sieve_value
        position[SIEVE_POSITIONS];  // n is 0 where an optional one is not there
    struct sieve_tagged *tags;
    const struct sieve_match *match;
    struct sieve_value match_value;
    const struct sieve_comparator *comparator;
    const struct sieve_part *part;
    bool says_comparator, says_part;  // in the script; else they are the usual ones
    struct sieve_regex **regexes;     // of the keys (:regex)
    void *own;                        // what the command's check made
};

enum sieve_op {
    OP_TEST,        // sets the flag
    OP_DO,          // an action or control
    OP_NOT,         // turns the flag
    OP_SET,         // the flag is `target`
    OP_JUMP,        // to target
    OP_JUMP_FALSE,  // where the flag is false
    OP_JUMP_TRUE,
    OP_ERROR,  // what was not known when the script was compiled (ihave, RFC 5463): `text`
    OP_END,
};

struct sieve_instruction {
    enum sieve_op op;
    unsigned line;
    size_t target;
    const struct sieve_call *call;
    const char *text;
};

struct sieve_program {
    enum sieve_author author;
    const struct sieve_instruction *code;
    unsigned variables;
    const struct sieve_name *variable_names;
    const bool *enabled;  // by number of the extension
    bool has_variables;
};

#endif
