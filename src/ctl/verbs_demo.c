#include "ctl/sample.h"
#include "ctl/verbs.h"
#include "base/limits.h"
#include "mail/intake.h"
#include "mail/tree.h"

static enum result
deliver(struct mail *m, const struct mailbox_ref *inbox, struct span message,
        struct fault *f)
{
    struct intake *in = intake_begin(m);
    struct intake_params p = {0};
    struct intake_result done;
    enum result r = intake_write(in, message, f);
    if (r == R_OK)
        r = intake_finish(in, f);
    if (r == R_OK)
        r = intake_commit(in, inbox, &p, &done, f);
    intake_free(&in);
    return r;
}

// Only into an empty INBOX: a demo that is started again keeps what its user did with the mail.
static enum result
deliver_all(struct verb_call *c, struct mail_user *u, struct fault *f)
{
    struct arena *a = arena_new();
    struct tree_entry inbox;
    struct mailbox_ref ref;
    enum result r = tree_status(u, a, SPAN("INBOX"), &inbox, f);
    if (r == R_OK)
        r = mail_access(u, SPAN("INBOX"), RIGHT_INSERT, &ref, f);
    bool fresh = r == R_OK && inbox.counts.uidnext <= 1;
    for (size_t i = 0; r == R_OK && fresh && i < samples_count; i++)
        r = deliver(verb_host(c)->mail, &ref, samples[i], f);
    arena_free(&a);
    return r;
}

static enum result
read_password(struct verb_call *c, char out[LIMIT_password], size_t *n_out, struct fault *f)
{
    size_t n = 1, total = 0;
    while (n > 0 && total < LIMIT_password) {
        if (verb_in(c, out + total, LIMIT_password - total, &n, f) != R_OK)
            return R_FAIL;
        total += n;
    }
    *n_out = total;
    return R_OK;
}

// Adds the user, or gives an old one this password.
static enum result
set_password(struct verb_call *c, struct fault *f)
{
    const struct verb_host *h = verb_host(c);
    char password[LIMIT_password];
    size_t n;
    uint64_t account;
    struct buf name, text;
    if (read_password(c, password, &n, f) != R_OK)
        return R_FAIL;
    buf_init(&name, LIMIT_user_name);
    buf_init(&text, 4096);
    enum result r = h->find_user(h->arg, verb_arg(c, 0), &account, &name, f);
    if (r != R_FAIL) {
        struct span args[] = {r == R_OK ? buf_span(&name) : verb_arg(c, 0),
                              span_of(password, n)};
        struct span verb = r == R_OK ? SPAN("user passwd") : SPAN("user add");
        r = h->users(h->arg, verb, args, 2, &text, f);
    }
    buf_done(&name);
    buf_done(&text);
    explicit_bzero(password, sizeof password);
    return r;
}

enum result
verb_demo_account(struct verb_call *c, struct fault *f)
{
    const struct verb_host *h = verb_host(c);
    struct buf name;
    struct mail_user *u;
    uint64_t account;
    if (set_password(c, f) != R_OK)
        return R_FAIL;
    buf_init(&name, LIMIT_user_name);
    enum result r = verb_find_user(c, verb_arg(c, 0), &account, &name, f);
    if (r == R_OK)
        r = mail_user_open(h->mail, account, buf_span(&name), &u, f);
    buf_done(&name);
    if (r != R_OK)
        return R_FAIL;
    r = deliver_all(c, u, f);
    mail_user_close(&u);
    return r;
}
