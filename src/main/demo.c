#include "main/self_signed.h"
#include "main/supervisor.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/log.h"
#include "ctl/call.h"
#include "ctl/output.h"
#include "ctl/verbs.h"
#include <errno.h>
#include <limits.h>
#include <sys/stat.h>

// Everything on loopback, at offset + the standard port.
struct service {
    const char *name;
    size_t member;  // in struct config
    unsigned port;
};

static const struct service services[] = {
    {"IMAP (STARTTLS)", offsetof(struct config, imap), 143},
    {"IMAP (TLS)", offsetof(struct config, imaps), 993},
    {"POP3 (STLS)", offsetof(struct config, pop3), 110},
    {"POP3 (TLS)", offsetof(struct config, pop3s), 995},
    {"LMTP", offsetof(struct config, lmtp), 24},
    {"HTTP", offsetof(struct config, http), 80},
    {"Submission", offsetof(struct config, submission), 587},
    {"ManageSieve", offsetof(struct config, managesieve), 4190},
};

struct demo {
    struct config *config;
    uint32_t offset;
    const struct verb_options *options;
    char password[LIMIT_password + 1];
};

static const char account[] = "demo@localhost";

static struct config_list
list_of(struct arena *a, const char *item)
{
    struct config_list list = {arena_array(a, 1, sizeof *list.items), 1};
    list.items[0] = item;
    return list;
}

static const char *
loopback(struct arena *a, unsigned port)
{
    char text[32];
    snprintf(text, sizeof text, "127.0.0.1:%u", port);
    return arena_cstr(a, span_str(text));
}

static const char *
file_in(struct config *c, const char *name)
{
    char text[4352];
    snprintf(text, sizeof text, "%s/%s", c->data, name);
    return arena_cstr(c->arena, span_str(text));
}

// What a file given with -c says of listening and certificates is replaced; the rest of it holds.
static enum result
settle(struct demo *d, struct fault *f)
{
    struct config *c = d->config;
    struct arena *a = c->arena;
    for (size_t i = 0; i < sizeof services / sizeof services[0]; i++) {
        const char *address = loopback(a, d->offset + services[i].port);
        *(struct config_list *)((char *)c + services[i].member) = list_of(a, address);
    }
    c->hostname = "localhost";
    c->local_domains = list_of(a, "localhost");
    c->plaintext_auth = true;  // on loopback there is nobody between
    const char *certificate = file_in(c, "demo-cert.pem");
    const char *key = file_in(c, "demo-key.pem");
    c->tls_certificate = list_of(a, certificate);
    c->tls_key = list_of(a, key);
    if (mkdir(c->data, 0700) != 0 && errno != EEXIST)
        return fault_errno(f, FAULT_DISK, c->data);
    return self_signed_make(certificate, key, f);
}

// ---- the password: given, or that of the last time, or a new one; kept beside the data ----

static enum result
keep_password(const struct demo *d, const char *path, struct fault *f)
{
    FILE *file = fopen(path, "we");
    bool kept = file != NULL && fchmod(fileno(file), 0600) == 0 &&
                fprintf(file, "%s\n", d->password) > 0;
    kept = file != NULL && fclose(file) == 0 && kept;
    return kept ? R_OK : fault_errno(f, FAULT_DISK, path);
}

static bool
last_password(struct demo *d, const char *path)
{
    FILE *file = fopen(path, "re");
    bool found = file != NULL && fgets(d->password, sizeof d->password, file) != NULL;
    if (file != NULL)
        fclose(file);
    d->password[strcspn(d->password, "\r\n")] = '\0';
    return found && d->password[0] != '\0';
}

static enum result
choose_password(struct demo *d, const char *given, struct fault *f)
{
    static const char letters[] = "abcdefghjkmnpqrstuvwxyz23456789";
    const char *path = file_in(d->config, "demo-password");
    if (given != NULL) {
        if (strlen(given) > LIMIT_password || given[0] == '\0')
            return fault_set(f, FAULT_BAD, "a password has 1 to %d octets", LIMIT_password);
        snprintf(d->password, sizeof d->password, "%s", given);
    } else if (!last_password(d, path)) {
        for (size_t i = 0; i < 12; i++)
            d->password[i] = letters[random_u64() % (sizeof letters - 1)];
        d->password[12] = '\0';
    }
    return keep_password(d, path, f);
}

// ---- when the server runs: the account, its mail, the lines to paste ----

static const char *demo_password;  // for the feed, which has no argument of ours

static enum result
feed_demo_password(struct verb_client *c, struct fault *f)
{
    return verb_client_put(c, span_str(demo_password), f);
}

