// What of a user's attachments cannot be searched, and why.
#include "ctl/account.h"
#include "ctl/verbs.h"
#include "mail/attachment.h"

static enum result
list(struct verb_call *c, struct mail_user *u, struct fault *f)
{
    struct account *account = mail_user_account(u);
    struct arena *a = arena_new();
    struct attachment_failed *all;
    size_t n;
    (void)f;
    attachments_failed(verb_host(c)->mail, account_id(account), a, &all, &n);
    for (size_t i = 0; i < n; i++) {
        char id[MAIL_ID_TEXT];
        mail_id_text('E', all[i].emailid, id);
        verb_row(c, "attachment",
                 FIELDS(field_str("emailid", "%", id),
                        field_text("part", "\t%", all[i].section),
                        field_str("reason", "\t%", extract_verdict_name(all[i].verdict))));
    }
    arena_free(&a);
    return R_OK;
}

enum result
verb_attachments(struct verb_call *c, struct fault *f)
{
    struct mail_user *u;
    if (account_of(c, verb_arg(c, 0), &u, f) != R_OK)
        return R_FAIL;
    enum result r = list(c, u, f);
    mail_user_close(&u);
    return r;
}
