#include "main/mail_role.h"
#include "auth/verbs.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/log.h"
#include "io/task.h"
#include "base/table.h"

enum { AWAY_STEP_MS = 50 };

// A question under way: lives on the stack of the task that waits for its answer.
struct ask {
    uint64_t id;
    struct task *task;
    bool done, failed;
    uint8_t found;
    uint64_t account, size_limit;
    uint8_t sent_copy;
    bool quota_known;
    struct user_quota quota;
    struct buf *user, *detail, *groups, *text;
    UT_hash_handle hh;
};

static void
finish(struct home *h, struct ask *a)
{
    HASH_DEL(h->asks, a);
    a->done = true;
    task_wake(a->task);
}

static void
on_end(struct channel *c, void *arg)
{
    struct home *h = arg;
    struct ask *a, *next;
    (void)c;
    channel_close(&h->auth);
    mail_users_changed(h->role);
    HASH_ITER(hh, h->asks, a, next)
    {
        a->failed = true;
        finish(h, a);
    }
}

static void
take_lookup(struct home *h, const struct lookup_reply *r)
{
    struct ask *a;
    HASH_FIND(hh, h->asks, &r->request, sizeof r->request, a);
    if (a == NULL || (a->user == NULL && a->groups == NULL))
        return;
    a->found = r->found;
    a->account = r->account;
    a->size_limit = r->size_limit;
    a->sent_copy = r->sent_copy;
    a->quota_known = r->quota_known;
    a->quota = (struct user_quota){r->quota_storage, r->quota_messages};
    if (a->user != NULL)
        buf_put(a->user, r->user);
    if (a->detail != NULL)
        buf_put(a->detail, r->detail);
    if (a->groups != NULL)
        buf_put(a->groups, r->groups);
    finish(h, a);
}

static void
take_admin(struct home *h, const struct admin_reply *r)
{
    struct ask *a;
    HASH_FIND(hh, h->asks, &r->request, sizeof r->request, a);
    if (a == NULL || a->text == NULL)
        return;
    buf_put(a->text, r->text);
    a->found = r->failed != ADMIN_FAILED;
    if (r->failed != ADMIN_MORE)
        finish(h, a);
}

static void
on_message(struct channel *c, uint16_t type, struct span body, int fd, void *arg)
{
    struct lookup_reply lookup;
    struct admin_reply admin;
    struct revoked revoked;
    struct identity_changed changed;
    if (fd < 0 && type == MESSAGE_REVOKED && revoked_get(body, &revoked) == R_OK) {
        session_revoke(arg, &revoked);
        return;
    }
    if (fd < 0 && type == MESSAGE_IDENTITY_CHANGED &&
        identity_changed_get(body, &changed) == R_OK) {
        mail_identity_changed(arg, changed.account);
        return;
    }
    if (fd < 0 && type == MESSAGE_LOOKUP_REPLY && lookup_reply_get(body, &lookup) == R_OK) {
        take_lookup(arg, &lookup);
        return;
    }
    if (fd < 0 && type == MESSAGE_ADMIN_REPLY && admin_reply_get(body, &admin) == R_OK) {
        take_admin(arg, &admin);
        return;
    }
    log_error("mail", "a message from auth is malformed");
    if (fd >= 0)
        close(fd);
    on_end(c, arg);
}

void
mail_ask_link(struct home *h, int fd)
{
    mail_ask_close(h);
    h->auth = channel_new(fd, on_message, on_end, h);
}

void
mail_ask_close(struct home *h)
{
    mail_known_forget(h);
    if (h->auth != NULL)
        on_end(h->auth, h);
}

// Auth is started again within a second when it died: that is worth waiting for.
static enum result
await_auth(struct home *h, struct fault *f)
{
    for (unsigned waited = 0; h->auth == NULL && waited < LIMIT_auth_wait_ms;
         waited += AWAY_STEP_MS)
        task_sleep(AWAY_STEP_MS);
    return h->auth != NULL ? R_OK : fault_set(f, FAULT_UNAVAILABLE, "auth is away");
}

static enum result
ask(struct home *h, struct ask *a, enum message_type type, struct buf *message,
    struct fault *f)
{
    if (message->over)
        return fault_set(f, FAULT_TOOBIG, "the question to auth is too long");
    a->task = task_self();
    HASH_ADD(hh, h->asks, id, sizeof a->id, a);
    channel_send(h->auth, (uint16_t)type, buf_span(message), -1);
    while (!a->done)
        task_suspend();
    return a->failed ? fault_set(f, FAULT_UNAVAILABLE, "auth went away") : R_OK;
}

