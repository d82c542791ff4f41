#include "main/role.h"
#include "base/limits.h"
#include "base/log.h"
#include "io/loop.h"
#include "io/task.h"

#include <curl/curl.h>
#include <netdb.h>

// The role oauth: the one that connects out. It asks an identity provider for keys, or about a token; which URL that is, the
// settings say, so that who asks cannot choose.

enum { FETCHERS = 4, PIECE = 12000 };

struct oauth_role {
    const struct role_start *start;
    struct role_link *link;
    struct loop *loop;
    struct pool *pool;
    struct channel *auth;
    uint64_t generation;  // of the channel: an answer for an earlier one is nobody's
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

static size_t
on_data(char *data, size_t size, size_t n, void *arg)
{
    struct fetch *t = arg;
    buf_put(&t->answer, span_of(data, size * n));
    return t->answer.over ? 0 : size * n;
}

static void
set_options(struct fetch *t, CURL *c, struct curl_slist *headers)
{
    const struct config *config = t->role->start->config;
    bool keys = t->kind == TOKEN_FETCH_KEYS;
    curl_easy_setopt(c, CURLOPT_URL,
                     keys ? config->oauth_jwks_url : config->oauth_introspection_url);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");  // http: config.c says where
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_PROXY, "");
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)LIMIT_oauth_ms);
    curl_easy_setopt(c, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, t->why);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    if (keys)
        return;
    curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE, (long)t->form.n);
    curl_easy_setopt(c, CURLOPT_POSTFIELDS, t->form.p);
    if (config->oauth_client[0]) {
        curl_easy_setopt(c, CURLOPT_USERNAME, config->oauth_client);
        curl_easy_setopt(c, CURLOPT_PASSWORD, config->oauth_secret);
    }
}

static void
fetch_on_pool(void *arg)
{
    struct fetch *t = arg;
    CURL *c = curl_easy_init();
    struct curl_slist *headers = curl_slist_append(NULL, "Accept: application/json");
    long status = 0;
    must(c != NULL && headers != NULL);
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
    if (t->role->auth == NULL || t->generation != t->role->generation)
        return;
    buf_init(&b, LIMIT_channel_message);
    admin_reply_put(&b, &(struct admin_reply){t->request, (uint8_t)verdict, text});
    channel_send(t->role->auth, MESSAGE_TOKEN_FETCHED, buf_span(&b), -1);
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
    if (t->form.p != NULL)
        explicit_bzero(t->form.p, t->form.cap);
    buf_done(&t->form);
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

// application/x-www-form-urlencoded
static void
put_form(struct buf *b, struct span token)
{
    buf_put_str(b, "token_type_hint=access_token&token=");
    for (size_t i = 0; i < token.n; i++) {
        char c = token.p[i];
        if (ascii_is_alpha(c) || ascii_is_digit(c) || c == '-' || c == '_' || c == '.')
            buf_put_char(b, c);
        else
            buf_printf(b, "%%%02X", (unsigned)(unsigned char)c);
    }
}

static enum result
take_fetch(struct oauth_role *role, struct span body)
{
    struct token_fetch m;
    if (token_fetch_get(body, &m) != R_OK)
        return R_FAIL;
    struct fetch *t = calloc(1, sizeof *t);
    must(t != NULL);
    *t = (struct fetch){
        .role = role, .request = m.request, .generation = role->generation, .kind = m.kind};
    buf_init(&t->form, 4 * LIMIT_sasl_response);
    buf_init(&t->answer, LIMIT_oauth_answer);
    put_form(&t->form, m.token);
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
on_end(struct channel *c, void *arg)
{
    struct oauth_role *role = arg;
    (void)c;
    role->generation++;
    channel_close(&role->auth);
}

static void
on_message(struct channel *c, uint16_t type, struct span body, int fd, void *arg)
{
    if (fd < 0 && type == MESSAGE_TOKEN_FETCH && take_fetch(arg, body) == R_OK)
        return;
    if (fd >= 0)
        close(fd);
    log_error("oauth", "a message is malformed",
              field_number("message", "message=%", type));
    on_end(c, arg);
}

static void
on_peer(void *arg, struct span peer, uint32_t index, int fd)
{
    struct oauth_role *role = arg;
    (void)peer, (void)index;
    if (role->auth != NULL)
        on_end(role->auth, role);
    role->auth = channel_new(fd, on_message, on_end, role);
}

static void
on_drain(void *arg)
{
    struct oauth_role *role = arg;
    loop_stop(role->loop);
}

static const struct role_link_ops link_ops = {.peer = on_peer, .drain = on_drain};

static void
begin(void *arg)
{
    struct oauth_role *role = arg;
    role->pool = pool_new(FETCHERS);
    role->link = role_link_open(role->start, &link_ops, role);
    role_link_ready(role->link);
    role_probe(role->start);
}

// Afterwards no code can be mapped: the name service has its libraries, and TLS its settings.
static void
warm(void)
{
    struct addrinfo *found = NULL;
    must(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
    if (getaddrinfo("localhost", "443", NULL, &found) == 0)
        freeaddrinfo(found);
    CURL *c = curl_easy_init();
    must(c != NULL);
    curl_easy_cleanup(c);
}

static uint16_t
port_of(struct span url)
{
    uint32_t port = span_starts(url, SPAN("https:")) ? 443 : 80;
    struct span host = span_skip(url, span_find(url, SPAN("://")) + 3);
    host = span_slice(host, 0, span_find_char(host, '/'));
    struct span number = span_skip(host, span_behind_last(host, ':'));
    bool told =
        span_find_char(host, ':') < host.n && span_find_char(number, ']') == number.n;
    if (told && span_to_u32(number, &port) != R_OK)
        return 0;
    return port <= UINT16_MAX ? (uint16_t)port : 0;
}

// The provider's ports, and DNS where its answers are long.
static enum result
confine(const struct role_start *start)
{
    const struct config *c = start->config;
    uint16_t ports[] = {53, 0, 0};
    size_t n = 1;
    if (c->oauth_jwks_url[0])
        ports[n++] = port_of(span_str(c->oauth_jwks_url));
    if (c->oauth_introspection_url[0])
        ports[n++] = port_of(span_str(c->oauth_introspection_url));
    return role_confine_to(start, ports, n);
}

int
role_oauth_main(const struct role_start *start)
{
    // a question still on the pool may come back to it until the process is gone
    static struct oauth_role role;
    role.start = start;
    closefrom(start->supervisor + 1);
    warm();
    if (confine(start) != R_OK)
        return ROLE_EXIT_SETTINGS;
    role.loop = loop_new();
    loop_post(role.loop, begin, &role);
    loop_run(role.loop);
    channel_close(&role.auth);
    role_link_close(&role.link);
    return ROLE_EXIT_DRAINED;
}
