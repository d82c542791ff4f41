// Verbs about one mailbox of a user.
#include "base/limits.h"
#include "ctl/account.h"
#include "ctl/setting.h"
#include "ctl/verbs.h"
#include "mail/append_limit.h"
#include "mail/tree.h"

static enum result
set_limit(struct span text, const struct mailbox_ref *ref, struct fault *f)
{
    uint64_t octets = APPEND_LIMIT_NONE;
    if (!span_ieq(text, SPAN("none")) && setting_size(text, &octets) != R_OK)
        return fault_set(f, FAULT_BAD, "'%.*s' is no size; write it like 20M, or none",
                         SPAN_ARG(span_slice(text, 0, 60)));
    return append_limit_set(ref, octets, f);
}

static enum result
limit_of(struct verb_call *c, struct mail_user *u, struct fault *f)
{
    struct mailbox_ref ref;
    if (mail_access(u, verb_arg(c, 1), RIGHT_LOOKUP, &ref, f) != R_OK)
        return R_FAIL;
    if (verb_arg_count(c) > 2 && set_limit(verb_arg(c, 2), &ref, f) != R_OK)
        return R_FAIL;
    uint64_t octets = append_limit_get(&ref);
    bool has = octets != APPEND_LIMIT_NONE;
    verb_row(c, "appendlimit",
             FIELDS(field_text("name", "%", verb_arg(c, 1)),
                    field_if(has, field_number("octets", "\t%", octets)),
                    field_str(NULL, has ? "" : "\tnone", "")));
    return R_OK;
}

enum result
verb_mailbox_create(struct verb_call *c, struct fault *f)
{
    struct mail_user *u;
    struct mailbox_ref ref;
    if (account_of(c, verb_arg(c, 0), &u, f) != R_OK)
        return R_FAIL;
    enum result r = tree_create(u, verb_arg(c, 1), USE_NONE, &ref, f);
    if (r == R_OK)
        verb_row(c, "made", FIELDS(field_text("name", "made %", verb_arg(c, 1))));
    mail_user_close(&u);
    return r;
}

enum result
verb_mailbox_appendlimit(struct verb_call *c, struct fault *f)
{
    struct mail_user *u;
    if (account_of(c, verb_arg(c, 0), &u, f) != R_OK)
        return R_FAIL;
    enum result r = limit_of(c, u, f);
    mail_user_close(&u);
    return r;
}
