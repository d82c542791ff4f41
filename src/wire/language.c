#include "wire/language.h"

static const char *const tags[] = {
    [LANGUAGE_DEFAULT] = "i-default", [LANGUAGE_EN] = "en", [LANGUAGE_DE] = "de"};

const char *
language_tag(enum language l)
{
    return tags[l];
}

// 1*8ALPHA *("-" 1*8alphanum), or "*" for a subtag.
bool
language_is_range(struct span range)
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

// Without its last subtag, and without a single letter that is the last then.
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

bool
language_find(struct span range, enum language *out)
{
    for (; range.n > 0; range = shorter(range)) {
        for (size_t i = 0; i < LANGUAGES; i++) {
            if (span_ieq(range, span_str(tags[i]))) {
                *out = (enum language)i;
                return true;
            }
        }
    }
    return false;
}

const char *
language_text(enum language l, const struct language_text *texts, size_t n,
              const char *english)
{
    if (l != LANGUAGE_DE)
        return english;
    for (size_t i = 0; i < n; i++)
        if (strcmp(texts[i].english, english) == 0)
            return texts[i].german;
    return english;
}
