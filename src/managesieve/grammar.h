#ifndef MANAGESIEVE_GRAMMAR_H
#define MANAGESIEVE_GRAMMAR_H

// The grammar of ManageSieve (RFC 5804 section 4), before and after login: where a command ends, its words, and the strings
// of answers. Literals of clients are non-synchronising ones, {5+}; a bare LF ends a line too.
// Owner: whoever holds the struct. Trust: any bytes. Threads: any, one at a time. Floors 0 and 1 only.

#include "base/arena.h"
#include "base/buf.h"

// ---- where a command ends ----

enum managesieve_end {
    MANAGESIEVE_MORE,   // not yet
    MANAGESIEVE_WHOLE,  // the first *size octets are one
    MANAGESIEVE_DROP,  // it is too large: these octets are to be thrown away, and it goes on
    MANAGESIEVE_LONG,  // a line, or what was thrown away, is too long
    MANAGESIEVE_SYNC,  // a synchronising literal: what follows cannot be told apart
};

struct managesieve_reader {
    size_t line_max;  // octets outside of literals
    size_t held_max;  // octets of a command; with larger literals it is thrown away
    size_t at;        // of the input: looked at so far
    size_t line;      // octets outside of literals so far
    uint64_t left;    // octets of the literal still to come
    uint64_t dropped;
    size_t brace;   // 1 + octets of the line since the last '{' outside of quotes; 0: none
    uint64_t size;  // the number behind it
    bool plus, closed, sync;
    bool quoted, escaped;
    bool is_dropped;  // the command is one that was thrown away
};

void managesieve_reader_init(struct managesieve_reader *r, size_t line_max,
                             size_t held_max);
// Looks at what is new in `input`, which begins where the command, or what is left of it behind a DROP, does. Behind WHOLE
// the caller looks at is_dropped and calls managesieve_reader_next.
enum managesieve_end managesieve_reader_feed(struct managesieve_reader *r,
                                             struct span input, size_t *size_out);
void managesieve_reader_next(struct managesieve_reader *r);
// Octets that the command has at least, as far as is known.
size_t managesieve_reader_needs(const struct managesieve_reader *r);

// ---- its words ----

// A cursor with a sticky error. Strings are in the arena, or borrowed.
struct managesieve_parse {
    struct span rest;
    struct arena *arena;
    bool bad;
};

struct managesieve_parse managesieve_parse_of(struct span command, struct arena *a);
struct span managesieve_parse_atom(struct managesieve_parse *p);
bool managesieve_parse_more(const struct managesieve_parse *p);  // there is another word
// The space before them too.
struct span managesieve_parse_string(struct managesieve_parse *p);
uint32_t managesieve_parse_number(struct managesieve_parse *p);
// A string alone: a response of SASL.
struct span managesieve_parse_response(struct managesieve_parse *p);
// Nothing is left, and all before was good?
bool managesieve_parse_end(struct managesieve_parse *p);

// ---- answers ----

// Quoted where it may be, else a literal.
void managesieve_put_string(struct buf *b, struct span s);
// OK (CODE) "text" and CRLF; code and text may be "".
void managesieve_put_answer(struct buf *b, const char *status, const char *code,
                            struct span text);
// NOOP's, with what it is to tell; p NULL: nothing.
void managesieve_put_noop(struct buf *b, struct span tag);

#endif
