#include "ctl/announce.h"
#include "ctl/config.h"
#include "ctl/databases.h"
#include "ctl/expiry.h"
#include "ctl/listeners.h"
#include "ctl/quotas.h"
#include "ctl/programs.h"
#include "ctl/scanners.h"
#include "ctl/smarthost.h"
#include "mail/marks.h"
#include "store/row.h"
#include "ctl/setting.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/pack.h"
#include "os/network.h"
#include <unistd.h>

static void *
x_new(size_t size)
{
    void *p = calloc(1, size);
    must(p != NULL);
    return p;
}

static struct config *
config_new(void)
{
    struct config *c = x_new(sizeof *c);
    c->arena = arena_new();
    return c;
}

void
config_free(struct config **c)
{
    if (*c == NULL)
        return;
    arena_free(&(*c)->arena);
    free(*c);
    *c = NULL;
}

static enum result
check_network_list(const char *setting, const struct config_list *list, bool local_too,
                   struct fault *f)
{
    struct network n;
    struct fault why;
    for (size_t i = 0; i < list->n; i++) {
        if (local_too && strcmp(list->items[i], "local") == 0)
            continue;
        if (network_parse(span_str(list->items[i]), &n, &why) != R_OK)
            return fault_set(f, FAULT_BAD, "%s: %.120s; write \"10.0.0.0/8\"", setting,
                             why.why);
    }
    return R_OK;
}

static enum result
check_networks(const struct config *c, struct fault *f)
{
    if (check_network_list("lmtp_networks", &c->lmtp_networks, false, f) ||
        check_network_list("auth_service_networks", &c->auth_service_networks, false, f) ||
        check_network_list("auth_allow", &c->auth_allow, true, f) ||
        check_network_list("auth_deny", &c->auth_deny, true, f) ||
        check_network_list("proxy_networks", &c->proxy_networks, true, f) ||
        check_network_list("http_admin_networks", &c->http_admin_networks, true, f) ||
        check_network_list("trusted_networks", &c->trusted_networks, true, f))
        return R_FAIL;
    if (strlen(c->auth_master_separator) > 1)
        return fault_set(f, FAULT_BAD, "auth_master_separator: one character");
    return R_OK;
}

// Keys and tokens do not travel in the clear, but to a helper on this machine.
static enum result
check_url(const char *setting, const char *text, struct fault *f)
{
    static const char *const good[] = {
        "https://",      "http://127.0.0.1:", "http://127.0.0.1/",
        "http://[::1]:", "http://localhost:", "http://localhost/"};
    if (text[0] == '\0')
        return R_OK;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        if (span_starts(span_str(text), span_str(good[i])))
            return R_OK;
    return fault_set(f, FAULT_BAD, "%s: \"https://...\" (http:// on this machine only)",
                     setting);
}

static enum result
check_oauth(const struct config *c, struct fault *f)
{
    bool used = c->oauth_jwks_url[0] || c->oauth_introspection_url[0];
    if (check_url("oauth_jwks_url", c->oauth_jwks_url, f) ||
        check_url("oauth_introspection_url", c->oauth_introspection_url, f))
        return R_FAIL;
    if (used != (c->oauth_issuer[0] != '\0') || (used && c->oauth_audience.n == 0) ||
        (used && c->oauth_user_claim[0] == '\0'))
        return fault_set(f, FAULT_BAD,
                         "oauth_issuer, oauth_audience and oauth_user_claim go with "
                         "oauth_jwks_url or oauth_introspection_url");
    return R_OK;
}

static enum result
check_expire(const struct config *c, struct fault *f)
{
    struct span where;
    uint64_t age_s;
    for (size_t i = 0; i < c->expire.n; i++)
        if (expiry_row(span_str(c->expire.items[i]), &where, &age_s, f) != R_OK)
            return R_FAIL;
    return R_OK;
}

// RFC 5466 section 4: filter-name is of atom characters but "/".
static bool
filter_name_good(struct span name)
{
    for (size_t i = 0; i < name.n; i++)
        if (name.p[i] <= ' ' || name.p[i] > '~' || strchr("(){%*\"\\]/", name.p[i]))
            return false;
    return name.n > 0;
}

