#include "main/process.h"
#include "ctl/output.h"
#include "ctl/verbs.h"
#include "imap/filters.h"
#include <errno.h>
#include <fcntl.h>
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

static enum result
check_certificates(const struct config *c, struct fault *f)
{
    const char *closed = closed_file(c);
    if (closed == NULL)
        return secrets_check(c, f);
    output_note("unchecked",
                FIELDS(field_str("file", "%", closed),
                       field_str("message", ": %",
                                 "may not be read by this user; certificates and keys are "
                                 "not checked")));
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
    bool good = check_filters(c, &f) == R_OK && check_certificates(c, &f) == R_OK;
    if (good)
        output_row("configuration", FIELDS(field_str("file", "", c->file ? c->file : ""),
                                           field_str(NULL, "%: no mistakes found",
                                                     c->file ? c->file : "the defaults")));
    config_free(&c);
    return good ? 0 : output_fault(&f, 1);
}
