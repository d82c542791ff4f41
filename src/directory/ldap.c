#include "directory/ldap_inside.h"
#include "base/clock.h"
#include "base/limits.h"

enum { ATTRIBUTES_MAX = 8, WANTED_MAX = ATTRIBUTES_MAX + TEMPLATE_NAMES_MAX + 1 };

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

static enum result
check_uri(const struct directory_settings *s, struct fault *f)
{
    struct span rest = span_str(s->ldap.uri);
    LDAPURLDesc *u = NULL;
    enum result r;
    bool clear = false;
    unsigned n = 0;
    while ((r = ldap_next_url(&rest, &u)) == R_OK) {
        n++;
        clear |=
            strcmp(u->lud_scheme, "ldap") == 0 && !ldap_wants_starttls(s) && !is_local(u);
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
    if (r == R_OK && s->ldap.iterate[0] != '\0' && s->ldap.iterate[0] != '(')
        return fault_set(f, FAULT_BAD,
                         "userdb_ldap_iterate_filter: write "
                         "\"(objectClass=posixAccount)\"");
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
                     span_eq(field, SPAN("networks")) || span_eq(field, SPAN("groups")) ||
                     span_eq(field, SPAN("quota_storage")) ||
                     span_eq(field, SPAN("quota_messages")) ||
                     span_eq(field, SPAN("quota_rule"));
        if (!known || at + 1 >= row.n)
            return fault_set(f, FAULT_BAD,
                             "userdb_ldap_attributes: '%.60s'; write "
                             "\"password=userPassword\", \"disabled=...\", "
                             "\"networks=...\", \"groups=...\", \"quota_storage=...\", "
                             "\"quota_messages=...\", \"quota_rule=...\"",
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
    while (n < max && ldap_next_url(&rest, &u) == R_OK) {
        ports[n++] = (uint16_t)u->lud_port;
        ldap_free_urldesc(u);
    }
    return n;
}

static void *
open_kind(const struct directory_settings *s)
{
    struct ldap *l = calloc(1, sizeof *l);
    must(l != NULL);
    l->settings = s;
    template_ldap_names(span_str(s->ldap.filter), &l->names);
    return l;
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
    struct timeval wait = ldap_time_left(l);
    int id = 0, code = LDAP_SUCCESS;
    LDAPMessage *m = NULL;
    wanted(l, attributes);
    int rc = ldap_search_ext(l->conn, l->settings->ldap.base, LDAP_SCOPE_SUBTREE, filter.p,
                             attributes, 0, NULL, NULL, &wait, 2, &id);
    if (rc != LDAP_SUCCESS)
        return ldap_failed(l->conn, "search", rc, f);
    if (ldap_await(l, l->conn, id, "search", &m, f) != R_OK)
        return R_FAIL;
    rc = ldap_parse_result(l->conn, m, &code, NULL, NULL, NULL, NULL, 0);
    if (rc == LDAP_SUCCESS && code == LDAP_SUCCESS) {
        *out = m;
        return R_OK;
    }
    ldap_msgfree(m);
    if (rc != LDAP_SUCCESS)
        return ldap_failed(l->conn, "search", rc, f);
    // there are more than two, or than the server wants to tell
    return code == LDAP_SIZELIMIT_EXCEEDED ? several(f)
                                           : ldap_refused(l->conn, "search", code, f);
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
        r = ldap_reconnect(l, f);
    if (r == R_OK)
        r = run_search(l, buf_span(&filter), out, f);
    if (r != R_OK && kept) {  // one that was lost while nobody asked is made again, once
        ldap_hang_up(&l->conn);
        r = ldap_reconnect(l, f) == R_OK ? run_search(l, buf_span(&filter), out, f)
                                         : R_FAIL;
    }
    if (r != R_OK)
        ldap_hang_up(&l->conn);
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
    if (ldap_dial(l, &conn, f) != R_OK)
        return R_FAIL;
    enum result r = ldap_bind_to(l, conn, dn, password, &code, f);
    if (r == R_OK && code != LDAP_SUCCESS)
        r = is_refusal(code) ? R_NONE : ldap_refused(conn, "bind as the user", code, f);
    ldap_hang_up(&conn);
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

// ---- all users ----

enum { PAGE = 500 };

static const char *
listed_attribute(const struct ldap *l)
{
    const char *set = l->settings->ldap.iterate_attribute;
    return set[0] ? set : l->names.n > 0 ? l->names.list[0].attribute : "uid";
}

static void
put_entries(struct ldap *l, LDAPMessage *m, struct buf *out)
{
    for (LDAPMessage *e = ldap_first_entry(l->conn, m); e != NULL && !out->over;
         e = ldap_next_entry(l->conn, e)) {
        struct berval **values = ldap_get_values_len(l->conn, e, listed_attribute(l));
        for (size_t i = 0; values != NULL && values[i] != NULL; i++)
            directory_put_name(out, span_of(values[i]->bv_val, values[i]->bv_len),
                               SPAN_NONE);
        ldap_value_free_len(values);
    }
}

// Where the next page begins; empty: this was the last, or the server knows no pages.
static void
take_cookie(struct ldap *l, LDAPControl **controls, struct berval *cookie)
{
    struct berval next = {0};
    ber_int_t ignored = 0;
    LDAPControl *page = ldap_control_find(LDAP_CONTROL_PAGEDRESULTS, controls, NULL);
    ber_memfree(cookie->bv_val);
    *cookie = (struct berval){0};
    if (page != NULL &&
        ldap_parse_pageresponse_control(l->conn, page, &ignored, &next) == LDAP_SUCCESS)
        *cookie = next;
}

// One page (RFC 2696), from the cookie on.
static enum result
list_page(struct ldap *l, struct berval *cookie, struct buf *out, struct fault *f)
{
    const char *attributes[] = {listed_attribute(l), NULL};
    LDAPControl *page = NULL, **said = NULL;
    struct timeval wait = ldap_time_left(l);
    LDAPMessage *m = NULL;
    int id = 0, code = LDAP_SUCCESS;
    int rc = ldap_create_page_control(l->conn, PAGE, cookie->bv_len > 0 ? cookie : NULL, 0,
                                      &page);
    LDAPControl *controls[] = {page, NULL};
    if (rc == LDAP_SUCCESS)
        rc = ldap_search_ext(l->conn, l->settings->ldap.base, LDAP_SCOPE_SUBTREE,
                             l->settings->ldap.iterate, (char **)(uintptr_t)attributes, 0,
                             controls, NULL, &wait, LDAP_NO_LIMIT, &id);
    ldap_control_free(page);
    if (rc != LDAP_SUCCESS)
        return ldap_failed(l->conn, "list", rc, f);
    if (ldap_await(l, l->conn, id, "list", &m, f) != R_OK)
        return R_FAIL;
    rc = ldap_parse_result(l->conn, m, &code, NULL, NULL, NULL, &said, 0);
    enum result r = R_OK;
    if (rc != LDAP_SUCCESS || code != LDAP_SUCCESS)
        r = ldap_failed(l->conn, "list", rc != LDAP_SUCCESS ? rc : code, f);
    if (r == R_OK)
        put_entries(l, m, out);
    take_cookie(l, said, cookie);
    ldap_controls_free(said);
    ldap_msgfree(m);
    return r;
}

static enum result
list(void *kind, struct buf *out, struct fault *f)
{
    struct ldap *l = kind;
    struct berval cookie = {0};
    if (l->settings->ldap.iterate[0] == '\0')
        return R_NONE;
    l->deadline_ms = clock_mono_ms() + LIMIT_directory_list_ms;
    ldap_hang_up(&l->conn);
    enum result r = ldap_reconnect(l, f);
    do {
        if (r == R_OK)
            r = list_page(l, &cookie, out, f);
    } while (r == R_OK && cookie.bv_len > 0 && !out->over);
    ber_memfree(cookie.bv_val);
    ldap_hang_up(&l->conn);
    return r;
}

// The library reads its settings once, and so does its TLS.
static void
warm(const struct directory_settings *s)
{
    LDAP *conn = NULL;
    if (s->ldap.uri[0] == '\0' || ldap_initialize(&conn, s->ldap.uri) != LDAP_SUCCESS)
        return;
    ldap_set_tls(s, conn);
    ldap_hang_up(&conn);
}

const struct directory_kind ldap_kind = {.check = check,
                                         .ports = ports_of,
                                         .warm = warm,
                                         .open = open_kind,
                                         .find = find,
                                         .verify = verify,
                                         .list = list};
