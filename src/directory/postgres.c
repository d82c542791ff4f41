#include "directory/directory_inside.h"
#include "directory/template.h"
#include "base/clock.h"
#include "base/limits.h"
#include "io/resolve.h"

#include <arpa/inet.h>
#include <libpq-fe.h>
#include <poll.h>

// A connection to PostgreSQL. Everything waits in `await`, with a deadline, so that a server that is stopped holds nobody.
struct postgres {
    const struct directory_settings *settings;
    struct buf sql;
    struct template_params params;
    PGconn *conn;
    uint64_t deadline_ms;
};

static struct span
option(const PQconninfoOption *options, const char *keyword)
{
    for (; options->keyword != NULL; options++)
        if (strcmp(options->keyword, keyword) == 0 && options->val != NULL)
            return span_str(options->val);
    return SPAN_NONE;
}

// Hosts with commas between; none, and folders of sockets, are this machine.
static bool
are_local(struct span hosts)
{
    struct span host;
    while (span_next_field(&hosts, ',', &host) == R_OK)
        if (host.n > 0 && host.p[0] != '/' && host.p[0] != '@' && !directory_is_local(host))
            return false;
    return true;
}

// Hashes of passwords go over it.
static bool
is_safe(const PQconninfoOption *options)
{
    struct span mode = option(options, "sslmode");
    return span_eq(mode, SPAN("verify-full")) || span_eq(mode, SPAN("verify-ca")) ||
           (are_local(option(options, "host")) && are_local(option(options, "hostaddr")) &&
            option(options, "service").n == 0);
}

static enum result
check_options(const struct directory_settings *s, struct fault *f)
{
    char *why = NULL;
    PQconninfoOption *options = PQconninfoParse(s->sql.connection, &why);
    enum result r = R_OK;
    if (options == NULL)
        r = fault_set(f, FAULT_BAD, "userdb_sql_connection: %.150s", why ? why : "");
    else if (option(options, "password").n > 0)
        r = fault_set(f, FAULT_BAD,
                      "userdb_sql_connection: the password goes into "
                      "userdb_sql_password, which `config dump` hides");
    else if (!is_safe(options))
        r = fault_set(
            f, FAULT_BAD,
            "userdb_sql_connection: passwords' hashes travel where others may "
            "read them; add sslmode=verify-full (only this machine goes without)");
    PQconninfoFree(options);
    PQfreemem(why);
    return r;
}

static enum result
check(const struct directory_settings *s, struct fault *f)
{
    if (s->sql.connection[0] == '\0')
        return fault_set(
            f, FAULT_BAD,
            "userdb_sql_connection: \"sqlite:/path\" or what libpq takes, as in "
            "\"host=db.example.org dbname=mail user=posthorn sslmode=verify-full\"");
    return directory_check_query(s, '$', f) == R_OK ? check_options(s, f) : R_FAIL;
}

// "5432" or "5432,5433", one for each host.
static size_t
put_ports(const char *text, uint16_t *ports, size_t max)
{
    struct span rest = span_str(text), word;
    size_t n = 0;
    while (n < max && span_next_field(&rest, ',', &word) == R_OK) {
        uint32_t port = 0;
        if (span_to_u32(span_trim(word), &port) == R_OK && port <= UINT16_MAX)
            ports[n++] = (uint16_t)port;
    }
    return n;
}

static size_t
ports_of(const struct directory_settings *s, uint16_t *ports, size_t max)
{
    PQconninfoOption *options = PQconninfoParse(s->sql.connection, NULL);
    size_t n = 0;
    for (PQconninfoOption *o = options; o != NULL && o->keyword != NULL; o++)
        if (strcmp(o->keyword, "port") == 0)
            n = put_ports(o->val && o->val[0] ? o->val : "5432", ports, max);
    PQconninfoFree(options);
    return n;
}

