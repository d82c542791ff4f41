#include "main/auth_inside.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/audit.h"

static void
unhook(struct login *l)
{
    if (l->at == NULL)
        return;
    HASH_DEL(l->at->logins, l);
    l->at = NULL;
}

void
login_free(struct login *l)
{
    unhook(l);
    ask_cancel(&l->outer.ask);
    timer_clear(&l->timer);
    if (l->has_attempt)
        throttle_cancel(l->role->throttle, &l->attempt);
    sasl_free(&l->sasl);
    trial_free(&l->service.trial);
    buf_done(&l->remote);
    buf_done(&l->sent_user);
    buf_wipe(&l->token.text);
    buf_done(&l->acting.target);
    buf_wipe(&l->password);
    buf_wipe(&l->response);
    free(l);
}

static void
send_and_free(struct login *l, const struct auth_reply *reply)
{
    auth_reply_send(l->at, reply);
    login_free(l);
}

static struct span
claimed_user(const struct login *l)
{
    return l->sasl && sasl_user(l->sasl).n > 0 ? sasl_user(l->sasl)
                                               : buf_span(&l->sent_user);
}

static void
send_refusal(struct login *l)
{
    if (l->service.trial != NULL) {
        trial_refused(l);
        return;
    }
    struct auth_reply r = {.exchange = l->exchange,
                           .verdict = AUTH_REFUSED,
                           .fault = (uint8_t)l->refusal,
                           .user = span_slice(claimed_user(l), 0, LIMIT_user_name)};
    send_and_free(l, &r);
}

static void
log_refusal(const struct login *l, const char *why)
{
    char level = fault_info(l->refusal)->level;
    log_audit_line(
        level == 'd' ? 'i' : level, LOGIN_FAILED, "auth", "Refused",
        log_user(claimed_user(l)),
        field_if(l->acting.target.n > 0,
                 field_text("target", "target=<%>", buf_span(&l->acting.target))),
        field_str("listener", "service=%", l->service.name),
        field_text("rip", "rip=%", buf_span(&l->remote)), log_session(l->session),
        field_str("code", "code=%", fault_info(l->refusal)->name), log_why(why));
}

static bool
counts_as_guess(enum fault_kind kind)
{
    return kind == FAULT_AUTHFAILED || kind == FAULT_AUTHZFAILED;
}

static void
set_timer(struct login *l, loop_fn *fn, uint32_t delay_ms)
{
    timer_clear(&l->timer);
    timer_init(&l->timer, fn, l);
    timer_set(&l->timer, delay_ms);
}

static void
on_refusal_due(void *arg)
{
    send_refusal(arg);
}

// The time from now on does not tell what was looked at; a penalty comes on top.
static uint32_t
rest_ms(struct login *l)
{
    uint64_t now_ms = clock_mono_ms(), spent_ms = now_ms - l->asked_ms;
    return pace_leave_ms(&l->role->pace, spent_ms, now_ms) - (uint32_t)spent_ms;
}

// Logs and counts it; how long it is kept back.
static uint32_t
note_refusal(struct login *l, const struct fault *f)
{
    uint32_t delay_ms = 0;
    l->refusal = f->kind;
    if (l->service.trial != NULL) {
        trial_note(l, f->why);
        return 0;
    }
    log_refusal(l, f->why);
    if (!counts_as_guess(f->kind))
        return 0;
    if (l->has_attempt)
        delay_ms = throttle_failure(
            l->role->throttle, &l->attempt,
            buf_span(l->token.text.n > 0 ? &l->token.text : &l->password), clock_mono_ms());
    l->has_attempt = false;
    return delay_ms + rest_ms(l);
}

void
login_deny_for(struct login *l, const struct fault *f)
{
    uint32_t delay_ms = note_refusal(l, f);
    l->state = LOGIN_REFUSAL;
    if (delay_ms == 0)
        send_refusal(l);
    else
        set_timer(l, on_refusal_due, delay_ms);
}

void
login_deny(struct login *l, enum fault_kind kind, const char *why)
{
    struct fault f;
    fault_set(&f, kind, "%s", why);
    login_deny_for(l, &f);
}

static void
on_answer(void *arg)
{
    struct login *l = arg;
    l->outer.goes_on(l);
}

void
login_asks(struct login *l, void (*goes_on)(struct login *l))
{
    timer_clear(&l->timer);
    l->state = LOGIN_DIRECTORY;
    l->outer.goes_on = goes_on;
}

