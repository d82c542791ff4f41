#ifndef WIRE_PARSE_H
#define WIRE_PARSE_H

// A parse is a cursor over one whole IMAP command (RFC 9051 section 9, RFC 3501, RFC 4466). The first thing that
// does not fit sets `bad`, which stays set; from then on every read gives nothing and peeks give 0: read all, check
// once with parse_end. Strings are borrowed from the command or, where an escape had to go, from the arena.
// Owner: the command. Trust: any bytes, already framed by command_reader.

#include "base/arena.h"
#include "wire/command.h"
#include "wire/date.h"

struct parse {
    struct span in;
    size_t at;
    struct arena *arena;
    uint32_t depth;    // lists open
    bool list_begins;  // the list has no member yet
    bool bad;
    bool utf8;  // UTF8=ACCEPT or rev2: mailbox names are UTF-8; modified UTF-7 otherwise
    struct span spelled;  // by parse_mailbox: the name as it was written, in UTF-8
    struct fault fault;
};

void parse_init(struct parse *p, struct span command, struct arena *a, bool utf8);
// The end of the command (CRLF) must be here. R_FAIL with the first fault otherwise.
enum result parse_end(struct parse *p, struct fault *f) MUST_CHECK;
void parse_fail(struct parse *p, const char *why);  // FAULT_BAD here
void parse_fail_kind(struct parse *p, enum fault_kind kind, const char *why);

// Peeks and keywords. Words are given in upper case and compared without case.
char parse_peek(const struct parse *p);    // next octet, 0 at the end or when bad
bool parse_at_end(const struct parse *p);  // only CRLF is left
bool parse_try(struct parse *p, char c);   // takes c if it is next
void parse_char(struct parse *p, char c);  // must be next
void parse_sp(struct parse *p);            // one space
// an atom equal to word (not a longer one)
bool parse_try_word(struct parse *p, const char *word);
// these octets, whatever follows ("BODY[")
bool parse_try_text(struct parse *p, const char *text);

// Tokens.
struct span parse_tag(struct parse *p);
struct span parse_atom(struct parse *p);  // 1*ATOM-CHAR
struct span parse_word(struct parse *p);  // atom that stops at '[' and '<' too: item names
struct span parse_astring(struct parse *p);
struct span parse_string(struct parse *p);   // quoted (8-bit tolerated) or literal
struct span parse_nstring(struct parse *p);  // SPAN_NONE for NIL
struct span parse_binary(struct parse *p);   // nstring or literal8
// with wildcards, decoded to UTF-8; wrong spellings match nothing
struct span parse_list_mailbox(struct parse *p);
// Decoded to UTF-8; INBOX in any case gives "INBOX", also before '/'. One trailing '/' is ignored (older clients append
// it). A spelling that is no valid name is FAULT_CANNOT.
struct span parse_mailbox(struct parse *p);
uint32_t parse_number(struct parse *p);
uint32_t parse_nz_number(struct parse *p);
uint64_t parse_number64(struct parse *p);           // 63 bits
uint64_t parse_mod_sequence(struct parse *p);       // 63 bits, 0 allowed
struct span parse_seqset(struct parse *p);          // text for seqset_parse, or "$"
struct span parse_flag(struct parse *p);            // "\Seen", "$Forwarded", "word"
int32_t parse_date(struct parse *p);                // date, quoted or not
struct date_time parse_date_time(struct parse *p);  // quoted
// The header of a streamed literal, at the end of the input: {n} or ~{n}.
struct command_literal parse_stream(struct parse *p);

// Lists: parse_list_open(p); while (parse_list_next(p)) item; reads "(a b c)" with single spaces, also "()".
void parse_list_open(struct parse *p);
// takes the space before, or the ')' and gives false
bool parse_list_next(struct parse *p);

// The inside of BODY[...]: part numbers, then what of the part, then header names; up to and with ']'.
enum section_kind {
    SECTION_ALL,
    SECTION_HEADER,
    SECTION_FIELDS,
    SECTION_FIELDS_NOT,
    SECTION_TEXT,
    SECTION_MIME
};
struct section {
    enum section_kind kind;
    uint32_t *parts;
    uint32_t part_count;
    struct span *fields;
    uint32_t field_count;
    struct span text;  // for the answer, without brackets: "1.2.HEADER.FIELDS (a b)"
};
struct section parse_section(struct parse *p);         // after "BODY["
struct section parse_section_binary(struct parse *p);  // after "BINARY[": part numbers only
// "<0.1024>"; false (and nothing taken) when there is none. Without count (as in answers) it is bad.
bool parse_partial(struct parse *p, uint64_t *offset_out, uint64_t *count_out);

// Takes one balanced value (atom, string, list) of an extension that is not known, for skipping.
struct span parse_skip_value(struct parse *p);

#endif