static void *
open_kind(const struct directory_settings *s)
{
    struct fault f;
    struct postgres *q = calloc(1, sizeof *q);
    must(q != NULL);
    q->settings = s;
    buf_init(&q->sql, LIMIT_line);
    must(template_sql(span_str(s->sql.query), '$', &q->sql, &q->params, &f) == R_OK);
    buf_put_char(&q->sql, '\0');
    return q;
}

static void
disconnect(struct postgres *q)
{
    PQfinish(q->conn);
    q->conn = NULL;
}

// Its first line; what libpq says goes on over several.
static enum result
failed(struct postgres *q, const char *what, struct fault *f)
{
    struct span why = span_str(q->conn ? PQerrorMessage(q->conn) : "out of memory");
    why = span_trim(span_slice(why, 0, span_find_char(why, '\n')));
    fault_set(f, FAULT_UNAVAILABLE, "PostgreSQL: %.*s",
              SPAN_ARG(why.n > 0 ? span_slice(why, 0, 160) : span_str(what)));
    return R_FAIL;
}

static enum result
await(struct postgres *q, short events, struct fault *f)
{
    uint64_t now_ms = clock_mono_ms();
    struct pollfd p = {.fd = PQsocket(q->conn), .events = events};
    int n = 0;
    if (now_ms < q->deadline_ms)
        n = poll(&p, 1, (int)(q->deadline_ms - now_ms));
    if (n < 0)
        return fault_errno(f, FAULT_UNAVAILABLE, "poll");
    return n > 0 ? R_OK
                 : fault_set(f, FAULT_UNAVAILABLE, "PostgreSQL: no answer in %d ms",
                             LIMIT_directory_ms);
}

static enum result
finish_connect(struct postgres *q, struct fault *f)
{
    PostgresPollingStatusType state = PGRES_POLLING_WRITING;
    while (state != PGRES_POLLING_OK) {
        if (state == PGRES_POLLING_FAILED)
            return failed(q, "no connection", f);
        if (await(q, state == PGRES_POLLING_READING ? POLLIN : POLLOUT, f) != R_OK)
            return R_FAIL;
        state = PQconnectPoll(q->conn);
    }
    return PQsetnonblocking(q->conn, 1) == 0 ? R_OK : failed(q, "no connection", f);
}

// ---- where to ----

// libpq looks names up without a deadline: it gets addresses instead. One row for each address of each host, in the form of
// libpq's lists; names stay beside them, since certificates are checked by them.
struct places {
    struct buf hosts, addresses, ports;
    size_t n;
    size_t hosts_left;  // this one, and those behind it
    bool one_answers;
};

static void
places_init(struct places *p)
{
    *p = (struct places){0};
    buf_init(&p->hosts, LIMIT_line);
    buf_init(&p->addresses, LIMIT_line);
    buf_init(&p->ports, LIMIT_line);
}

static void
places_done(struct places *p)
{
    buf_done(&p->hosts);
    buf_done(&p->addresses);
    buf_done(&p->ports);
}

static void
put_place(struct places *p, struct span host, const char *address, struct span port)
{
    const char *comma = p->n++ > 0 ? "," : "";
    buf_printf(&p->hosts, "%s%.*s", comma, SPAN_ARG(host));
    buf_printf(&p->addresses, "%s%s", comma, address);
    buf_printf(&p->ports, "%s%.*s", comma, SPAN_ARG(port));
}

static const char *
address_text(const struct resolve_address *a, char out[INET6_ADDRSTRLEN])
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&a->at;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&a->at;
    bool is_v6 = a->at.ss_family == AF_INET6;
    const void *octets = is_v6 ? (const void *)&v6->sin6_addr : (const void *)&v4->sin_addr;
    return inet_ntop(a->at.ss_family, octets, out, INET6_ADDRSTRLEN);
}

