#ifndef SIEVE_COMPILE_H
#define SIEVE_COMPILE_H

// From the tree to the program: calls are checked against the rows of the extensions, blocks and tests become jumps.

#include "base/limits.h"
#include "sieve/ext.h"
#include "sieve/tree.h"

enum sieve_known { KNOWN_NOT, KNOWN_TRUE, KNOWN_FALSE };

struct sieve_loop {
    size_t breaks[64];  // jumps to the loop's end
    size_t n;
    struct span name;
    struct sieve_loop *around;
};

struct sieve_compiler {
    struct arena *arena;
    enum sieve_author author;
    struct sieve_error *error;
    struct buf code;  // struct sieve_instruction
    bool enabled[SIEVE_EXTS];
    bool commands_seen;  // require comes before all others
    bool missing;        // what is wrong is that something is not known or not required
    bool late;           // what is not known is an error at run time (RFC 5463 section 4)
    const struct sieve_cause *cause;
    struct sieve_loop *loop;
    struct sieve_name variables[LIMIT_sieve_variables];
    unsigned n_variables;
    size_t regex_effort;
};

size_t sieve_here(const struct sieve_compiler *c);
enum result sieve_emit(struct sieve_compiler *c, struct sieve_instruction i) MUST_CHECK;
void sieve_land(struct sieve_compiler *c, size_t jump);  // its target is here
enum result sieve_compile_block(struct sieve_compiler *c,
                                const struct sieve_node *node) MUST_CHECK;
// Emits a test; *known: it can only be so.
enum result sieve_compile_test(struct sieve_compiler *c, const struct sieve_node *node,
                               enum sieve_known *known) MUST_CHECK;
// The last branch of the chain that begins with this if.
const struct sieve_node *sieve_if_last(const struct sieve_node *node);
// R_FAIL: no such capability.
enum result sieve_require(struct sieve_compiler *c, struct span capability) MUST_CHECK;
// SIEVE_EXTS: there is none for this script's author.
size_t sieve_capability_find(const struct sieve_compiler *c, struct span capability);

// call.c: fills the call from the node's arguments.
enum result sieve_check_call(struct sieve_compiler *c, const struct sieve_node *node,
                             struct sieve_call *call) MUST_CHECK;
// string.c: encoded characters and variables of one string.
enum result sieve_compile_string(struct sieve_compiler *c, struct span text, unsigned line,
                                 unsigned column, struct sieve_string *out) MUST_CHECK;
bool sieve_is_variable_name(struct span name);
// A variable that all scripts share (RFC 6609 section 3.4); `declared`: its plain name means it from here on.
enum result sieve_global_number(struct sieve_compiler *c, struct span name, bool declared,
                                unsigned *out) MUST_CHECK;
bool sieve_has_local(const struct sieve_compiler *c, struct span name);
enum result sieve_variable_number(struct sieve_compiler *c, struct span name,
                                  unsigned *out) MUST_CHECK;

#endif
