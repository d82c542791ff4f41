#include "directory/ldap_inside.h"
#include "base/clock.h"
#include "base/limits.h"
#include "io/resolve.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openldap.h>
#include <unistd.h>

// Connections to LDAP servers: their URLs, TLS, binds, and the deadline of it all.

struct timeval
ldap_time_left(const struct ldap *l)
{
    uint64_t now_ms = clock_mono_ms();
    uint64_t ms = now_ms < l->deadline_ms ? l->deadline_ms - now_ms : 1;
    return (struct timeval){.tv_sec = (time_t)(ms / 1000),
                            .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
}

enum result
ldap_failed(LDAP *conn, const char *what, int rc, struct fault *f)
{
    char *said = NULL;
    if (conn != NULL)
        ldap_get_option(conn, LDAP_OPT_DIAGNOSTIC_MESSAGE, &said);
    fault_set(f, FAULT_UNAVAILABLE, "LDAP: %s: %s%s%.80s", what, ldap_err2string(rc),
              said && said[0] ? ": " : "", said ? said : "");
    ldap_memfree(said);
    return R_FAIL;
}

// The server answers, with a code that says more of this question than of the server.
enum result
ldap_refused(LDAP *conn, const char *what, int code, struct fault *f)
{
    ldap_failed(conn, what, code, f);
    if (code != LDAP_BUSY && code != LDAP_UNAVAILABLE)
        f->kind = FAULT_BAD;
    return R_FAIL;
}

bool
ldap_wants_starttls(const struct directory_settings *s)
{
    return s->ldap.starttls && span_starts(span_str(s->ldap.uri), SPAN("ldap://"));
}

// The next of several with spaces between. R_NONE: no more.
enum result
ldap_next_url(struct span *rest, LDAPURLDesc **out)
{
    char text[LIMIT_config_text + 1];
    struct span word;
    do {
        if (span_next_field(rest, ' ', &word) != R_OK)
            return R_NONE;
    } while (word.n == 0);
    if (word.n >= sizeof text)
        return R_FAIL;
    memcpy(text, word.p, word.n);
    text[word.n] = '\0';
    return ldap_url_parse(text, out) == 0 ? R_OK : R_FAIL;
}

void
ldap_hang_up(LDAP **conn)
{
    if (*conn != NULL)
        ldap_unbind_ext(*conn, NULL, NULL);
    *conn = NULL;
}

void
ldap_set_tls(const struct directory_settings *s, LDAP *conn)
{
    const int demand = LDAP_OPT_X_TLS_DEMAND, none = 0;
    ldap_set_option(conn, LDAP_OPT_X_TLS_REQUIRE_CERT, &demand);
    if (s->ldap.ca[0])
        ldap_set_option(conn, LDAP_OPT_X_TLS_CACERTFILE, s->ldap.ca);
    ldap_set_option(conn, LDAP_OPT_X_TLS_NEWCTX, &none);
}

// libldap waits for the first octet of an answer only, and reads the rest as long as it takes: with TLS a whole record.
static void
set_patience(const struct ldap *l, LDAP *conn)
{
    const struct timeval wait = ldap_time_left(l);
    int fd = -1;
    if (ldap_get_option(conn, LDAP_OPT_DESC, &fd) != LDAP_OPT_SUCCESS || fd < 0)
        return;
    must(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) == 0);
    must(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait) == 0);
}

static void
set_options(struct ldap *l, LDAP *conn)
{
    const struct timeval wait = ldap_time_left(l);
    const int version = LDAP_VERSION3;
    ldap_set_option(conn, LDAP_OPT_PROTOCOL_VERSION, &version);
    ldap_set_option(conn, LDAP_OPT_NETWORK_TIMEOUT, &wait);
    ldap_set_option(conn, LDAP_OPT_TIMEOUT, &wait);
    ldap_set_option(conn, LDAP_OPT_REFERRALS, LDAP_OPT_OFF);
    ldap_set_tls(l->settings, conn);
    set_patience(l, conn);
}

// A connection to one of the addresses of a server, by a deadline. libldap would look the name up without one.
static enum result
reach(const LDAPURLDesc *u, uint64_t until_ms, int *fd_out, struct fault *f)
{
    char port[16];
    snprintf(port, sizeof port, "%d", u->lud_port);
    const char *host = u->lud_host && u->lud_host[0] ? u->lud_host : "localhost";
    return resolve_reach(host, port, until_ms, fd_out, f);
}

static bool
is_url_of(const LDAPURLDesc *u, const char *scheme)
{
    return strcmp(u->lud_scheme, scheme) == 0;
}

