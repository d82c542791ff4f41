#include "imap/url.h"

#include "base/clock.h"
#include "base/limits.h"
#include "mail/urlkey.h"

#include <sodium.h>

// ---- who may use it, by the URL alone (RFC 4467 section 3) ----

// Somebody of that name, or of none: both take as long (RFC 4467 section 6), so nobody learns who is here.
static enum result
open_somebody(struct imap_session *s, struct span name, struct mail_user **out,
              bool *decoy_out, struct fault *f)
{
    enum result r = s->host.users->open(name, out, s->host.arg, f);
    *decoy_out = r == R_NONE;
    return r == R_NONE ? s->host.users->decoy(out, s->host.arg, f) : r;
}

enum result
imap_url_is_own(struct imap_session *s, struct span name, struct fault *f)
{
    struct mail_user *other;
    bool decoy;
    if (span_ieq(name, mail_user_name(s->user)))
        return R_OK;
    enum result r = open_somebody(s, name, &other, &decoy, f);
    if (r != R_OK)
        return r;
    bool own = !decoy && account_id(mail_user_account(other)) ==
                             account_id(mail_user_account(s->user));
    mail_user_close(&other);
    return own ? R_OK : R_NONE;
}

static enum result
access_allowed(struct imap_session *s, const struct url_auth *auth, struct fault *f)
{
    switch (auth->access) {
    case URL_ACCESS_NONE:
        return R_NONE;
    case URL_ACCESS_SUBMIT:
        return s->host.users->submits(s->host.arg) ? R_OK : R_NONE;
    case URL_ACCESS_USER:
        return imap_url_is_own(s, auth->user, f);
    case URL_ACCESS_AUTHUSER:
    case URL_ACCESS_ANONYMOUS:
        break;
    }
    return R_OK;
}

// Whose mailboxes the URL is about: u->owner, or the session's user.
static enum result
find_owner(struct imap_session *s, const struct url *url, struct imap_url *u,
           struct fault *f)
{
    const struct url_auth *auth = &url->auth;
    bool expired = auth->has_expire && auth->expire_s < clock_wall_s();
    if (!s->host.users || !url->user.p || expired ||
        !s->host.users->is_here(url->host, url->port, s->host.arg))
        return R_NONE;
    if (!auth->token.p)
        return auth->access == URL_ACCESS_NONE ? imap_url_is_own(s, url->user, f) : R_NONE;
    if (!span_ieq(auth->mechanism, SPAN("INTERNAL")))
        return R_NONE;
    enum result r = access_allowed(s, auth, f);
    if (r != R_OK || span_ieq(url->user, mail_user_name(s->user)))
        return r;
    return open_somebody(s, url->user, &u->owner, &u->decoy, f);
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
imap_url_mailbox(struct mail_user *user, const struct url *url, struct mailbox_ref *ref_out,
                 struct view **view_out, struct fault *f)
{
    if (mail_access(user, url->mailbox, RIGHT_READ, ref_out, f) != R_OK)
        return f->kind == FAULT_NONEXISTENT || f->kind == FAULT_CANNOT ? R_NONE : R_FAIL;
    return open_view(ref_out, url, view_out, f);
}

// ";UID=20" of the selected mailbox.
static enum result
open_selected(struct imap_session *s, const struct url *url, struct imap_url *u,
              struct fault *f)
{
    struct view_info info;
    if (!s->view)
        return R_NONE;
    view_info(s->view, &info);
    struct mailbox_ref ref = {s->user, view_account(s->view), info.mailbox, info.rights};
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
open_named(struct imap_session *s, const struct url *url, struct imap_url *u,
           struct fault *f)
{
    struct mail_user *user = u->owner ? u->owner : s->user;
    struct mailbox_ref ref;
    enum result r = imap_url_mailbox(user, url, &ref, &u->view, f);
    if (r == R_FAIL && f->kind == FAULT_NOPERM)
        r = R_NONE;
    if (r == R_FAIL || !url->auth.token.p)
        return r;
    r = check_token(user, &ref, u->view, &url->auth);
    return u->decoy ? R_NONE : r;
}

static enum result
open_mailbox(struct imap_session *s, const struct url *url, enum imap_url_use use,
             struct imap_url *u, struct fault *f)
{
    if (use == IMAP_URL_FETCH && !url->auth.token.p)
        return R_NONE;
    if (url->host.p) {
        enum result r = find_owner(s, url, u, f);
        if (r == R_NONE && url->auth.token.p)
            r = check_token(s->user, NULL, NULL, &url->auth);
        if (r != R_OK)
            return r;
    }
    return url->mailbox.p ? open_named(s, url, u, f) : open_selected(s, url, u, f);
}

// ---- the message ----

static enum result
find_message(const struct url *url, struct imap_url *u, struct fault *f)
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
find_part(const struct url *url, struct imap_url *u, struct fault *f)
{
    struct message_cache cache = {.index = SPAN_NONE};
    struct mail *mail = account_mail(view_account(u->view));
    u->section = url->section;
    u->part = (struct imap_part){.mail = mail, .row = &u->row};
    if (!imap_part_is_whole(&u->section) &&
        message_cache_load(mail, &u->row, u->arena, &cache, f) != R_OK)
        return R_FAIL;
    enum result r = imap_part_find(&u->part, &u->section, &cache, u->arena, f);
    if (r == R_OK && url->has_partial)
        imap_part_clip(&u->part, url->at, url->count);
    return r;
}

static enum result
resolve(struct imap_session *s, struct span text, enum imap_url_use use, struct imap_url *u,
        struct fault *f)
{
    struct url url;
    enum result r;
    if (text.n > LIMIT_url || url_parse(text, u->arena, &url, f) != R_OK)
        return R_NONE;
    if ((r = open_mailbox(s, &url, use, u, f)) != R_OK ||
        (r = find_message(&url, u, f)) != R_OK)
        return r;
    return find_part(&url, u, f);
}

enum result
imap_url_open(struct imap_session *s, struct span text, enum imap_url_use use,
              struct imap_url *out, struct fault *f)
{
    *out = (struct imap_url){.arena = arena_new()};
    enum result r = resolve(s, text, use, out, f);
    if (r != R_OK)
        imap_url_close(out);
    return r;
}

void
imap_url_close(struct imap_url *u)
{
    view_close(&u->view);
    mail_user_close(&u->owner);
    arena_free(&u->arena);
}