static void
on_exchange_timeout(void *arg)
{
    login_deny(arg, FAULT_UNAVAILABLE, "the client took too long");
}

static void
challenge(struct login *l, enum login_state state, struct span data)
{
    struct auth_reply r = {.exchange = l->exchange, .verdict = AUTH_CONTINUE, .data = data};
    l->state = state;
    set_timer(l, on_exchange_timeout, LIMIT_auth_exchange_ms);
    auth_reply_send(l->at, &r);
}

static void
become(struct login *l)
{
    struct fault f;
    struct span final = l->outer.final;
    if (who_become(l, &f) != R_OK || who_may_use(l, &f) != R_OK) {
        if (l->outer.ask.waiting)
            login_asks(l, become);
        else
            login_deny_for(l, &f);
        return;
    }
    if (l->role->ticket_key.n == 0 && !l->service.verdict_only) {
        login_deny(l, FAULT_UNAVAILABLE, "no ticket key yet");
        return;
    }
    if (l->has_attempt)
        throttle_success(l->role->throttle, &l->attempt, clock_mono_ms());
    l->has_attempt = false;
    // Where there is no place for data with success it is one more challenge (RFC 4422 section 3.6).
    if (final.n > 0 && !l->service.final_ok)
        challenge(l, LOGIN_FINAL, final);
    else
        login_grant(l, final);
}

static void
succeed(struct login *l, struct span final)
{
    l->outer.final = final;
    become(l);
}

// A penalty is over: what others were told meanwhile is old.
static void
begin_again(struct login *l)
{
    l->asked_ms = clock_mono_ms();
    l->outer.ask.since_ms = l->asked_ms;
}

static void
on_look_up_due(void *arg)
{
    struct login *l = arg;
    begin_again(l);
    login_look_up(l);
}

static void
on_token_error_due(void *arg)
{
    struct login *l = arg;
    struct buf json;
    buf_init(&json, LIMIT_sasl_response);
    sasl_token_error(l->sasl, span_str(l->role->start->config->oauth_scope),
                     span_str(l->role->start->config->oauth_issuer), &json);
    challenge(l, LOGIN_TOKEN_ERROR, buf_span(&json));
    buf_done(&json);
}

// The error that the client is told is the refusal already: it may leave without acknowledging it.
void
login_refused(struct login *l, const struct fault *f)
{
    if (f->kind != FAULT_AUTHFAILED) {
        login_deny_for(l, f);
        return;
    }
    l->state = LOGIN_DELAY;
    set_timer(l, on_token_error_due, note_refusal(l, f));
}

void
login_granted(struct login *l)
{
    succeed(l, SPAN_NONE);
}

static void
on_provider_timeout(void *arg)
{
    login_deny(arg, FAULT_UNAVAILABLE, "the identity provider took too long");
}

void
login_waits(struct login *l, uint64_t fetch)
{
    l->token.fetch = fetch;
    l->state = LOGIN_TOKEN;
    set_timer(l, on_provider_timeout, LIMIT_oauth_ms + 1000);
}

static uint32_t
begin_attempt(struct login *l, struct span user)
{
    if (l->has_attempt || l->service.trial != NULL)
        return 0;
    l->has_attempt = true;
    return throttle_start(l->role->throttle, buf_span(&l->remote), user, clock_mono_ms(),
                          &l->attempt);
}

static void
check_password(struct login *l, struct span sent, struct span authzid, struct span password)
{
    struct span user = who_split(l, sent, authzid);
    buf_put(&l->sent_user, user);
    buf_put(&l->password, password);
    if (l->sent_user.over || l->password.over || l->acting.target.over) {
        login_deny(l, FAULT_AUTHFAILED, "user name or password too long");
        return;
    }
    uint32_t delay_ms = begin_attempt(l, buf_span(&l->sent_user));
    l->state = LOGIN_DELAY;
    if (delay_ms == 0)
        login_look_up(l);
    else
        set_timer(l, on_look_up_due, delay_ms);
}

static void
on_token_due(void *arg)
{
    token_judge(arg);
}

// A penalty is served before the token is looked at.
static void
check_token(struct login *l, struct span user, struct span token)
{
    buf_put(&l->sent_user, user);
    buf_put(&l->token.text, token);
    uint32_t delay_ms = begin_attempt(l, user);
    l->state = LOGIN_DELAY;
    if (delay_ms == 0)
        token_judge(l);
    else
        set_timer(l, on_token_due, delay_ms);
}

