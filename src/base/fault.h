#ifndef BASE_FAULT_H
#define BASE_FAULT_H

// Results and faults: how a function says that it did not do what it was asked.
// A struct fault belongs to the caller and is filled only on R_FAIL; outputs stay untouched then.
// `kind` chooses the answer on every protocol (faults.def); `why` is for the log only.

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

// The mode of access(2) would silently replace our R_OK in a file that includes unistd.h or fcntl.h later;
// use faccessat with 4, or open the file.
#undef R_OK

enum result { R_OK = 0, R_FAIL = 1, R_NONE = 2 };

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#define CLEANUP(fn) __attribute__((cleanup(fn)))

enum fault_kind {
#define FAULT(name, imap, pop3, smtp, enhanced, jmap, level) FAULT_##name,
#include "base/faults.def"
#undef FAULT
    FAULT_COUNT
};

struct fault {
    enum fault_kind kind;
    char why[200];
};

// One row of faults.def. Empty strings where a protocol has no code.
struct fault_info {
    const char *name;
    const char *imap_code;      // "NOPERM", without brackets (RFC 5530, 9051 section 7.1)
    const char *pop3_code;      // "SYS/TEMP" (RFC 2449, 3206)
    int smtp_code;              // 550
    const char *smtp_enhanced;  // "5.1.1" (RFC 3463)
    const char *jmap_type;      // "forbidden" (RFC 8620)
    char level;                 // 'd' debug, 'i' info, 'w' warning, 'e' error
};

const struct fault_info *fault_info(enum fault_kind kind);

// A protocol's own words for a fault.
struct fault_words {
    enum fault_kind kind;
    const char *code, *text;
};
// The row of that kind, of n; the last one where there is none.
const struct fault_words *fault_words_of(const struct fault_words *rows, size_t n,
                                         enum fault_kind kind);

// Fills *f and returns R_FAIL, so that a guard reads `return fault_set(f, FAULT_NOPERM, "...")`.
enum result fault_set(struct fault *f, enum fault_kind kind, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
// The same with strerror(errno) appended.
enum result fault_errno(struct fault *f, enum fault_kind kind, const char *what);

// The analyzer does not see other files, and would follow guards that go on after a fault.
#ifdef __clang_analyzer__
static inline enum result
fault_is_set(enum result r)
{
    (void)r;
    return R_FAIL;
}
#define fault_set(...) fault_is_set((fault_set)(__VA_ARGS__))
#define fault_errno(...) fault_is_set((fault_errno)(__VA_ARGS__))
#endif

// Aborts with a line on stderr: for bugs, never for what a peer, the disk or the network can cause.
#define must(x) ((x) ? (void)0 : fault_abort(#x, __FILE__, __LINE__))
_Noreturn void fault_abort(const char *what, const char *file, int line);

#endif
