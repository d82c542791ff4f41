#include "directory/directory_inside.h"
#include "directory/template.h"
#include "base/limits.h"
#include "base/pack.h"

struct directory {
    const struct directory_settings *settings;
    void *kinds[USER_SOURCES];  // NULL: not asked yet
};

enum result
directory_check_query(const struct directory_settings *s, char sign, struct fault *f)
{
    struct buf sql;
    struct template_params params;
    struct fault why;
    buf_init(&sql, LIMIT_line);
    enum result r = template_sql(span_str(s->sql.query), sign, &sql, &params, &why);
    buf_done(&sql);
    return r == R_OK ? R_OK : fault_set(f, FAULT_BAD, "userdb_sql_query: %.150s", why.why);
}

bool
directory_is_local(struct span host)
{
    return span_eq(host, SPAN("::1")) || span_ieq(host, SPAN("localhost")) ||
           span_starts(host, SPAN("127."));
}

void
directory_user_init(struct directory_user *u)
{
    *u = (struct directory_user){.quota = USER_QUOTA_UNSAID};
    buf_init(&u->hash, LIMIT_password_hash);
    buf_init(&u->networks, LIMIT_user_networks);
    buf_init(&u->groups, LIMIT_directory_groups);
}

void
directory_user_reset(struct directory_user *u)
{
    buf_wipe(&u->hash);
    buf_reset(&u->networks);
    buf_reset(&u->groups);
    u->disabled = u->there = false;
    u->quota = USER_QUOTA_UNSAID;
}

void
directory_user_done(struct directory_user *u)
{
    buf_wipe(&u->hash);
    buf_done(&u->networks);
    buf_done(&u->groups);
}

static enum result
take_flag(struct span value, bool *out, struct fault *f)
{
    static const char *const yes[] = {"1", "t", "true", "y", "yes", "on"},
                             *const no[] = {"", "0", "f", "false", "n", "no", "off"};
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
        if (span_ieq(value, span_str(yes[i]))) {
            *out = true;
            return R_OK;
        }
    }
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++)
        if (span_ieq(value, span_str(no[i])))
            return R_OK;
    return fault_set(f, FAULT_BAD, "'disabled' is neither true nor false: %.*s",
                     SPAN_ARG(span_slice(value, 0, 40)));
}

static enum result
take_text(struct span field, struct span value, struct buf *out, struct fault *f)
{
    buf_reset(out);
    buf_put(out, value);
    return out->over ? fault_set(f, FAULT_BAD, "'%.*s' is longer than %zu octets",
                                 SPAN_ARG(span_slice(field, 0, 40)), out->max)
                     : R_OK;
}

enum result
directory_user_take(struct directory_user *u, struct span field, struct span value,
                    struct fault *f)
{
    if (span_ieq(field, SPAN("password")))
        return take_text(field, value, &u->hash, f);
    if (span_ieq(field, SPAN("networks")))
        return take_text(field, value, &u->networks, f);
    if (span_ieq(field, SPAN("groups")))
        return take_text(field, value, &u->groups, f);
    if (span_ieq(field, SPAN("disabled")))
        return take_flag(value, &u->disabled, f);
    return user_quota_take(&u->quota, field, value, f) == R_FAIL ? R_FAIL : R_OK;
}

// ---- kinds ----

static bool
is_sqlite(const struct directory_settings *s)
{
    return span_starts(span_str(s->sql.connection), SPAN("sqlite:"));
}

// NULL: not built in, or none of this file's.
static const struct directory_kind *
kind_of(enum user_source source, const struct directory_settings *s)
{
    if (source == USER_SQL && is_sqlite(s))
        return &sqlite_kind;
#ifdef HAVE_LIBPQ
    if (source == USER_SQL)
        return &postgres_kind;
#endif
#ifdef HAVE_LDAP
    if (source == USER_LDAP)
        return &ldap_kind;
#endif
    return NULL;
}

