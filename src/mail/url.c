#include "mail/url.h"

#include "base/clock.h"
#include "base/limits.h"
#include "mail/urlkey.h"

#include <sodium.h>

// ---- who may use it, by the URL alone (RFC 4467 section 3) ----

// Did this server ever authorise it? What it did not tells nothing by the time that it takes (section 6).
static enum result
is_sealed(const struct mail_url_reader *who, const struct url_auth *auth, struct fault *f)
{
    struct urlkey key;
    char want[URLKEY_SEAL], given[URLKEY_SEAL] = {0};
    if (!span_ieq(auth->mechanism, SPAN("INTERNAL")))
        return R_NONE;
    enum result r = urlkey_server(account_mail(mail_user_account(who->user)), &key, f);
    if (r == R_FAIL)
        return R_FAIL;
    urlkey_seal(&key, auth->rump, want);
    sodium_memzero(&key, sizeof key);
    bool whole = auth->token.n == URLKEY_WHOLE;
    for (size_t i = 0; whole && i < URLKEY_SEAL; i++)
        given[i] = ascii_lower(auth->token.p[i]);
    return r == R_OK && sodium_memcmp(want, given, URLKEY_SEAL) == 0 ? R_OK : R_NONE;
}

static enum result
access_allowed(const struct mail_url_reader *who, const struct url_auth *auth,
               enum mail_url_use use, struct fault *f)
{
    switch (auth->access) {
    case URL_ACCESS_NONE:
        return R_NONE;
    case URL_ACCESS_SUBMIT:
        if (use == MAIL_URL_SUBMIT)
            return who->users->is_own(auth->user, who->arg, f);
        return who->users->submits(who->arg) ? R_OK : R_NONE;
    case URL_ACCESS_USER:
        return who->users->is_own(auth->user, who->arg, f);
    case URL_ACCESS_AUTHUSER:
    case URL_ACCESS_ANONYMOUS:
        break;
    }
    return R_OK;
}

static bool
is_of_here(const struct mail_url_reader *who, const struct url *url)
{
    bool expired = url->auth.has_expire && url->auth.expire_s < clock_wall_s();
    return who->users && !expired && who->users->is_here(url->host, url->port, who->arg);
}

// Whose mailboxes the URL is about: u->owner, or the session's user.
static enum result
find_owner(const struct mail_url_reader *who, const struct url *url, enum mail_url_use use,
           struct mail_url *u, struct fault *f)
{
    const struct url_auth *auth = &url->auth;
    if (!is_of_here(who, url))
        return R_NONE;
    if (!url->user.p)  // then it is whoever reads (RFC 4468 section 3.3)
        return use == MAIL_URL_SUBMIT && auth->access == URL_ACCESS_NONE ? R_OK : R_NONE;
    if (!auth->token.p)
        return auth->access == URL_ACCESS_NONE ? who->users->is_own(url->user, who->arg, f)
                                               : R_NONE;
    enum result r = is_sealed(who, auth, f);
    if (r == R_OK)
        r = access_allowed(who, auth, use, f);
    if (r != R_OK || span_ieq(url->user, mail_user_name(who->user)))
        return r;
    return who->users->open(url->user, &u->owner, who->arg, f);
}

// ---- the mailbox ----

static enum result
open_view(const struct mailbox_ref *ref, const struct url *url, struct view **out,
          struct fault *f)
{
    struct view_info info;
    if (view_open(ref, true, NULL, NULL, out, f) != R_OK)
        return f->kind == FAULT_NONEXISTENT ? R_NONE : R_FAIL;
    view_info(*out, &info);
    if (url->uidvalidity == 0 || url->uidvalidity == info.uidvalidity)
        return R_OK;
    view_close(out);
    return R_NONE;
}

enum result
mail_url_mailbox(struct mail_user *user, const struct url *url, struct mailbox_ref *ref_out,
                 struct view **view_out, struct fault *f)
{
    if (mail_access(user, url->mailbox, RIGHT_READ, ref_out, f) != R_OK)
        return f->kind == FAULT_NONEXISTENT || f->kind == FAULT_CANNOT ? R_NONE : R_FAIL;
    return open_view(ref_out, url, view_out, f);
}

// ";UID=20" of the selected mailbox.
static enum result
open_selected(const struct mail_url_reader *who, const struct url *url, struct mail_url *u,
              struct fault *f)
{
    struct view_info info;
    if (!who->selected)
        return R_NONE;
    view_info(who->selected, &info);
    struct mailbox_ref ref = {who->user, view_account(who->selected), info.mailbox,
                              info.rights};
    return ref.rights & RIGHT_READ ? open_view(&ref, url, &u->view, f) : R_NONE;
}

