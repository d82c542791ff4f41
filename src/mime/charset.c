#include "mime/charset.h"

#include <unicode/ucnv.h>

#include "mime/single_byte.h"
#include "mime/utf8.h"

enum { LABEL_SIZE = 64, PIVOT_SIZE = 512, CHUNK = 512 };

struct mime_charset {
    const struct mime_single_byte *single;  // NULL: not by a table
    UConverter *from, *to;                  // both NULL: the text is UTF-8
    struct mime_utf8 utf8;
    UChar pivot[PIVOT_SIZE], *pivot_from, *pivot_to;
};

// Labels of the wild that ICU does not know, or knows as something narrower than what mailers send.
static const struct {
    const char *label, *name;
} aliases[] = {
    {"us-ascii", ""},
    {"ascii", ""},
    {"ansi_x3.4-1968", ""},
    {"utf-8", ""},
    {"utf8", ""},
    {"utf-8mb4", ""},
    {"unicode-1-1-utf-8", ""},
    {"unicode-1-1-utf-7", "utf-7"},
    {"iso-8859-1", "windows-1252"},
    {"iso8859-1", "windows-1252"},
    {"iso_8859-1", "windows-1252"},
    {"latin1", "windows-1252"},
    {"ansi", "windows-1252"},
    {"x-ansi", "windows-1252"},
    {"cp1252", "windows-1252"},
    {"iso-8859-8-i", "iso-8859-8"},
    {"iso-8859-8-e", "iso-8859-8"},
    {"iso-8859-6-i", "iso-8859-6"},
    {"iso-8859-11", "windows-874"},
    {"tis-620", "windows-874"},
    {"gb2312", "gb18030"},
    {"gb_2312-80", "gb18030"},
    {"gbk", "gb18030"},
    {"x-gbk", "gb18030"},
    {"cn-gb", "gb18030"},
    {"chinesebig5", "big5"},
    {"cn-big5", "big5"},
    {"big5-hkscs", "big5-hkscs"},
    {"ks_c_5601-1987", "windows-949"},
    {"ks_c_5601", "windows-949"},
    {"ksc5601", "windows-949"},
    {"ksc_5601", "windows-949"},
    {"euc-kr", "windows-949"},
    {"euckr", "windows-949"},
    {"x-windows-949", "windows-949"},
    {"shift_jis", "windows-31j"},
    {"shift-jis", "windows-31j"},
    {"x-sjis", "windows-31j"},
    {"sjis", "windows-31j"},
    {"x-euc-jp", "euc-jp"},
    {"iso-2022-jp-ms", "iso-2022-jp"},
    {"x-koi8-r", "koi8-r"},
    {"x-mac-roman", "macintosh"},
    {"x-macroman", "macintosh"},
    {"x-windows-1251", "windows-1251"},
    {"win-1251", "windows-1251"},
};

// What mailers write where they do not know; read as UTF-8.
static const char *const unknown[] = {
    "unknown-8bit", "x-unknown",      "unknown", "default", "default_charset",
    "_autodetect",  "x-user-defined", "binary",  "8bit",
};

static bool
is_unknown(const char *label)
{
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
        if (strcmp(unknown[i], label) == 0)
            return true;
    return false;
}

// The ICU name for a label; "" for UTF-8. Only names that ICU lists are ever opened, so that no
// label reaches the file system.
static bool
find_name(struct span label, const char **name_out, char copy[LABEL_SIZE])
{
    UErrorCode error = U_ZERO_ERROR;

    label = span_trim(label);
    while (label.n > 0 && (*label.p == '"' || *label.p == '\''))
        label = span_skip(label, 1);
    while (label.n > 0 && (label.p[label.n - 1] == '"' || label.p[label.n - 1] == '\''))
        label.n--;
    if (label.n >= LABEL_SIZE || (label.n > 0 && memchr(label.p, '\0', label.n)))
        return false;
    for (size_t i = 0; i < label.n; i++)
        copy[i] = ascii_lower(label.p[i]);
    copy[label.n] = '\0';
    *name_out = is_unknown(copy) ? "" : copy;
    if (**name_out == '\0')
        return true;
    for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++) {
        if (strcmp(aliases[i].label, copy) == 0) {
            *name_out = aliases[i].name;
            return true;
        }
    }
    return ucnv_countAliases(copy, &error) > 0 && U_SUCCESS(error) &&
           !strpbrk(copy, ",/\\");
}

