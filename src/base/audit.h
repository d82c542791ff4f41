#ifndef BASE_AUDIT_H
#define BASE_AUDIT_H

// Lines of the log that tell who did what: logins and their ends, rights, quotas, deletions, what administrators did. The
// text form is that of any line; JSON has a member "audit" (audit.def), so that they are found whatever their event is
// called. They are of level info, but for those that call for somebody.

#include "base/log.h"

enum audit {
#define AUDIT(name, text) AUDIT_##name,
#include "base/audit.def"
#undef AUDIT
};

static inline struct field
audit_field(enum audit what)
{
    static const char *const names[] = {
#define AUDIT(name, text) text,
#include "base/audit.def"
#undef AUDIT
    };
    return field_str("audit", "", names[what]);
}

#define log_audit_line(level, what, service, event, ...)                                   \
    log_line(level, service, event, audit_field(AUDIT_##what), __VA_ARGS__)
#define log_audit(what, service, event, ...)                                               \
    log_audit_line('i', what, service, event, __VA_ARGS__)

#endif