// Takes as long where there is no mailbox and no key (RFC 4467 section 6): what is missing is made up.
static enum result
check_token(struct mail_user *user, const struct mailbox_ref *ref, const struct view *view,
            const struct url_auth *auth)
{
    struct view_info info = {.uidvalidity = 0};
    struct mailbox_ref nowhere = {user, mail_user_account(user), 0, 0};
    struct urlkey key;
    const struct span token = span_skip(auth->token, URLKEY_SEAL);
    char want[URLKEY_TOKEN], given[URLKEY_TOKEN] = {0};
    if (view)
        view_info(view, &info);
    enum result r = urlkey_find(user, view ? ref : &nowhere, &key);
    urlkey_token(&key, info.uidvalidity, auth->rump, want);
    for (size_t i = 0; i < URLKEY_TOKEN && i < token.n; i++)
        given[i] = ascii_lower(token.p[i]);
    bool same = sodium_memcmp(want, given, URLKEY_TOKEN) == 0;
    sodium_memzero(&key, sizeof key);
    return r == R_OK && view && same ? R_OK : R_NONE;
}

// What may not be read, what is not there, and what is not authorised are one.
static enum result
open_named(const struct mail_url_reader *who, const struct url *url, struct mail_url *u,
           struct fault *f)
{
    struct mail_user *user = u->owner ? u->owner : who->user;
    struct mailbox_ref ref;
    enum result r = mail_url_mailbox(user, url, &ref, &u->view, f);
    if (r == R_FAIL && f->kind == FAULT_NOPERM)
        r = R_NONE;
    if (r == R_FAIL || !url->auth.token.p)
        return r;
    return check_token(user, &ref, u->view, &url->auth);
}

static enum result
open_mailbox(const struct mail_url_reader *who, const struct url *url,
             enum mail_url_use use, struct mail_url *u, struct fault *f)
{
    if (use == MAIL_URL_FETCH && !url->auth.token.p)
        return R_NONE;
    if (url->host.p) {
        enum result r = find_owner(who, url, use, u, f);
        if (r != R_OK)
            return r;
    }
    return url->mailbox.p ? open_named(who, url, u, f) : open_selected(who, url, u, f);
}

// ---- the message ----

static enum result
find_message(const struct url *url, struct mail_url *u, struct fault *f)
{
    struct view_cursor cursor;
    struct view_message m;
    struct seqset set;
    size_t n = 0;
    seqset_init(&set, u->arena);
    seqset_add(&set, url->uid);
    if (view_cursor_init(&cursor, u->view, &set, true, f) != R_OK ||
        view_next(&cursor, &m, 1, &n, f) == R_FAIL)
        return R_FAIL;
    if (n == 0)
        return R_NONE;
    u->row = m.row;
    return R_OK;
}

static enum result
find_part(const struct url *url, struct mail_url *u, struct fault *f)
{
    struct message_cache cache = {.index = SPAN_NONE};
    struct mail *mail = account_mail(view_account(u->view));
    u->section = url->section;
    u->part = (struct mail_part){.mail = mail, .row = &u->row};
    if (!mail_part_is_whole(&u->section) &&
        message_cache_load(mail, &u->row, u->arena, &cache, f) != R_OK)
        return R_FAIL;
    enum result r = mail_part_find(&u->part, &u->section, &cache, u->arena, f);
    if (r == R_OK && url->has_partial)
        mail_part_clip(&u->part, url->at, url->count);
    return r;
}

static enum result
resolve(const struct mail_url_reader *who, struct span text, enum mail_url_use use,
        struct mail_url *u, struct fault *f)
{
    struct url url;
    enum result r;
    if (text.n > LIMIT_url || url_parse(text, u->arena, &url, f) != R_OK)
        return R_NONE;
    if ((r = open_mailbox(who, &url, use, u, f)) != R_OK ||
        (r = find_message(&url, u, f)) != R_OK)
        return r;
    return find_part(&url, u, f);
}

enum result
mail_url_open(const struct mail_url_reader *who, struct span text, enum mail_url_use use,
              struct mail_url *out, struct fault *f)
{
    *out = (struct mail_url){.arena = arena_new()};
    enum result r = resolve(who, text, use, out, f);
    if (r != R_OK)
        mail_url_close(out);
    return r;
}

void
mail_url_close(struct mail_url *u)
{
    view_close(&u->view);
    mail_user_close(&u->owner);
    arena_free(&u->arena);
}