enum result
directory_check(enum user_source source, const struct directory_settings *s,
                struct fault *f)
{
    if (source == USER_OWN)
        return R_OK;
    if (source == USER_PASSWD_FILE)
        return s->passwd_file[0] == '/'
                   ? R_OK
                   : fault_set(f, FAULT_BAD, "userdb_passwd_file: an absolute path");
#ifdef HAVE_PAM
    if (source == USER_PAM)
        return s->pam.service[0] && strchr(s->pam.service, '/') == NULL
                   ? R_OK
                   : fault_set(f, FAULT_BAD, "userdb_pam_service: the name of a service");
#endif
    const struct directory_kind *kind = kind_of(source, s);
    if (kind == NULL)
        return fault_set(
            f, FAULT_BAD, "user_databases: '%s'%s is not built into this program",
            user_source_name(source), source == USER_SQL ? " by PostgreSQL" : "");
    return kind->check(s, f);
}

size_t
directory_ports(enum user_source source, const struct directory_settings *s,
                uint16_t *ports, size_t max)
{
    const struct directory_kind *kind = kind_of(source, s);
    return kind != NULL && kind->ports != NULL ? kind->ports(s, ports, max) : 0;
}

void
directory_warm(const struct directory_settings *s)
{
    static const enum user_source sources[] = {USER_SQL, USER_LDAP};
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
        const struct directory_kind *kind = kind_of(sources[i], s);
        if (kind != NULL && kind->warm != NULL)
            kind->warm(s);
    }
}

struct directory *
directory_new(const struct directory_settings *s)
{
    struct directory *d = calloc(1, sizeof *d);
    must(d != NULL);
    d->settings = s;
    return d;
}

static const struct directory_kind *
opened(struct directory *d, enum user_source source)
{
    const struct directory_kind *kind = kind_of(source, d->settings);
    must(kind != NULL);
    if (d->kinds[source] == NULL)
        d->kinds[source] = kind->open(d->settings);
    return kind;
}

// ann@a.org and ann@b.org would be the same to it.
static bool
can_tell(const struct directory *d, enum user_source source, struct span name)
{
    const struct directory_settings *s = d->settings;
    return span_find_char(name, '@') == name.n ||
           template_has_domain(
               span_str(source == USER_LDAP ? s->ldap.filter : s->sql.query));
}

enum result
directory_find(struct directory *d, enum user_source source, struct span name,
               struct directory_user *out, struct fault *f)
{
    if (!can_tell(d, source, name))
        return R_NONE;
    return opened(d, source)->find(d->kinds[source], name, out, f);
}

enum result
directory_verify(struct directory *d, enum user_source source, struct span name,
                 struct span password, struct fault *f)
{
    const struct directory_kind *kind = opened(d, source);
    if (kind->verify == NULL)
        return fault_set(f, FAULT_SERVERBUG, "%s judges no passwords",
                         user_source_name(source));
    if (!can_tell(d, source, name))
        return R_NONE;
    return kind->verify(d->kinds[source], name, password, f);
}

// ---- all users ----

void
directory_put_name(struct buf *out, struct span user, struct span domain)
{
    struct buf whole;
    struct name name;
    struct fault ignored;
    buf_init(&whole, LIMIT_user_name);
    buf_put(&whole, span_trim(user));
    if (domain.n > 0)
        buf_printf(&whole, "@%.*s", SPAN_ARG(domain));
    if (!whole.over && name_of(buf_span(&whole), &name, &ignored) == R_OK &&
        name_is_distinct(name_span(&name)))
        pack_span(out, name_span(&name));
    buf_done(&whole);
}

static size_t
column_of(const struct directory_row *row, const char *name)
{
    size_t i = 0;
    while (i < row->n && !span_ieq(span_str(row->column(row->row, i)), span_str(name)))
        i++;
    return i;
}

void
directory_put_row(struct buf *out, const struct directory_row *row)
{
    size_t user = column_of(row, "user"), domain = row->n;
    if (user == row->n) {
        user = column_of(row, "username");
        domain = column_of(row, "domain");
    }
    if (user == row->n)
        user = 0;
    if (row->n > 0)
        directory_put_name(out, row->value(row->row, user),
                           domain < row->n ? row->value(row->row, domain) : SPAN_NONE);
}

enum result
directory_list_names(struct directory *d, enum user_source source, struct buf *out,
                     struct fault *f)
{
    enum result r = opened(d, source)->list(d->kinds[source], out, f);
    return r == R_OK && out->over ? fault_set(f, FAULT_LIMIT, "there are too many users")
                                  : r;
}
