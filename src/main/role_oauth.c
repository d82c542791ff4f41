#include "main/role_server.h"
#include "base/limits.h"
#include "base/percent.h"
#include "ctl/scanners.h"
#include "base/log.h"
#include "io/http_ask.h"
#include "io/task.h"
#include "os/sandbox.h"

// The role oauth: the one that connects out. It asks an identity provider for keys, or about a token; which URL that is, the
// settings say, so that who asks cannot choose.

enum { FETCHERS = 4, PIECE = 12000 };

struct oauth_role {
    struct role_server server;
    struct pool *pool;
    unsigned running;
};

// One question, from its message to its answer.
struct fetch {
    struct oauth_role *role;
    uint64_t request, generation;
    uint8_t kind;
    struct buf form, answer;
    bool failed;
    char why[CURL_ERROR_SIZE];
};

// RFC 6749 section 2.3.1: who we are, encoded, as the user and the password of Basic.
static void
set_client(CURL *c, CURLoption option, const char *value)
{
    struct buf b;
    buf_init(&b, strlen(value) * 3 + 1);
    percent_encode(&b, span_str(value));
    buf_put_char(&b, '\0');
    curl_easy_setopt(c, option, b.p);
    buf_wipe(&b);
}

static void
set_options(struct fetch *t, CURL *c, struct curl_slist *headers)
{
    const struct config *config = t->role->server.start->config;
    bool keys = t->kind == TOKEN_FETCH_KEYS;
    curl_easy_setopt(c, CURLOPT_URL,
                     keys ? config->oauth_jwks_url : config->oauth_introspection_url);
    curl_easy_setopt(c, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    if (keys)
        return;
    curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE, (long)t->form.n);
    curl_easy_setopt(c, CURLOPT_POSTFIELDS, t->form.p);
    if (config->oauth_client[0]) {
        set_client(c, CURLOPT_USERNAME, config->oauth_client);
        set_client(c, CURLOPT_PASSWORD, config->oauth_secret);
    }
}

static void
fetch_on_pool(void *arg)
{
    struct fetch *t = arg;
    CURL *c = http_ask_new("http,https", LIMIT_oauth_ms, &t->answer,
                           t->why);  // http: config.c says where
    struct curl_slist *headers = curl_slist_append(NULL, "Accept: application/json");
    long status = 0;
    must(headers != NULL);
    set_options(t, c, headers);
    CURLcode code = curl_easy_perform(c);
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    t->failed = code != CURLE_OK || status != 200;
    if (t->failed && t->why[0] == '\0')
        snprintf(t->why, sizeof t->why, "%s, status %ld", curl_easy_strerror(code), status);
    curl_slist_free_all(headers);
    curl_easy_cleanup(c);
}

static void
send_reply(struct fetch *t, enum admin_verdict verdict, struct span text)
{
    struct buf b;
    buf_init(&b, LIMIT_channel_message);
    admin_reply_put(&b, &(struct admin_reply){t->request, (uint8_t)verdict, text});
    role_server_answer(&t->role->server, t->generation, MESSAGE_TOKEN_FETCHED,
                       buf_span(&b));
    buf_done(&b);
}

static void
answer(struct fetch *t)
{
    struct span rest = buf_span(&t->answer);
    if (t->failed) {
        log_warning(
            "oauth", "the identity provider did not answer",
            field_str("what", "", t->kind == TOKEN_FETCH_KEYS ? "keys" : "introspection"),
            log_why(t->why));
        send_reply(t, ADMIN_FAILED, SPAN_NONE);
        return;
    }
    while (rest.n > PIECE) {
        send_reply(t, ADMIN_MORE, span_slice(rest, 0, PIECE));
        rest = span_skip(rest, PIECE);
    }
    send_reply(t, ADMIN_DONE, rest);
}

static void
fetch_free(struct fetch *t)
{
    t->role->running--;
    buf_wipe(&t->form);
    buf_done(&t->answer);
    free(t);
}

static void
fetch_task(void *arg)
{
    struct fetch *t = arg;
    pool_run(t->role->pool, fetch_on_pool, t);
    answer(t);
    fetch_free(t);
}

static enum result
take_fetch(void *arg, struct span body)
{
    struct oauth_role *role = arg;
    struct token_fetch m;
    if (token_fetch_get(body, &m) != R_OK)
        return R_FAIL;
    struct fetch *t = calloc(1, sizeof *t);
    must(t != NULL);
    *t = (struct fetch){.role = role,
                        .request = m.request,
                        .generation = role->server.generation,
                        .kind = m.kind};
    buf_init(&t->form, 4 * LIMIT_sasl_response);
    buf_init(&t->answer, LIMIT_oauth_answer);
    buf_put_str(&t->form, "token_type_hint=access_token&token=");
    percent_encode(&t->form, m.token);
    role->running++;
    if (role->running > LIMIT_oauth_waiting) {  // those of an auth that died are among them
        t->failed = true;
        snprintf(t->why, sizeof t->why, "too many questions are under way");
        answer(t);
        fetch_free(t);
        return R_OK;
    }
    task_start(fetch_task, t);
    return R_OK;
}

static void
begin(void *arg)
{
    struct oauth_role *role = arg;
    role->pool = pool_new(FETCHERS);
    role_server_ready(&role->server);
}

// The provider's ports, and DNS where its answers are long.
static enum result
confine(const struct role_start *start)
{
    const struct config *c = start->config;
    uint16_t ports[] = {53, 0, 0};
    size_t n = 1;
    if (c->oauth_jwks_url[0])
        ports[n++] = scanners_url_port(span_str(c->oauth_jwks_url));
    if (c->oauth_introspection_url[0])
        ports[n++] = scanners_url_port(span_str(c->oauth_introspection_url));
    return role_confine_with(start, &(struct sandbox_paths){.data = start->config->data,
                                                            .ports = ports,
                                                            .port_count = n});
}

int
role_oauth_main(const struct role_start *start)
{
    // a question still on the pool may come back to it until the process is gone
    static struct oauth_role role;
    role.server = (struct role_server){
        .start = start, .questions = {{MESSAGE_TOKEN_FETCH, take_fetch}}, .role = &role};
    closefrom(start->supervisor + 1);
    http_ask_warm();
    if (confine(start) != R_OK)
        return ROLE_EXIT_SETTINGS;
    role_server_run(&role.server, begin);
    role_server_close(&role.server);
    return ROLE_EXIT_DRAINED;
}
