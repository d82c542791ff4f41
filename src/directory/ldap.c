#include "directory/directory_inside.h"
#include "directory/template.h"
#include "base/clock.h"
#include "base/limits.h"

#include <ldap.h>

// A connection to a directory of LDAP, bound as the service; one more for each password that is judged by a bind.
struct ldap {
    const struct directory_settings *settings;
    LDAP *conn;
    uint64_t deadline_ms;
    struct template_names names;  // attributes of the filter that hold an entry's own name
};

enum { ATTRIBUTES_MAX = 8, WANTED_MAX = ATTRIBUTES_MAX + TEMPLATE_NAMES_MAX + 1 };

static struct timeval
rest(const struct ldap *l)
{
    uint64_t now_ms = clock_mono_ms();
    uint64_t ms = now_ms < l->deadline_ms ? l->deadline_ms - now_ms : 1;
    return (struct timeval){.tv_sec = (time_t)(ms / 1000),
                            .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
}

static enum result
failed(LDAP *conn, const char *what, int rc, struct fault *f)
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
static enum result
refused(LDAP *conn, const char *what, int code, struct fault *f)
{
    failed(conn, what, code, f);
    if (code != LDAP_BUSY && code != LDAP_UNAVAILABLE)
        f->kind = FAULT_BAD;
    return R_FAIL;
}

static enum result
several(struct fault *f)
{
    return fault_set(f, FAULT_BAD, "LDAP: the filter finds several entries");
}

// ---- settings ----

static bool
is_local(const LDAPURLDesc *u)
{
    return span_eq(span_str(u->lud_scheme), SPAN("ldapi")) ||
           directory_is_local(span_str(u->lud_host ? u->lud_host : ""));
}

static bool
wants_starttls(const struct directory_settings *s)
{
    return s->ldap.starttls && span_starts(span_str(s->ldap.uri), SPAN("ldap://"));
}

// The next of several with spaces between. R_NONE: no more.
static enum result
next_uri(struct span *rest, LDAPURLDesc **out)
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

static enum result
check_uri(const struct directory_settings *s, struct fault *f)
{
    struct span rest = span_str(s->ldap.uri);
    LDAPURLDesc *u = NULL;
    enum result r;
    bool clear = false;
    unsigned n = 0;
    while ((r = next_uri(&rest, &u)) == R_OK) {
        n++;
        clear |= strcmp(u->lud_scheme, "ldap") == 0 && !wants_starttls(s) && !is_local(u);
        ldap_free_urldesc(u);
    }
    if (r == R_FAIL || n == 0)
        return fault_set(f, FAULT_BAD, "userdb_ldap_uri: \"ldap://ldap.example.org\"");
    return clear ? fault_set(f, FAULT_BAD,
                             "userdb_ldap_uri: passwords travel in the clear; use ldaps:// "
                             "for all, or userdb_ldap_starttls and ldap:// for all (only "
                             "this machine goes without)")
                 : R_OK;
}

static enum result
check_filter(const struct directory_settings *s, struct fault *f)
{
    struct buf filter;
    struct fault why;
    buf_init(&filter, LIMIT_line);
    enum result r =
        template_ldap_filter(span_str(s->ldap.filter), SPAN("a@b"), &filter, &why);
    if (r == R_OK && (filter.n < 3 || filter.p[0] != '('))
        r = fault_set(&why, FAULT_BAD, "write \"(uid=%%u)\"");
    buf_done(&filter);
    return r == R_OK ? R_OK
                     : fault_set(f, FAULT_BAD, "userdb_ldap_filter: %.150s", why.why);
}

// "password=userPassword"
static enum result
check_attributes(const struct directory_settings *s, struct fault *f)
{
    if (s->ldap.attribute_count > ATTRIBUTES_MAX)
        return fault_set(f, FAULT_BAD, "userdb_ldap_attributes: %d at most",
                         ATTRIBUTES_MAX);
    for (size_t i = 0; i < s->ldap.attribute_count; i++) {
        struct span row = span_str(s->ldap.attributes[i]);
        size_t at = span_find_char(row, '=');
        struct span field = span_slice(row, 0, at);
        bool known = span_eq(field, SPAN("password")) || span_eq(field, SPAN("disabled")) ||
                     span_eq(field, SPAN("networks")) || span_eq(field, SPAN("groups"));
        if (!known || at + 1 >= row.n)
            return fault_set(f, FAULT_BAD,
                             "userdb_ldap_attributes: '%.60s'; write "
                             "\"password=userPassword\", \"disabled=...\", "
                             "\"networks=...\", \"groups=...\"",
                             s->ldap.attributes[i]);
    }
    return R_OK;
}

static enum result
check(const struct directory_settings *s, struct fault *f)
{
    if (s->ldap.base[0] == '\0')
        return fault_set(f, FAULT_BAD, "userdb_ldap_base: \"ou=people,dc=example,dc=org\"");
    if (check_uri(s, f) || check_filter(s, f))
        return R_FAIL;
    return check_attributes(s, f);
}

static size_t
ports_of(const struct directory_settings *s, uint16_t *ports, size_t max)
{
    struct span rest = span_str(s->ldap.uri);
    LDAPURLDesc *u = NULL;
    size_t n = 0;
    while (n < max && next_uri(&rest, &u) == R_OK) {
        ports[n++] = (uint16_t)u->lud_port;
        ldap_free_urldesc(u);
    }
    return n;
}

// ---- connections ----

static void *
open_kind(const struct directory_settings *s)
{
    struct ldap *l = calloc(1, sizeof *l);
    must(l != NULL);
    l->settings = s;
    template_ldap_names(span_str(s->ldap.filter), &l->names);
    return l;
}

static void
hang_up(LDAP **conn)
{
    if (*conn != NULL)
        ldap_unbind_ext(*conn, NULL, NULL);
    *conn = NULL;
}

static void
set_tls(const struct directory_settings *s, LDAP *conn)
{
    const int demand = LDAP_OPT_X_TLS_DEMAND, none = 0;
    ldap_set_option(conn, LDAP_OPT_X_TLS_REQUIRE_CERT, &demand);
    if (s->ldap.ca[0])
        ldap_set_option(conn, LDAP_OPT_X_TLS_CACERTFILE, s->ldap.ca);
    ldap_set_option(conn, LDAP_OPT_X_TLS_NEWCTX, &none);
}

static void
set_options(struct ldap *l, LDAP *conn)
{
    const struct timeval wait = rest(l);
    const int version = LDAP_VERSION3;
    ldap_set_option(conn, LDAP_OPT_PROTOCOL_VERSION, &version);
    ldap_set_option(conn, LDAP_OPT_NETWORK_TIMEOUT, &wait);
    ldap_set_option(conn, LDAP_OPT_TIMEOUT, &wait);
    ldap_set_option(conn, LDAP_OPT_REFERRALS, LDAP_OPT_OFF);
    set_tls(l->settings, conn);
}

static enum result
dial(struct ldap *l, LDAP **out, struct fault *f)
{
    LDAP *conn = NULL;
    int rc = ldap_initialize(&conn, l->settings->ldap.uri);
    if (rc != LDAP_SUCCESS)
        return failed(NULL, "connect", rc, f);
    set_options(l, conn);
    if (wants_starttls(l->settings))
        rc = ldap_start_tls_s(conn, NULL, NULL);
    if (rc != LDAP_SUCCESS) {
        failed(conn, "STARTTLS", rc, f);
        hang_up(&conn);
        return R_FAIL;
    }
    *out = conn;
    return R_OK;
}

// *code_out is what the server says.
static enum result
await_result(struct ldap *l, LDAP *conn, int id, const char *what, LDAPMessage **out,
             struct fault *f)
{
    struct timeval wait = rest(l);
    LDAPMessage *m = NULL;
    int type = ldap_result(conn, id, LDAP_MSG_ALL, &wait, &m);
    if (type > 0) {
        *out = m;
        return R_OK;
    }
    int rc = LDAP_TIMEOUT;
    if (type < 0)
        ldap_get_option(conn, LDAP_OPT_RESULT_CODE, &rc);
    ldap_msgfree(m);
    return failed(conn, what, rc, f);
}

static enum result
bind_as(struct ldap *l, LDAP *conn, const char *dn, struct span password, int *code_out,
        struct fault *f)
{
    struct berval credentials = {
        .bv_len = password.n, .bv_val = (char *)(uintptr_t)(password.p ? password.p : "")};
    LDAPMessage *m = NULL;
    int id = 0;
    int rc = ldap_sasl_bind(conn, dn, LDAP_SASL_SIMPLE, &credentials, NULL, NULL, &id);
    if (rc != LDAP_SUCCESS)
        return failed(conn, "bind", rc, f);
    if (await_result(l, conn, id, "bind", &m, f) != R_OK)
        return R_FAIL;
    rc = ldap_parse_result(conn, m, code_out, NULL, NULL, NULL, NULL, 1);
    return rc == LDAP_SUCCESS ? R_OK : failed(conn, "bind", rc, f);
}

static enum result
connect(struct ldap *l, struct fault *f)
{
    const struct directory_settings *s = l->settings;
    int code = LDAP_SUCCESS;
    if (dial(l, &l->conn, f) != R_OK)
        return R_FAIL;
    if (s->ldap.bind_dn[0] == '\0')
        return R_OK;
    if (bind_as(l, l->conn, s->ldap.bind_dn, span_str(s->ldap.bind_password), &code, f) !=
            R_OK ||
        code != LDAP_SUCCESS) {
        if (code != LDAP_SUCCESS)
            failed(l->conn, "userdb_ldap_bind_dn", code, f);
        hang_up(&l->conn);
        return R_FAIL;
    }
    return R_OK;
}

// ---- search ----

static void
wanted(const struct ldap *l, char *attributes[WANTED_MAX])
{
    const struct directory_settings *s = l->settings;
    size_t n = 0;
    for (size_t i = 0; i < l->names.n; i++)
        attributes[n++] = (char *)(uintptr_t)l->names.list[i].attribute;
    for (size_t i = 0; i < s->ldap.attribute_count; i++) {
        const char *row = s->ldap.attributes[i];
        if (s->ldap.bind && span_starts(span_str(row), SPAN("password=")))
            continue;
        attributes[n++] = (char *)(uintptr_t)(strchr(row, '=') + 1);
    }
    if (n == 0)
        attributes[n++] = (char *)(uintptr_t)LDAP_NO_ATTRS;
    attributes[n] = NULL;
}

static enum result
run_search(struct ldap *l, struct span filter, LDAPMessage **out, struct fault *f)
{
    char *attributes[WANTED_MAX];
    struct timeval wait = rest(l);
    int id = 0, code = LDAP_SUCCESS;
    LDAPMessage *m = NULL;
    wanted(l, attributes);
    int rc = ldap_search_ext(l->conn, l->settings->ldap.base, LDAP_SCOPE_SUBTREE, filter.p,
                             attributes, 0, NULL, NULL, &wait, 2, &id);
    if (rc != LDAP_SUCCESS)
        return failed(l->conn, "search", rc, f);
    if (await_result(l, l->conn, id, "search", &m, f) != R_OK)
        return R_FAIL;
    rc = ldap_parse_result(l->conn, m, &code, NULL, NULL, NULL, NULL, 0);
    if (rc == LDAP_SUCCESS && code == LDAP_SUCCESS) {
        *out = m;
        return R_OK;
    }
    ldap_msgfree(m);
    if (rc != LDAP_SUCCESS)
        return failed(l->conn, "search", rc, f);
    // there are more than two, or than the server wants to tell
    return code == LDAP_SIZELIMIT_EXCEEDED ? several(f)
                                           : refused(l->conn, "search", code, f);
}

static enum result
search(struct ldap *l, struct span name, LDAPMessage **out, struct fault *f)
{
    struct buf filter;
    buf_init(&filter, LIMIT_line);
    enum result r =
        template_ldap_filter(span_str(l->settings->ldap.filter), name, &filter, f);
    buf_put_char(&filter, '\0');
    bool kept = l->conn != NULL;
    if (r == R_OK && !kept)
        r = connect(l, f);
    if (r == R_OK)
        r = run_search(l, buf_span(&filter), out, f);
    if (r != R_OK && kept) {  // one that was lost while nobody asked is made again, once
        hang_up(&l->conn);
        r = connect(l, f) == R_OK ? run_search(l, buf_span(&filter), out, f) : R_FAIL;
    }
    if (r != R_OK)
        hang_up(&l->conn);
    buf_done(&filter);
    return r;
}

// Servers compare as they like: without case, some without accents, spaces or hyphens. A name is one account, so the entry must
// have the very name that was asked for, in normal form.
static bool
is_named(struct ldap *l, LDAPMessage *entry, const struct template_name *t,
         struct span name, bool *shown)
{
    struct berval **values = ldap_get_values_len(l->conn, entry, t->attribute);
    struct span want = t->whole ? name : template_value(TEMPLATE_LOCAL, name);
    struct name own;
    struct fault ignored;
    bool same = false;
    for (size_t i = 0; values != NULL && values[i] != NULL; i++) {
        struct span value = span_of(values[i]->bv_val, values[i]->bv_len);
        same |= name_of(value, &own, &ignored) == R_OK && span_eq(name_span(&own), want);
        *shown = true;
    }
    ldap_value_free_len(values);
    return same;
}

static enum result
check_name(struct ldap *l, LDAPMessage *entry, struct span name, struct fault *f)
{
    bool shown = l->names.n == 0, same = shown;
    for (size_t i = 0; i < l->names.n && !same; i++)
        same = is_named(l, entry, &l->names.list[i], name, &shown);
    if (!shown)
        return fault_set(f, FAULT_BAD,
                         "LDAP: the attribute '%s' of the filter cannot be read",
                         l->names.list[0].attribute);
    return same ? R_OK : R_NONE;
}

// R_NONE: no entry. Several are no user: it cannot be told whose password counts.
static enum result
the_entry(struct ldap *l, LDAPMessage *m, struct span name, LDAPMessage **out,
          struct fault *f)
{
    int n = ldap_count_entries(l->conn, m);
    if (n > 1)
        return several(f);
    *out = n == 1 ? ldap_first_entry(l->conn, m) : NULL;
    return *out != NULL ? check_name(l, *out, name, f) : R_NONE;
}

// Of groups all values count, of all else the first one.
static enum result
take_attribute(struct ldap *l, LDAPMessage *entry, struct span row,
               struct directory_user *out, struct fault *f)
{
    size_t at = span_find_char(row, '=');
    struct span field = span_slice(row, 0, at);
    struct berval **values = ldap_get_values_len(l->conn, entry, row.p + at + 1);
    struct buf all;
    buf_init(&all, LIMIT_channel_message);
    bool groups = span_eq(field, SPAN("groups"));
    for (size_t i = 0; values != NULL && values[i] != NULL && (i == 0 || groups); i++) {
        buf_put_str(&all, i > 0 ? "," : "");
        buf_put(&all, span_of(values[i]->bv_val, values[i]->bv_len));
    }
    enum result r = R_OK;
    if (values != NULL)
        r = all.over ? fault_set(f, FAULT_BAD, "LDAP: a value is too long")
                     : directory_user_take(out, field, buf_span(&all), f);
    ldap_value_free_len(values);
    buf_wipe(&all);
    return r;
}

static enum result
take_entry(struct ldap *l, LDAPMessage *entry, struct directory_user *out, struct fault *f)
{
    const struct directory_settings *s = l->settings;
    enum result r = R_OK;
    for (size_t i = 0; r == R_OK && i < s->ldap.attribute_count; i++)
        r = take_attribute(l, entry, span_str(s->ldap.attributes[i]), out, f);
    out->there = s->ldap.bind;
    if (out->there)
        buf_reset(&out->hash);
    return r;
}

static enum result
find(void *kind, struct span name, struct directory_user *out, struct fault *f)
{
    struct ldap *l = kind;
    LDAPMessage *m = NULL, *entry = NULL;
    l->deadline_ms = clock_mono_ms() + LIMIT_directory_ms;
    if (search(l, name, &m, f) != R_OK)
        return R_FAIL;
    enum result r = the_entry(l, m, name, &entry, f);
    if (r == R_OK)
        r = take_entry(l, entry, out, f);
    ldap_msgfree(m);
    return r;
}

// ---- passwords ----

static enum result
find_dn(struct ldap *l, struct span name, struct buf *dn_out, struct fault *f)
{
    LDAPMessage *m = NULL, *entry = NULL;
    if (search(l, name, &m, f) != R_OK)
        return R_FAIL;
    enum result r = the_entry(l, m, name, &entry, f);
    char *dn = r == R_OK ? ldap_get_dn(l->conn, entry) : NULL;
    buf_put_str(dn_out, dn ? dn : "");
    buf_put_char(dn_out, '\0');
    if (r == R_OK && (dn == NULL || dn[0] == '\0' || dn_out->over))
        r = fault_set(f, FAULT_BAD, "LDAP: an entry's name cannot be used");
    ldap_memfree(dn);
    ldap_msgfree(m);
    return r;
}

// What a server says of a password that it does not take, or of a user who may not come.
static bool
is_refusal(int code)
{
    return code == LDAP_INVALID_CREDENTIALS || code == LDAP_INAPPROPRIATE_AUTH ||
           code == LDAP_CONSTRAINT_VIOLATION || code == LDAP_UNWILLING_TO_PERFORM ||
           code == LDAP_NO_SUCH_OBJECT || code == LDAP_INSUFFICIENT_ACCESS;
}

static enum result
try_bind(struct ldap *l, const char *dn, struct span password, struct fault *f)
{
    LDAP *conn = NULL;
    int code = LDAP_SUCCESS;
    if (dial(l, &conn, f) != R_OK)
        return R_FAIL;
    enum result r = bind_as(l, conn, dn, password, &code, f);
    if (r == R_OK && code != LDAP_SUCCESS)
        r = is_refusal(code) ? R_NONE : refused(conn, "bind as the user", code, f);
    hang_up(&conn);
    return r;
}

// A bind with an empty password is anonymous, and always succeeds (RFC 4513 section 5.1.2); some servers read up to a NUL.
static enum result
verify(void *kind, struct span name, struct span password, struct fault *f)
{
    struct ldap *l = kind;
    struct buf dn;
    if (password.n == 0 || memchr(password.p, '\0', password.n) != NULL)
        return R_NONE;
    l->deadline_ms = clock_mono_ms() + LIMIT_directory_ms;
    buf_init(&dn, LIMIT_line);
    enum result r = find_dn(l, name, &dn, f);
    if (r == R_OK)
        r = try_bind(l, dn.p, password, f);
    buf_done(&dn);
    return r;
}

// The library reads its settings once, and so does its TLS.
static void
warm(const struct directory_settings *s)
{
    LDAP *conn = NULL;
    if (s->ldap.uri[0] == '\0' || ldap_initialize(&conn, s->ldap.uri) != LDAP_SUCCESS)
        return;
    set_tls(s, conn);
    hang_up(&conn);
}

const struct directory_kind ldap_kind = {.check = check,
                                         .ports = ports_of,
                                         .warm = warm,
                                         .open = open_kind,
                                         .find = find,
                                         .verify = verify};
