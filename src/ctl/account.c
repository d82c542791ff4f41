#include "ctl/account.h"
#include "base/limits.h"
#include "mail/name.h"
#include "mail/system.h"

enum result
account_of(struct verb_call *c, struct span name, struct mail_user **u_out, struct fault *f)
{
    uint64_t account;
    struct buf canonical;
    buf_init(&canonical, LIMIT_user_name);
    enum result r = verb_find_user(c, name, &account, &canonical, f);
    if (r == R_FAIL && f->kind == FAULT_NONEXISTENT && span_eq(name, SPAN("public"))) {
        account = ACCOUNT_PUBLIC;
        buf_put(&canonical, name);
        r = R_OK;
    }
    if (r == R_OK)
        r = mail_user_open(verb_host(c)->mail, account, buf_span(&canonical), u_out, f);
    buf_done(&canonical);
    return r;
}

enum result
account_folder(struct arena *a, struct span written, struct span *name_out, struct fault *f)
{
    *name_out = SPAN_NONE;
    if (written.n > 0 && mail_name_check(a, written, name_out, f) != R_OK)
        return R_FAIL;
    if (name_is_inbox(*name_out))
        *name_out = SPAN("INBOX");
    return R_OK;
}
