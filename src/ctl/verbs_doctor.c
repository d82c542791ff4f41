#include "ctl/call.h"
#include "ctl/output.h"
#include "ctl/owner.h"
#include "ctl/scanners.h"
#include "ctl/smarthost.h"
#include "ctl/verbs.h"
#include "base/limits.h"
#include "doctor/doctor.h"
#include "extract/job.h"
#include "os/sandbox.h"
#include <errno.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pwd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

enum { RELAY_MS = 10000 };

// One row per thing to look at; `text` says what was found and, when it is not fine, what to do.
struct check {
    const char *name;
    enum finding (*look)(const struct config *c, struct buf *text);
};

static enum finding
look_data(const struct config *c, struct buf *text)
{
    struct stat st;
    if (stat(c->data, &st) != 0) {
        buf_printf(text, "%s: %s; the server makes it at its first start", c->data,
                   strerror(errno));
        return FINDING_WARNING;
    }
    if (!S_ISDIR(st.st_mode)) {
        buf_printf(text, "%s is no directory", c->data);
        return FINDING_WRONG;
    }
    if (st.st_mode & 077) {
        buf_printf(text, "%s can be read by others; run: chmod 700 %s", c->data, c->data);
        return FINDING_WRONG;
    }
    buf_printf(text, "%s", c->data);
    return FINDING_OK;
}

static enum finding
look_owner(const struct config *c, struct buf *text)
{
    struct stat st;
    struct passwd *p = getpwnam(c->user);
    if (stat(c->data, &st) != 0) {
        buf_put_str(text, "no data directory yet");
        return FINDING_OK;
    }
    if (p == NULL) {
        buf_printf(text,
                   "there is no user '%s' on this machine; the data belongs to uid %u",
                   c->user, st.st_uid);
        return FINDING_WARNING;
    }
    if (p->pw_uid != st.st_uid) {
        buf_printf(text, "%s belongs to uid %u; run: chown -R %s %s", c->data, st.st_uid,
                   c->user, c->data);
        return FINDING_WRONG;
    }
    struct fault f;
    if (owner_check(c, p->pw_uid, &f) != R_OK) {
        buf_put_str(text, f.why);
        return FINDING_WRONG;
    }
    buf_printf(text, "%s", c->user);
    return FINDING_OK;
}

static enum finding
look_space(const struct config *c, struct buf *text)
{
    struct statvfs v;
    if (statvfs(c->data, &v) != 0) {
        buf_put_str(text, "no data directory yet");
        return FINDING_OK;
    }
    uint64_t free_mib = (uint64_t)v.f_bavail * v.f_frsize >> 20;
    buf_printf(text, "%lu MiB free, %lu free inodes", (unsigned long)free_mib,
               (unsigned long)v.f_favail);
    if (free_mib < 64)
        return FINDING_WRONG;
    return free_mib < 1024 || (v.f_files > 0 && v.f_favail < 10000) ? FINDING_WARNING
                                                                    : FINDING_OK;
}

static enum finding
look_files(const struct config *c, struct buf *text)
{
    struct rlimit r;
    (void)c;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0)
        return FINDING_WARNING;
    buf_printf(text, "%lu open files allowed", (unsigned long)r.rlim_max);
    if (r.rlim_max >= 65536)
        return FINDING_OK;
    buf_put_str(text,
                "; a connection takes up to three: raise it with LimitNOFILE= in the unit");
    return FINDING_WARNING;
}

static enum finding
look_sandbox(const struct config *c, struct buf *text)
{
    int abi = sandbox_landlock_abi();
    if (abi > 0) {
        buf_printf(text, "Landlock ABI %d, seccomp", abi);
        return FINDING_OK;
    }
    buf_put_str(text, "this kernel has no Landlock: roles are kept apart by seccomp and "
                      "descriptors only");
    return span_eq(span_str(c->sandbox), SPAN("required")) ? FINDING_WRONG
                                                           : FINDING_WARNING;
}

static X509 *
read_certificate(const char *path)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return NULL;
    X509 *x = PEM_read_X509(file, NULL, NULL, NULL);
    fclose(file);
    return x;
}

static enum finding
look_dates(const X509 *x, const char *path, struct buf *text)
{
    int days = 0, seconds = 0;
    if (ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(x)) != 1)
        return FINDING_WRONG;
    if (days < 0 || seconds < 0) {
        buf_printf(text, "%s has run out; renew it", path);
        return FINDING_WRONG;
    }
    buf_printf(text, "%s is good for %d days", path, days);
    return days < 14 ? FINDING_WARNING : FINDING_OK;
}

