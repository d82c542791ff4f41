#include "mail/url.h"

#include "base/clock.h"
#include "base/limits.h"
#include "mail/urlkey.h"

#include <sodium.h>

// ---- who may use it, by the URL alone (RFC 4467 section 3) ----

// Somebody of that name, or of none: both take as long (RFC 4467 section 6), so nobody learns who is here.
static enum result
open_somebody(const struct mail_url_reader *who, struct span name, struct mail_user **out,
              bool *decoy_out, struct fault *f)
{
    enum result r = who->users->open(name, out, who->arg, f);
    *decoy_out = r == R_NONE;
    return r == R_NONE ? who->users->decoy(out, who->arg, f) : r;
}

enum result
mail_url_is_own(const struct mail_url_reader *who, struct span name, struct fault *f)
{
    struct mail_user *other;
    bool decoy;
    if (span_ieq(name, mail_user_name(who->user)))
        return R_OK;
    enum result r = open_somebody(who, name, &other, &decoy, f);
    if (r != R_OK)
        return r;
    bool own = !decoy && account_id(mail_user_account(other)) ==
                             account_id(mail_user_account(who->user));
    mail_user_close(&other);
    return own ? R_OK : R_NONE;
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
            return mail_url_is_own(who, auth->user, f);
        return who->users->submits(who->arg) ? R_OK : R_NONE;
    case URL_ACCESS_USER:
        return mail_url_is_own(who, auth->user, f);
    case URL_ACCESS_AUTHUSER:
    case URL_ACCESS_ANONYMOUS:
        break;
    }
    return R_OK;
}

// Whose mailboxes the URL is about: u->owner, or the session's user.
static enum result
find_owner(const struct mail_url_reader *who, const struct url *url, enum mail_url_use use,
           struct mail_url *u, struct fault *f)
{
    const struct url_auth *auth = &url->auth;
    bool expired = auth->has_expire && auth->expire_s < clock_wall_s();
    if (!who->users || expired || !who->users->is_here(url->host, url->port, who->arg))
        return R_NONE;
    if (!url->user.p)  // then it is whoever reads (RFC 4468 section 3.3)
        return use == MAIL_URL_SUBMIT && auth->access == URL_ACCESS_NONE ? R_OK : R_NONE;
    if (!auth->token.p)
        return auth->access == URL_ACCESS_NONE ? mail_url_is_own(who, url->user, f)
                                               : R_NONE;
    if (!span_ieq(auth->mechanism, SPAN("INTERNAL")))
        return R_NONE;
    enum result r = access_allowed(who, auth, use, f);
    if (r != R_OK || span_ieq(url->user, mail_user_name(who->user)))
        return r;
    return open_somebody(who, url->user, &u->owner, &u->decoy, f);
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
    char want[URLKEY_TOKEN], given[URLKEY_TOKEN] = {0};
    if (view)
        view_info(view, &info);
    enum result r = urlkey_find(user, view ? ref : &nowhere, &key);
    urlkey_token(&key, info.uidvalidity, auth->rump, want);
    bool whole = auth->token.n == URLKEY_TOKEN;
    for (size_t i = 0; whole && i < URLKEY_TOKEN; i++)
        given[i] = ascii_lower(auth->token.p[i]);
    bool same = sodium_memcmp(want, given, URLKEY_TOKEN) == 0;
    sodium_memzero(&key, sizeof key);
    return r == R_OK && view && whole && same ? R_OK : R_NONE;
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
    r = check_token(user, &ref, u->view, &url->auth);
    return u->decoy ? R_NONE : r;
}

static enum result
open_mailbox(const struct mail_url_reader *who, const struct url *url,
             enum mail_url_use use, struct mail_url *u, struct fault *f)
{
    if (use == MAIL_URL_FETCH && !url->auth.token.p)
        return R_NONE;
    if (url->host.p) {
        enum result r = find_owner(who, url, use, u, f);
        if (r == R_NONE && url->auth.token.p)
            r = check_token(who->user, NULL, NULL, &url->auth);
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
