#include "mime/needle.h"

#include "base/limits.h"
#include "mime/utf8.h"

struct mime_needle
mime_needle_of(struct span folded, enum collation collation)
{
    return (struct mime_needle){.finder = mime_finder_of(folded),
                                .collation = collation,
                                .ascii = mime_ascii_run(folded) == folded.n};
}

static bool
is_in_folded(const struct mime_needle *needle, struct span utf8)
{
    struct buf b;
    buf_init(&b, LIMIT_record_meta);
    mime_fold_as(&b, needle->collation, utf8);
    bool hit = b.n > 0 && mime_finder_in(&needle->finder, buf_span(&b));
    buf_done(&b);
    return hit;
}

// Nothing is folded where ASCII is looked for and stands for itself.
bool
mime_needle_in(const struct mime_needle *needle, struct span utf8)
{
    if (needle->collation == COLLATION_OCTET || needle->finder.needle.n == 0)
        return is_in_folded(needle, utf8);
    if (mime_ascii_run(utf8) == utf8.n)
        return needle->ascii && mime_finder_in_any_case(&needle->finder, utf8);
    if (needle->ascii && mime_fold_is_apart(needle->collation, utf8))
        return mime_finder_in_any_case(&needle->finder, utf8);
    return is_in_folded(needle, utf8);
}
