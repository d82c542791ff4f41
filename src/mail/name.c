#include "mail/user.h"

#include "base/limits.h"
#include "base/utf8.h"
#include "mail/name.h"

#include <unicode/unorm2.h>
#include <unicode/ustring.h>

static bool
level_good(struct span level)
{
    return level.n > 0 && !span_eq(level, SPAN(".")) && !span_eq(level, SPAN(".."));
}

// RFC 5198 section 2: no controls, no line or paragraph separators, no byte order mark in front.
bool
name_is_net_unicode(struct span name)
{
    return utf8_is_line(name) && !span_starts(name, SPAN("\xef\xbb\xbf"));
}

enum result
mail_name_check(struct arena *a, struct span name, struct span *clean_out, struct fault *f)
{
    if (name.n > 1 && name.p[name.n - 1] == '/')
        name.n--;
    if (name.n == 0 || name.n > LIMIT_mailbox_name)
        return fault_set(f, FAULT_CANNOT, "mailbox name is empty or too long");
    if (!name_is_net_unicode(name))
        return fault_set(f, FAULT_CANNOT,
                         "mailbox name has control characters or is not UTF-8");
    name = name_compose(a, name);
    if (name.n > LIMIT_mailbox_name)
        return fault_set(f, FAULT_CANNOT, "mailbox name is too long in NFC");
    struct span rest = name, level;
    unsigned depth = 0;
    while (span_next_field(&rest, '/', &level) == R_OK)
        if (!level_good(level))
            return fault_set(f, FAULT_CANNOT,
                             "mailbox name has an empty level, \".\" or \"..\"");
        else if (++depth > LIMIT_mailbox_depth)
            return fault_set(f, FAULT_LIMIT, "mailbox name has too many levels");
    *clean_out = arena_dup(a, name);
    return R_OK;
}

struct span
name_compose(struct arena *a, struct span name)
{
    UErrorCode e = U_ZERO_ERROR;
    int32_t n = 0, composed = 0, out = 0;
    if (ascii_only(name))
        return name;
    int32_t room = (int32_t)name.n * 3 + 1;
    UChar *wide = arena_array(a, (size_t)room, sizeof *wide);
    UChar *nfc = arena_array(a, (size_t)room, sizeof *nfc);
    u_strFromUTF8(wide, room, &n, name.p, (int32_t)name.n, &e);
    const UNormalizer2 *nf = unorm2_getNFCInstance(&e);
    if (U_SUCCESS(e))
        composed = unorm2_normalize(nf, wide, n, nfc, room, &e);
    char *text = arena_alloc(a, (size_t)room * 3);
    u_strToUTF8(text, room * 3, &out, nfc, composed, &e);
    return U_SUCCESS(e) ? span_of(text, (size_t)out) : name;
}

bool
name_is_inbox(struct span name)
{
    return span_ieq(name, SPAN("INBOX"));
}
