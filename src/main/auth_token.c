#include "main/auth_inside.h"
#include "auth/token.h"
#include "auth/token_cache.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"

// A question to the provider under way; the logins that wait for it know its number.
struct question {
    uint64_t id;  // 0: none is under way
    uint8_t kind;
    struct buf text;  // of the answer so far
    struct question *next;
};

enum { KEYS_AGAIN_MS = 5000, KEYS_OLD_MS = 3600000 };

struct oauth {
    struct auth_role *role;
    struct channel *channel;  // NULL: the role oauth is away
    struct token_keys *keys;
    uint64_t keys_ms, asked_ms;  // when they came, when they were last asked for; 0: never
    uint64_t last;               // question
    unsigned count;
    struct question *questions;
    struct token_cache *cache;
    struct buf audiences;
    struct token_rules rules;
};

void
token_open(struct auth_role *role)
{
    const struct config *c = role->start->config;
    if (c->oauth_issuer[0] == '\0')
        return;
    struct oauth *o = calloc(1, sizeof *o);
    must(o != NULL);
    o->role = role;
    o->cache = token_cache_new();
    buf_init(&o->audiences, SIZE_MAX);
    for (size_t i = 0; i < c->oauth_audience.n; i++)
        buf_printf(&o->audiences, "%s%s", i > 0 ? " " : "", c->oauth_audience.items[i]);
    o->rules = (struct token_rules){span_str(c->oauth_issuer), buf_span(&o->audiences),
                                    span_str(c->oauth_user_claim)};
    role->oauth = o;
}

static void
question_free(struct oauth *o, struct question *q)
{
    struct question **p = &o->questions;
    while (*p != q)
        p = &(*p)->next;
    *p = q->next;
    o->count--;
    buf_done(&q->text);
    free(q);
}

// ---- the verdict ----

static void
refuse_token(struct login *l, const char *why)
{
    struct fault f;
    fault_set(&f, FAULT_AUTHFAILED, "token: %s", why);
    login_refused(l, &f);
}

static void
unavailable(struct login *l, const char *why)
{
    struct fault f;
    fault_set(&f, FAULT_UNAVAILABLE, "%s", why);
    login_refused(l, &f);
}

// The token is of this user; the client may have said who it is, and then it must be the same.
static void
take_user(struct login *l, struct span user)
{
    struct fault f;
    struct user claimed;
    struct span sent = buf_span(&l->sent_user);
    enum result r = who_find_here(l, user, &f), s = r;
    if (r == R_OK && sent.n > 0)
        s = who_find(l->role, &l->outer.ask, sent, &claimed, &f);
    if (l->outer.ask.waiting) {
        login_asks(l, token_judge);
        return;
    }
    if (r == R_FAIL || s == R_FAIL) {
        unavailable(l, "the user database cannot be read");
        return;
    }
    if (!l->is.known)
        refuse_token(l, "unknown or disabled user, or from elsewhere");
    else if (sent.n > 0 && (s != R_OK || claimed.account != l->user.account))
        refuse_token(l, "of another user");
    else
        login_granted(l);
}

// ---- questions ----

static uint64_t
ask(struct oauth *o, enum token_fetch_kind kind, struct span token)
{
    struct question *q;
    struct buf b;
    if (o->channel == NULL || o->count >= LIMIT_oauth_waiting)
        return 0;
    q = calloc(1, sizeof *q);
    must(q != NULL);
    *q = (struct question){.id = ++o->last, .kind = (uint8_t)kind, .next = o->questions};
    buf_init(&q->text, LIMIT_oauth_answer);
    o->questions = q;
    o->count++;
    buf_init(&b, LIMIT_channel_message);
    token_fetch_put(&b, &(struct token_fetch){q->id, q->kind, token});
    channel_send(o->channel, MESSAGE_TOKEN_FETCH, buf_span(&b), -1);
    buf_wipe(&b);
    return q->id;
}

static struct question *
question_of_keys(struct oauth *o)
{
    struct question *q = o->questions;
    while (q != NULL && q->kind != TOKEN_FETCH_KEYS)
        q = q->next;
    return q;
}

// 0: they came, or were asked for in vain, just now.
static uint64_t
ask_keys(struct oauth *o)
{
    uint64_t now_ms = clock_mono_ms();
    struct question *q = question_of_keys(o);
    if (q != NULL)
        return q->id;
    if (o->asked_ms > 0 && now_ms - o->asked_ms < KEYS_AGAIN_MS)
        return 0;
    uint64_t id = ask(o, TOKEN_FETCH_KEYS, SPAN_NONE);
    if (id > 0)
        o->asked_ms = now_ms;
    return id;
}

// A key that is not there may be newer than the set; one of an old set may have been withdrawn.
static void
judge_jwt(struct oauth *o, struct login *l)
{
    struct fault f;
    struct token_found found;
    bool old = o->keys_ms == 0 || clock_mono_ms() - o->keys_ms > KEYS_OLD_MS;
    enum result r = R_NONE;
    if (!old)
        r = token_verify(o->keys, buf_span(&l->token.text), &o->rules, clock_wall_s(),
                         &found, &f);
    // whoever waited for keys once does not wait again
    uint64_t id = r == R_NONE && l->token.fetch == 0 ? ask_keys(o) : 0;
    if (r == R_OK)
        take_user(l, name_span(&found.user));
    else if (r == R_FAIL)
        login_refused(l, &f);
    else if (id > 0)
        login_waits(l, id);
    else if (old)
        unavailable(l, "the keys of the identity provider cannot be had");
    else
        refuse_token(l, "signed by an unknown key");
}

