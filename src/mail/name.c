#include "mail/user.h"

#include "base/limits.h"
#include "mail/name.h"

#include <unicode/unorm2.h>
#include <unicode/ustring.h>

static bool
level_good(struct span level)
{
    return level.n > 0 && !span_eq(level, SPAN(".")) && !span_eq(level, SPAN(".."));
}

static bool
octets_good(struct span name)
{
    for (size_t i = 0; i < name.n; i++)
        if ((unsigned char)name.p[i] < 0x20 || name.p[i] == 0x7f)
            return false;
    return true;
}

static bool
utf8_good(struct span s)
{
    UErrorCode e = U_ZERO_ERROR;
    int32_t n;
    u_strFromUTF8(NULL, 0, &n, s.p, (int32_t)s.n, &e);
    return e == U_BUFFER_OVERFLOW_ERROR || U_SUCCESS(e);
}

enum result
mail_name_check(struct arena *a, struct span name, struct span *clean_out, struct fault *f)
{
    if (name.n > 1 && name.p[name.n - 1] == '/')
        name.n--;
    if (name.n == 0 || name.n > LIMIT_mailbox_name)
        return fault_set(f, FAULT_CANNOT, "mailbox name is empty or too long");
    if (!octets_good(name) || !utf8_good(name))
        return fault_set(f, FAULT_CANNOT,
                         "mailbox name has control characters or is not UTF-8");
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

static bool
is_ascii(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] >= 0x80)
            return false;
    return true;
}

struct span
name_compose(struct arena *a, struct span name)
{
    UErrorCode e = U_ZERO_ERROR;
    int32_t n = 0, composed = 0, out = 0;
    if (is_ascii(name))
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
name_same(struct span a, struct span b)
{
    if (is_ascii(a) || is_ascii(b))
        return span_eq(a, b);
    struct arena *arena = arena_new();
    bool same = span_eq(name_compose(arena, a), name_compose(arena, b));
    arena_free(&arena);
    return same;
}

bool
name_is_inbox(struct span name)
{
    return span_ieq(name, SPAN("INBOX"));
}

struct mailbox_state *
name_find_level(struct state *s, uint64_t parent, struct span level)
{
    bool inbox = parent == 0 && name_is_inbox(level);
    for (uint32_t i = 0; i < s->mailbox_count; i++) {
        struct mailbox_state *m = s->mailboxes[i];
        if (m->parent != parent)
            continue;
        if (inbox ? name_is_inbox(m->name) : name_same(m->name, level))
            return m;
    }
    return NULL;
}

struct mailbox_state *
name_find(struct state *s, struct span name)
{
    struct mailbox_state *m = NULL;
    struct span rest = name, level;
    while (span_next_field(&rest, '/', &level) == R_OK) {
        m = name_find_level(s, m ? m->id : 0, level);
        if (!m)
            return NULL;
    }
    return m;
}

struct span
name_full(struct arena *a, struct state *s, const struct mailbox_state *m)
{
    struct span levels[LIMIT_mailbox_depth + 1];
    size_t n = 0, size = 0;
    for (; m && n <= LIMIT_mailbox_depth;
         m = m->parent ? state_mailbox(s, m->parent) : NULL) {
        levels[n++] = m->name;
        size += m->name.n + 1;
    }
    char *p = arena_alloc(a, size), *at = p;
    while (n > 0) {
        struct span level = levels[--n];
        memcpy(at, level.p, level.n);
        at += level.n;
        if (n > 0)
            *at++ = '/';
    }
    return span_of(p, (size_t)(at - p));
}

bool
name_has_children(const struct state *s, uint64_t id)
{
    for (uint32_t i = 0; i < s->mailbox_count; i++)
        if (s->mailboxes[i]->parent == id)
            return true;
    return false;
}
