#include "main/auth_inside.h"
#include "auth/group.h"
#include "auth/user_key.h"
#include "base/limits.h"
#include "base/log.h"
#include <utlist.h>

// Users and addresses that mail asks about. A question that needs an outer database waits as a `recipient`.

enum { LOOKUP_GONE = 0, LOOKUP_FOUND = 1, LOOKUP_LATER = 2 };

struct recipient {
    struct recipient *prev, *next;
    struct auth_channel *at;
    struct ask ask;
    struct lookup lookup;
    struct resolve_request resolve;  // or that
    struct buf address;
};

// The groups that the database has the user in, behind our own; those that could be none are passed over.
static void
put_groups(struct buf *out, struct span text)
{
    struct name name;
    struct fault f;
    struct unpack u = unpack_of(buf_span(out));
    size_t n = 0;
    for (; u.rest.n > 0; n++)
        unpack_span(&u);
    while (text.n > 0 && n < LIMIT_groups_of_user) {
        size_t end = 0;
        while (end < text.n && text.p[end] != ',' && !ascii_is_space(text.p[end]))
            end++;
        if (end > 0 && group_name_of(span_slice(text, 0, end), &name, &f) == R_OK) {
            pack_span(out, name_span(&name));
            n++;
        }
        text = span_skip(text, end + 1);
    }
}

enum result
lookup_groups(struct auth_role *role, const struct user *u, struct buf *out,
              struct fault *f)
{
    struct span networks, theirs;
    if (group_of(role->db, u->account, out, f) != R_OK)
        return R_FAIL;
    outer_texts(role, u, &networks, &theirs);
    put_groups(out, theirs);
    return R_OK;
}

// Who a session or a grant names: a user, by the whole name. A lost database changes nothing for those who are here.
static enum result
find_identity(struct auth_role *role, struct ask *a, struct span sent, struct user *user,
              struct buf *groups, struct fault *f)
{
    struct name name;
    if (name_of(sent, &name, f))
        return R_NONE;
    enum result r = who_find_name(role, a, name_span(&name), user, f);
    if (r == R_NONE || (r == R_OK && user->disabled))
        recheck_missed(role, name_span(&name));
    else if (r == R_OK)
        recheck_seen(role, user);
    if (r == R_FAIL && role->bases.outer != NULL && !a->waiting)
        r = userdb_find(role->db, name_span(&name), user, f);
    if (r != R_OK || user->disabled)
        return r == R_OK ? R_NONE : r;
    return lookup_groups(role, user, groups, f);
}

static enum result
find_user(void *arg, struct span name, struct user *out, struct fault *f)
{
    struct recipient *w = arg;
    return who_find_name(w->at->role, &w->ask, name, out, f);
}

static struct lookup_rules
rules_of(struct recipient *w)
{
    struct lookup_rules rules = auth_rules(w->at->role);
    rules.find = find_user;
    rules.arg = w;
    return rules;
}

static enum result
find_lookup(struct recipient *w, struct lookup_reply *reply, struct user *user,
            struct buf *groups, struct fault *f)
{
    struct auth_role *role = w->at->role;
    struct lookup_rules rules = rules_of(w);
    enum result r = w->lookup.identity
                        ? find_identity(role, &w->ask, w->lookup.address, user, groups, f)
                        : lookup_recipient(role->db, &rules, w->lookup.address, user,
                                           &reply->detail, f);
    struct user_keys keys = {0};
    if (r == R_OK && w->lookup.identity)
        r = user_keys_get(role->db, user->account, &keys, f);
    if (r != R_OK)
        return r;
    struct user_quota quota = USER_QUOTA_UNSAID;
    reply->quota_known = w->lookup.identity && outer_quota(role, user, &quota);
    reply->quota_storage = quota.storage;
    reply->quota_messages = quota.messages;
    reply->size_limit = keys.size_limit;
    reply->sent_copy = keys.sent_copy;
    reply->found = LOOKUP_FOUND;
    reply->account = user->account;
    reply->user = name_span(&user->name);
    reply->groups = buf_span(groups);
    return R_OK;
}

static void
recipient_free(struct recipient *w)
{
    DL_DELETE(w->at->recipients, w);
    ask_cancel(&w->ask);
    buf_done(&w->address);
    free(w);
}

// Again when a database has answered.
static void
answer(void *arg)
{
    struct recipient *w = arg;
    struct lookup_reply reply = {.request = w->lookup.request, .found = LOOKUP_GONE};
    struct user user;
    struct fault f;
    struct buf b, groups;
    buf_init(&groups, LIMIT_channel_message);
    buf_init(&b, LIMIT_channel_message);
    if (find_lookup(w, &reply, &user, &groups, &f) == R_FAIL && !w->ask.waiting) {
        log_error("auth", "the user database failed", log_fault(&f));
        reply.found = LOOKUP_LATER;
    }
    if (!w->ask.waiting) {
        lookup_reply_put(&b, &reply);
        must(!b.over && !groups.over);
        channel_send(w->at->channel, MESSAGE_LOOKUP_REPLY, buf_span(&b), -1);
        recipient_free(w);
    }
    buf_done(&b);
    buf_done(&groups);
}

static void
answer_resolve(void *arg)
{
    struct recipient *w = arg;
    struct lookup_rules rules = rules_of(w);
    auth_resolve(w->at, &w->resolve, &rules, &w->ask);
    if (!w->ask.waiting)
        recipient_free(w);
}

static struct recipient *
recipient_new(struct auth_channel *at, struct span address, void (*again)(void *arg))
{
    struct recipient *w = calloc(1, sizeof *w);
    must(w != NULL);
    w->at = at;
    buf_init(&w->address, LIMIT_channel_message);
    buf_put(&w->address, address);
    ask_init(&w->ask, again, w);
    DL_APPEND(at->recipients, w);
    return w;
}

void
lookup_answer(struct auth_channel *at, const struct lookup *m)
{
    struct recipient *w = recipient_new(at, m->address, answer);
    w->lookup = *m;
    w->lookup.address = buf_span(&w->address);
    answer(w);
}

void
lookup_resolve(struct auth_channel *at, const struct resolve_request *m)
{
    struct recipient *w = recipient_new(at, m->address, answer_resolve);
    w->resolve = *m;
    w->resolve.address = buf_span(&w->address);
    answer_resolve(w);
}

void
lookup_forget(struct auth_channel *at)
{
    struct recipient *w, *next;
    DL_FOREACH_SAFE(at->recipients, w, next)
    {
        recipient_free(w);
    }
}
