#include "main/auth_inside.h"
#include "main/threads.h"
#include "auth/password.h"
#include "base/limits.h"
#include "base/log.h"

enum { DRAIN_MS = 5000 };

static bool
has_sha_256(const struct auth_role *role)
{
    return role->scram[SCRAM_SHA_256];
}

static bool
has_sha_1(const struct auth_role *role)
{
    return role->scram[SCRAM_SHA_1];
}

static bool
has_tokens(const struct auth_role *role)
{
    return role->oauth != NULL;
}

static bool
has_external(const struct auth_role *role)
{
    return role->external;
}

// In order of preference. EXTERNAL is told to clients with a certificate only.
static const struct {
    const char *name;
    bool (*works)(const struct auth_role *role);  // NULL: always
} mechanisms[] = {
    {"EXTERNAL", has_external},
    {"SCRAM-SHA-256-PLUS", has_sha_256},
    {"SCRAM-SHA-1-PLUS", has_sha_1},
    {"SCRAM-SHA-256", has_sha_256},
    {"SCRAM-SHA-1", has_sha_1},
    {"OAUTHBEARER", has_tokens},
    {"XOAUTH2", has_tokens},
    {"PLAIN", NULL},
    {"LOGIN", NULL},
};

void
auth_reply_send(struct auth_channel *at, const struct auth_reply *reply)
{
    struct buf b;
    buf_init(&b, LIMIT_channel_message);
    auth_reply_put(&b, reply);
    must(!b.over);
    channel_send(at->channel, MESSAGE_AUTH_REPLY, buf_span(&b), -1);
    buf_done(&b);
}

static void
send_offer(struct auth_channel *at)
{
    struct auth_offer offer = {buf_span(&at->role->offer)};
    struct buf b;
    if (at->to_mail)
        return;
    buf_init(&b, LIMIT_channel_message);
    auth_offer_put(&b, &offer);
    channel_send(at->channel, MESSAGE_AUTH_OFFER, buf_span(&b), -1);
    buf_done(&b);
}

// A client that sees SCRAM tries nothing else, so it is offered only when it can work for everyone, unless the setting says
// otherwise; an app password does not work with it, and of the users of an outer database it is not known.
static bool
scram_works(struct auth_role *role, enum scram_hash hash)
{
    struct fault f;
    bool without = true, app = true;
    if (role->scram_mode != AUTH_SCRAM_AUTO)
        return role->scram_mode == AUTH_SCRAM_ALWAYS;
    if (role->bases.outer != NULL)
        return false;
    if (userdb_some_without(role->db, hash, &without, &f) ||
        app_password_some(role->db, &app, &f))
        log_error("auth", "the user database failed", log_fault(&f));
    return !without && !app;
}

static void
make_offer(struct auth_role *role, struct buf *out)
{
    for (int h = 0; h < SCRAM_HASHES; h++)
        role->scram[h] = scram_works(role, (enum scram_hash)h);
    for (size_t i = 0; i < sizeof mechanisms / sizeof mechanisms[0]; i++)
        if (mechanisms[i].works == NULL || mechanisms[i].works(role))
            buf_printf(out, "%s%s", out->n > 0 ? " " : "", mechanisms[i].name);
}

void
auth_offer_update(struct auth_role *role)
{
    struct buf offer;
    buf_init(&offer, LIMIT_line);
    make_offer(role, &offer);
    if (!span_eq(buf_span(&offer), buf_span(&role->offer))) {
        buf_reset(&role->offer);
        buf_put(&role->offer, buf_span(&offer));
        for (struct auth_channel *c = role->channels; c != NULL; c = c->next)
            send_offer(c);
    }
    buf_done(&offer);
}

// Each peer may say what its role has to say, no more: a gate that was taken over adds no users.
static enum result
from_gate(struct auth_channel *at, uint16_t type, struct span body)
{
    struct auth_start start;
    struct auth_step step;
    if (type == MESSAGE_AUTH_START && auth_start_get(body, &start) == R_OK)
        login_start(at, &start);
    else if (type == MESSAGE_AUTH_STEP && auth_step_get(body, &step) == R_OK)
        login_step(at, &step);
    else if (type == MESSAGE_AUTH_ABORT && auth_step_get(body, &step) == R_OK)
        login_abort(at, step.exchange);
    else
        return R_FAIL;
    return R_OK;
}

