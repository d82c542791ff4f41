#include "gate/mta_inside.h"
#include "base/clock.h"
#include "base/limits.h"
#include "os/network.h"
#include "wire/base64.h"

// One AUTH, until OK or FAIL.
struct mta_request {
    UT_hash_handle hh;
    uint32_t id;
    struct mta *mta;
    struct exchange *exchange;
    bool has_word;  // its client's next response is awaited
    bool final_ok;
    bool secured;
    uint64_t session, start_ms;
    const char *mechanism;
    char service[16], remote[46], local[46];
};

// What this protocol says of each mechanism. A token is as good as a password to whoever reads it.
static const struct mechanism {
    const char *name;
    bool plaintext;
    const char *flags;
} mechanisms[] = {
    {"SCRAM-SHA-256", false, "\tdictionary\tmutual-auth"},
    {"SCRAM-SHA-1", false, "\tdictionary\tmutual-auth"},
    {"OAUTHBEARER", true, "\tplaintext"},
    {"XOAUTH2", true, "\tplaintext"},
    {"PLAIN", true, "\tplaintext"},
    {"LOGIN", true, "\tplaintext"},
};

static const struct mechanism *
find_mechanism(struct span name)
{
    for (size_t i = 0; i < sizeof mechanisms / sizeof mechanisms[0]; i++)
        if (span_ieq(name, span_str(mechanisms[i].name)))
            return &mechanisms[i];
    return NULL;
}

void
mta_request_put_mechanisms(const struct gate *g, struct buf *b)
{
    struct span rest = gate_mechanisms(g), name;
    while (span_next_field(&rest, ' ', &name) == R_OK) {
        const struct mechanism *m = find_mechanism(name);
        if (m != NULL)
            buf_printf(b, "MECH\t%s%s\n", m->name, m->flags);
    }
}

// ---- answers ----

// What is told of a failure: words for the agent, and a reason for its client.
static const struct {
    enum fault_kind kind;
    const char *parameters;
} failures[] = {
    {FAULT_AUTHFAILED, ""},
    {FAULT_AUTHZFAILED, "\tauthz\tcode=authz_fail"},
    {FAULT_EXPIRED, "\tcode=pass_expired\treason=The password has expired"},
    {FAULT_NOPERM, "\tauthz\tcode=authz_fail"},
    {FAULT_PRIVACY, "\treason=Plaintext authentication disallowed on non-secure (SSL/TLS) "
                    "connections"},
    {FAULT_CANNOT, "\treason=Unsupported authentication mechanism"},
    {FAULT_BAD, "\treason=Invalid authentication data"},
    {FAULT_CLIENTBUG, "\treason=Unexpected continuation"},
    {FAULT_CLOSED, "\treason=Authentication request timed out"},
};

// NULL: it is none of these, and no verdict on the client.
static const char *
parameters_of(enum fault_kind kind)
{
    for (size_t i = 0; i < sizeof failures / sizeof failures[0]; i++)
        if (failures[i].kind == kind)
            return failures[i].parameters;
    return NULL;
}

static struct mta_request *
request_find(const struct mta *m, uint32_t id)
{
    struct mta_request *r;
    HASH_FIND(hh, m->requests, &id, sizeof id, r);
    return r;
}

// Agents of version 1.0 (Postfix) take every FAIL for a wrong password, and a lost connection for what it is.
static bool
must_hang_up(struct mta *m, uint32_t id)
{
    bool alone = HASH_COUNT(m->requests) == (request_find(m, id) != NULL);
    return m->minor == 0 && alone && conn_queued(m->conn) == 0;
}

static void
say_fail(struct mta *m, uint32_t id, struct span user, enum fault_kind kind)
{
    struct buf b;
    const char *parameters = parameters_of(kind);
    if (parameters == NULL && must_hang_up(m, id)) {
        conn_hang_up(m->conn);
        return;
    }
    if (parameters == NULL)
        parameters = "\ttemp\tcode=temp_fail\treason=Temporary authentication failure";
    buf_init(&b, LIMIT_channel_message);
    buf_printf(&b, "FAIL\t%u", id);
    if (user.n > 0) {
        buf_put_str(&b, "\tuser=");
        auth_line_escape(user, &b);
    }
    buf_printf(&b, "%s\n", parameters);
    conn_write(m->conn, buf_span(&b));
    buf_done(&b);
}