static void
take_outcome(struct login *l, const struct sasl_outcome *o, const struct fault *f)
{
    if (l->is.broken) {
        login_deny(l, FAULT_UNAVAILABLE, "the user database cannot be read");
        return;
    }
    switch (o->verdict) {
    case SASL_CONTINUE:
        challenge(l, LOGIN_CLIENT, o->data);
        break;
    case SASL_CHECK:
        check_password(l, o->user, o->authzid, o->password);
        break;
    case SASL_EXTERNAL:
        login_by_certificate(l, o->user, o->authzid);
        break;
    case SASL_TOKEN:
        check_token(l, o->user, o->password);
        break;
    case SASL_OK:
        if (o->authzid.n > 0)
            who_split(l, SPAN_NONE, o->authzid);
        if (l->is.known)
            succeed(l, o->data);
        else
            login_deny(l, FAULT_AUTHFAILED, login_unknown_why(l));
        break;
    default:
        login_deny_for(l, f);
    }
}

static void respond(struct login *l, struct span response);

static void
respond_again(struct login *l)
{
    respond(l, buf_span(&l->response));
}

static void
on_response_due(void *arg)
{
    struct login *l = arg;
    begin_again(l);
    respond(l, l->response.n > 0 ? buf_span(&l->response) : SPAN(""));
}

// True: first a penalty is served.
static bool
serves_penalty(struct login *l, struct span user, struct span response)
{
    uint32_t delay_ms = user.n > 0 ? begin_attempt(l, user) : 0;
    if (delay_ms == 0)
        return false;
    l->state = LOGIN_DELAY;
    buf_reset(&l->response);
    buf_put(&l->response, response);
    set_timer(l, on_response_due, delay_ms);
    return true;
}

static bool
asks_about(struct login *l, struct span who, struct span response)
{
    struct fault f;
    if (serves_penalty(l, who, response))
        return true;
    l->outer.ask.fresh = true;  // a wrong proof cannot be judged a second time
    if (who_find_here(l, who, &f) != R_FAIL || !l->outer.ask.waiting)
        return false;
    if (response.p != l->response.p) {
        buf_reset(&l->response);
        buf_put(&l->response, response);
    }
    login_asks(l, respond_again);
    return true;
}

// SCRAM's keys must be there when the mechanism wants them: outer databases are asked before it sees the user's name.
static bool
asks_before(struct login *l, struct span response)
{
    struct buf user;
    if (l->role->bases.outer == NULL || l->sasl == NULL)
        return false;
    buf_init(&user, LIMIT_user_name);
    bool asks = sasl_scram_user(l->sasl, response, &user) == R_OK &&
                asks_about(l, who_split(l, buf_span(&user), SPAN_NONE), response);
    buf_done(&user);
    return asks;
}

static void
respond(struct login *l, struct span response)
{
    if (asks_before(l, response))
        return;
    struct fault f = {0};
    struct sasl_outcome o = sasl_step(l->sasl, response, &f);
    take_outcome(l, &o, &f);
}

// Once the user is known (SCRAM's proof, LOGIN's password), a penalty is served before it is looked at.
static void
take_response(struct login *l, struct span response)
{
    if (!serves_penalty(l, sasl_user(l->sasl), response))
        respond(l, response);
}

static struct login *
login_new(struct auth_channel *at, const struct auth_start *start)
{
    struct login *l = calloc(1, sizeof *l);
    must(l != NULL);
    l->exchange = start->exchange;
    l->at = at;
    l->role = at->role;
    l->session = start->session;
    snprintf(l->service.name, sizeof l->service.name, "%.*s", SPAN_ARG(start->service));
    l->service.final_ok = start->final_ok;
    l->service.verdict_only = start->verdict_only;
    buf_init(&l->remote, 64);
    buf_init(&l->sent_user, LIMIT_user_name);
    buf_init(&l->token.text, LIMIT_sasl_response);
    buf_init(&l->acting.target, LIMIT_user_name);
    buf_init(&l->password, LIMIT_password);
    buf_init(&l->response, LIMIT_sasl_response);
    buf_put(&l->remote, start->remote);
    timer_init(&l->timer, on_exchange_timeout, l);
    ask_init(&l->outer.ask, on_answer, l);
    HASH_ADD(hh, at->logins, exchange, sizeof l->exchange, l);
    return l;
}

