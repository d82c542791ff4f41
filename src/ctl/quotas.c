#include "ctl/quotas.h"

enum { GRACE_MAX = 1000, PERCENT_MAX = 100 };

static enum result
percent(const char *text, unsigned char *out, struct fault *f)
{
    uint64_t n = 0;
    if (span_to_u64(span_str(text), &n) != R_OK || n == 0 || n > PERCENT_MAX)
        return fault_set(f, FAULT_BAD,
                         "quota_warning: '%.60s' is no percentage; write \"80\", \"95\"",
                         text);
    *out = (unsigned char)n;
    return R_OK;
}

static enum result
warnings(const struct config *c, unsigned char *out, struct fault *f)
{
    if (c->quota_warning.n > QUOTA_WARNINGS)
        return fault_set(f, FAULT_BAD, "quota_warning: at most %d percentages",
                         QUOTA_WARNINGS);
    for (size_t i = 0; i < c->quota_warning.n; i++) {
        if (percent(c->quota_warning.items[i], &out[i], f) != R_OK)
            return R_FAIL;
        if (i > 0 && out[i] <= out[i - 1])
            return fault_set(f, FAULT_BAD, "quota_warning: the smaller ones come first");
    }
    return R_OK;
}

enum result
limits_check(const struct config *c, struct fault *f)
{
    unsigned char some[QUOTA_WARNINGS];
    if (c->quota_grace > GRACE_MAX)
        return fault_set(f, FAULT_BAD, "quota_grace may be %d at most", GRACE_MAX);
    if (c->quota_storage > QUOTA_MAX || c->quota_messages > QUOTA_MAX ||
        c->quota_mailboxes > QUOTA_MAX || c->quota_annotations > QUOTA_MAX)
        return fault_set(f, FAULT_BAD, "a quota is too large; 0 is none");
    return warnings(c, some, f);
}

void
limits_of(const struct config *c, struct quota_settings *out)
{
    const uint64_t limits[USAGE_KINDS] = {
        [USAGE_STORAGE] = c->quota_storage,
        [USAGE_MESSAGES] = c->quota_messages,
        [USAGE_MAILBOXES] = c->quota_mailboxes,
        [USAGE_ANNOTATIONS] = c->quota_annotations,
    };
    struct fault f;
    *out = (struct quota_settings){
        .grace = (unsigned)c->quota_grace,
        .exceeded_permanent = strcmp(c->quota_exceeded, "permanent") == 0,
        .hostname = c->hostname,
        .local_domain = c->local_domains.n > 0 ? c->local_domains.items[0] : "",
    };
    for (int k = 0; k < USAGE_KINDS; k++)
        out->limits.n[k] = limits[k] > 0 ? limits[k] : QUOTA_NONE;
    must(warnings(c, out->warnings, &f) == R_OK);
}
