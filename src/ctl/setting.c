#include "ctl/setting.h"
#include "ctl/nearest.h"
#include "base/limits.h"
#include "base/utf8.h"
#include <stddef.h>

enum { PATH_SHOWN = 90 };

const struct setting settings[] = {
#define SETTING(field, kind, change, name, normal, words, text)                            \
    {SETTING_##kind,                                                                       \
     SETTING_##change,                                                                     \
     name,                                                                                 \
     offsetof(struct config, field),                                                       \
     normal,                                                                               \
     words,                                                                                \
     text},
#include "ctl/config.def"
#undef SETTING
};
const size_t settings_count = sizeof settings / sizeof settings[0];

struct unit {
    char letter;
    uint64_t factor;
};
static const struct unit size_units[] = {
    {'K', 1u << 10}, {'M', 1u << 20}, {'G', 1u << 30}, {0, 1}};
static const struct unit time_units[] = {
    {'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {0, 1}};

static void *
member(const struct setting *s, const struct config *c)
{
    return (char *)(uintptr_t)c + s->offset;
}

const struct setting *
setting_find(struct span name)
{
    for (size_t i = 0; i < settings_count; i++)
        if (span_eq(name, span_str(settings[i].name)))
            return &settings[i];
    return NULL;
}

bool
setting_is_hidden(const struct setting *s)
{
    return span_starts(span_str(s->name), SPAN("test_"));
}

const char *
setting_nearest(struct span name)
{
    struct nearest n = nearest_start(name);
    for (size_t i = 0; i < settings_count; i++)
        if (!setting_is_hidden(&settings[i]))
            nearest_offer(&n, settings[i].name);
    return nearest_answer(&n);
}

static enum result
read_choice(const struct setting *s, const char *value, const char **out, struct fault *f)
{
    struct span rest = span_str(s->words), word;
    while (span_next_field(&rest, ' ', &word) == R_OK) {
        if (span_eq(word, span_str(value))) {
            *out = value;
            return R_OK;
        }
    }
    return fault_set(f, FAULT_BAD, "'%s' cannot be '%.60s'; use one of: %s", s->name, value,
                     s->words);
}

enum result
setting_check_word(struct span name, struct span word, struct fault *f)
{
    const struct setting *s = setting_find(name);
    char text[64];
    const char *none;
    must(s != NULL && s->kind == SETTING_CHOICE);
    snprintf(text, sizeof text, "%.*s", SPAN_ARG(span_slice(word, 0, sizeof text - 1)));
    return read_choice(s, text, &none, f);
}

static bool
is_yes(struct span v)
{
    return span_ieq(v, SPAN("true")) || span_ieq(v, SPAN("yes")) || span_ieq(v, SPAN("on"));
}

static bool
is_no(struct span v)
{
    return span_ieq(v, SPAN("false")) || span_ieq(v, SPAN("no")) ||
           span_ieq(v, SPAN("off"));
}

static enum result
read_bool(const struct setting *s, const char *value, bool *out, struct fault *f)
{
    bool yes = is_yes(span_str(value));
    if (!yes && !is_no(span_str(value)))
        return fault_set(f, FAULT_BAD, "'%s' cannot be '%.60s'; use true or false", s->name,
                         value);
    *out = yes;
    return R_OK;
}

static enum result
read_switch(const struct setting *s, const char *value, const char **out, struct fault *f)
{
    if (is_yes(span_str(value)))
        *out = "true";
    else if (is_no(span_str(value)))
        *out = "false";
    else
        return read_choice(s, value, out, f);
    return R_OK;
}

// A number with at most one unit letter behind it.
static enum result
from_units(struct span digits, const struct unit *u, uint64_t *out)
{
    uint64_t n;
    while (u->letter != 0 && (digits.n == 0 || digits.p[digits.n - 1] != u->letter))
        u++;
    if (u->letter != 0)
        digits.n--;
    if (span_to_u64(digits, &n) != R_OK || n > UINT64_MAX / 2 / u->factor)
        return R_FAIL;
    *out = n * u->factor;
    return R_OK;
}

enum result
setting_size(struct span text, uint64_t *octets_out)
{
    return from_units(text, size_units, octets_out);
}

enum result
setting_time(struct span text, uint64_t *seconds_out)
{
    return from_units(text, time_units, seconds_out);
}

static enum result
read_units(const struct setting *s, const char *value, const struct unit *units,
           uint64_t *out, struct fault *f)
{
    if (from_units(span_str(value), units, out) == R_OK)
        return R_OK;
    return fault_set(f, FAULT_BAD, "'%s' cannot be '%.60s'; write it like %s", s->name,
                     value, units == size_units ? "500M or 2G" : "30m, 12h or 14d");
}

static enum result
read_number(const struct setting *s, const char *value, uint64_t *out, struct fault *f)
{
    uint64_t n;
    if (span_to_u64(span_str(value), &n) != R_OK || n > UINT32_MAX)
        return fault_set(f, FAULT_BAD, "'%s' cannot be '%.60s'; use a whole number",
                         s->name, value);
    *out = n;
    return R_OK;
}

static enum result
read_list(struct config *c, const char **values, size_t n, struct config_list *out,
          struct fault *f)
{
    if (n > LIMIT_config_list)
        return fault_set(f, FAULT_LIMIT, "a list may have %d entries", LIMIT_config_list);
    struct config_list list = {arena_array(c->arena, n + 1, sizeof *list.items), n};
    for (size_t i = 0; i < n; i++)
        list.items[i] = arena_cstr(c->arena, span_str(values[i]));
    *out = list;
    return R_OK;
}

const char *
setting_short_path(const char *path)
{
    size_t n = strlen(path);
    return n > PATH_SHOWN ? path + n - PATH_SHOWN : path;
}

enum result
setting_read(const struct setting *s, struct config *c, const char **values, size_t n,
             struct fault *f)
{
    for (size_t i = 0; i < n; i++)
        if (!utf8_valid(span_str(values[i])))
            return fault_set(f, FAULT_BAD, "'%s' is not UTF-8", s->name);
    if (s->kind == SETTING_LIST)
        return read_list(c, values, n, member(s, c), f);
    if (n != 1)
        return fault_set(f, FAULT_BAD, "'%s' takes one value", s->name);
    const char *value = arena_cstr(c->arena, span_str(values[0]));
    switch (s->kind) {
    case SETTING_CHOICE:
        return read_choice(s, value, member(s, c), f);
    case SETTING_BOOL:
        return read_bool(s, value, member(s, c), f);
    case SETTING_SWITCH:
        return read_switch(s, value, member(s, c), f);
    case SETTING_NUMBER:
        return read_number(s, value, member(s, c), f);
    case SETTING_SIZE:
        return read_units(s, value, size_units, member(s, c), f);
    case SETTING_TIME:
        return read_units(s, value, time_units, member(s, c), f);
    case SETTING_TEXT:
    case SETTING_LIST:
        break;
    }
    if (strlen(value) > LIMIT_config_text)
        return fault_set(f, FAULT_BAD, "'%s' may have %d octets", s->name,
                         LIMIT_config_text);
    *(const char **)member(s, c) = value;
    return R_OK;
}

// The default of a list is words separated by spaces.
static enum result
default_list(const struct setting *s, struct config *c, struct fault *f)
{
    const char *items[8];
    size_t n = 0;
    struct span rest = s->normal[0] ? span_str(s->normal) : SPAN_NONE, word;
    while (n < 8 && span_next_field(&rest, ' ', &word) == R_OK)
        items[n++] = arena_cstr(c->arena, word);
    return setting_read(s, c, items, n, f);
}

enum result
setting_defaults(struct config *c, struct fault *f)
{
    for (size_t i = 0; i < settings_count; i++) {
        const struct setting *s = &settings[i];
        enum result r = s->kind == SETTING_LIST
                            ? default_list(s, c, f)
                            : setting_read(s, c, (const char *[]){s->normal}, 1, f);
        if (r != R_OK)
            return R_FAIL;
    }
    return R_OK;
}

static void
write_quoted(struct buf *b, const char *value)
{
    buf_put_char(b, '"');
    for (; *value; value++) {
        if (*value == '"' || *value == '\\' || *value == '$')
            buf_put_char(b, '\\');
        buf_put_char(b, *value);
    }
    buf_put_char(b, '"');
}

static void
write_list(struct buf *b, const struct config_list *list)
{
    buf_put_str(b, "{");
    for (size_t i = 0; i < list->n; i++) {
        buf_put_str(b, i ? ", " : " ");
        write_quoted(b, list->items[i]);
    }
    buf_put_str(b, " }");
}

static void
write_units(struct buf *b, uint64_t value, const struct unit *units)
{
    const struct unit *best = NULL;
    for (const struct unit *u = units; u->letter != 0; u++)
        if (value != 0 && value % u->factor == 0 &&
            (best == NULL || u->factor > best->factor))
            best = u;
    buf_put_char(b, '"');
    buf_put_u64(b, best ? value / best->factor : value);
    if (best)
        buf_put_char(b, best->letter);
    buf_put_char(b, '"');
}

static void
write_switch(struct buf *b, const char *value)
{
    if (is_yes(span_str(value)) || is_no(span_str(value)))
        buf_put_str(b, value);
    else
        write_quoted(b, value);
}

void
setting_write(const struct setting *s, const struct config *c, struct buf *b)
{
    const void *m = member(s, c);
    switch (s->kind) {
    case SETTING_TEXT:
    case SETTING_CHOICE:
        write_quoted(b, *(const char *const *)m);
        break;
    case SETTING_SWITCH:
        write_switch(b, *(const char *const *)m);
        break;
    case SETTING_LIST:
        write_list(b, m);
        break;
    case SETTING_BOOL:
        buf_put_str(b, *(const bool *)m ? "true" : "false");
        break;
    case SETTING_NUMBER:
        buf_put_u64(b, *(const uint64_t *)m);
        break;
    case SETTING_SIZE:
        write_units(b, *(const uint64_t *)m, size_units);
        break;
    case SETTING_TIME:
        write_units(b, *(const uint64_t *)m, time_units);
        break;
    }
}
