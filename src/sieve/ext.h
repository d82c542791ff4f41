#ifndef SIEVE_EXT_H
#define SIEVE_EXT_H

// What an extension is made of: one file in src/sieve/ext with a `struct sieve_ext`, and one row of ext.def. All lists end
// with an empty row.

#include "sieve/program.h"
#include "sieve/steps.h"
#include "mime/charset.h"
#include "mime/header.h"

struct sieve_compiler;
struct sieve_node;
struct sieve_run;
struct sieve_matching;

enum sieve_command_kind { SIEVE_CONTROL, SIEVE_ACTION, SIEVE_TEST };

struct sieve_command {
    const char *name;
    enum sieve_command_kind kind;
    // One letter for each positional argument: s string, l list of strings, n number; '?' before it: may be left out.
    const char *arguments;
    bool matches;   // takes a match type and a comparator
    bool parts;     // takes an address part
    unsigned keys;  // which argument has the keys, from 0 (where it matches)
    // compile time; may be NULL
    enum result (*check)(struct sieve_compiler *c, struct sieve_call *call);
    // at run time: an action or control, or a test
    enum result (*act)(struct sieve_run *r, const struct sieve_call *call);
    enum result (*test)(struct sieve_run *r, const struct sieve_call *call, bool *yes);
    // makes the code itself (if, foreverypart); else it takes neither tests nor a block
    enum result (*emit)(struct sieve_compiler *c, const struct sieve_node *node,
                        struct sieve_call *call);
    struct sieve_tag {
        const char *name;
        char value;         // s, l, n; 0: none
        const char *group;  // of those with one group there is at most one
        const char
            *command;  // of whose commands: "fileinto keep" (in struct sieve_ext.tags)
        enum result (*check)(struct sieve_compiler *c, struct sieve_call *call,
                             const struct sieve_value *value);
        // what it does to the action that its command makes; NULL: the command looks for it
        enum result (*apply)(struct sieve_run *r, const struct sieve_call *call,
                             const struct sieve_value *value, struct sieve_action *action);
    } tags[12];
};

struct sieve_match {
    const char *name;
    char value;      // s: it takes a string
    bool substring;  // needs a comparator that can
    bool counts;     // of the values (:count)
    enum result (*check)(struct sieve_compiler *c, struct sieve_call *call);
    enum result (*test)(struct sieve_matching *m, struct span value, size_t key, bool *yes);
};

struct sieve_comparator {
    const char *name;
    enum collation collation;
    bool substring;
    int (*compare)(struct span a, struct span b);  // NULL: by keys of the collation
};

struct sieve_part {
    const char *name;
    // R_NONE: the address has no such part
    enum result (*part)(struct sieve_run *r, struct span local, struct span domain,
                        struct span *out);
};

// Scripts of a delivery: FILTER=SIEVE runs them again.
enum { SIEVE_OF_DELIVERY = 1 << SIEVE_DELIVERY | 1 << SIEVE_ASKED };

struct sieve_ext {
    const char *capability;  // NULL: always there
    const char *rfc;
    const struct sieve_command *commands;
    const struct sieve_tag *tags;  // on the commands of others
    const struct sieve_match *matches;
    const struct sieve_comparator *comparators;
    const struct sieve_part *parts;
    unsigned stages;  // where it works: 1 << enum sieve_stage; 0: everywhere
    bool always;      // part of the base, though it has a capability
    bool
        lexical;  // changes how scripts are read, so ihave does not know it (RFC 5463 section 4)
    bool programs;        // starts programs: there for whom sieve_offer_pipe says
    const char *implies;  // capabilities that it brings along
    // what it adds to each action; NULL: nothing
    enum result (*finish)(struct sieve_run *r, struct sieve_action *action);
    // ${space.name}: variables that it has; `space` is lower case
    const char *space;
    enum result (*outside)(struct sieve_run *r, struct span name, struct span *out);
};

#define EXT(name) extern const struct sieve_ext sieve_ext_##name;
#include "sieve/ext.def"
#undef EXT
enum sieve_ext_number {
#define EXT(name) SIEVE_EXT_##name,
#include "sieve/ext.def"
#undef EXT
    SIEVE_EXTS
};
extern const struct sieve_ext *const sieve_exts[SIEVE_EXTS];

// Compile time (compile.h has the rest).
enum result sieve_wrong(struct sieve_compiler *c, unsigned line, unsigned column,
                        const char *fmt, ...) PRINTF_LIKE(4, 5);
