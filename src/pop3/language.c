#include "pop3/language.h"

static const struct language_text texts[] = {
#define TEXT(english, german) {english, german},
#include "pop3/texts.def"
#undef TEXT
};

static const char *const names[LANGUAGES] = {"English", "English", "Deutsch"};

const char *
pop3_text(enum language l, const char *english)
{
    return language_text(l, texts, sizeof texts / sizeof texts[0], english);
}

void
pop3_reply_put(struct buf *b, enum language l, bool ok, const char *code,
               const char *english)
{
    buf_put_str(b, ok ? "+OK " : "-ERR ");
    if (code[0] != '\0')
        buf_printf(b, "[%s] ", code);
    buf_put_str(b, pop3_text(l, english));
    buf_put_str(b, "\r\n");
}

static void
list(struct buf *b, enum language l)
{
    pop3_reply_put(b, l, true, "", "These languages are spoken");
    for (size_t i = 0; i < LANGUAGES; i++)
        buf_printf(b, "%s %s\r\n", language_tag((enum language)i), names[i]);
    buf_put_str(b, ".\r\n");
}

void
pop3_language_run(struct buf *b, struct span argument, enum language *now)
{
    enum language wish = LANGUAGE_DEFAULT;
    if (argument.n == 0) {
        list(b, *now);
    } else if (span_eq(argument, SPAN("*")) ||
               (language_is_range(argument) && language_find(argument, &wish))) {
        *now = wish;
        buf_printf(b, "+OK %s %s\r\n", language_tag(wish),
                   pop3_text(wish, "Now speaking English"));
    } else {
        pop3_reply_put(b, *now, false, "", "This language is not spoken");
    }
}