// A key that cannot be read is look_keys' to tell. Nobody is asked for a passphrase: the server cannot use such a key.
static bool
fits(const X509 *x, const char *path)
{
    char no_passphrase[] = "";
    FILE *file = fopen(path, "re");
    EVP_PKEY *key =
        file != NULL ? PEM_read_PrivateKey(file, NULL, NULL, no_passphrase) : NULL;
    bool wrong = key != NULL && X509_check_private_key(x, key) != 1;
    EVP_PKEY_free(key);
    if (file != NULL)
        fclose(file);
    return !wrong;
}

static enum finding
look_one_certificate(const struct config *c, const char *path, const char *key,
                     struct buf *text)
{
    X509 *x = read_certificate(path);
    if (x == NULL) {
        buf_printf(text, "%s is missing, not readable for you, or no PEM certificate",
                   path);
        return FINDING_WRONG;
    }
    enum finding worst = look_dates(x, path, text);
    if (X509_check_host(x, c->hostname, 0, 0, NULL) != 1 && worst == FINDING_OK) {
        buf_printf(text, "; it does not name %s", c->hostname);
        worst = FINDING_WARNING;
    }
    if (!fits(x, key)) {
        buf_printf(text, "; the key %s is not its own", key);
        worst = FINDING_WRONG;
    }
    X509_free(x);
    return worst;
}

static enum finding
look_certificates(const struct config *c, struct buf *text)
{
    enum finding worst = FINDING_OK;
    if (c->tls_certificate.n == 0)
        buf_put_str(text, "none configured");
    for (size_t i = 0; i < c->tls_certificate.n; i++) {
        buf_put_str(text, i ? "; " : "");
        enum finding one =
            look_one_certificate(c, c->tls_certificate.items[i], c->tls_key.items[i], text);
        worst = one > worst ? one : worst;
    }
    return worst;
}

static enum finding
look_keys(const struct config *c, struct buf *text)
{
    struct stat st;
    for (size_t i = 0; i < c->tls_key.n; i++) {
        if (stat(c->tls_key.items[i], &st) != 0) {
            buf_printf(text, "%s: %s", c->tls_key.items[i], strerror(errno));
            return FINDING_WRONG;
        }
        if (st.st_mode & 07) {
            buf_printf(text, "%s can be read by everybody; run: chmod o= %s",
                       c->tls_key.items[i], c->tls_key.items[i]);
            return FINDING_WRONG;
        }
    }
    buf_printf(text, "%zu", c->tls_key.n);
    return FINDING_OK;
}

static enum finding
look_clock(const struct config *c, struct buf *text)
{
    (void)c;
    struct tm tm;
    time_t now = time(NULL);
    char stamp[40];
    gmtime_r(&now, &tm);
    strftime(stamp, sizeof stamp, "%Y-%m-%d %H:%M:%S UTC", &tm);
    buf_put_str(text, stamp);
    return tm.tm_year + 1900 < 2025 ? FINDING_WRONG : FINDING_OK;
}

static enum finding
look_attachments(const struct config *c, struct buf *text)
{
    if (!c->search_attachments) {
        buf_put_str(text, "not searched (search_attachments = false)");
        return FINDING_OK;
    }
    if (!extract_tool_there()) {
        buf_put_str(text,
                    EXTRACT_PDF_TOOL " is missing: PDF files are not searched; install "
                                     "poppler-utils");
        return FINDING_WARNING;
    }
    if (sandbox_landlock_abi() == 0 && !c->search_pdf_unconfined) {
        buf_put_str(text, "PDF files are not searched: no Landlock keeps pdftotext from "
                          "files here (search_pdf_unconfined)");
        return FINDING_WARNING;
    }
    buf_put_str(text, "searched: PDF, OOXML, ODF, RTF, HTML, plain text");
    return FINDING_OK;
}

// Only whether somebody answers there: what they say is for the log of the role relay.
static enum finding
look_relay(const struct config *c, struct buf *text)
{
    struct smarthost_settings s;
    struct fault f;
    int fd = -1;
    if (c->relay_host[0] == '\0') {
        buf_put_str(text, "nothing goes out (no relay_host)");
        return FINDING_OK;
    }
    enum result r = smarthost_open(c, &s, &f);
    s.host.patience_ms = RELAY_MS;
    if (r == R_OK)
        r = relay_connect(&s.host, &fd, &f);
    if (r == R_OK)
        buf_printf(text, "%s answers", c->relay_host);
    else
        buf_printf(text, "%s: %s", c->relay_host, f.why);
    if (fd >= 0)
        close(fd);
    SSL_CTX_free(s.host.trust);
    buf_wipe(&s.text);
    return r == R_OK ? FINDING_OK : FINDING_WRONG;
}