static void
judge_opaque(struct oauth *o, struct login *l)
{
    struct span token = buf_span(&l->token.text);
    struct span user =
        token_cache_find(o->cache, token, buf_span(&l->sent_user), clock_wall_s());
    uint64_t id = user.p ? 0 : ask(o, TOKEN_FETCH_INTROSPECTION, token);
    if (user.p)
        take_user(l, user);
    else if (id > 0)
        login_waits(l, id);
    else
        unavailable(l, "the identity provider cannot be asked");
}

void
token_judge(struct login *l)
{
    struct oauth *o = l->role->oauth;
    const struct config *c = l->role->start->config;
    l->asked_ms = clock_mono_ms();
    if (c->oauth_jwks_url[0] && token_is_jwt(buf_span(&l->token.text)))
        judge_jwt(o, l);
    else if (c->oauth_introspection_url[0])
        judge_opaque(o, l);
    else
        refuse_token(l, "no JWT");
}

// ---- answers ----

static void
take_introspection(struct oauth *o, struct login *l, struct span answer)
{
    struct fault f;
    struct token_found found;
    int64_t now_s = clock_wall_s();
    if (token_introspected(answer, &o->rules, now_s, &found, &f) == R_OK) {
        token_cache_put(o->cache, buf_span(&l->token.text), buf_span(&l->sent_user),
                        name_span(&found.user), now_s, found.expires_s);
        take_user(l, name_span(&found.user));
    } else {
        login_refused(l, &f);
    }
}

static void
resume(struct oauth *o, const struct question *q, struct login *l, bool failed)
{
    timer_clear(&l->timer);
    if (failed && q->kind == TOKEN_FETCH_INTROSPECTION)
        unavailable(l, "the identity provider did not answer");
    else if (q->kind == TOKEN_FETCH_INTROSPECTION)
        take_introspection(o, l, buf_span(&q->text));
    else
        judge_jwt(o, l);
}

static void
resume_all(struct oauth *o, const struct question *q, bool failed)
{
    for (struct auth_channel *at = o->role->channels; at != NULL; at = at->next) {
        struct login *l, *next;
        HASH_ITER(hh, at->logins, l, next)
        {
            if (l->state == LOGIN_TOKEN && l->token.fetch == q->id)
                resume(o, q, l, failed);
        }
    }
}

static void
take_keys(struct oauth *o, struct span answer)
{
    struct fault f;
    struct token_keys *keys = NULL;
    if (token_keys_parse(answer, &keys, &f) != R_OK) {
        log_warning("auth", "the identity provider's keys cannot be read", log_fault(&f));
        return;
    }
    token_keys_free(&o->keys);
    o->keys = keys;
    o->keys_ms = clock_mono_ms();
}

static void
finish(struct oauth *o, struct question *q, bool failed)
{
    failed |= q->text.over;
    if (!failed && q->kind == TOKEN_FETCH_KEYS)
        take_keys(o, buf_span(&q->text));
    struct question done = *q;
    buf_init(&q->text, 0);
    question_free(o, q);
    resume_all(o, &done, failed);
    buf_done(&done.text);
}

static void
on_end(struct channel *c, void *arg)
{
    struct oauth *o = arg;
    (void)c;
    channel_close(&o->channel);
    while (o->questions != NULL)
        finish(o, o->questions, true);
}

static void
on_message(struct channel *c, uint16_t type, struct span body, int fd, void *arg)
{
    struct oauth *o = arg;
    struct admin_reply reply;
    if (fd >= 0 || type != MESSAGE_TOKEN_FETCHED || admin_reply_get(body, &reply) != R_OK) {
        log_error("auth", "a message of oauth is malformed");
        if (fd >= 0)
            close(fd);
        on_end(c, o);
        return;
    }
    struct question *q = o->questions;
    while (q != NULL && q->id != reply.request)
        q = q->next;
    if (q == NULL)
        return;
    buf_put(&q->text, reply.text);
    if (reply.failed != ADMIN_MORE)
        finish(o, q, reply.failed == ADMIN_FAILED);
}

void
token_link(struct auth_role *role, int fd)
{
    struct oauth *o = role->oauth;
    if (o == NULL) {
        close(fd);
        return;
    }
    if (o->channel != NULL)
        on_end(o->channel, o);
    o->asked_ms = 0;
    o->channel = channel_new(fd, on_message, on_end, o);
}

void
token_close(struct auth_role *role)
{
    struct oauth *o = role->oauth;
    if (o == NULL)
        return;
    channel_close(&o->channel);
    while (o->questions != NULL)
        question_free(o, o->questions);
    token_keys_free(&o->keys);
    token_cache_free(&o->cache);
    buf_done(&o->audiences);
    free(o);
    role->oauth = NULL;
}