static enum result
ask_lookup(struct home *h, struct ask *a, struct span address, uint64_t *account_out,
           struct fault *f)
{
    if (await_auth(h, f) != R_OK)
        return R_FAIL;
    a->id = ++h->ask_last;
    struct buf b;
    buf_init(&b, LIMIT_channel_message);
    lookup_put(&b, &(struct lookup){a->id, address, a->groups != NULL});
    enum result r = ask(h, a, MESSAGE_LOOKUP, &b, f);
    buf_done(&b);
    if (r != R_OK)
        return R_FAIL;
    if (a->found == 0)
        return R_NONE;
    if (a->found != 1)
        return fault_set(f, FAULT_UNAVAILABLE, "the user database cannot be read now");
    *account_out = a->account;
    return R_OK;
}

enum result
mail_ask_user(struct home *h, struct span address, uint64_t *account_out,
              struct buf *user_out, struct buf *detail_out, struct fault *f)
{
    struct ask a = {.user = user_out, .detail = detail_out};
    return ask_lookup(h, &a, address, account_out, f);
}

enum result
mail_ask_identity(struct home *h, struct span name, struct mail_identity *out,
                  struct fault *f)
{
    struct ask a = {.groups = out->groups};
    enum result r = ask_lookup(h, &a, name, &out->account, f);
    out->size_limit = a.size_limit;
    out->sent_copy = a.sent_copy;
    out->quota_known = a.quota_known;
    out->quota = a.quota;
    return r;
}

// What auth says when it failed: u8 enum fault_kind, why.
static enum result
take_fault(struct span said, struct fault *f)
{
    struct unpack u = unpack_of(said);
    uint8_t kind = unpack_u8(&u);
    if (u.bad || kind >= FAULT_COUNT)
        return fault_set(f, FAULT_SERVERBUG, "an answer of auth is malformed");
    return fault_set(f, kind, "%.*s", SPAN_ARG(u.rest));
}

// Behind the octet that says whether there is anybody.
static enum result
take_answer(struct span said, struct buf *out, struct fault *f)
{
    struct unpack u = unpack_of(said);
    uint8_t some = unpack_u8(&u);
    if (u.bad)
        return fault_set(f, FAULT_SERVERBUG, "an answer of auth is malformed");
    buf_put(out, u.rest);
    return some ? R_OK : R_NONE;
}

enum result
mail_ask_resolve(struct home *h, enum resolve_question question, struct span address,
                 struct buf *out, struct fault *f)
{
    struct buf b, text;
    if (await_auth(h, f) != R_OK)
        return R_FAIL;
    buf_init(&text, SIZE_MAX);
    buf_init(&b, LIMIT_channel_message);
    struct ask a = {.id = ++h->ask_last, .text = &text};
    resolve_request_put(&b, &(struct resolve_request){a.id, (uint8_t)question, address});
    enum result r = ask(h, &a, MESSAGE_RESOLVE, &b, f);
    if (r == R_OK)
        r = a.found ? take_answer(buf_span(&text), out, f) : take_fault(buf_span(&text), f);
    buf_done(&b);
    buf_done(&text);
    return r;
}

// Whatever became of the verb, before the operator hears of it.
static void
forget_touched(struct mail_role *r, struct span verb)
{
    enum verbs_touch touch = verbs_touch(verb);
    if (touch == VERBS_NAMES)
        mail_names_changed(r);
    else if (touch == VERBS_IDENTITIES)
        mail_users_changed(r);
}

enum result
mail_ask_admin(struct home *h, struct span verb, const struct span *args, size_t n,
               struct buf *text, struct fault *f)
{
    if (await_auth(h, f) != R_OK)
        return R_FAIL;
    struct ask a = {.id = ++h->ask_last, .text = text};
    struct buf b, packed;
    buf_init(&b, LIMIT_channel_message);
    buf_init(&packed, LIMIT_channel_message);
    for (size_t i = 0; i < n; i++)
        pack_span(&packed, args[i]);
    admin_request_put(&b, &(struct admin_request){a.id, verb, buf_span(&packed)});
    b.over |= packed.over;
    enum result r = ask(h, &a, MESSAGE_ADMIN, &b, f);
    forget_touched(h->role, verb);
    buf_wipe(&packed);
    buf_wipe(&b);
    if (r == R_OK && a.found == 0)
        r = take_fault(buf_span(text), f);
    return r;
}