static enum result
ask_scanners(const struct scan_services *s, struct buf *text, struct fault *f)
{
    static const char mail[] = "From: doctor@localhost\r\nSubject: test\r\n\r\ntest\r\n";
    const struct scan_text t = {memfd_create("posthorn-doctor", MFD_CLOEXEC), strlen(mail)};
    const struct scan_envelope e = {.from = SPAN("doctor@localhost")};
    struct scan_verdict v = {0};
    struct buf names;
    scan_names_init(&names);
    enum result r = t.fd >= 0 && write(t.fd, mail, strlen(mail)) == (ssize_t)strlen(mail)
                        ? R_OK
                        : fault_errno(f, FAULT_UNAVAILABLE, "a file in memory");
    if (r == R_OK && s->clamd[0])
        r = scan_clamd(s, &t, &names, &v, f);
    if (r == R_OK && s->rspamd_url[0])
        r = scan_rspamd(s, &e, &t, &names, &v, f);
    buf_printf(text, "%s%s%s answer", s->rspamd_url,
               s->rspamd_url[0] && s->clamd[0] ? ", " : "", s->clamd);
    buf_done(&names);
    if (t.fd >= 0)
        close(t.fd);
    return r;
}

// Each scanner sees a small message, as the role scan shows it.
static enum finding
look_scanners(const struct config *c, struct buf *text)
{
    struct scan_services s = scanners_services(c);
    struct fault f;
    if (!scanners_scan(c)) {
        buf_put_str(text, "mail is not scanned (no rspamd_url, no clamd_socket)");
        return FINDING_OK;
    }
    s.timeout_ms = RELAY_MS;
    if (ask_scanners(&s, text, &f) == R_OK)
        return FINDING_OK;
    buf_reset(text);
    buf_printf(text, "%s", f.why);
    return FINDING_WRONG;
}

static const struct check checks[] = {
    {"data directory", look_data},
    {"owner", look_owner},
    {"disk space", look_space},
    {"open files", look_files},
    {"sandbox", look_sandbox},
    {"certificates", look_certificates},
    {"keys", look_keys},
    {"clock", look_clock},
    {"attachments", look_attachments},
    {"outgoing mail", look_relay},
    {"scanners", look_scanners},
};

// `hint` may be empty; then the message says what to do.
static void
tell(void *arg, const char *name, enum finding found, struct span text, struct span hint)
{
    static const char *const words[] = {"ok", "warning", "WRONG"};
    (void)arg;
    output_row("check",
               FIELDS(field_str("name", "%", name),
                      field_str("finding", "@20%", words[found]),
                      field_text("message", "@29%", text),
                      field_if(hint.n > 0, field_text("hint", "\n@29-> %", hint))));
}

// As a mail client, from outside; the settings do not matter.
static int
visit(const struct verb_options *o, const char *address)
{
    struct doctor_options options = {o->resolver, o->authorities};
    struct fault f;
    enum result r = doctor_visit(span_str(address), &options, tell, NULL, &f);
    return r == R_FAIL ? output_fault(&f, 2) : r == R_NONE;
}

static int
look_here(const struct config *c)
{
    bool wrong = false;
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        struct buf text;
        buf_init(&text, 65536);
        enum finding found = checks[i].look(c, &text);
        tell(NULL, checks[i].name, found, buf_span(&text), SPAN_NONE);
        wrong |= found == FINDING_WRONG;
        buf_done(&text);
    }
    return wrong;
}

int
verb_doctor(const struct verb_options *o, const char *const *args, size_t n)
{
    struct config *c;
    struct fault f;
    if (n > 0)
        return visit(o, args[0]);
    if (o->resolver != NULL || o->authorities != NULL)  // they go with an address
        return verb_wrong_arguments(verb_find(SPAN("doctor")));
    if (verb_config(o, &c, &f) != R_OK) {
        tell(NULL, "configuration", FINDING_WRONG, span_str(f.why), SPAN_NONE);
        return 1;
    }
    tell(NULL, "configuration", FINDING_OK, span_str(c->file ? c->file : "defaults"),
         SPAN_NONE);
    int code = look_here(c);
    config_free(&c);
    return code;
}