static enum result
make_account(const struct demo *d, struct fault *f)
{
    struct verb v = *verb_find(SPAN("demo account"));
    const char *args[] = {account};
    int fd;
    v.feed = feed_demo_password;
    demo_password = d->password;
    if (call_connect(d->config->data, &fd, f) != R_OK)
        return fault_set(f, FAULT_UNAVAILABLE, "the admin socket does not answer");
    return call_run(fd, &v, args, 1) == 0
               ? R_OK
               : fault_set(f, FAULT_UNAVAILABLE, "the demo account cannot be made");
}

// As a shell reads it.
static void
put_quoted(struct buf *b, const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "0123456789_./:@%+=,-";
    if (text[strspn(text, plain)] == '\0') {
        buf_put_str(b, text);
        return;
    }
    buf_put_char(b, '\'');
    for (; *text != '\0'; text++)
        if (*text == '\'')
            buf_put_str(b, "'\\''");
        else
            buf_put_char(b, *text);
    buf_put_char(b, '\'');
}

// As it can be typed anywhere: one that was not found by the PATH has its place.
static const char *
program(char path[PATH_MAX])
{
    const char *called = program_invocation_name;
    return strchr(called, '/') != NULL && realpath(called, path) != NULL ? path
                                                                         : "posthorn";
}

static void
tell_more(const struct demo *d)
{
    struct buf b, login;
    char path[PATH_MAX];
    buf_init(&b, 65536);
    buf_init(&login, 2 * LIMIT_password);
    buf_printf(&login, "demo:%s", d->password);
    buf_put_char(&login, '\0');
    buf_put_str(&b, "\nTry it:\n  curl --user ");
    put_quoted(&b, login.p);
    buf_printf(&b,
               " --insecure 'imaps://localhost:%u/INBOX;MAILINDEX=1'\n"
               "  mutt -f 'imaps://demo@localhost:%u/'\n  ",
               d->offset + 993, d->offset + 993);
    put_quoted(&b, program(path));
    buf_put_str(&b, " user add ann --data ");
    put_quoted(&b, d->config->data);
    buf_put_str(&b, "\nStop it with Ctrl-C.\n");
    output_row("text", FIELDS(field_text(NULL, "%", buf_span(&b))));
    buf_wipe(&login);
    buf_done(&b);
}

static enum result
on_ready(void *arg, struct fault *f)
{
    const struct demo *d = arg;
    if (make_account(d, f) != R_OK)
        return R_FAIL;
    output_row("demo",
               FIELDS(field_str("version", "\nPosthorn % is running", POSTHORN_VERSION),
                      field_str("data", "; the data is in %\n\n", d->config->data),
                      field_str("user", "  user      % (or demo)\n", account),
                      field_str("password", "  password  %\n", d->password)));
    for (size_t i = 0; i < sizeof services / sizeof services[0]; i++)
        output_row("service",
                   FIELDS(field_str("name", "  %", services[i].name),
                          field_str("address", "@19%", "127.0.0.1"),
                          field_number("port", ":%", d->offset + services[i].port)));
    tell_more(d);
    fflush(stdout);
    return R_OK;
}

// A reload of the file given with -c, if any.
static enum result
load(void *arg, struct config **c_out, struct fault *f)
{
    struct demo *d = arg, again = *d;
    if (verb_config(d->options, &again.config, f) != R_OK)
        return R_FAIL;
    if (settle(&again, f) != R_OK) {
        config_free(&again.config);
        return R_FAIL;
    }
    *c_out = again.config;
    return R_OK;
}

static enum result
prepare(struct demo *d, const struct verb_options *o, struct fault *f)
{
    d->options = o;
    d->offset = 1000;
    if (o->offset != NULL &&
        (span_to_u32(span_str(o->offset), &d->offset) != R_OK || d->offset > 60000))
        return fault_set(f, FAULT_BAD, "--offset %.20s: use a number from 0 to 60000",
                         o->offset);
    if (verb_config(o, &d->config, f) != R_OK)
        return R_FAIL;
    if (settle(d, f) != R_OK)
        return R_FAIL;
    return choose_password(d, o->password, f);
}

int
verb_demo(const struct verb_options *o, const char *const *args, size_t n)
{
    struct demo d = {0};
    struct verb_options with = *o;
    struct fault f;
    int code = 1;
    (void)args, (void)n;
    with.data = o->data ? o->data : "demo";
    if (prepare(&d, &with, &f) == R_OK) {
        config_log_open(d.config, "supervisor");
        struct supervisor_options s = {
            .config = d.config,
            .on_ready = on_ready,
            .arg = &d,
            .load = load,
            .load_arg = &d,
            .demo = true,
        };
        code = supervisor_run(&s);
    } else {
        output_fault(&f, code);
    }
    config_free(&d.config);
    explicit_bzero(d.password, sizeof d.password);
    return code;
}
