#include "imap/language.h"

#include "base/limits.h"

static const char *const tags[] = {
    [LANGUAGE_DEFAULT] = "i-default", [LANGUAGE_EN] = "en", [LANGUAGE_DE] = "de"};

static const struct {
    const char *english, *german;
} texts[] =
    {
#define TEXT(english, german) {english, german},
#define PREFIX(english, german)
#include "imap/texts.def"
#undef TEXT
#undef PREFIX
},
  prefixes[] = {
#define TEXT(english, german)
#define PREFIX(english, german) {english, german},
#include "imap/texts.def"
#undef TEXT
#undef PREFIX
};

const char *
imap_language_tag(enum imap_language l)
{
    return tags[l];
}

// Texts

const char *
imap_text(enum imap_language l, const char *english)
{
    if (l != LANGUAGE_DE)
        return english;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (strcmp(texts[i].english, english) == 0)
            return texts[i].german;
    return english;
}

// What stands before the text: the word of a status response, and a code.
static size_t
head_size(const char *line)
{
    static const char *const words[] = {"OK ", "NO ", "BAD ", "BYE "};
    size_t n = 0;

    for (size_t i = 0; n == 0 && i < sizeof words / sizeof words[0]; i++)
        if (strncmp(line, words[i], strlen(words[i])) == 0)
            n = strlen(words[i]);
    const char *end = line[n] == '[' ? strstr(line + n, "] ") : NULL;
    return end ? (size_t)(end - line) + 2 : n;
}

void
imap_text_put(struct buf *b, enum imap_language l, const char *english)
{
    size_t head = head_size(english);

    buf_put(b, span_of(english, head));
    buf_put_str(b, imap_text(l, english + head));
    if (buf_reserve(b, 1))
        b->p[b->n] = '\0';
}

struct span
imap_prefix_text(enum imap_language l, struct span prefix)
{
    for (size_t i = 0; l == LANGUAGE_DE && i < sizeof prefixes / sizeof prefixes[0]; i++)
        if (span_eq(prefix, span_str(prefixes[i].english)))
            return span_str(prefixes[i].german);
    return SPAN_NONE;
}

// Languages

// language-range (RFC 4647 sections 2.1 and 2.2): 1*8ALPHA *("-" 1*8alphanum), or "*" for a subtag.
static bool
is_range(struct span range)
{
    struct span rest = range, subtag;

    for (bool first = true; span_next_field(&rest, '-', &subtag) == R_OK; first = false) {
        if (subtag.n == 0 || subtag.n > 8)
            return false;
        for (size_t i = 0; i < subtag.n && !span_eq(subtag, SPAN("*")); i++)
            if (!ascii_is_alpha(subtag.p[i]) && (first || !ascii_is_digit(subtag.p[i])))
                return false;
    }
    return range.n > 0 && range.p[range.n - 1] != '-';
}

// Without its last subtag, and without a single letter that is the last then (RFC 4647 section 3.4).
static struct span
shorter(struct span range)
{
    size_t n = range.n;

    while (n > 0 && range.p[n - 1] != '-')
        n--;
    n = n > 0 ? n - 1 : 0;
    return n >= 2 && range.p[n - 2] == '-' ? span_slice(range, 0, n - 2)
                                           : span_slice(range, 0, n);
}

// "Lookup" of RFC 4647 section 3.4: DE-IT gets de.
static bool
look_up(struct span range, enum imap_language *out)
{
    for (; range.n > 0; range = shorter(range)) {
        for (size_t i = 0; i < LANGUAGES; i++) {
            if (span_ieq(range, span_str(tags[i]))) {
                *out = (enum imap_language)i;
                return true;
            }
        }
    }
    return false;
}

struct imap_language_wish
imap_language_parse(struct parse *p)
{
    struct imap_language_wish wish = {.lists = parse_at_end(p)};
    bool any = false;

    while (!p->bad && !parse_at_end(p)) {
        parse_sp(p);
        struct span range = parse_astring(p);
        if (!p->bad && !is_range(range))
            parse_fail(p, "no language range");
        if (p->bad || wish.found)
            continue;
        // "default" is what the administrator prefers, "*" what is there: both are i-default here
        any = any || span_eq(range, SPAN("*"));
        wish.found = span_ieq(range, SPAN("default")) || look_up(range, &wish.language);
    }
    wish.found = wish.found || any;
    return wish;
}

void
imap_language_list(struct buf *b)
{
    buf_put_str(b, "* LANGUAGE (");
    for (size_t i = 0; i < LANGUAGES; i++) {
        buf_put_str(b, i > 0 ? " " : "");
        buf_put_str(b, tags[i]);
    }
    buf_put_char(b, ')');
}
