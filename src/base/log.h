#ifndef BASE_LOG_H
#define BASE_LOG_H

// The log: one line per event on stderr, at most LIMIT_log_line octets. An event is constant words and fields; both
// forms of a line come from them:
// "Nov 25 21:40:02 posthorn imap-login(gate): Info: Login: user=<a>, method=PLAIN, rip=::1, TLS, session=<...>"
// {"time":"2026-11-25T21:40:02.123456+01:00","level":"info","role":"gate","service":"imap-login","event":"Login","user":"a",...}
// Values may be any octets: control characters are escaped in both forms, JSON is always valid UTF-8. A value longer than
// LIMIT_log_value is cut; JSON then has "truncated":true.
// Floors 0-3 do not log; they return faults. Threads: any.

#include "base/fault.h"
#include "base/field.h"

enum log_form { LOG_TEXT, LOG_JSON };

void log_open(const char *role, char min_level,
              enum log_form form);  // level letters as in fault.h
bool log_takes(char level);         // would a line of this level be written?
void log_put(char level, const char *service, const char *event, const struct field *fields,
             size_t n);

#define log_line(level, service, event, ...)                                               \
    log_put(level, service, event, FIELDS(__VA_ARGS__))
#define log_debug(...) log_line('d', __VA_ARGS__)
#define log_info(...) log_line('i', __VA_ARGS__)
#define log_warning(...) log_line('w', __VA_ARGS__)
#define log_error(...) log_line('e', __VA_ARGS__)

// Fields that many events have, in the words of Dovecot's log.
static inline struct field
log_user(struct span user)
{
    return field_text("user", "user=<%>", user);
}
static inline struct field
log_session(uint64_t id)
{
    return field_id("session", "session=<%>", id);
}
// What ends a line: why, in words.
static inline struct field
log_why(const char *why)
{
    return field_str("error", ": %", why);
}
// The fault's kind and its why: two fields.
#define log_fault(f) field_str("code", "", fault_info((f)->kind)->name), log_why((f)->why)

#endif
