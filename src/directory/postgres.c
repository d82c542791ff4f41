#include "directory/directory_inside.h"
#include "directory/template.h"
#include "base/clock.h"
#include "base/limits.h"

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

// The connection's own words count more than what comes before it, and the password comes last.
static enum result
connect(struct postgres *q, struct fault *f)
{
    const char *password = q->settings->sql.password;
    const char *const keys[] = {"gssencmode",
                                "application_name",
                                "dbname",
                                "client_encoding",
                                password[0] ? "password" : NULL,
                                NULL};
    const char *const values[] = {"disable",
                                  "posthorn",
                                  q->settings->sql.connection,
                                  "UTF8",
                                  password[0] ? password : NULL,
                                  NULL};
    disconnect(q);
    q->conn = PQconnectStartParams(keys, values, 1);
    if (q->conn == NULL || PQstatus(q->conn) == CONNECTION_BAD)
        return failed(q, "no connection", f);
    return finish_connect(q, f);
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
    enum result r = kept || connect(q, f) == R_OK ? ask(q, name, out, f) : R_FAIL;
    if (r == R_FAIL && kept && PQstatus(q->conn) == CONNECTION_BAD) {
        directory_user_reset(out);
        r = connect(q, f) == R_OK ? ask(q, name, out, f) : R_FAIL;
    }
    // what did not answer in time may answer later, to nobody
    bool usable = q->conn != NULL && PQstatus(q->conn) == CONNECTION_OK &&
                  PQtransactionStatus(q->conn) == PQTRANS_IDLE;
    if (r == R_FAIL && !usable)
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

const struct directory_kind postgres_kind = {
    .check = check, .ports = ports_of, .warm = warm, .open = open_kind, .find = find};