// libpq waits for an address that does not answer as long as we do, and so never comes to the next one: those before the first
// that takes connections are left out.
static bool
is_worth_it(const struct postgres *q, const struct places *p,
            const struct resolve_addresses *found, size_t i, struct fault *f)
{
    int fd = -1;
    uint64_t until_ms = resolve_share_ms(q->deadline_ms, p->hosts_left);
    if (p->one_answers || (p->hosts_left == 1 && i + 1 == found->n))
        return true;
    if (resolve_connect(&found->list[i], resolve_share_ms(until_ms, found->n - i), &fd,
                        f) != R_OK)
        return false;
    close(fd);
    return true;
}

// A folder of sockets needs no name server.
static enum result
put_host(struct postgres *q, struct places *p, struct span host, struct span port,
         struct fault *f)
{
    struct resolve_addresses found = {0};
    char name[256], number[16], text[INET6_ADDRSTRLEN];
    if (host.n > 0 && (host.p[0] == '/' || host.p[0] == '@')) {
        put_place(p, host, "", port);
        return R_OK;
    }
    if (host.n >= sizeof name || port.n >= sizeof number)
        return fault_set(f, FAULT_UNAVAILABLE, "PostgreSQL: a host is too long");
    snprintf(name, sizeof name, "%.*s", SPAN_ARG(host));
    snprintf(number, sizeof number, "%.*s", SPAN_ARG(port));
    if (resolve_host(name, number, q->deadline_ms, &found, f) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < found.n; i++)
        if (address_text(&found.list[i], text) != NULL && is_worth_it(q, p, &found, i, f)) {
            put_place(p, host, text, port);
            p->one_answers = true;
        }
    return R_OK;
}

// One of several hosts that is not known is passed over.
static enum result
put_hosts(struct postgres *q, struct span hosts, struct span ports, struct places *p,
          struct fault *f)
{
    struct span host, port = SPAN("5432"), next, rest = hosts;
    while (span_next_field(&rest, ',', &host) == R_OK)
        p->hosts_left++;
    for (; span_next_field(&hosts, ',', &host) == R_OK; p->hosts_left--) {
        if (span_next_field(&ports, ',', &next) == R_OK && next.n > 0)
            port = span_trim(next);
        if (host.n > 0 && put_host(q, p, span_trim(host), port, f) != R_OK)
            continue;
    }
    return p->n > 0 && !p->hosts.over && !p->addresses.over ? R_OK : R_FAIL;
}

// R_NONE: there is no name to look up, or the connection says by itself where to.
static enum result
find_places(struct postgres *q, struct places *p, struct fault *f)
{
    PQconninfoOption *options = PQconninfoParse(q->settings->sql.connection, NULL);
    enum result r = R_NONE;
    if (options == NULL)
        return R_NONE;
    struct span hosts = option(options, "host");
    if (hosts.n > 0 && option(options, "hostaddr").n == 0 &&
        option(options, "service").n == 0) {
        fault_set(f, FAULT_UNAVAILABLE, "PostgreSQL: no host");
        r = put_hosts(q, hosts, option(options, "port"), p, f);
    }
    PQconninfoFree(options);
    buf_put_char(&p->hosts, '\0');
    buf_put_char(&p->addresses, '\0');
    buf_put_char(&p->ports, '\0');
    return r;
}

// libpq would print what the server remarks by the way; its own log has it.
static void
pass_over(void *arg, const char *text)
{
    (void)arg, (void)text;
}

// The connection's own words count more than what comes before it; addresses and the password come last.
static enum result
start(struct postgres *q, const struct places *p, struct fault *f)
{
    char unheard_ms[16];
    snprintf(unheard_ms, sizeof unheard_ms, "%d", DIRECTORY_UNHEARD_MS);
    const char *const all[][2] = {{"gssencmode", "disable"},
                                  {"tcp_user_timeout", unheard_ms},
                                  {"application_name", "posthorn"},
                                  {"dbname", q->settings->sql.connection},
                                  {"client_encoding", "UTF8"},
                                  {"host", p->n > 0 ? p->hosts.p : ""},
                                  {"hostaddr", p->n > 0 ? p->addresses.p : ""},
                                  {"port", p->n > 0 ? p->ports.p : ""},
                                  {"password", q->settings->sql.password}};
    const char *keys[sizeof all / sizeof all[0] + 1] = {0},
                                                  *values[sizeof all / sizeof all[0] + 1] =
                                                      {0};
    size_t n = 0;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (all[i][1][0] != '\0') {
            keys[n] = all[i][0];
            values[n++] = all[i][1];
        }
    q->conn = PQconnectStartParams(keys, values, 1);
    if (q->conn == NULL || PQstatus(q->conn) == CONNECTION_BAD)
        return failed(q, "no connection", f);
    PQsetNoticeProcessor(q->conn, pass_over, NULL);
    return finish_connect(q, f);
}

