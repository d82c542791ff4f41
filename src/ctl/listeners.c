#include "ctl/listeners.h"

#include "os/listen.h"

// As os/listen.h takes them: an address of IPv6 stands in brackets. Two addresses in one text are none.
static bool
is_host(struct span host)
{
    bool six = host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']';
    for (size_t i = 0; i < host.n; i++)
        if (host.p[i] <= ' ' || host.p[i] == ',' || (host.p[i] == ':' && !six))
            return false;
    return host.n > 0;
}

static enum result
check_address(const char *setting, const char *address, bool unix_too, struct fault *f)
{
    struct span a = listen_at_of(span_str(address)).address;
    if (unix_too && span_starts(a, SPAN("unix:/")))
        return R_OK;
    size_t colon = span_behind_last(a, ':');
    struct span port = span_skip(a, colon);
    uint32_t number;
    if (!is_host(span_slice(a, 0, colon > 0 ? colon - 1 : 0)) ||
        span_to_u32(port, &number) != R_OK || number == 0 || number > 65535)
        return fault_set(f, FAULT_BAD,
                         "%s: '%.60s' is no address; write \"0.0.0.0:143\", \"[::]:143\"%s",
                         setting, address, unix_too ? " or \"unix:/path\"" : "");
    return R_OK;
}

static enum result
check_addresses(const char *setting, const struct config_list *list, bool unix_too,
                struct fault *f)
{
    for (size_t i = 0; i < list->n; i++)
        if (check_address(setting, list->items[i], unix_too, f) != R_OK)
            return R_FAIL;
    return R_OK;
}

// A header is asked of proxy_networks only; without them the mark would do nothing.
static enum result
check_proxied(const struct config *c, const char *setting, const struct config_list *list,
              struct fault *f)
{
    for (size_t i = 0; i < list->n; i++)
        if (listen_at_of(span_str(list->items[i])).proxy && c->proxy_networks.n == 0)
            return fault_set(f, FAULT_BAD, "%s: '%.60s' needs proxy_networks = { ... }",
                             setting, list->items[i]);
    return R_OK;
}

static enum result
check_all_addresses(const struct config *c, struct fault *f)
{
    const struct {
        const char *setting;
        const struct config_list *list;
        bool unix_too;
    } rows[] = {{"imap", &c->imap, false},
                {"imaps", &c->imaps, false},
                {"pop3", &c->pop3, false},
                {"pop3s", &c->pop3s, false},
                {"managesieve", &c->managesieve, false},
                {"submission", &c->submission, false},
                {"submissions", &c->submissions, false},
                {"http", &c->http, false},
                {"https", &c->https, false},
                {"lmtp", &c->lmtp, true},
                {"policy", &c->policy, true},
                {"maps", &c->maps, true},
                {"auth_service", &c->auth_service, true}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (check_addresses(rows[i].setting, rows[i].list, rows[i].unix_too, f) != R_OK ||
            check_proxied(c, rows[i].setting, rows[i].list, f) != R_OK)
            return R_FAIL;
    for (size_t i = 0; i < c->auth_service.n; i++)
        if (listen_at_of(span_str(c->auth_service.items[i])).proxy)
            return fault_set(f, FAULT_BAD,
                             "auth_service: agents tell their clients' "
                             "addresses themselves; write no \"proxy\"");
    return R_OK;
}

// Listeners that are of no use without a certificate.
static enum result
check_encrypted(const struct config *c, struct fault *f)
{
    const struct {
        const char *setting;
        const struct config_list *list;
        bool implicit;
    } rows[] = {{"imaps", &c->imaps, true},
                {"pop3s", &c->pop3s, true},
                {"submissions", &c->submissions, true},
                {"https", &c->https, true},
                {"imap", &c->imap, false},
                {"pop3", &c->pop3, false},
                {"managesieve", &c->managesieve, false},
                {"submission", &c->submission, false}};
    for (size_t i = 0; c->tls_certificate.n == 0 && i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].list->n == 0)
            continue;
        if (rows[i].implicit)
            return fault_set(f, FAULT_BAD,
                             "%s needs tls { certificate = \"...\"  key = \"...\" }",
                             rows[i].setting);
        if (!c->plaintext_auth)
            return fault_set(f, FAULT_BAD,
                             "%s: nobody could log in without tls { certificate = "
                             "\"...\"  key = \"...\" }; or set plaintext_auth = true",
                             rows[i].setting);
    }
    return R_OK;
}

// What users send has to go somewhere.
static enum result
check_submission(const struct config *c, struct fault *f)
{
    if ((c->submission.n > 0 || c->submissions.n > 0) && c->relay_host[0] == '\0')
        return fault_set(f, FAULT_BAD,
                         "%s needs relay_host = \"mail.example.org:587\": all that users "
                         "send goes through it",
                         c->submission.n > 0 ? "submission" : "submissions");
    return R_OK;
}

enum result
listeners_check(const struct config *c, struct fault *f)
{
    if (check_all_addresses(c, f) != R_OK || check_encrypted(c, f) != R_OK)
        return R_FAIL;
    return check_submission(c, f);
}
