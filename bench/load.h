#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

// What one run of the load generator does, and what it measured. Threads: one.

#include "bench/corpus.h"
#include "bench/tally.h"
#include "bench/tree.h"

enum op_kind {
    OP_COMMAND,
    OP_APPEND,
    OP_LMTP,
    OP_POP3,
    OP_LOGIN,
    OP_SHAKE,
    OP_IDLE,
    OP_EXISTS,
    OP_NOTIFY,
    OP_STATUS,
    OP_OPENSSL
};

struct op {
    const char *name;
    enum op_kind kind;
    const char *prepare, *command, *what;
};

static inline bool
op_notifies(const struct op *op)
{
    return op->kind == OP_NOTIFY || op->kind == OP_STATUS;
}
static inline bool
op_delivers(const struct op *op)
{
    return op->kind == OP_EXISTS || op->kind == OP_STATUS;
}
// Its sessions are told, and ask no more.
static inline bool
op_watches(const struct op *op)
{
    return op_notifies(op) || op_delivers(op) || op->kind == OP_IDLE;
}

// The row of ops.def, or NULL.
const struct op *op_find(const char *name);
void op_list(void);

// Options of the command line; see options.def.
struct load {
#define OPTION(name, type, value, what) type name;
#include "bench/options.def"
#undef OPTION
    const struct op *op;
    struct corpus *corpus;
};

struct measured {
    struct tally tally;
    // `exists`: from the end of DATA; NOOPs of sessions that stand by
    struct tally data, noop;
    uint64_t us, received, count, resumed;
    struct tree before, after;
};

// Runs the operation; R_FAIL says what the server refused.
enum result crowd_run(const struct load *l, struct measured *m, struct fault *f) MUST_CHECK;

#endif