struct arena *sieve_compiler_arena(struct sieve_compiler *c);
// A string that says the same whenever it is used.
static inline bool
sieve_is_constant(const struct sieve_string *s)
{
    return s->pieces == NULL;
}

// Run time. All answer R_FAIL with the run's error told.
enum result sieve_fail(struct sieve_run *r, const struct sieve_call *call, const char *fmt,
                       ...) PRINTF_LIKE(3, 4);
#ifdef __clang_analyzer__
#define sieve_fail(...) fault_is_set((sieve_fail)(__VA_ARGS__))
#define sieve_wrong(...) fault_is_set((sieve_wrong)(__VA_ARGS__))
#endif
const struct sieve_world *sieve_world(const struct sieve_run *r);
// An item of the environment (RFC 5183); R_NONE: it is not known (ext/environment.c).
enum result sieve_environment(struct sieve_run *r, struct span name,
                              struct span *out) MUST_CHECK;
// Takes units of work off what the run may do.
enum result sieve_work(struct sieve_run *r, uint64_t units) MUST_CHECK;
// The work that is left as the steps of one match, and what that took; `whole`: it was enough.
struct sieve_steps sieve_steps_begin(const struct sieve_run *r);
enum result sieve_steps_end(struct sieve_run *r, const struct sieve_steps *s,
                            bool whole) MUST_CHECK;
struct arena *sieve_scratch(struct sieve_run *r);  // until the next instruction
struct arena *sieve_kept(struct sieve_run *r);     // until the outcome is gone
// Checks what is about to be put into an arena of the run.
enum result sieve_room(struct sieve_run *r, size_t octets) MUST_CHECK;
// The buf's text in the scratch arena; frees the buf. R_FAIL: it was over.
enum result sieve_take(struct sieve_run *r, struct buf *b, struct span *out) MUST_CHECK;
// A string with its variables in place.
enum result sieve_text(struct sieve_run *r, const struct sieve_string *s,
                       struct span *out) MUST_CHECK;
// The only string of a value.
enum result sieve_one(struct sieve_run *r, const struct sieve_value *v,
                      struct span *out) MUST_CHECK;
// The same of a mailbox's name (ext/fileinto.c).
enum result sieve_mailbox(struct sieve_run *r, const struct sieve_call *call,
                          const struct sieve_value *v, struct span *out) MUST_CHECK;
// The tags of fileinto are on vacation and notify only with :fcc (RFC 8580 section 3.1; ext/fcc.c).
enum result sieve_filing_check(struct sieve_compiler *c, struct sieve_call *call,
                               const struct sieve_value *value) MUST_CHECK;
// NULL: the call has no such tag.
const struct sieve_value *sieve_tag(const struct sieve_call *call, const char *name);
bool sieve_is_enabled(const struct sieve_run *r, enum sieve_ext_number ext);
// What an extension keeps while the script runs; NULL at first.
void **sieve_state(struct sieve_run *r, enum sieve_ext_number ext);
void sieve_stop(struct sieve_run *r);
void sieve_note(struct sieve_run *r, unsigned line, const char *fmt, ...)
    PRINTF_LIKE(3, 4);  // to the trace

// The message's header as it is now; a new one from here on (editheader).
struct span sieve_header(const struct sieve_run *r);
void sieve_header_set(struct sieve_run *r, struct span header);

// Actions (outcome.c). The action has the tags' details; *out is NULL where an equal one is there already.
enum result sieve_action_new(struct sieve_run *r, const struct sieve_call *call,
                             enum sieve_action_kind kind, struct span target,
                             struct sieve_action **out) MUST_CHECK;
enum result sieve_detail_put(struct sieve_run *r, struct sieve_action *a, const char *name,
                             struct span value) MUST_CHECK;
void sieve_cancel_keep(struct sieve_run *r);
bool sieve_has_action(const struct sieve_run *r, enum sieve_action_kind kind);

// Matching: begin, then feed values until `found`, then end.
struct sieve_matching {
    struct sieve_run *run;
    const struct sieve_call *call;
    size_t n;                            // keys
    struct span *keys;                   // with variables in place
    struct span *folded;                 // by the comparator
    struct sieve_regex *const *regexes;  // of the keys; NULL: they are put together here
    struct span value_folded;
    uint64_t count;
    bool is_silent;  // it sets no match variables (RFC 5173 section 6)
    bool found;
};
enum result sieve_match_begin(struct sieve_matching *m, struct sieve_run *r,
                              const struct sieve_call *call,
                              const struct sieve_value *keys) MUST_CHECK;