static enum result
dial(struct postgres *q, struct fault *f)
{
    struct places p;
    disconnect(q);
    places_init(&p);
    enum result r = find_places(q, &p, f);
    if (r != R_FAIL)
        r = start(q, &p, f);
    places_done(&p);
    return r;
}

static enum result
send_query(struct postgres *q, struct span name, struct fault *f)
{
    struct buf texts[TEMPLATE_VARS];
    const char *values[TEMPLATE_VARS] = {0};
    for (size_t i = 0; i < q->params.n; i++) {
        buf_init(&texts[i], NAME_MAX_SIZE + 1);
        buf_put(&texts[i], template_value(q->params.order[i], name));
        buf_put_char(&texts[i], '\0');  // name_of lets none through
        values[i] = texts[i].p;
    }
    int sent =
        PQsendQueryParams(q->conn, q->sql.p, (int)q->params.n, NULL, values, NULL, NULL, 0);
    for (size_t i = 0; i < q->params.n; i++)
        buf_done(&texts[i]);
    if (sent != 1)
        return failed(q, "the query was not sent", f);
    int left;
    while ((left = PQflush(q->conn)) == 1)
        if (await(q, POLLOUT, f) != R_OK)
            return R_FAIL;
    return left == 0 ? R_OK : failed(q, "the query was not sent", f);
}

static enum result
next_result(struct postgres *q, PGresult **out, struct fault *f)
{
    while (PQisBusy(q->conn)) {
        if (await(q, POLLIN, f) != R_OK)
            return R_FAIL;
        if (PQconsumeInput(q->conn) != 1)
            return failed(q, "the connection is lost", f);
    }
    *out = PQgetResult(q->conn);
    return R_OK;
}

// The first result; there are no others, but libpq wants to be asked until it says so.
static enum result
read_result(struct postgres *q, PGresult **out, struct fault *f)
{
    PGresult *first = NULL, *more = NULL;
    if (next_result(q, &first, f) != R_OK)
        return R_FAIL;
    do {
        PQclear(more);
        more = NULL;
        if (next_result(q, &more, f) != R_OK) {
            PQclear(first);
            return R_FAIL;
        }
    } while (more != NULL);
    *out = first;
    return R_OK;
}

static enum result
take_row(const PGresult *result, struct directory_user *out, struct fault *f)
{
    for (int i = 0; i < PQnfields(result); i++) {
        struct span value =
            span_of(PQgetvalue(result, 0, i), (size_t)PQgetlength(result, 0, i));
        if (PQgetisnull(result, 0, i))
            continue;
        if (directory_user_take(out, span_str(PQfname(result, i)), value, f) != R_OK)
            return R_FAIL;
    }
    return R_OK;
}

static enum result
take_result(struct postgres *q, const PGresult *result, struct directory_user *out,
            struct fault *f)
{
    if (PQresultStatus(result) != PGRES_TUPLES_OK) {
        failed(q, "the query gives no rows", f);
        // a name that the database's encoding cannot hold, for one
        if (PQstatus(q->conn) == CONNECTION_OK)
            f->kind = FAULT_BAD;
        return R_FAIL;
    }
    if (PQntuples(result) > 1)
        return fault_set(f, FAULT_BAD, "the query gives several users");
    return PQntuples(result) == 0 ? R_NONE : take_row(result, out, f);
}

