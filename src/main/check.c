#include "main/process.h"
#include "base/pack.h"
#include "ctl/output.h"
#include "ctl/programs.h"
#include "ctl/smarthost.h"
#include "ctl/verbs.h"
#include "imap/filters.h"
#include "mail/filter_event.h"
#include "os/user.h"
#include "sieve/sieve.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <unistd.h>

// The verb `config check`: besides what the settings see by themselves (src/ctl/config.c stands below all this), what the server
// would find when it starts.

static enum result
check_filters(const struct config *c, struct fault *f)
{
    for (size_t i = 0; i < c->filters.n; i++) {
        struct span row = span_str(c->filters.items[i]);
        size_t blank = span_find_char(row, ' ');
        if (!imap_filter_good(span_trim(span_skip(row, blank))))
            return fault_set(f, FAULT_BAD,
                             "filters: '%.60s' is no search; write what follows SEARCH, as "
                             "in \"mine UNSEEN TO me@example.org\"",
                             c->filters.items[i]);
    }
    return R_OK;
}

// The server reads it as root, perhaps.
static bool
is_closed(const char *file)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool closed = fd < 0 && errno == EACCES;
    if (fd >= 0)
        close(fd);
    return closed;
}

static const char *
closed_file(const struct config *c)
{
    for (size_t i = 0; i < c->tls_certificate.n; i++)
        if (is_closed(c->tls_certificate.items[i]))
            return c->tls_certificate.items[i];
    for (size_t i = 0; i < c->tls_key.n; i++)
        if (is_closed(c->tls_key.items[i]))
            return c->tls_key.items[i];
    return is_closed(c->tls_client_ca) ? c->tls_client_ca : NULL;
}

// "may not be read by this user; ... are not checked"
static void
tell_unchecked(const char *file, const char *message)
{
    output_note("unchecked",
                FIELDS(field_str("file", "%", file), field_str("message", ": %", message)));
}

static enum result
check_certificates(const struct config *c, struct fault *f)
{
    const char *closed = closed_file(c);
    if (closed == NULL)
        return secrets_check(c, f);
    tell_unchecked(closed,
                   "may not be read by this user; certificates and keys are not checked");
    return R_OK;
}

static const char *
closed_in(const struct config_list *paths)
{
    for (size_t i = 0; i < paths->n; i++)
        if (is_closed(paths->items[i]))
            return paths->items[i];
    return NULL;
}

static const char *
closed_script(const struct config *c)
{
    const char *closed = closed_in(&c->sieve_before);
    struct filter_event_rule rule;
    struct fault none;
    closed = closed ? closed : closed_in(&c->sieve_after);
    closed = closed ? closed : closed_in(&c->sieve_global);
    for (size_t i = 0; closed == NULL && i < c->imapsieve.n; i++)
        if (filter_event_rule_read(span_str(c->imapsieve.items[i]), &rule, &none) == R_OK &&
            is_closed(rule.file.p))
            closed = rule.file.p;
    return closed;
}

static enum result
compile(struct span name, struct span text, struct fault *f)
{
    struct arena *a = arena_new();
    struct sieve_program *p;
    struct sieve_error e;
    enum result r = sieve_compile(a, SIEVE_ADMINISTRATOR, text, &p, &e);
    arena_free(&a);
    return r == R_OK
               ? R_OK
               : fault_set(f, FAULT_BAD, "the Sieve script '%.*s': %u:%u: %s",
                           SPAN_ARG(span_slice(name, 0, 80)), e.line, e.column, e.text);
}

// The server would leave out a script that does not compile.
static enum result
check_scripts(const struct config *c, struct fault *f)
{
    struct buf packed;
    const char *closed = closed_script(c);
    if (closed != NULL) {
        tell_unchecked(closed, "may not be read by this user; scripts are not checked");
        return R_OK;
    }
    if (scripts_read(c, &packed, f) != R_OK)
        return R_FAIL;
    programs_offer(c);
    struct unpack u = unpack_of(buf_span(&packed));
    enum result r = R_OK;
    while (r == R_OK && u.rest.n > 0) {
        (void)unpack_span(&u);  // when
        struct span name = unpack_span(&u), text = unpack_span(&u);
        must(!u.bad);
        r = compile(name, text, f);
    }
    buf_done(&packed);
    return r;
}

// The relay would end, again and again.
static enum result
check_smarthost(const struct config *c, struct fault *f)
{
    struct smarthost_settings s;
    const char *closed = is_closed(c->relay_password_file) ? c->relay_password_file
                         : is_closed(c->relay_ca)          ? c->relay_ca
                                                           : NULL;
    if (c->relay_host[0] == '\0')
        return R_OK;
    if (closed != NULL) {
        tell_unchecked(closed, "may not be read by this user, and is not checked");
        return R_OK;
    }
    enum result r = smarthost_open(c, &s, f);
    SSL_CTX_free(s.host.trust);
    buf_wipe(&s.text);
    return r;
}

// With one who is not there the server would not start.
static enum result
check_owners(const struct config *c, struct fault *f)
{
    const struct {
        const char *setting, *name;
    } owners[] = {{"lmtp_user", c->lmtp_user}, {"auth_service_user", c->auth_service_user}};
    for (size_t i = 0; i < sizeof owners / sizeof owners[0]; i++) {
        struct user_ids ids;
        struct fault none;
        if (owners[i].name[0] && user_find(owners[i].name, &ids, &none) != R_OK)
            return fault_set(f, FAULT_BAD, "%s: there is no user '%.60s' on this machine",
                             owners[i].setting, owners[i].name);
    }
    return R_OK;
}

int
verb_config_check(const struct verb_options *o, const char *const *args, size_t n)
{
    struct config *c;
    struct fault f;
    (void)args, (void)n;
    if (verb_config(o, &c, &f) != R_OK)
        return output_fault(&f, 1);
    bool good = check_filters(c, &f) == R_OK && check_certificates(c, &f) == R_OK &&
                check_scripts(c, &f) == R_OK && check_smarthost(c, &f) == R_OK &&
                check_owners(c, &f) == R_OK;
    if (good)
        output_row("configuration", FIELDS(field_str("file", "", c->file ? c->file : ""),
                                           field_str(NULL, "%: no mistakes found",
                                                     c->file ? c->file : "the defaults")));
    config_free(&c);
    return good ? 0 : output_fault(&f, 1);
}
