#ifndef MAIL_MARKS_H
#define MAIL_MARKS_H

// Marks are the keywords that the server itself sets when a message comes in; which ones is a setting.

#include "base/span.h"

enum mark_bit {
#define MARK(id, keyword) MARK_BIT_##id,
#include "mail/marks.def"
#undef MARK
    MARKS
};
enum mark {
#define MARK(id, keyword) MARK_##id = 1 << MARK_BIT_##id,
#include "mail/marks.def"
#undef MARK
};

// The keyword of a bit.
static inline struct span
mark_keyword(unsigned bit)
{
    static const struct span keywords[] = {
#define MARK(id, keyword) SPAN(keyword),
#include "mail/marks.def"
#undef MARK
    };
    return keywords[bit];
}

// The mark of a keyword, with or without its '$'; 0 when it is none.
static inline unsigned
mark_from(struct span word)
{
    for (unsigned i = 0; i < MARKS; i++)
        if (span_ieq(word, mark_keyword(i)) ||
            span_ieq(word, span_skip(mark_keyword(i), 1)))
            return 1u << i;
    return 0;
}

#endif
