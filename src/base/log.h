#ifndef BASE_LOG_H
#define BASE_LOG_H

// The log: one line per event on stderr, control characters escaped, length capped.
// "Nov 25 21:40:02 posthorn imap-login: Info: Login: user=<a>, method=PLAIN, rip=::1, TLS, session=<...>"
// Floors 0-3 do not log; they return faults. Threads: any.

#include "base/fault.h"
#include "base/span.h"

void log_open(const char *role, char min_level);  // level letters as in fault.h
void log_line(char level, const char *part, const char *fmt, ...) PRINTF_LIKE(3, 4);

#define log_debug(part, ...) log_line('d', part, __VA_ARGS__)
#define log_info(part, ...) log_line('i', part, __VA_ARGS__)
#define log_warning(part, ...) log_line('w', part, __VA_ARGS__)
#define log_error(part, ...) log_line('e', part, __VA_ARGS__)

#endif