static enum result
check_filter_rows(const char *setting, const struct config_list *rows, struct fault *f)
{
    for (size_t i = 0; i < rows->n; i++) {
        struct span row = span_str(rows->items[i]);
        size_t blank = span_find_char(row, ' ');
        if (!filter_name_good(span_slice(row, 0, blank)) ||
            span_trim(span_skip(row, blank)).n == 0)
            return fault_set(f, FAULT_BAD,
                             "%s: '%.60s' is no name and what it stands for; write \"mine "
                             "UNSEEN TO me@example.org\" (a name has no quotes, slashes "
                             "or parentheses)",
                             setting, rows->items[i]);
    }
    return R_OK;
}

static enum result
check_marks(const struct config *c, struct fault *f)
{
    for (size_t i = 0; i < c->intake_keywords.n; i++)
        if (mark_from(span_str(c->intake_keywords.items[i])) == 0)
            return fault_set(f, FAULT_BAD,
                             "intake_keywords: '%.60s' is none that the server sets; it "
                             "knows $hasattachment, $hasnoattachment, $canunsubscribe, "
                             "$autosent and $imported",
                             c->intake_keywords.items[i]);
    return R_OK;
}

unsigned
config_marks(const struct config *c)
{
    unsigned marks = 0;
    for (size_t i = 0; i < c->intake_keywords.n; i++)
        marks |= mark_from(span_str(c->intake_keywords.items[i]));
    return marks;
}

static uint16_t
private_flag(const char *text)
{
    static const struct {
        const char *name;
        uint16_t flag;
    } flags[] = {{"Seen", FLAG_SEEN},
                 {"Answered", FLAG_ANSWERED},
                 {"Flagged", FLAG_FLAGGED},
                 {"Draft", FLAG_DRAFT}};
    struct span name = span_str(text[0] == '\\' ? text + 1 : text);
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (span_ieq(name, span_str(flags[i].name)))
            return flags[i].flag;
    return 0;
}

static enum result
check_private_flags(const struct config *c, struct fault *f)
{
    for (size_t i = 0; i < c->private_flags.n; i++)
        if (private_flag(c->private_flags.items[i]) == 0)
            return fault_set(f, FAULT_BAD,
                             "private_flags: '%.60s' cannot be each user's own; \\Seen, "
                             "\\Answered, \\Flagged and \\Draft can",
                             c->private_flags.items[i]);
    return R_OK;
}

uint16_t
config_private_flags(const struct config *c)
{
    uint16_t flags = 0;
    for (size_t i = 0; i < c->private_flags.n; i++)
        flags |= private_flag(c->private_flags.items[i]);
    return flags;
}

bool
config_list_has(const struct config_list *list, struct span s)
{
    for (size_t i = 0; i < list->n; i++)
        if (span_ieq(s, span_str(list->items[i])))
            return true;
    return false;
}

static enum result
check_tls(const struct config *c, struct fault *f)
{
    if (c->tls_certificate.n != c->tls_key.n)
        return fault_set(
            f, FAULT_BAD,
            "tls: there are %zu certificates and %zu keys; give one key for each",
            c->tls_certificate.n, c->tls_key.n);
    return R_OK;
}

// No character of a domain or of quotes.
static enum result
check_delimiter(const struct config *c, struct fault *f)
{
    struct span s = span_str(c->recipient_delimiter);
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] >= 0x7f || span_find_char(SPAN("@\"\\,/"), s.p[i]) < 5)
            return fault_set(f, FAULT_BAD, "recipient_delimiter: '%c' cannot be one",
                             s.p[i] > ' ' && s.p[i] < 0x7f ? s.p[i] : '?');
    return R_OK;
}

// What is not ours nobody here may be kept from sending as.
static enum result
check_policy(const struct config *c, struct fault *f)
{
    if (strcmp(c->policy_senders, "reject") == 0 && c->local_domains.n == 0)
        return fault_set(
            f, FAULT_BAD,
            "policy_senders = \"reject\" needs local_domains: senders of other "
            "domains are never refused");
    return R_OK;
}

