#include "auth/lookup.h"

struct address {
    struct span local, base, detail, domain;  // base: local without +detail
};

static struct address
split(struct span s)
{
    size_t at = span_behind_last(s, '@');
    struct address a = {.local = at > 0 ? span_slice(s, 0, at - 1) : s};
    a.domain = at > 0 ? span_skip(s, at) : SPAN("");
    size_t plus = span_find_char(a.local, '+');
    a.base = plus > 0 ? span_slice(a.local, 0, plus) : a.local;
    a.detail = plus > 0 ? span_skip(a.local, plus + 1) : SPAN("");
    return a;
}

static bool
is_ours(const struct lookup_rules *rules, struct span domain)
{
    struct span rest = rules->domains, word;
    bool any = true;
    while (span_next_field(&rest, ' ', &word) == R_OK) {
        if (word.n > 0 && span_ieq(word, domain))
            return true;
        any = any && word.n == 0;
    }
    return any || domain.n == 0;
}

static enum result
find(struct userdb *db, struct span local, struct span domain, struct user *out,
     struct fault *f)
{
    struct name name;
    struct fault refused;
    struct buf text;
    buf_init(&text, LIMIT_user_name);
    buf_put(&text, local);
    if (domain.n > 0) {
        buf_put_char(&text, '@');
        buf_put(&text, domain);
    }
    enum result r = text.over || name_of(buf_span(&text), &name, &refused) ? R_NONE : R_OK;
    buf_done(&text);
    if (r == R_OK)
        r = userdb_find(db, name_span(&name), out, f);
    return r == R_OK && out->disabled ? R_NONE : r;
}

enum result
lookup_recipient(struct userdb *db, const struct lookup_rules *rules, struct span address,
                 struct user *out, struct span *detail_out, struct fault *f)
{
    struct address a = split(address);
    bool ours = is_ours(rules, a.domain);
    const struct {
        bool tried;
        struct span local, domain, detail;
    } ways[] = {
        {true, a.local, a.domain, SPAN("")},
        {a.base.n < a.local.n, a.base, a.domain, a.detail},
        {ours && a.domain.n > 0, a.local, SPAN(""), SPAN("")},
        {ours && a.domain.n > 0 && a.base.n < a.local.n, a.base, SPAN(""), a.detail},
    };
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        enum result r =
            ways[i].tried ? find(db, ways[i].local, ways[i].domain, out, f) : R_NONE;
        if (r == R_OK)
            *detail_out = ways[i].detail;
        if (r != R_NONE)
            return r;
    }
    return R_NONE;
}