static enum result
ask(struct postgres *q, struct span name, struct directory_user *out, struct fault *f)
{
    PGresult *result = NULL;
    if (send_query(q, name, f) != R_OK || read_result(q, &result, f) != R_OK)
        return R_FAIL;
    enum result r = take_result(q, result, out, f);
    PQclear(result);
    return r;
}

// One that was lost while nobody asked is made again, once.
static enum result
find(void *kind, struct span name, struct directory_user *out, struct fault *f)
{
    struct postgres *q = kind;
    q->deadline_ms = clock_mono_ms() + LIMIT_directory_ms;
    bool kept = q->conn != NULL;
    enum result r = kept || dial(q, f) == R_OK ? ask(q, name, out, f) : R_FAIL;
    if (r == R_FAIL && kept && PQstatus(q->conn) == CONNECTION_BAD) {
        directory_user_reset(out);
        r = dial(q, f) == R_OK ? ask(q, name, out, f) : R_FAIL;
    }
    // what did not answer in time may answer later, to nobody
    bool usable = q->conn != NULL && PQstatus(q->conn) == CONNECTION_OK &&
                  PQtransactionStatus(q->conn) == PQTRANS_IDLE;
    if (r == R_FAIL && !usable)
        disconnect(q);
    return r;
}

// ---- all users ----

struct tuple {
    const PGresult *result;
};

static const char *
column_name(const void *row, size_t i)
{
    return PQfname(((const struct tuple *)row)->result, (int)i);
}

static struct span
column_value(const void *row, size_t i)
{
    const PGresult *result = ((const struct tuple *)row)->result;
    return span_of(PQgetvalue(result, 0, (int)i), (size_t)PQgetlength(result, 0, (int)i));
}

// Row by row: a result of a million is never whole in memory.
static enum result
put_all(struct postgres *q, struct buf *out, struct fault *f)
{
    PGresult *result = NULL;
    while (next_result(q, &result, f) == R_OK) {
        ExecStatusType status = PQresultStatus(result);
        struct tuple tuple = {result};
        struct directory_row row = {(size_t)PQnfields(result), column_name, column_value,
                                    &tuple};
        if (result == NULL)
            return R_OK;
        if (status == PGRES_SINGLE_TUPLE)
            directory_put_row(out, &row);
        PQclear(result);
        if (status != PGRES_SINGLE_TUPLE && status != PGRES_TUPLES_OK)
            return failed(q, "the query gives no rows", f);
        if (out->over)
            return fault_set(f, FAULT_LIMIT, "there are too many users");
    }
    return R_FAIL;
}

// In a connection of its own: what is left of a query that was given up is nobody's.
static enum result
list(void *kind, struct buf *out, struct fault *f)
{
    struct postgres *q = kind;
    int left = 0;
    if (q->settings->sql.iterate[0] == '\0')
        return R_NONE;
    q->deadline_ms = clock_mono_ms() + LIMIT_directory_list_ms;
    if (dial(q, f) != R_OK)
        return R_FAIL;
    enum result r = R_OK;
    if (PQsendQuery(q->conn, q->settings->sql.iterate) != 1 ||
        PQsetSingleRowMode(q->conn) != 1)
        r = failed(q, "the query was not sent", f);
    while (r == R_OK && (left = PQflush(q->conn)) == 1)
        r = await(q, POLLOUT, f);
    if (r == R_OK)
        r = left == 0 ? put_all(q, out, f) : failed(q, "the query was not sent", f);
    disconnect(q);
    return r;
}

// TLS' settings and the name service are read while files can be.
static void
warm(const struct directory_settings *s)
{
    PQinitOpenSSL(1, 1);
    PQconninfoFree(PQconninfoParse(s->sql.connection, NULL));
}

const struct directory_kind postgres_kind = {.check = check,
                                             .ports = ports_of,
                                             .warm = warm,
                                             .open = open_kind,
                                             .find = find,
                                             .list = list};