static enum result
check_whole(const struct config *c, struct fault *f)
{
    if (c->version != 1)
        return fault_set(
            f, FAULT_BAD,
            "version = %lu is from a newer Posthorn; this one knows version = 1",
            (unsigned long)c->version);
    if (c->data[0] != '/')
        return fault_set(f, FAULT_BAD, "data = \"%.100s\" must be an absolute path",
                         c->data);
    if (c->memory_hard < c->memory_soft)
        return fault_set(f, FAULT_BAD, "memory_hard must not be below memory_soft");
    if (c->gate_processes > LIMIT_processes || c->mail_threads > LIMIT_processes ||
        c->auth_threads > LIMIT_processes)
        return fault_set(f, FAULT_BAD,
                         "gate_processes, mail_threads and auth_threads may be %d at most",
                         LIMIT_processes);
    if (listeners_check(c, f) != R_OK || check_delimiter(c, f) != R_OK ||
        check_policy(c, f) != R_OK || check_networks(c, f) != R_OK ||
        check_oauth(c, f) != R_OK || databases_check(c, f) != R_OK ||
        check_expire(c, f) != R_OK || smarthost_check(c, f) != R_OK ||
        scanners_check(c, f) != R_OK || programs_check(c, f) != R_OK ||
        check_url("push_url", c->push_url, f) != R_OK || check_marks(c, f) != R_OK ||
        check_private_flags(c, f) != R_OK ||
        check_filter_rows("filters", &c->filters, f) != R_OK ||
        check_filter_rows("filter_descriptions", &c->filter_descriptions, f) != R_OK ||
        announce_check(c, f) != R_OK || limits_check(c, f) != R_OK)
        return R_FAIL;
    return check_tls(c, f);
}

static void
fill_in(struct config *c)
{
    char name[256] = "localhost";
    if (c->hostname[0] != '\0')
        return;
    if (gethostname(name, sizeof name - 1) != 0 || name[0] == '\0')
        snprintf(name, sizeof name, "localhost");
    c->hostname = arena_cstr(c->arena, span_str(name));
}

static enum result
load_into(struct config *c, const char *file, const char *data, struct fault *f)
{
    if (setting_defaults(c, f) != R_OK)
        return R_FAIL;
    if (file != NULL && config_file_read(file, c, f) != R_OK)
        return R_FAIL;
    if (file != NULL)
        c->file = arena_cstr(c->arena, span_str(file));
    if (data != NULL)
        c->data = arena_cstr(c->arena, span_str(data));
    fill_in(c);
    struct fault wrong;
    if (check_whole(c, &wrong) == R_OK)
        return R_OK;
    return fault_set(f, FAULT_BAD, "%s%s%s", file ? setting_short_path(file) : "",
                     file ? ": " : "", wrong.why);
}

enum result
config_load(const char *file, const char *data, struct config **c_out, struct fault *f)
{
    struct config *c = config_new();
    if (load_into(c, file, data, f) != R_OK) {
        config_free(&c);
        return R_FAIL;
    }
    *c_out = c;
    return R_OK;
}

static bool
dumped(const struct setting *s, const struct config *c)
{
    if (!setting_is_hidden(s))
        return true;
    struct buf b;
    buf_init(&b, 4096);
    setting_write(s, c, &b);
    struct span now = buf_span(&b), plain = span_slice(now, 1, now.n > 0 ? now.n - 1 : 0);
    bool same = span_eq(now, span_str(s->normal)) || span_eq(plain, span_str(s->normal));
    buf_done(&b);
    return !same;
}

void
config_dump(const struct config *c, struct buf *b)
{
    bool inside = false;
    for (size_t i = 0; i < settings_count; i++) {
        const struct setting *s = &settings[i];
        bool nested = span_starts(span_str(s->name), SPAN("tls."));
        if (nested != inside)
            buf_put_str(b, nested ? "tls {\n" : "}\n");
        inside = nested;
        if (!dumped(s, c))
            continue;
        const char *name = nested ? s->name + 4 : s->name;
        buf_printf(b, "# %s\n%s = ", s->text, name);
        setting_write(s, c, b);
        buf_put_char(b, '\n');
    }
}

static const void *
place(const struct setting *s, const struct config *c)
{
    return (const char *)c + s->offset;
}

static void
put_member(struct buf *b, const struct setting *s, const struct config *c)
{
    const void *m = place(s, c);
    const struct config_list *list = m;
    switch (s->kind) {
    case SETTING_TEXT:
    case SETTING_CHOICE:
    case SETTING_SWITCH:
        pack_span(b, span_str(*(const char *const *)m));
        break;
    case SETTING_BOOL:
        pack_u8(b, *(const bool *)m);
        break;
    case SETTING_LIST:
        pack_var(b, list->n);
        for (size_t i = 0; i < list->n; i++)
            pack_span(b, span_str(list->items[i]));
        break;
    case SETTING_NUMBER:
    case SETTING_SIZE:
    case SETTING_TIME:
        pack_u64(b, *(const uint64_t *)m);
        break;
    }
}

