#include "ctl/smarthost.h"
#include "base/limits.h"
#include "directory/directory.h"

#include <errno.h>
#include <openssl/ssl.h>

// "mail.example.org:587", "[::1]:25"
static enum result
split(const char *setting, struct span *name_out, struct span *port_out,
      uint16_t *number_out)
{
    struct span all = span_str(setting);
    size_t colon = span_behind_last(all, ':');
    uint32_t number = 0;
    struct span name = span_slice(all, 0, colon > 0 ? colon - 1 : 0);
    *port_out = span_skip(all, colon);
    if (name.n > 2 && name.p[0] == '[' && name.p[name.n - 1] == ']')
        name = span_slice(name, 1, name.n - 1);
    else if (span_find_char(name, ':') < name.n)
        return R_FAIL;
    if (name.n == 0 || span_to_u32(*port_out, &number) != R_OK || number == 0 ||
        number > UINT16_MAX)
        return R_FAIL;
    *name_out = name;
    *number_out = (uint16_t)number;
    return R_OK;
}

static enum smtp_tls
tls_of(const struct config *c)
{
    return strcmp(c->relay_tls, "implicit") == 0 ? SMTP_TLS_IMPLICIT
           : strcmp(c->relay_tls, "none") == 0   ? SMTP_TLS_NONE
                                                 : SMTP_TLS_STARTTLS;
}

enum result
smarthost_check(const struct config *c, struct fault *f)
{
    struct span name, port;
    uint16_t number;
    if (c->relay_host[0] == '\0')
        return R_OK;
    if (split(c->relay_host, &name, &port, &number) != R_OK)
        return fault_set(f, FAULT_BAD,
                         "relay_host: '%.60s' is no host and port; write "
                         "\"mail.example.org:587\"",
                         c->relay_host);
    if (tls_of(c) == SMTP_TLS_NONE && !directory_is_local(name))
        return fault_set(f, FAULT_BAD,
                         "relay_tls: none is for a smarthost on this machine only");
    if ((c->relay_user[0] != '\0') != (c->relay_password_file[0] != '\0'))
        return fault_set(f, FAULT_BAD, "relay_user and relay_password_file go together");
    return R_OK;
}

// One line; its end is none of it.
static enum result
read_password(const char *path, struct buf *out, struct fault *f)
{
    char text[LIMIT_password + 2];
    FILE *file = fopen(path, "re");
    size_t n = file != NULL ? fread(text, 1, sizeof text, file) : 0;
    bool failed = file == NULL || ferror(file);
    int error = errno;
    if (file != NULL)
        fclose(file);
    struct span line = span_of(text, n);
    while (line.n > 0 && (line.p[line.n - 1] == '\n' || line.p[line.n - 1] == '\r'))
        line.n--;
    bool good = line.n > 0 && line.n <= LIMIT_password && !memchr(line.p, '\0', line.n);
    buf_put(out, line);
    buf_put_char(out, '\0');
    explicit_bzero(text, sizeof text);
    errno = error;
    if (failed)
        return fault_errno(f, FAULT_BAD, "relay_password_file");
    return good ? R_OK : fault_set(f, FAULT_BAD, "relay_password_file holds no password");
}

static enum result
open_trust(const struct config *c, struct smarthost *host, struct fault *f)
{
    if (host->tls == SMTP_TLS_NONE)
        return R_OK;
    host->trust = SSL_CTX_new(TLS_client_method());
    must(host->trust != NULL);
    must(SSL_CTX_set_min_proto_version(host->trust, TLS1_2_VERSION) == 1);
    int good = c->relay_ca[0]
                   ? SSL_CTX_load_verify_locations(host->trust, c->relay_ca, NULL)
                   : SSL_CTX_set_default_verify_paths(host->trust);
    return good == 1 ? R_OK
                     : fault_set(f, FAULT_BAD, "relay_ca: no authorities in PEM form");
}

enum result
smarthost_open(const struct config *c, struct smarthost_settings *out, struct fault *f)
{
    struct span name, port;
    *out = (struct smarthost_settings){0};
    buf_init(&out->text, LIMIT_config_text + LIMIT_password + 16);
    if (split(c->relay_host, &name, &port, &out->port) != R_OK)
        return fault_set(f, FAULT_BAD, "relay_host: no host and port");
    must(buf_reserve(&out->text, out->text.max) != NULL);  // it must not move
    buf_put(&out->text, name);
    buf_put_char(&out->text, '\0');
    size_t password_at = out->text.n;
    if (c->relay_user[0] && read_password(c->relay_password_file, &out->text, f) != R_OK)
        return R_FAIL;
    out->host =
        (struct smarthost){.name = out->text.p,
                           .port = port.p,
                           .tls = tls_of(c),
                           .user = c->relay_user,
                           .password = c->relay_user[0] ? out->text.p + password_at : "",
                           .hostname = c->hostname,
                           .patience_ms = (uint32_t)c->test_relay_patience_ms};
    return open_trust(c, &out->host, f);
}
