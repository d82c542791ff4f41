#ifndef MIME_TOKEN_H
#define MIME_TOKEN_H

// A lexer over one unfolded header value: the words of RFC 5322 section 3.2 and RFC 2045
// section 5.1, read tolerantly and with comments skipped. Private to this folder.
// Trust: none; every call ends in [p, end]. Words are appended to `out`. LEX_BAD: not such a
// word, or cut short; LEX_END: the value ended after it.

#include "base/buf.h"
#include "base/hex.h"

enum lex { LEX_BAD = -1, LEX_END = 0, LEX_MORE = 1 };

struct mime_lex {
    const char *p, *end;
    struct buf *comment;  // receives the text of the last comment; NULL when not wanted
};

static inline struct mime_lex
mime_lex_of(struct span text)
{
    const char *p = text.p ? text.p : "";

    return (struct mime_lex){p, p + text.n, NULL};
}

// The next octet, or NUL at the end (a NUL inside the text stops every rule as well).
static inline char
mime_lex_peek(const struct mime_lex *l)
{
    return l->p < l->end ? *l->p : '\0';
}

// The octet of two hexadecimal digits.
static inline char
mime_hex_octet(const char digits[2])
{
    return (char)((unsigned)hex_digit(digits[0]) << 4 | (unsigned)hex_digit(digits[1]));
}

bool mime_is_atext(char c);
enum lex mime_lex_space(struct mime_lex *l);                   // white space and comments
enum lex mime_lex_token(struct mime_lex *l, struct buf *out);  // MIME token, may be empty
enum lex mime_lex_atom(struct mime_lex *l, struct buf *out);
// white space around dots goes
enum lex mime_lex_dot_atom(struct mime_lex *l, struct buf *out);
// A dot-atom with dots anywhere, as real mailboxes have them.
enum lex mime_lex_local_part(struct mime_lex *l, struct buf *out);
enum lex mime_lex_quoted(struct mime_lex *l, struct buf *out);  // at '"'; quotes removed
enum lex mime_lex_phrase(struct mime_lex *l, struct buf *out);  // words joined by one space
enum lex mime_lex_domain(struct mime_lex *l, struct buf *out);  // at '@'

#endif