void
config_put(struct buf *b, const struct config *c)
{
    pack_span(b, span_str(c->file));
    for (size_t i = 0; i < settings_count; i++)
        put_member(b, &settings[i], c);
}

static void
get_list(struct unpack *u, struct config *c, struct config_list *list)
{
    uint64_t n = unpack_var(u);
    if (n > LIMIT_config_list)
        u->bad = true;
    if (u->bad)
        return;
    list->n = n;
    list->items = arena_array(c->arena, n + 1, sizeof *list->items);
    for (size_t i = 0; i < n; i++)
        list->items[i] = arena_cstr(c->arena, unpack_span(u));
}

static void
get_member(struct unpack *u, const struct setting *s, struct config *c)
{
    void *m = (char *)c + s->offset;
    switch (s->kind) {
    case SETTING_TEXT:
    case SETTING_CHOICE:
    case SETTING_SWITCH:
        *(const char **)m = arena_cstr(c->arena, unpack_span(u));
        break;
    case SETTING_BOOL:
        *(bool *)m = unpack_u8(u) != 0;
        break;
    case SETTING_LIST:
        get_list(u, c, m);
        break;
    case SETTING_NUMBER:
    case SETTING_SIZE:
    case SETTING_TIME:
        *(uint64_t *)m = unpack_u64(u);
        break;
    }
}

enum result
config_get(struct span packed, struct config **c_out)
{
    struct config *c = config_new();
    struct unpack u = unpack_of(packed);
    struct span file = unpack_span(&u);
    c->file = file.n > 0 ? arena_cstr(c->arena, file) : NULL;
    for (size_t i = 0; i < settings_count; i++)
        get_member(&u, &settings[i], c);
    if (unpack_end(&u) != R_OK) {
        config_free(&c);
        return R_FAIL;
    }
    *c_out = c;
    return R_OK;
}

void
config_hide(struct config *c, const char *role)
{
    const struct {
        const char **text, *role;
    } secrets[] = {{&c->oauth_secret, "oauth"},
                   {&c->rspamd_password, "scan"},
                   {&c->push_token, "scan"},
                   {&c->push_secret, "scan"},
                   {&c->userdb_sql_password, "directory"},
                   {&c->userdb_ldap_bind_password, "directory"}};
    for (size_t i = 0; i < sizeof secrets / sizeof secrets[0]; i++) {
        if (role == NULL && *secrets[i].text[0])
            *secrets[i].text = "(hidden)";  // people paste what `config dump` says
        else if (role != NULL && strcmp(role, secrets[i].role) != 0)
            *secrets[i].text = "";
    }
}

// ---- reload ----

static void
name_it(struct buf *b, const char *name)
{
    buf_put_str(b, b->n > 0 ? ", " : "");
    buf_put_str(b, name);
}

static void
follow_member(struct config *next, const struct config *now, const struct setting *s,
              struct buf *live, struct buf *restart)
{
    struct buf before, after;
    buf_init(&before, LIMIT_config_packed);
    buf_init(&after, LIMIT_config_packed);
    put_member(&before, s, now);
    put_member(&after, s, next);
    if (!span_eq(buf_span(&before), buf_span(&after))) {
        name_it(s->change == SETTING_LIVE ? live : restart, s->name);
        struct unpack u = unpack_of(buf_span(&before));
        if (s->change == SETTING_RESTART)
            get_member(&u, s, next);
        must(!u.bad);
    }
    buf_done(&before);
    buf_done(&after);
}

void
config_follow(struct config *next, const struct config *now, struct buf *live,
              struct buf *restart)
{
    for (size_t i = 0; i < settings_count; i++)
        follow_member(next, now, &settings[i], live, restart);
}

void
config_log_open(const struct config *c, const char *role)
{
    bool json = span_eq(span_str(c->log_format), SPAN("json"));
    log_open(role, c->log_level[0], json ? LOG_JSON : LOG_TEXT);
}
