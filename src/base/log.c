#include "base/log.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/utf8.h"

#include <time.h>
#include <unistd.h>

static const char *_Atomic log_role = "main";
static _Atomic char log_min = 'i';
static _Atomic enum log_form log_as = LOG_TEXT;

struct level {
    char letter;
    const char *text, *json;
};

static const struct level *
level_of(char letter)
{
    static const struct level levels[] = {{'d', "Debug", "debug"},
                                          {'i', "Info", "info"},
                                          {'w', "Warning", "warning"},
                                          {'e', "Error", "error"}};
    for (size_t i = 1; i < sizeof levels / sizeof levels[0]; i++)
        if (levels[i].letter == letter)
            return &levels[i];
    return &levels[0];
}

void
log_open(const char *role, char min_level, enum log_form form)
{
    log_role = role;
    log_min = min_level;
    log_as = form;
}

// ---- the text form ----

static void
put_text(struct buf *line, const struct level *level, const char *service,
         const char *event, const struct field *fields, size_t n)
{
    char stamp[32];
    struct tm tm;
    struct buf text;
    time_t now = time(NULL);
    localtime_r(&now, &tm);
    strftime(stamp, sizeof stamp, "%b %d %H:%M:%S", &tm);
    buf_init(&text, SIZE_MAX);
    buf_printf(line, "%s posthorn %s(%s): %s: ", stamp, service, log_role, level->text);
    fields_text(&text, span_str(event), fields, n);
    utf8_put_visible(line, buf_span(&text), "", LIMIT_log_line - 1);
    buf_put_char(line, '\n');
    buf_done(&text);
}

// ---- JSON ----

// RFC 3339, local time with its zone.
static void
time_text(char out[48])
{
    struct timespec now;
    struct tm tm;
    char day[24], zone[8];
    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &tm);
    strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm);
    strftime(zone, sizeof zone, "%z", &tm);
    snprintf(out, 48, "%s.%06ld%.3s:%.2s", day, now.tv_nsec / 1000, zone, zone + 3);
}

// Texts come last, so that one that is long costs no other fact.
static size_t
texts_last(const struct field *fields, size_t n, struct field out[FIELDS_MAX])
{
    size_t at = 0;
    must(n <= FIELDS_MAX);
    for (int texts = 0; texts <= 1; texts++)
        for (size_t i = 0; i < n; i++)
            if ((fields[i].kind == FIELD_TEXT || fields[i].kind == FIELD_LIST) == texts)
                out[at++] = fields[i];
    return at;
}

static void
put_json(struct buf *line, const struct level *level, const char *service,
         const char *event, const struct field *fields, size_t n)
{
    static const struct span cut = SPAN(",\"truncated\":true");
    const struct field_room room = {LIMIT_log_line - cut.n - 2, LIMIT_log_value};
    struct field ordered[FIELDS_MAX];
    char stamp[48];
    time_text(stamp);
    buf_put_char(line, '{');
    bool whole = fields_json(
        line,
        FIELDS(field_str("time", "", stamp), field_str("level", "", level->json),
               field_str("role", "", log_role), field_str("service", "", service),
               field_str("event", "", event)),
        &room);
    whole &= fields_json(line, ordered, texts_last(fields, n, ordered), &room);
    buf_put(line, whole ? SPAN_NONE : cut);
    buf_put_str(line, "}\n");
}

bool
log_takes(char level)
{
    return level_of(level) >= level_of(log_min);
}

void
log_put(char letter, const char *service, const char *event, const struct field *fields,
        size_t n)
{
    const struct level *level = level_of(letter);
    struct buf line;
    if (level < level_of(log_min))
        return;
    buf_init(&line, LIMIT_log_line);
    if (log_as == LOG_JSON)
        put_json(&line, level, service, event, fields, n);
    else
        put_text(&line, level, service, event, fields, n);
    must(!line.over);
    if (write(STDERR_FILENO, line.p, line.n) < 0)
        line.n = 0;  // nowhere left to say so
    buf_done(&line);
}
