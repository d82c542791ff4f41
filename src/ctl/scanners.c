#include "ctl/scanners.h"

uint16_t
scanners_url_port(struct span url)
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

static enum result
check_http(const char *setting, const char *url, struct fault *f)
{
    struct span s = span_str(url);
    if (s.n == 0 ||
        ((span_starts(s, SPAN("http://")) || span_starts(s, SPAN("https://"))) &&
         scanners_url_port(s) != 0))
        return R_OK;
    return fault_set(f, FAULT_BAD,
                     "%s: '%.80s' is no URL; write \"http://127.0.0.1:11333\"", setting,
                     url);
}

static uint16_t
clamd_port(const char *where)
{
    struct span s = span_str(where);
    size_t colon = span_behind_last(s, ':');
    uint32_t port = 0;
    if (span_starts(s, SPAN("unix:")) || colon < 2 ||
        span_to_u32(span_skip(s, colon), &port) != R_OK || port > UINT16_MAX)
        return 0;
    return (uint16_t)port;
}

static enum result
check_clamd(const char *where, struct fault *f)
{
    bool local = span_starts(span_str(where), SPAN("unix:/"));
    if (where[0] == '\0' || (local && strlen(where + 5) < 108) || clamd_port(where) != 0)
        return R_OK;
    return fault_set(f, FAULT_BAD,
                     "clamd_socket: '%.80s'; write \"unix:/run/clamav/clamd.ctl\" or "
                     "\"127.0.0.1:3310\"",
                     where);
}

static enum result
check_together(const struct config *c, struct fault *f)
{
    if (!c->push_url[0] && (c->push_token[0] || c->push_secret[0]))
        return fault_set(f, FAULT_BAD, "push_token and push_secret go with push_url");
    if (c->rspamd_password[0] && !c->rspamd_url[0] && !c->rspamd_learn_url[0])
        return fault_set(f, FAULT_BAD,
                         "rspamd_password goes with rspamd_url or rspamd_learn_url");
    if (c->scan_timeout == 0)
        return fault_set(f, FAULT_BAD, "scan_timeout: one second at least");
    return R_OK;
}

enum result
scanners_check(const struct config *c, struct fault *f)
{
    if (check_http("rspamd_url", c->rspamd_url, f) != R_OK ||
        check_http("rspamd_learn_url", c->rspamd_learn_url, f) != R_OK ||
        check_clamd(c->clamd_socket, f) != R_OK)
        return R_FAIL;
    return check_together(c, f);
}

struct scan_services
scanners_services(const struct config *c)
{
    uint64_t ms = c->scan_timeout < 3600 ? c->scan_timeout * 1000 : 3600000;
    return (struct scan_services){.rspamd_url = c->rspamd_url,
                                  .learn_url = c->rspamd_learn_url,
                                  .rspamd_password = c->rspamd_password,
                                  .clamd = c->clamd_socket,
                                  .push_url = c->push_url,
                                  .push_token = c->push_token,
                                  .push_secret = c->push_secret,
                                  .timeout_ms = (uint32_t)ms};
}

size_t
scanners_ports(const struct config *c, uint16_t *ports)
{
    const char *const urls[] = {c->rspamd_url, c->rspamd_learn_url, c->push_url};
    size_t n = 0;
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++)
        if (urls[i][0])
            ports[n++] = scanners_url_port(span_str(urls[i]));
    if (clamd_port(c->clamd_socket) != 0)
        ports[n++] = clamd_port(c->clamd_socket);
    return n;
}

bool
scanners_scan(const struct config *c)
{
    return c->rspamd_url[0] || c->clamd_socket[0];
}

bool
scanners_learn(const struct config *c)
{
    return c->rspamd_learn_url[0];
}

bool
scanners_any(const struct config *c)
{
    return scanners_scan(c) || scanners_learn(c) || c->push_url[0];
}
