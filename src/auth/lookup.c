#include "auth/lookup.h"
#include "auth/userdb_inside.h"

struct address {
    struct span local, base, detail, domain;  // base: local without +detail
};

static size_t
base_of(const struct lookup_rules *rules, struct span local)
{
    for (size_t i = 1; i < local.n; i++)
        if (span_find_char(rules->delimiters, local.p[i]) < rules->delimiters.n)
            return i;
    return local.n;
}

static struct address
split(const struct lookup_rules *rules, struct span s)
{
    struct address a = {.local = address_local(s), .domain = address_domain(s)};
    size_t base = base_of(rules, a.local);
    a.base = span_slice(a.local, 0, base);
    a.detail = base < a.local.n ? span_skip(a.local, base + 1) : SPAN("");
    if (a.detail.n > LIMIT_address_detail)
        a.detail = SPAN("");
    return a;
}

bool
lookup_is_listed(const struct lookup_rules *rules, struct span domain, bool *first_out)
{
    struct span rest = rules->domains, word;
    *first_out = true;
    while (span_next_field(&rest, ' ', &word) == R_OK) {
        if (word.n > 0 && span_ieq(word, domain))
            return true;
        *first_out &= word.n == 0;
    }
    return false;
}

bool
lookup_is_ours(const struct lookup_rules *rules, struct span domain)
{
    bool none;
    return lookup_is_listed(rules, domain, &none) || none || domain.n == 0;
}

enum result
lookup_join(struct span local, struct span domain, struct name *out)
{
    struct fault refused;
    struct buf text;
    buf_init(&text, LIMIT_user_name);
    buf_put(&text, local);
    if (domain.n > 0) {
        buf_put_char(&text, '@');
        buf_put(&text, domain);
    }
    enum result r = text.over || name_of(buf_span(&text), out, &refused) ? R_NONE : R_OK;
    buf_done(&text);
    return r;
}

static enum result
find_user(struct userdb *db, const struct lookup_rules *rules, struct span name,
          struct user *out, struct fault *f)
{
    return rules->find ? rules->find(rules->arg, name, out, f)
                       : userdb_find(db, name, out, f);
}

static enum result
has_entry(struct userdb *db, struct span address, struct fault *f)
{
    uint64_t n = 0;
    userdb_bind_text(db, SQL_ADDRESS_COUNT, 1, address);
    if (userdb_read_count(db, SQL_ADDRESS_COUNT, &n, f))
        return R_FAIL;
    return n > 0 ? R_OK : R_NONE;
}

struct seeking {
    struct userdb *db;
    const struct lookup_rules *rules;
    bool entries;  // the table counts
};

static enum result
try_name(const struct seeking *s, struct span local, struct span domain,
         struct lookup_found *out, struct fault *f)
{
    struct name name;
    if (lookup_join(local, domain, &name))
        return R_NONE;
    enum result r = find_user(s->db, s->rules, name_span(&name), &out->user, f);
    if (r == R_OK)
        out->kind = out->user.disabled ? LOOKUP_DISABLED : LOOKUP_USER;
    if (r != R_NONE || !s->entries)
        return r;
    out->kind = LOOKUP_ALIAS;
    out->entry = name;
    return has_entry(s->db, name_span(&name), f);
}

static enum result
try_names(const struct seeking *s, const struct address *a, struct lookup_found *out,
          struct fault *f)
{
    bool bare = a->domain.n > 0 && lookup_is_ours(s->rules, a->domain);
    const struct {
        bool tried;
        struct span local, domain, detail;
    } ways[] = {
        {true, a->local, a->domain, SPAN("")},
        {bare, a->local, SPAN(""), SPAN("")},
        {a->base.n < a->local.n, a->base, a->domain, a->detail},
        {bare && a->base.n < a->local.n, a->base, SPAN(""), a->detail},
    };
    for (size_t i = 0; a->local.n > 0 && i < sizeof ways / sizeof ways[0]; i++) {
        enum result r =
            ways[i].tried ? try_name(s, ways[i].local, ways[i].domain, out, f) : R_NONE;
        if (r == R_OK)
            out->detail = ways[i].detail;
        if (r != R_NONE)
            return r;
    }
    return R_NONE;
}

// "@x.org": of what is not found otherwise.
static enum result
try_domain(const struct seeking *s, const struct address *a, struct lookup_found *out,
           struct fault *f)
{
    if (a->domain.n == 0 || a->local.n == 0 ||
        lookup_join(SPAN(""), a->domain, &out->entry))
        return R_NONE;
    out->kind = LOOKUP_DOMAIN;
    return has_entry(s->db, name_span(&out->entry), f);
}

enum result
lookup_domain(struct userdb *db, const struct lookup_rules *rules, struct span domain,
              struct fault *f)
{
    struct name entry;
    bool first;
    if (domain.n == 0 || lookup_is_listed(rules, domain, &first))
        return R_OK;
    if (lookup_join(SPAN(""), domain, &entry))
        return R_NONE;
    return has_entry(db, name_span(&entry), f);
}

enum result
lookup_address(struct userdb *db, const struct lookup_rules *rules, struct span address,
               struct lookup_found *out, struct fault *f)
{
    struct seeking s = {db, rules, true};
    struct address a = split(rules, address);
    memset(out, 0, sizeof *out);
    enum result r = try_names(&s, &a, out, f);
    if (r == R_NONE)
        r = try_domain(&s, &a, out, f);
    if (r != R_NONE)
        return r;
    r = lookup_domain(db, rules, a.domain, f);
    out->kind = r == R_OK ? LOOKUP_UNKNOWN : LOOKUP_REMOTE;
    return r == R_FAIL ? R_FAIL : R_OK;
}

enum result
lookup_recipient(struct userdb *db, const struct lookup_rules *rules, struct span address,
                 struct user *out, struct span *detail_out, struct fault *f)
{
    struct seeking s = {db, rules, false};
    struct address a = split(rules, address);
    struct lookup_found found;
    memset(&found, 0, sizeof found);
    enum result r = try_names(&s, &a, &found, f);
    if (r != R_OK || found.kind == LOOKUP_DISABLED)
        return r == R_FAIL ? R_FAIL : R_NONE;
    *out = found.user;
    *detail_out = found.detail;
    return R_OK;
}
