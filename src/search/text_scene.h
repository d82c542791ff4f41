#ifndef SEARCH_TEXT_SCENE_H
#define SEARCH_TEXT_SCENE_H

// What the tests of the text index share. For tests only; behind cmocka.h.

#include "search/text_index.h"

enum { ACCOUNT = 7 };

static inline void
must_ok(enum result r, const struct fault *f)
{
    if (r != R_OK)
        fail_msg("%d %s", r, f->why);
}

static inline struct text_index *
open_index(struct store *s)
{
    struct text_index *ti;
    struct fault f;
    must_ok(text_index_open(s, ACCOUNT, &ti, &f), &f);
    return ti;
}

#endif