static void
start_sasl(struct login *l, const struct auth_start *start)
{
    struct fault f;
    const struct sasl_setup setup = {
        .mechanism = start->mechanism,
        .exporter = start->tls.exporter,
        .certificate = l->role->external ? start->tls.certificate : SPAN_NONE,
        .plus_offered = l->role->scram[SCRAM_SHA_256] || l->role->scram[SCRAM_SHA_1],
        .keys = who_give_keys,
        .arg = l,
    };
    if (sasl_new(&setup, &l->sasl, &f))
        login_deny_for(l, &f);
    else if (start->has_initial)
        respond(l, start->initial.n > 0 ? start->initial : SPAN(""));
    else
        respond(l, SPAN_NONE);
}

static struct login *
login_find(struct auth_channel *at, uint64_t exchange)
{
    struct login *l = NULL;
    // NOLINTNEXTLINE(clang-analyzer-unix.Malloc): one that make_room let go has left the table
    HASH_FIND(hh, at->logins, &exchange, sizeof exchange, l);
    return l;
}

static void
refuse_start(struct auth_channel *at, const struct auth_start *start, enum fault_kind kind)
{
    struct auth_reply r = {
        .exchange = start->exchange, .verdict = AUTH_REFUSED, .fault = (uint8_t)kind};
    auth_reply_send(at, &r);
}

// Who begins an exchange and says no more keeps nobody out: the oldest of them goes.
static void
make_room(struct auth_channel *at)
{
    struct login *l, *next;
    if (HASH_COUNT(at->logins) < LIMIT_auth_exchanges)
        return;
    HASH_ITER(hh, at->logins, l, next)
    if (l->state == LOGIN_CLIENT || l->state == LOGIN_TOKEN_ERROR) {
        login_deny(l, FAULT_LIMIT, "too many exchanges are under way");
        return;
    }
}

static bool
has_room(struct auth_channel *at, const struct auth_start *start)
{
    return login_find(at, start->exchange) == NULL &&
           HASH_COUNT(at->logins) < LIMIT_auth_exchanges;
}

static void
begin(struct login *l, const struct auth_start *start)
{
    l->asked_ms = clock_mono_ms();
    if (!who_may_come(l->role, start->remote))
        login_deny(l, FAULT_AUTHFAILED, "nobody may log in from there");
    else if (start->mechanism.n > 0)
        start_sasl(l, start);
    else
        check_password(l, start->user, SPAN_NONE, start->password);
}

void
login_start(struct auth_channel *at, const struct auth_start *start)
{
    make_room(at);
    if (has_room(at, start))
        begin(login_new(at, start), start);
    else
        refuse_start(at, start, FAULT_LIMIT);
}

enum result
login_try(struct auth_channel *at, const struct auth_start *start, struct trial *trial)
{
    if (!has_room(at, start))
        return R_FAIL;
    struct login *l = login_new(at, start);
    l->service.trial = trial;
    begin(l, start);
    return R_OK;
}

void
login_step(struct auth_channel *at, const struct auth_step *step)
{
    struct login *l = login_find(at, step->exchange);
    struct span response = step->response.n > 0 ? step->response : SPAN("");
    if (l == NULL)
        return;  // it timed out, and its refusal is on the way
    if (l->state == LOGIN_CLIENT) {
        timer_clear(&l->timer);
        l->asked_ms = clock_mono_ms();
        // what was said while the client thought it over is old
        l->outer.ask.since_ms = l->asked_ms;
        take_response(l, response);
    } else if (l->state == LOGIN_TOKEN_ERROR) {
        send_refusal(l);
    } else if (l->state == LOGIN_FINAL && response.n == 0) {
        login_grant(l, SPAN_NONE);
    } else if (l->state == LOGIN_FINAL) {
        login_deny(l, FAULT_BAD, "data after the server's proof");
    }
}

static void
drop(struct login *l)
{
    if (l->state == LOGIN_HASHING)
        unhook(l);
    else
        login_free(l);
}

// Who makes us ask an outer database and leaves before the answer could leave again and again.
static void
note_abandoned(struct login *l)
{
    if (l->has_attempt && l->outer.ask.count > 0)
        (void)throttle_failure(l->role->throttle, &l->attempt, SPAN_NONE, clock_mono_ms());
    l->has_attempt &= l->outer.ask.count == 0;
}

void
login_abort(struct auth_channel *at, uint64_t exchange)
{
    struct login *l = login_find(at, exchange);
    if (l == NULL)
        return;
    note_abandoned(l);
    drop(l);
}

void
login_abort_all(struct auth_channel *at)
{
    struct login *l, *next;
    HASH_ITER(hh, at->logins, l, next)
    drop(l);
}
