#include "imap/language.h"

#include "base/limits.h"

static const struct language_text texts[] =
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

// Texts

const char *
imap_text(enum language l, const char *english)
{
    return language_text(l, texts, sizeof texts / sizeof texts[0], english);
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
imap_text_put(struct buf *b, enum language l, const char *english)
{
    size_t head = head_size(english);

    buf_put(b, span_of(english, head));
    buf_put_str(b, imap_text(l, english + head));
    if (buf_reserve(b, 1))
        b->p[b->n] = '\0';
}

struct span
imap_prefix_text(enum language l, struct span prefix)
{
    for (size_t i = 0; l == LANGUAGE_DE && i < sizeof prefixes / sizeof prefixes[0]; i++)
        if (span_eq(prefix, span_str(prefixes[i].english)))
            return span_str(prefixes[i].german);
    return SPAN_NONE;
}

// Languages

struct imap_language_wish
imap_language_parse(struct parse *p)
{
    struct imap_language_wish wish = {.lists = parse_at_end(p)};
    bool any = false;

    while (!p->bad && !parse_at_end(p)) {
        parse_sp(p);
        struct span range = parse_astring(p);
        if (!p->bad && !language_is_range(range))
            parse_fail(p, "no language range");
        if (p->bad || wish.found)
            continue;
        // "default" is what the administrator prefers, "*" what is there: both are i-default here
        any = any || span_eq(range, SPAN("*"));
        wish.found =
            span_ieq(range, SPAN("default")) || language_find(range, &wish.language);
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
        buf_put_str(b, language_tag((enum language)i));
    }
    buf_put_char(b, ')');
}
