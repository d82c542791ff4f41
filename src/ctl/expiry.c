#include "ctl/expiry.h"
#include "ctl/setting.h"

// The age is the last word: a folder's name may have spaces.
enum result
expiry_row(struct span text, struct span *where_out, uint64_t *age_s_out, struct fault *f)
{
    size_t at = span_behind_last(text, ' ');
    uint64_t age;
    struct span where = span_trim(span_slice(text, 0, at)), age_text = span_skip(text, at);
    bool digit = age_text.n > 0 && ascii_is_digit(age_text.p[age_text.n - 1]);
    if (where.n == 0 || digit || setting_time(age_text, &age) != R_OK || age == 0)
        return fault_set(f, FAULT_BAD,
                         "expire: '%.*s' is no folder and age; write \"Trash 30d\" (a "
                         "special use) or \"Lists/News 90d\" (a folder)",
                         SPAN_ARG(span_slice(text, 0, 60)));
    *where_out = where;
    *age_s_out = age;
    return R_OK;
}

void
expiry_policy(const struct config *c, struct arena *a, struct expire_policy *out)
{
    struct expire_rule *rules = arena_array(a, c->expire.n, sizeof *rules);
    struct span *keep = arena_array(a, c->expire_keep.n, sizeof *keep);
    struct fault f;
    for (size_t i = 0; i < c->expire.n; i++)  // config_load has checked them
        must(expiry_row(span_str(c->expire.items[i]), &rules[i].where, &rules[i].age_s,
                        &f) == R_OK);
    for (size_t i = 0; i < c->expire_keep.n; i++)
        keep[i] = span_str(c->expire_keep.items[i]);
    *out = (struct expire_policy){rules, c->expire.n, keep, c->expire_keep.n,
                                  c->expire_keep_flagged};
}