bool
mime_charset_known(struct span label)
{
    char copy[LABEL_SIZE];
    const char *name;

    return find_name(label, &name, copy);
}

bool
mime_charset_named(struct span label)
{
    char copy[LABEL_SIZE];
    const char *name;

    return find_name(label, &name, copy) && *copy != '\0' && !is_unknown(copy);
}

static void
open_converters(struct mime_charset *c, const char *name)
{
    UErrorCode error = U_ZERO_ERROR;

    c->pivot_from = c->pivot_to = c->pivot;
    if (*name == '\0' || (c->single = mime_single_byte_find(name)) != NULL)
        return;
    c->from = ucnv_open(name, &error);
    if (U_SUCCESS(error))
        c->to = ucnv_open("UTF-8", &error);
    if (U_FAILURE(error)) {
        ucnv_close(c->from);
        c->from = NULL;
    }
}

enum result
mime_charset_open(struct span label, struct mime_charset **out)
{
    char copy[LABEL_SIZE];
    const char *name;

    if (!find_name(label, &name, copy))
        return R_NONE;
    struct mime_charset *c = calloc(1, sizeof(*c));
    must(c != NULL);
    open_converters(c, name);
    if (*name != '\0' && !c->single && !c->from) {
        mime_charset_free(&c);
        return R_NONE;
    }
    *out = c;
    return R_OK;
}

void
mime_charset_free(struct mime_charset **c)
{
    if (!*c)
        return;
    ucnv_close((*c)->from);
    ucnv_close((*c)->to);
    free(*c);
    *c = NULL;
}

static void
convert(struct mime_charset *c, struct span in, bool flush, struct buf *out)
{
    const char *p = in.p ? in.p : "", *end = p + in.n;
    UErrorCode error;

    do {
        char chunk[CHUNK], *to = chunk;
        error = U_ZERO_ERROR;
        ucnv_convertEx(c->to, c->from, &to, chunk + CHUNK, &p, end, c->pivot,
                       &c->pivot_from, &c->pivot_to, c->pivot + PIVOT_SIZE, false, flush,
                       &error);
        buf_put(out, span_of(chunk, (size_t)(to - chunk)));
    } while (error == U_BUFFER_OVERFLOW_ERROR);
    if (flush) {
        ucnv_reset(c->from);
        ucnv_reset(c->to);
        c->pivot_from = c->pivot_to = c->pivot;
    }
}

void
mime_charset_feed(struct mime_charset *c, struct span in, struct buf *out)
{
    if (c->single)
        mime_single_byte_put(c->single, in, out);
    else if (c->from)
        convert(c, in, false, out);
    else
        mime_utf8_feed(&c->utf8, in, out);
}

static bool
stays(const struct mime_charset *c, struct span in)
{
    if (c->single)
        return mime_single_byte_is_ascii(c->single) && mime_ascii_run(in) == in.n;
    return !c->from && c->utf8.n == 0 && mime_utf8_valid(in);
}

struct span
mime_charset_view(struct mime_charset *c, struct span in, struct buf *room)
{
    if (stays(c, in))
        return in;
    mime_charset_feed(c, in, room);
    return buf_span(room);
}

void
mime_charset_end(struct mime_charset *c, struct buf *out)
{
    if (c->from)
        convert(c, SPAN_NONE, true, out);
    else
        mime_utf8_end(&c->utf8, out);
}

enum result
mime_charset_to_utf8(struct span label, struct span in, struct buf *out, struct fault *f)
{
    struct mime_charset *c;

    if (mime_charset_open(label, &c) != R_OK)
        return fault_set(f, FAULT_BADCHARSET, "unknown charset %.*s",
                         (int)(label.n < 40 ? label.n : 40), label.p);
    mime_charset_feed(c, in, out);
    mime_charset_end(c, out);
    mime_charset_free(&c);
    return R_OK;
}

void
mime_utf8_clean(struct buf *out, struct span in)
{
    struct mime_utf8 state = {0};

    mime_utf8_feed(&state, in, out);
    mime_utf8_end(&state, out);
}