static enum result
from_mail(struct auth_channel *at, uint16_t type, struct span body)
{
    struct lookup lookup;
    struct admin_request request;
    struct resolve_request resolve;
    if (type == MESSAGE_LOOKUP && lookup_get(body, &lookup) == R_OK)
        lookup_answer(at, &lookup);
    else if (type == MESSAGE_RESOLVE && resolve_request_get(body, &resolve) == R_OK)
        lookup_resolve(at, &resolve);
    else if (type == MESSAGE_ADMIN && admin_request_get(body, &request) == R_OK)
        return auth_verb(at, &request);
    else
        return R_FAIL;
    return R_OK;
}

static void
stop_when_drained(struct auth_role *role)
{
    if (role->draining && role->channels == NULL)
        loop_stop(role->loop);
}

static void
channel_drop(struct auth_channel *at)
{
    struct auth_role *role = at->role;
    struct auth_channel **p = &role->channels;
    while (*p != at)
        p = &(*p)->next;
    *p = at->next;
    login_abort_all(at);
    auth_verb_forget(at);
    lookup_forget(at);
    channel_close(&at->channel);
    free(at);
    stop_when_drained(role);
}

static void
on_message(struct channel *c, uint16_t type, struct span body, int fd, void *arg)
{
    struct auth_channel *at = arg;
    (void)c;
    enum result r = fd >= 0       ? R_FAIL
                    : at->to_mail ? from_mail(at, type, body)
                                  : from_gate(at, type, body);
    if (r == R_OK)
        return;
    if (fd >= 0)
        close(fd);
    log_error("auth", "a message is malformed", field_number("message", "message=%", type),
              field_str("peer", "peer=%", at->to_mail ? "mail" : "gate"));
    channel_drop(at);
}

static void
on_end(struct channel *c, void *arg)
{
    (void)c;
    channel_drop(arg);
}

static void
on_peer(void *arg, struct span peer, uint32_t index, int fd)
{
    struct auth_role *role = arg;
    (void)index;
    if (span_eq(peer, SPAN("oauth"))) {
        token_link(role, fd);
        return;
    }
    if (span_eq(peer, SPAN("directory")) || span_eq(peer, SPAN("pam"))) {
        outer_link(role, peer, fd);
        return;
    }
    struct auth_channel *at = calloc(1, sizeof *at);
    must(at != NULL);
    at->role = role;
    at->to_mail = span_eq(peer, SPAN("mail"));
    at->channel = channel_new(fd, on_message, on_end, at);
    at->next = role->channels;
    role->channels = at;
    send_offer(at);
}

static void
on_secret(void *arg, struct span name, struct span value)
{
    struct auth_role *role = arg;
    if (!span_eq(name, SPAN("ticket")))
        return;
    buf_reset(&role->ticket_key);
    buf_put(&role->ticket_key, value);
    must(!role->ticket_key.over);
}

static void
stop(void *arg)
{
    struct auth_role *role = arg;
    loop_stop(role->loop);
}

// Gates and mail go first: their logins and recipients still need answers.
static void
on_drain(void *arg)
{
    struct auth_role *role = arg;
    role->draining = true;
    timer_set(&role->patience, DRAIN_MS);
    stop_when_drained(role);
}

static void
take_list(struct buf *out, const struct config_list *list)
{
    buf_reset(out);
    for (size_t i = 0; i < list->n; i++) {
        buf_put_str(out, i > 0 ? " " : "");
        buf_put_str(out, list->items[i]);
    }
}

static void
take_lists(struct auth_role *role, const struct config *c)
{
    take_list(&role->domains, &c->local_domains);
    buf_reset(&role->settings.delimiters);
    buf_put_str(&role->settings.delimiters, c->recipient_delimiter);
    take_list(&role->settings.masters, &c->master_users);
    take_list(&role->settings.allow, &c->auth_allow);
    take_list(&role->settings.deny, &c->auth_deny);
    role->settings.separator = c->auth_master_separator[0];
    role->settings.stays = c->maps.n == 0 && c->relay_host[0] == '\0';
    role->external = c->tls_client_ca[0] != '\0';
}

