#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

static const struct fault_info infos[FAULT_COUNT] = {
#define FAULT(name, imap, pop3, smtp, enhanced, jmap, level)                               \
    {#name, imap, pop3, smtp, enhanced, jmap, level},
#include "base/faults.def"
#undef FAULT
};

#undef fault_set  // the analyzer's
#undef fault_errno

const struct fault_info *
fault_info(enum fault_kind kind)
{
    must(kind < FAULT_COUNT);
    return &infos[kind];
}

const struct fault_words *
fault_words_of(const struct fault_words *rows, size_t n, enum fault_kind kind)
{
    size_t i = 0;
    while (i < n - 1 && rows[i].kind != kind)
        i++;
    return &rows[i];
}

enum result
fault_set(struct fault *f, enum fault_kind kind, const char *fmt, ...)
{
    va_list ap;
    f->kind = kind;
    va_start(ap, fmt);
    vsnprintf(f->why, sizeof f->why, fmt, ap);
    va_end(ap);
    return R_FAIL;
}

enum result
fault_errno(struct fault *f, enum fault_kind kind, const char *what)
{
    return fault_set(f, kind, "%s: %s", what, strerror(errno));
}

void
fault_abort(const char *what, const char *file, int line)
{
    static _Thread_local bool again;
    if (again)  // the log itself cannot go on
        abort();
    again = true;
    log_error("main", "Panic", field_str("file", ": %", file),
              field_number("line", ":%", (uint64_t)line),
              field_str("error", ": must(%)", what));
    abort();
}
