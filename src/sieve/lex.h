#ifndef SIEVE_LEX_H
#define SIEVE_LEX_H

// The words of a script (RFC 5228 section 8.1). Lines end with CRLF or bare LF.
// Trust: none. Owner: strings are copied to the arena, other words borrow the script.

#include "sieve/sieve.h"

enum sieve_token_kind {
    TOKEN_END,
    TOKEN_NAME,
    TOKEN_TAG,
    TOKEN_STRING,
    TOKEN_NUMBER,
    TOKEN_SIGN
};

struct sieve_token {
    enum sieve_token_kind kind;
    struct span text;  // of a tag without its colon; of a string its value
    uint64_t number;
    char sign;  // one of ;,(){}[]
    unsigned line, column;
    size_t at, end;  // where in the script
};

struct sieve_lexer {
    struct arena *arena;
    struct span script;
    size_t at, line_at;
    unsigned line;
    struct sieve_error *error;
};

// The next word; R_FAIL with the error told.
enum result sieve_lex(struct sieve_lexer *l, struct sieve_token *out) MUST_CHECK;
bool sieve_is_name_char(char c);
enum result sieve_error_at(struct sieve_error *e, unsigned line, unsigned column,
                           const char *fmt, ...) PRINTF_LIKE(4, 5);
#ifdef __clang_analyzer__
#define sieve_error_at(...) fault_is_set((sieve_error_at)(__VA_ARGS__))
#endif

#endif