static void
take_scram(struct auth_role *role, const struct config *c)
{
    role->scram_mode = strcmp(c->auth_scram, "always") == 0  ? AUTH_SCRAM_ALWAYS
                       : strcmp(c->auth_scram, "never") == 0 ? AUTH_SCRAM_NEVER
                                                             : AUTH_SCRAM_AUTO;
}

static void
on_settings(void *arg, const struct config *c)
{
    struct auth_role *role = arg;
    take_lists(role, c);
    throttle_enable(role->throttle, c->auth_penalty);
    outer_settings(role, c);
    recheck_settings(role, c);
    take_scram(role, c);
    auth_offer_update(role);
}

static const struct role_link_ops link_ops = {
    .peer = on_peer,
    .secret = on_secret,
    .drain = on_drain,
    .settings = on_settings,
};

static void
begin(void *arg)
{
    struct auth_role *role = arg;
    timer_init(&role->patience, stop, role);
    role->pool = pool_new(threads_of(role->start->config->auth_threads));
    role->link = role_link_open(role->start, &link_ops, role);
    pace_measure(role);
    app_watch_start(role);
    recheck_start(role);
    role_link_ready(role->link);
    role_probe(role->start);
}

static enum result
open_users(struct auth_role *role, struct fault *f)
{
    const struct config *c = role->start->config;
    char dir[4096];
    int n = snprintf(dir, sizeof dir, "%s/users", c->data);
    if (n < 0 || (size_t)n >= sizeof dir)
        return fault_set(f, FAULT_DISK, "path of the data directory is too long");
    take_lists(role, c);
    if (throttle_new(c->auth_penalty, SPAN("127.0.0.0/8 ::1/128"), &role->throttle, f) ||
        password_new(SPAN("nobody's password"), &role->decoy_hash, f))
        return R_FAIL;
    return userdb_open(dir, &role->db, f);
}

// What needs files goes before the sandbox: ICU's data, OpenSSL's settings, the user database.
static enum result
prepare(struct auth_role *role)
{
    struct fault f;
    closefrom(role->start->supervisor + 1);
    password_warm();
    name_warm();
    sasl_init();
    token_open(role);
    outer_open(role);
    if (open_users(role, &f) != R_OK) {
        log_error("auth", "the user database failed", log_fault(&f));
        return R_FAIL;
    }
    take_scram(role, role->start->config);
    auth_offer_update(role);
    return role_confine(role->start, 0);
}

static void
finish(struct auth_role *role)
{
    timer_clear(&role->patience);
    timer_clear(&role->rounds);
    role->draining = false;
    for (struct auth_channel *at = role->channels, *next; at != NULL; at = next) {
        next = at->next;
        channel_drop(at);
    }
    token_close(role);
    recheck_stop(role);
    outer_close(role);
    role_link_close(&role->link);
    userdb_close(&role->db);
    throttle_free(&role->throttle);
    buf_wipe(&role->ticket_key);
    buf_done(&role->domains);
    buf_done(&role->settings.delimiters);
    buf_done(&role->offer);
    buf_done(&role->settings.deny);
    buf_done(&role->settings.allow);
    buf_done(&role->settings.masters);
    buf_done(&role->decoy_hash);
}

int
role_auth_main(const struct role_start *start)
{
    // a hash still on the pool may come back to it until the process is gone
    static struct auth_role role;
    role.start = start;
    buf_init(&role.ticket_key, 64);
    buf_init(&role.domains, 65536);
    buf_init(&role.settings.delimiters, LIMIT_config_text);
    buf_init(&role.offer, LIMIT_line);
    buf_init(&role.settings.deny, 65536);
    buf_init(&role.settings.allow, 65536);
    buf_init(&role.settings.masters, 65536);
    buf_init(&role.decoy_hash, LIMIT_password_hash);
    if (prepare(&role) != R_OK)
        return ROLE_EXIT_SETTINGS;
    role.loop = loop_new();
    loop_post(role.loop, begin, &role);
    loop_run(role.loop);
    // Hashes still on the pool belong to clients that are gone: the process ends with them.
    finish(&role);
    return ROLE_EXIT_DRAINED;
}
