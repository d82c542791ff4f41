#ifndef WIRE_COMMAND_H
#define WIRE_COMMAND_H

// The command reader finds where one IMAP command ends: lines joined by literals (RFC 9051 section 4.3, RFC 7888,
// literal8 of RFC 3516). It is incremental and looks at each octet once.
// Owner: the connection, which embeds it. Trust: raw bytes from the peer. Caps: LIMIT_literals, LIMIT_list_depth,
// LIMIT_list_items here, line and command size as given to init; a size is refused before anything is allocated.

#include "base/span.h"

enum command_state {
    COMMAND_MORE,      // not whole yet: read on, keep the bytes
    COMMAND_CONTINUE,  // a synchronising literal: send "+ OK", then read on
    COMMAND_WHOLE,     // size_out octets are one command, the last CRLF included
    COMMAND_STREAM,  // size_out octets end in the header of a literal that is streamed (APPEND's message)
    COMMAND_REFUSED,  // size_out octets are to be dropped, `kind` answered with the tag
    COMMAND_FATAL,    // there is no way to find the next command: BYE
};

struct command_literal {
    uint64_t size;
    bool sync;      // the client waits for "+"
    bool literal8;  // ~{n}
};

struct command_reader {
    size_t line_max, command_max;
    // set after init: larger literals without "+" are FATAL (LITERAL-); 0: no cap
    size_t nonsync_max;
    size_t at;           // octets looked at
    size_t line_octets;  // of them outside literals
    size_t line_start;   // where the current line began
    size_t literal_end;  // where the current literal ends; 0 outside literals
    uint32_t literals, depth, lists, words;
    bool quoted, escaped, in_word;
    // set after init: only what must be asked for is streamed (before login)
    bool buffered;
    bool rest;     // behind a streamed literal: all further literals are streamed
    bool asked;    // "+" was asked for
    bool refused;  // the command is read on to its end, then refused
    struct command_literal literal;  // the last one; after COMMAND_STREAM the one to stream
    enum fault_kind kind;            // after COMMAND_REFUSED and COMMAND_FATAL
    const char *why;                 // a constant text
};

// For a new command; line_max bounds the octets outside literals, command_max all.
void command_reader_init(struct command_reader *r, size_t line_max, size_t command_max);

// `input` begins with the command's first octet and holds at least what it held last time. A bare LF ends a line
// too. After WHOLE and REFUSED the caller drops size_out octets and inits again. After STREAM it drops them, takes
// the literal's octets and calls command_reader_rest; the next input begins right after the literal. Literals are
// streamed for APPEND, REPLACE and SETMETADATA, from the argument after the mailbox name on.
enum command_state command_reader_feed(struct command_reader *r, struct span input,
                                       size_t *size_out);
void command_reader_rest(struct command_reader *r);

// The tag at the front of a command, for answering what cannot be parsed; "*" when there is none.
struct span command_tag(struct span command);
// Is it the first line of an HTTP request? A browser that was sent here by somebody else's page (ALPACA) must not get a second
// line in.
bool command_is_http(struct span command);

#endif