// The URL that libldap keeps has no more than one server: names in certificates are checked by it.
static enum result
adopt(struct ldap *l, LDAPURLDesc *u, int fd, LDAP **out, struct fault *f)
{
    LDAP *conn = NULL;
    char *url = ldap_url_desc2str(u);
    must(url != NULL);
    int flags = fcntl(fd, F_GETFL);
    must(flags >= 0 && fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) == 0);
    const unsigned unheard_ms = DIRECTORY_UNHEARD_MS;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unheard_ms, sizeof unheard_ms);
    int rc = ldap_init_fd(fd, 1, url, &conn);  // LDAP_PROTO_TCP
    ldap_memfree(url);
    if (rc != LDAP_SUCCESS) {
        close(fd);
        return ldap_failed(NULL, "connect", rc, f);
    }
    set_options(l, conn);
    if (is_url_of(u, "ldaps"))
        rc = ldap_install_tls(conn);
    if (rc == LDAP_SUCCESS) {
        *out = conn;
        return R_OK;
    }
    ldap_failed(conn, "TLS", rc, f);
    ldap_hang_up(&conn);
    return R_FAIL;
}

// ldapi: a socket of this machine, no name.
static enum result
open_local(struct ldap *l, const LDAPURLDesc *u, LDAP **out, struct fault *f)
{
    char *url = ldap_url_desc2str((LDAPURLDesc *)(uintptr_t)u);
    must(url != NULL);
    int rc = ldap_initialize(out, url);
    ldap_memfree(url);
    if (rc != LDAP_SUCCESS)
        return ldap_failed(NULL, "connect", rc, f);
    set_options(l, *out);
    return R_OK;
}

static size_t
count_words(struct span s)
{
    struct span word;
    size_t n = 0;
    while (span_next_field(&s, ' ', &word) == R_OK)
        n += word.n > 0;
    return n;
}

// The first of the servers that can be reached.
static enum result
dial_first(struct ldap *l, LDAP **out, struct fault *f)
{
    struct span urls = span_str(l->settings->ldap.uri);
    LDAPURLDesc *u = NULL;
    enum result r = fault_set(f, FAULT_UNAVAILABLE, "LDAP: no server");
    while (r != R_OK && ldap_next_url(&urls, &u) == R_OK) {
        int fd = -1;
        uint64_t until_ms = resolve_share_ms(l->deadline_ms, 1 + count_words(urls));
        if (is_url_of(u, "ldapi"))
            r = open_local(l, u, out, f);
        else if (reach(u, until_ms, &fd, f) == R_OK)
            r = adopt(l, u, fd, out, f);
        ldap_free_urldesc(u);
    }
    return r;
}

enum result
ldap_dial(struct ldap *l, LDAP **out, struct fault *f)
{
    LDAP *conn = NULL;
    if (dial_first(l, &conn, f) != R_OK)
        return R_FAIL;
    int rc = ldap_wants_starttls(l->settings) ? ldap_start_tls_s(conn, NULL, NULL)
                                              : LDAP_SUCCESS;
    if (rc != LDAP_SUCCESS) {
        ldap_failed(conn, "STARTTLS", rc, f);
        ldap_hang_up(&conn);
        return R_FAIL;
    }
    *out = conn;
    return R_OK;
}

// *code_out is what the server says.
enum result
ldap_await(struct ldap *l, LDAP *conn, int id, const char *what, LDAPMessage **out,
           struct fault *f)
{
    struct timeval wait = ldap_time_left(l);
    LDAPMessage *m = NULL;
    set_patience(l, conn);
    int type = ldap_result(conn, id, LDAP_MSG_ALL, &wait, &m);
    if (type > 0) {
        *out = m;
        return R_OK;
    }
    int rc = LDAP_TIMEOUT;
    if (type < 0)
        ldap_get_option(conn, LDAP_OPT_RESULT_CODE, &rc);
    ldap_msgfree(m);
    return ldap_failed(conn, what, rc, f);
}

enum result
ldap_bind_to(struct ldap *l, LDAP *conn, const char *dn, struct span password,
             int *code_out, struct fault *f)
{
    struct berval credentials = {
        .bv_len = password.n, .bv_val = (char *)(uintptr_t)(password.p ? password.p : "")};
    LDAPMessage *m = NULL;
    int id = 0;
    int rc = ldap_sasl_bind(conn, dn, LDAP_SASL_SIMPLE, &credentials, NULL, NULL, &id);
    if (rc != LDAP_SUCCESS)
        return ldap_failed(conn, "bind", rc, f);
    if (ldap_await(l, conn, id, "bind", &m, f) != R_OK)
        return R_FAIL;
    rc = ldap_parse_result(conn, m, code_out, NULL, NULL, NULL, NULL, 1);
    return rc == LDAP_SUCCESS ? R_OK : ldap_failed(conn, "bind", rc, f);
}

enum result
ldap_reconnect(struct ldap *l, struct fault *f)
{
    const struct directory_settings *s = l->settings;
    int code = LDAP_SUCCESS;
    if (ldap_dial(l, &l->conn, f) != R_OK)
        return R_FAIL;
    if (s->ldap.bind_dn[0] == '\0')
        return R_OK;
    if (ldap_bind_to(l, l->conn, s->ldap.bind_dn, span_str(s->ldap.bind_password), &code,
                     f) != R_OK ||
        code != LDAP_SUCCESS) {
        if (code != LDAP_SUCCESS)
            ldap_failed(l->conn, "userdb_ldap_bind_dn", code, f);
        ldap_hang_up(&l->conn);
        return R_FAIL;
    }
    return R_OK;
}