static void
say_ok(const struct mta_request *r, const struct auth_reply *reply)
{
    struct buf b;
    buf_init(&b, LIMIT_channel_message * 2);
    buf_printf(&b, "OK\t%u\tuser=", r->id);
    auth_line_escape(reply->user, &b);
    if (reply->master.n > 0) {
        buf_put_str(&b, "\tauth_user=");
        auth_line_escape(reply->master, &b);
    }
    if (reply->data.n > 0) {
        buf_put_str(&b, "\tresp=");
        base64_encode(reply->data, &b);
    }
    buf_put_char(&b, '\n');
    must(!b.over);
    conn_write(r->mta->conn, buf_span(&b));
    buf_done(&b);
}

static void
say_cont(const struct mta_request *r, struct span data)
{
    struct buf b;
    buf_init(&b, LIMIT_channel_message * 2);
    buf_printf(&b, "CONT\t%u\t", r->id);
    base64_encode(data, &b);
    buf_put_char(&b, '\n');
    must(!b.over);
    conn_write(r->mta->conn, buf_span(&b));
    buf_done(&b);
}

static struct login_log
log_of(const struct mta_request *r)
{
    return (struct login_log){
        .service = r->service,
        .method = r->mechanism,
        .remote = r->remote,
        .local = r->local,
        .master = "",
        .device = "",
        .proxy_session = "",
        .tls = r->secured,
        .session = r->session,
        .start_ms = r->start_ms,
    };
}

static void
log_ok(const struct mta_request *r, const struct auth_reply *reply)
{
    char master[LIMIT_user_name + 1], device[LIMIT_app_label + 1];
    struct login_log l = log_of(r);
    snprintf(master, sizeof master, "%.*s", SPAN_ARG(reply->master));
    snprintf(device, sizeof device, "%.*s", SPAN_ARG(reply->device));
    l.user = reply->user;
    l.master = master;
    l.device = device;
    login_log_done(&l);
}

static void
log_fail(const struct mta_request *r, struct span user, const char *why)
{
    struct login_log l = log_of(r);
    l.user = user;
    login_log_aborted(&l, why);
}

// ---- the life of a request ----

static void
request_add(struct mta_request *r)
{
    HASH_ADD(hh, r->mta->requests, id, sizeof r->id, r);
    r->mta->gate->mtas.requests++;
}

static void
request_free(struct mta_request *r)
{
    struct gate *g = r->mta->gate;
    exchange_drop(g, &r->exchange, true);
    HASH_DEL(r->mta->requests, r);
    g->mtas.requests--;
    free(r);
}

static void
fail(struct mta_request *r, struct span user, enum fault_kind kind)
{
    say_fail(r->mta, r->id, user, kind);
    request_free(r);
}

static void
on_answer(void *arg, const struct auth_reply *reply)
{
    struct mta_request *r = arg;
    if (reply->verdict == AUTH_CONTINUE) {
        r->has_word = true;
        say_cont(r, reply->data);
    } else if (reply->verdict == AUTH_OK) {
        say_ok(r, reply);
        log_ok(r, reply);
        request_free(r);
    } else {
        enum fault_kind kind = (enum fault_kind)reply->fault;
        log_fail(r, reply->user, login_log_judges(kind) ? NULL : "temporary failure");
        fail(r, reply->user, kind);
    }
}

void
mta_request_drop_all(struct mta *m)
{
    struct mta_request *r, *next;
    HASH_ITER(hh, m->requests, r, next)
    {
        request_free(r);
    }
}

void
mta_request_fail_all(struct mta *m)
{
    struct mta_request *r, *next;
    HASH_ITER(hh, m->requests, r, next)
    {
        fail(r, SPAN_NONE, FAULT_UNAVAILABLE);
    }
}

// ---- AUTH ----

// An address as it is written, or `other`.
static void
take_address(struct span sent, const char *other, char out[46])
{
    struct network n;
    struct fault f;
    bool one = sent.n < 46 && span_find_char(sent, '/') == sent.n &&
               network_parse(sent, &n, &f) == R_OK;
    snprintf(out, 46, "%.*s", SPAN_ARG(one ? sent : span_str(other)));
}

// Submission is SMTP's: one name for the passwords that are for it.
static bool
take_service(struct span sent, char out[16])
{
    if (span_ieq(sent, SPAN("submission")) || span_ieq(sent, SPAN("submissions")) ||
        span_ieq(sent, SPAN("smtps")))
        sent = SPAN("smtp");
    if (sent.n == 0 || sent.n > 15)
        return false;
    for (size_t i = 0; i < sent.n; i++) {
        out[i] = ascii_lower(sent.p[i]);
        if (!ascii_is_alpha(out[i]) && !ascii_is_digit(out[i]) && out[i] != '-')
            return false;
    }
    out[sent.n] = '\0';
    return true;
}