enum result sieve_match_feed(struct sieve_matching *m, struct span value) MUST_CHECK;
enum result sieve_match_end(struct sieve_matching *m, bool *yes) MUST_CHECK;
// By the call's comparator.
int sieve_compare(struct sieve_matching *m, struct span value, size_t key);
// What a wildcard or group matched; n with the whole at 0.
enum result sieve_captures_set(struct sieve_matching *m, const struct span *texts,
                               size_t n) MUST_CHECK;

// Header fields of these names (fields.c), in their order, as the call's :index and :last say.
struct sieve_fields {
    struct sieve_run *run;
    struct mime_header *all;
    size_t at, end;
};
enum result sieve_fields_begin(struct sieve_fields *it, struct sieve_run *r,
                               const struct sieve_call *call, const struct span *names,
                               size_t n) MUST_CHECK;
// R_NONE: no more. *value_out is unfolded and trimmed, not decoded, in the scratch arena.
enum result sieve_fields_next(struct sieve_fields *it, struct span *value_out) MUST_CHECK;
// Decoded (RFC 2047), in the scratch arena.
enum result sieve_decoded(struct sieve_run *r, struct span value,
                          struct span *out) MUST_CHECK;
bool sieve_is_field_name(struct span name);
// What a field's value may have: line ends and other controls are blanks.
struct span sieve_one_line(struct arena *a, struct span text);

// mime/address.h says MISSING_DOMAIN where a host is missing, as IMAP does; here it is missing.
static inline struct span
sieve_host(struct span host)
{
    return span_eq(host, SPAN("MISSING_DOMAIN")) ? SPAN_NONE : host;
}
// sieve-address of RFC 5228 section 2.4.2.3; *out is "local@domain". False: it is none.
bool sieve_address_valid(struct arena *a, struct span text, struct span *out);
// mailbox-list of RFC 5322 section 3.4: addresses, no groups.
bool sieve_is_mailbox_list(struct arena *a, struct span text);

struct mime_address;
// "local@domain" of one that was parsed, in the scratch arena; p NULL: it is none.
struct span sieve_address_text(struct sieve_run *r, const struct mime_address *a);
// Does the address table give it to the user (own.c)? R_NONE: not, or LIMIT_sieve_own were asked for.
enum result sieve_is_own(struct sieve_run *r, struct span address) MUST_CHECK;
// May :from be this? The administrator's scripts may write as anybody. R_NONE: it is to be left out (RFC 5230 section 4.3, RFC 5435
// section 3.3).
enum result sieve_may_write_as(struct sieve_run *r, const struct sieve_call *call,
                               struct span from) MUST_CHECK;

// Texts of the message (body.c), at most LIMIT_sieve_body octets of each, in the scratch arena.
enum result sieve_read(struct sieve_run *r, uint64_t at, uint64_t n,
                       struct span *out) MUST_CHECK;
// A part without its transfer encoding, text in UTF-8.
enum result sieve_part_decoded(struct sieve_run *r, const struct mime_part *part,
                               struct span *out) MUST_CHECK;

// The members of an external list, one on a line (ext/extlists.c); R_FAIL: there is no such list.
enum result sieve_list_members(struct sieve_run *r, const struct sieve_call *call,
                               struct span list, struct span *members) MUST_CHECK;
// Dates (ext/date.c): "+0130" in minutes; a moment as its parts
// "iso8601" and "std11" are (RFC 5260 section 4.2).
bool sieve_zone_read(struct span s, int *minutes_out);
enum result sieve_zone_check(struct sieve_compiler *c, struct sieve_call *call,
                             const struct sieve_value *value);
void sieve_put_iso8601(struct buf *b, int64_t utc_s, int zone_min);
void sieve_put_std11(struct buf *b, int64_t utc_s, int zone_min);

// All texts of a value, with their variables in place.
enum result sieve_texts(struct sieve_run *r, const struct sieve_value *v,
                        struct span **out) MUST_CHECK;

// Variables (variables.c of ext)
enum result sieve_variable_set(struct sieve_run *r, unsigned number,
                               struct span value) MUST_CHECK;
// What the modifiers of the call make of a value (:lower, :length ...).
enum result sieve_modify(struct sieve_run *r, const struct sieve_call *call,
                         struct span *value) MUST_CHECK;
struct span sieve_variable(const struct sieve_run *r, unsigned number);

#endif
