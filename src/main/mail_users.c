// Users and names that URLs with a server tell (RFC 4467).
#include "auth/address.h"
#include "auth/name.h"
#include "base/limits.h"
#include "os/listen.h"
#include "main/mail_role.h"

static enum result
open_known(struct home *h, uint64_t account, struct span user, struct mail_user **out,
           struct fault *f)
{
    struct mail_user *u;
    enum result r = mail_user_find(h->role->mail, account, user, &u, f);
    if (r != R_OK)
        return r;
    if (mail_identify(h, u, f) != R_OK || mail_mount_for_test(h, u, f) != R_OK) {
        mail_user_close(&u);
        return R_FAIL;
    }
    *out = u;
    return R_OK;
}

// A user's name, and no address of theirs with a detail.
static enum result
open_user(struct span name, struct mail_user **out, void *arg, struct fault *f)
{
    struct session *s = arg;
    struct buf user, detail;
    uint64_t account = 0;
    buf_init(&user, LIMIT_user_name);
    buf_init(&detail, LIMIT_line);
    enum result r = mail_ask_user(s->home, name, &account, &user, &detail, f);
    if (r == R_OK)
        r = detail.n > 0 ? R_NONE : open_known(s->home, account, buf_span(&user), out, f);
    buf_done(&user);
    buf_done(&detail);
    return r;
}

static enum result
is_address_of(struct session *s, struct span name, struct fault *f)
{
    struct buf user, detail;
    uint64_t account = 0;
    buf_init(&user, LIMIT_user_name);
    buf_init(&detail, LIMIT_line);
    enum result r = mail_ask_user(s->home, name, &account, &user, &detail, f);
    bool own = r == R_OK && detail.n == 0 && account == s->account;
    buf_done(&user);
    buf_done(&detail);
    return r == R_OK && !own ? R_NONE : r;
}

// Auth is asked about "ann@x.org" for the session of "ann" alone: whether somebody else is called so, that says anyway.
static enum result
is_own(struct span name, void *arg, struct fault *f)
{
    struct session *s = arg;
    struct span own = span_str(s->user);
    struct name asked;
    struct fault nobody;
    if (name_of(name, &asked, &nobody) != R_OK)
        return R_NONE;
    if (span_eq(name_span(&asked), own))
        return R_OK;
    bool may_be = !address_domain(own).p && span_eq(address_local(name_span(&asked)), own);
    return may_be ? is_address_of(s, name_span(&asked), f) : R_NONE;
}

static bool
has_port(const struct config_list *listeners, uint16_t port)
{
    for (size_t i = 0; i < listeners->n; i++) {
        struct span s = listen_at_of(span_str(listeners->items[i])).address;
        uint32_t n = 0;
        if (span_to_u32(span_skip(s, span_behind_last(s, ':')), &n) == R_OK && n == port)
            return true;
    }
    return false;
}

// A port of ours: the standard ones may be a proxy's.
static bool
is_port(const struct config *c, uint16_t port)
{
    return port == 0 || port == 143 || port == 993 || has_port(&c->imap, port) ||
           has_port(&c->imaps, port);
}

static bool
is_here(struct span host, uint16_t port, void *arg)
{
    const struct session *s = arg;
    const struct config *c = s->home->config;
    bool ours =
        span_ieq(host, span_str(c->hostname)) || config_list_has(&c->host_names, host);
    return ours && is_port(c, port);
}

static bool
submits(void *arg)
{
    const struct session *s = arg;
    return config_list_has(&s->home->config->submit_users, span_str(s->user));
}

bool
mail_administers(void *arg)
{
    const struct session *s = arg;
    return config_list_has(&s->home->config->admin_users, span_str(s->user));
}

const struct mail_url_users mail_users = {open_user, is_own, is_here, submits};
