#include "mail/quota.h"

#include "mail/mount.h"

// Quota roots as a user sees them: each account has one, and each domain with limits. Which of their figures a mailbox shows
// is a matter of rights on it (RFC 9208 section 6).

static const struct span user_root = SPAN("user/"), domain_root = SPAN("domain/");

static struct span
root_rest(struct span root, struct span kind)
{
    return span_starts(root, kind) && root.n > kind.n ? span_skip(root, kind.n) : SPAN_NONE;
}

struct span
quota_root_user(struct span root)
{
    return root_rest(root, user_root);
}

struct span
quota_root_domain(struct span root)
{
    return root_rest(root, domain_root);
}

static struct span
root_name(struct arena *a, struct span kind, struct span of)
{
    char *p = arena_alloc(a, kind.n + of.n);
    memcpy(p, kind.p, kind.n);
    memcpy(p + kind.n, of.p, of.n);
    return span_of(p, kind.n + of.n);
}

// What tells of messages and entries needs r on the mailbox; the number of mailboxes needs nothing.
static struct quota_root *
root_add(struct quota_roots *out, uint32_t rights)
{
    struct quota_root *r = &out->root[out->n++];
    *r = (struct quota_root){.name = SPAN_NONE};
    for (int k = 0; k < USAGE_KINDS; k++)
        r->hidden[k] = k != USAGE_MAILBOXES && !(rights & RIGHT_READ);
    return r;
}

static enum result
roots_of(struct account *account, uint32_t rights, struct arena *a, struct quota_roots *out,
         struct fault *f)
{
    struct span domain = quota_domain_of(account_mail(account), account_user(account));
    struct quota together;
    out->n = 0;
    struct quota_root *own = root_add(out, rights);
    own->name = root_name(a, user_root, account_user(account));
    quota_get(account, &own->quota);
    if (!domain.p || !(rights & RIGHT_READ))
        return R_OK;
    enum result r = quota_domain_get(account_mail(account), domain, &together, f);
    if (r != R_OK)
        return r == R_NONE ? R_OK : R_FAIL;
    struct quota_root *root = root_add(out, rights);
    root->name = root_name(a, domain_root, domain);
    root->quota = together;
    return R_OK;
}

enum result
quota_roots_own(struct mail_user *u, struct arena *a, struct quota_roots *out,
                struct fault *f)
{
    return roots_of(mail_user_account(u), RIGHTS_ALL, a, out, f);
}

enum result
quota_roots_of(struct mail_user *u, struct span mailbox, struct arena *a,
               struct quota_roots *out, struct fault *f)
{
    struct mailbox_ref ref;
    struct mount *mount;
    struct span clean, inside;
    if (mail_name_check(a, mailbox, &clean, f) != R_OK)
        return R_FAIL;
    if (mount_find(u, clean, &mount, &inside, f) != R_OK)
        return R_FAIL;
    if (mount == &u->own)
        return quota_roots_own(u, a, out, f);
    if (mail_access(u, clean, 0, &ref, f) != R_OK)
        return R_FAIL;
    return roots_of(ref.account, ref.rights, a, out, f);
}