static struct mta_request *
request_new(struct mta *m, const struct auth_line *line, const struct mechanism *mechanism)
{
    struct mta_request *r = calloc(1, sizeof *r);
    must(r != NULL);
    r->id = line->id;
    r->mta = m;
    r->final_ok = line->final_ok;
    r->secured = line->secured;
    r->session = random_u64();
    r->start_ms = clock_mono_ms();
    r->mechanism = mechanism->name;
    // who does not say from where is throttled together with all who do not, and is in no network
    take_address(line->remote, "0.0.0.0", r->remote);
    take_address(line->local, "", r->local);
    request_add(r);
    return r;
}

static void
ask(struct mta_request *r, const struct auth_line *line, struct span initial)
{
    struct auth_start start = {
        .service = span_str(r->service),
        .mechanism = span_str(r->mechanism),
        .has_initial = initial.p != NULL,
        .initial = initial,
        .remote = span_str(r->remote),
        .local = span_str(r->local),
        .session = r->session,
        .final_ok = r->final_ok,
        .verdict_only = true,
        .tls = {.kind = r->secured ? TLS_STARTTLS : TLS_NONE,
                .server_name = span_slice(line->server_name, 0, 255)},
    };
    exchange_start(r->mta->gate, &r->exchange, on_answer, r, &start);
}

// No mechanism here begins with an empty response, and Exim sends an empty one for none; "=" is SMTP's empty one.
static enum result
decode(struct span sent, struct buf *out, struct span *response_out)
{
    *response_out = SPAN_NONE;
    if (sent.n == 0)
        return R_OK;
    if (base64_decode_word(sent, out) != R_OK)
        return R_FAIL;
    *response_out = out->n > 0 ? buf_span(out) : SPAN("");
    return R_OK;
}

static bool
has_room(const struct mta *m)
{
    return HASH_COUNT(m->requests) < LIMIT_mta_requests &&
           m->gate->mtas.requests < LIMIT_mta_exchanges;
}

static void
start(struct mta *m, const struct auth_line *line)
{
    const struct mechanism *mechanism = find_mechanism(line->mechanism);
    if (mechanism == NULL || !has_room(m)) {
        say_fail(m, line->id, SPAN_NONE, mechanism == NULL ? FAULT_CANNOT : FAULT_LIMIT);
        return;
    }
    struct mta_request *r = request_new(m, line, mechanism);
    struct span initial;
    struct buf b;
    buf_init(&b, LIMIT_sasl_response);
    if (!take_service(line->service, r->service)) {
        fail(r, SPAN_NONE, FAULT_CANNOT);
    } else if (mechanism->plaintext && !r->secured &&
               !m->gate->options.settings.plaintext_auth) {
        log_fail(r, SPAN_NONE, "tried to use disallowed plaintext auth");
        fail(r, SPAN_NONE, FAULT_PRIVACY);
    } else if (decode(line->response, &b, &initial) != R_OK) {
        fail(r, SPAN_NONE, FAULT_BAD);
    } else {
        ask(r, line, initial);
    }
    buf_wipe(&b);
}

// ---- CONT and CANCEL ----

static void
go_on(struct mta_request *r, const struct auth_line *line)
{
    struct buf b;
    buf_init(&b, LIMIT_sasl_response);
    if (!r->has_word) {
        fail(r, SPAN_NONE, FAULT_CLIENTBUG);
    } else if (base64_decode_word(line->response, &b) != R_OK) {
        fail(r, SPAN_NONE, FAULT_BAD);
    } else {
        r->has_word = false;
        exchange_step(r->mta->gate, r->exchange, buf_span(&b));
    }
    buf_wipe(&b);
}

enum result
mta_request_take(struct mta *m, const struct auth_line *line, struct fault *f)
{
    struct mta_request *r = request_find(m, line->id);
    if (line->kind == AUTH_LINE_AUTH && r == NULL)
        start(m, line);
    else if (line->kind == AUTH_LINE_AUTH)
        return fault_set(f, FAULT_BAD, "AUTH with the number of another under way");
    else if (line->kind == AUTH_LINE_CONT && r == NULL)
        say_fail(m, line->id, SPAN_NONE, FAULT_CLOSED);
    else if (line->kind == AUTH_LINE_CONT)
        go_on(r, line);
    else if (line->kind == AUTH_LINE_CANCEL && r != NULL)
        request_free(r);
    else if (line->kind != AUTH_LINE_CANCEL)
        return fault_set(f, FAULT_BAD, "the handshake is over");
    return R_OK;
}
