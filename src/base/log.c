#include "base/log.h"

#include <stdarg.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_LOG = 2048 };

static const char *log_role = "main";
static _Atomic char log_min = 'i';

static int
rank(char level)
{
    static const char order[] = "diwe";
    const char *at = strchr(order, level);
    return at ? (int)(at - order) : 0;
}

static const char *
level_name(char level)
{
    static const char *const names[] = {"Debug", "Info", "Warning", "Error"};
    return names[rank(level)];
}

void
log_open(const char *role, char min_level)
{
    log_role = role;
    log_min = min_level;
}

// Escapes what could forge a line or drive a terminal; UTF-8 stays as it is.
static size_t
escape(char *out, size_t size, const char *in)
{
    size_t n = 0;
    for (; *in && n + 5 < size; in++) {
        unsigned char c = (unsigned char)*in;
        if (c >= 0x20 && c != 0x7f)
            out[n++] = *in;
        else
            n += (size_t)snprintf(out + n, size - n, "\\x%02x", c);
    }
    return n;
}

void
log_line(char level, const char *part, const char *fmt, ...)
{
    char text[LINE_MAX_LOG], line[LINE_MAX_LOG * 4 + 128], stamp[32];
    if (rank(level) < rank(log_min))
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    time_t now = time(NULL);
    struct tm tm;
    localtime_r(&now, &tm);
    strftime(stamp, sizeof stamp, "%b %d %H:%M:%S", &tm);
    int head = snprintf(line, sizeof line, "%s posthorn %s(%s): %s: ", stamp, part,
                        log_role, level_name(level));
    size_t n = (size_t)head;
    n += escape(line + n, sizeof line - n - 1, text);
    line[n++] = '\n';
    if (write(STDERR_FILENO, line, n) < 0)
        return;  // nowhere left to say so
}
