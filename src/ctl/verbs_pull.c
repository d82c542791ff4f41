#include "ctl/account.h"
#include "ctl/call.h"
#include "ctl/output.h"
#include "ctl/pull_job.h"
#include "ctl/uidl_format.h"
#include "ctl/verbs.h"
#include "base/limits.h"
#include "base/percent.h"

#include <openssl/ssl.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>

// The verb `import` on the command's side: from files, or from other servers, one account after the other.

enum { SECRET_MAX = 4096 };
static const char AUTHORITIES[] = "/etc/ssl/certs/ca-certificates.crt";

struct pull_run {
    const struct verb_options *options;
    const struct config *config;
    const struct verb *verb;
    struct arena *arena;
    struct pull_job job;
    const char *password, *token;  // of rows of --users that have no password
    int code;                      // the worst of all accounts
};

// ---- secrets ----

// The first line of a file.
static enum result
read_secret(struct arena *a, const char *path, const char **out, struct fault *f)
{
    char text[SECRET_MAX];
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return fault_errno(f, FAULT_BAD, path);
    size_t n = fread(text, 1, sizeof text, file);
    fclose(file);
    struct span line =
        span_slice(span_of(text, n), 0, span_find_char(span_of(text, n), '\n'));
    line = span_trim(line);
    bool good =
        line.n > 0 && line.n < sizeof text - 1 && memchr(line.p, '\0', line.n) == NULL;
    if (good)
        *out = arena_cstr(a, line);
    explicit_bzero(text, sizeof text);
    return good ? R_OK : fault_set(f, FAULT_BAD, "%.150s holds no secret", path);
}

static enum result
take_secrets(struct pull_run *r, struct fault *f)
{
    struct pull_source *s = &r->job.source;
    char line[LIMIT_password + 3];
    size_t n = 0;
    s->password = s->token = "";
    if (r->options->pull.token_file != NULL)
        return read_secret(r->arena, r->options->pull.token_file, &s->token, f);
    if (r->options->pull.password_file != NULL)
        return read_secret(r->arena, r->options->pull.password_file, &s->password, f);
    if (feed_read_password(line, sizeof line, &n, f) != R_OK)
        return R_FAIL;
    s->password = arena_cstr(r->arena, span_of(line, n));
    explicit_bzero(line, sizeof line);
    return R_OK;
}

// ---- the URL ----

static const char *
decoded(struct arena *a, struct span s)
{
    struct span out;
    return percent_decode(a, s, &out) ? arena_cstr(a, out) : NULL;
}

// "mail.example.org", "mail.example.org:1143", "[::1]:1143"
static enum result
take_host(struct pull_run *r, struct span where, bool tls, struct fault *f)
{
    struct span host = where, port = SPAN_NONE;
    size_t colon = span_behind_last(where, ':');
    if (span_starts(where, SPAN("["))) {
        size_t close = span_find_char(where, ']');
        host = span_slice(where, 1, close);
        colon = close + 1 < where.n && where.p[close + 1] == ':' ? close + 2 : 0;
    } else if (colon > 0) {
        host = span_slice(where, 0, colon - 1);
    }
    uint32_t number = tls ? 993 : 143;
    if (colon > 0)
        port = span_skip(where, colon);
    if (host.n == 0 || (colon > 0 && (span_to_u32(port, &number) != R_OK || number == 0 ||
                                      number > 65535)))
        return fault_set(f, FAULT_BAD, "the URL has no host, or a wrong port");
    r->job.source.host = arena_cstr(r->arena, host);
    r->job.port = colon > 0 ? arena_cstr(r->arena, port) : tls ? "993" : "143";
    return R_OK;
}

// imap[s]://[user@]host[:port][/mailbox] (RFC 5092).
static enum result
take_url(struct pull_run *r, struct span url, struct fault *f)
{
    struct pull_source *s = &r->job.source;
    bool tls = span_istarts(url, SPAN("imaps://"));
    struct span rest = span_skip(url, tls ? 8 : 7);
    struct span front = span_slice(rest, 0, span_find_char(rest, '/'));
    struct span user = span_slice(front, 0, span_behind_last(front, '@'));
    s->tls = tls ? PULL_TLS : r->options->pull.plaintext ? PULL_PLAIN : PULL_STARTTLS;
    if (user.n > 0)
        user.n--;
    if (span_find_char(user, ':') < user.n)
        return fault_set(f, FAULT_BAD,
                         "a password in a URL is seen by everybody on this "
                         "machine; --password-file FILE, or type it");
    s->user = decoded(r->arena, user);
    s->mailbox = decoded(r->arena, span_skip(rest, front.n + 1));
    if (s->user == NULL || s->mailbox == NULL)
        return fault_set(f, FAULT_BAD, "the URL has a wrong %% in it");
    return take_host(r, span_skip(front, user.n > 0 ? user.n + 1 : 0), tls, f);
}

// ---- options ----

static enum result
take_trust(struct pull_run *r, struct fault *f)
{
    struct pull_source *s = &r->job.source;
    const char *file = r->options->authorities ? r->options->authorities : AUTHORITIES;
    if (s->tls == PULL_PLAIN)
        return R_OK;
    s->trust = SSL_CTX_new(TLS_client_method());
    must(s->trust != NULL);
    must(SSL_CTX_set_min_proto_version(s->trust, TLS1_2_VERSION) == 1);
    s->unverified = r->options->pull.tls_unverified;
    if (s->unverified || SSL_CTX_load_verify_file(s->trust, file) == 1)
        return R_OK;
    return fault_set(f, FAULT_BAD, "%.100s: no authorities in PEM form (--ca FILE)", file);
}

static enum result
take_numbers(struct pull_run *r, struct fault *f)
{
    uint32_t seconds = LIMIT_pull_answer_s;
    const struct verb_options *o = r->options;
    if (o->pull.timeout != NULL &&
        (span_to_u32(span_str(o->pull.timeout), &seconds) != R_OK || seconds == 0 ||
         seconds > LIMIT_pull_answer_s))
        return fault_set(f, FAULT_BAD, "--timeout takes seconds, 1 to %d",
                         LIMIT_pull_answer_s);
    if (o->pull.rate != NULL &&
        span_to_u64(span_str(o->pull.rate), &r->job.source.rate) != R_OK)
        return fault_set(f, FAULT_BAD, "--rate takes octets a second");
    r->job.source.patience_ms = seconds * 1000;
    return R_OK;
}

// ---- one account ----

static bool
may_do_better(const struct fault *f)
{
    return f->kind == FAULT_CLOSED || f->kind == FAULT_UNAVAILABLE;
}

static enum result
try_once(struct pull_run *r, const char *user, struct fault *f)
{
    char path[512];
    const struct pull_source *s = &r->job.source;
    snprintf(path, sizeof path, "%.200s@%.200s", s->user, s->host);
    const char *args[] = {"imap",
                          path,
                          user,
                          r->options->folder ? r->options->folder : "",
                          "",
                          r->options->dry_run ? "dry-run" : "",
                          r->options->pull.report ? "prove" : ""};
    r->job.broken = false;
    r->job.took = 0;
    r->job.at = (struct pull_place){.uid = 0};
    enum result x = call_ask_on_store(r->config, r->verb, args, 7, &r->job, f);
    if (r->job.broken)
        *f = r->job.why;
    return r->job.broken ? R_FAIL : x;
}

static void
rest_before(unsigned tries)
{
    unsigned ms = 500U << tries;
    if (ms > LIMIT_pull_pause_ms)
        ms = LIMIT_pull_pause_ms;
    nanosleep(&(struct timespec){ms / 1000, (long)(ms % 1000) * 1000000}, NULL);
}

static bool
same_place(const struct pull_place *a, const struct pull_place *b)
{
    return a->uid == b->uid && a->inside == b->inside &&
           strcmp(a->mailbox, b->mailbox) == 0;
}

static void
tell_place(const struct pull_place *at, struct fault *f)
{
    struct fault was = *f;
    if (at->uid > 0)
        (void)!fault_set(f, was.kind, "%.100s; each time %s UID %u of %.60s", was.why,
                         at->inside ? "at" : "behind", at->uid, at->mailbox);
}

// Each try goes on where the one before came to; they end when so many in a row brought nothing, or came no further: where UIDs are
// not kept what came is asked for again.
static void
import_one(struct pull_run *r, const char *user)
{
    struct fault f;
    struct pull_place before = {.uid = 0};
    bool stuck = false;
    for (unsigned tries = 0;; tries++) {
        if (try_once(r, user, &f) == R_OK)
            return;
        stuck = same_place(&r->job.at, &before);
        if (r->job.took > 0 && !stuck)
            tries = 0;
        if (r->job.at.uid > 0)
            before = r->job.at;
        if (!r->job.broken || !may_do_better(&f) || tries + 1 >= LIMIT_pull_tries)
            break;
        output_note("again", FIELDS(field_str("message", "%; once more", f.why)));
        rest_before(tries);
    }
    if (stuck && r->job.broken)
        tell_place(&before, &f);
    int code = output_fault(&f, r->job.broken && may_do_better(&f) ? EX_TEMPFAIL : 1);
    if (r->code != 1)
        r->code = code;
}

// ---- --users ----

// "user there,user here[,password there]"; '#' begins a comment.
static enum result
import_row(struct pull_run *r, struct span line, struct fault *f)
{
    struct span rest = span_trim(line), there, here;
    if (rest.n == 0 || rest.p[0] == '#')
        return R_OK;
    if (span_next_field(&rest, ',', &there) != R_OK ||
        span_next_field(&rest, ',', &here) != R_OK || span_trim(there).n == 0 ||
        span_trim(here).n == 0)
        return fault_set(f, FAULT_BAD,
                         "--users: a row is THERE,HERE or THERE,HERE,PASSWORD");
    r->job.source.user = arena_cstr(r->arena, span_trim(there));
    bool own = rest.p != NULL;  // a password, which may have commas
    r->job.source.password = own ? arena_cstr(r->arena, rest) : r->password;
    r->job.source.token = own ? "" : r->token;
    const char *user = arena_cstr(r->arena, span_trim(here));
    output_row("user", FIELDS(field_str("user", "%:", user),
                              field_str("source", "", r->job.source.user)));
    import_one(r, user);
    return R_OK;
}

static bool
a_row_has_no_password(struct span text)
{
    struct span line;
    while (span_next_field(&text, '\n', &line) == R_OK) {
        struct span row = span_trim(line);
        if (row.n > 0 && row.p[0] != '#' &&
            span_behind_last(row, ',') <= span_find_char(row, ',') + 1)
            return true;
    }
    return false;
}

static enum result
import_rows(struct pull_run *r, struct fault *f)
{
    struct buf text;
    struct span rest, line;
    enum result x = R_OK;
    FILE *file = fopen(r->options->pull.users, "re");
    if (file == NULL)
        return fault_errno(f, FAULT_BAD, r->options->pull.users);
    buf_init(&text, (size_t)LIMIT_pull_users * 256);
    char *room = buf_reserve(&text, text.max);
    must(room != NULL);
    text.n = fread(room, 1, text.max, file);
    bool whole = feof(file) != 0;
    fclose(file);
    if (!whole)
        x = fault_set(f, FAULT_TOOBIG, "--users has more than %d rows", LIMIT_pull_users);
    if (x == R_OK && a_row_has_no_password(buf_span(&text)))
        x = take_secrets(r, f);
    r->password = r->job.source.password;
    r->token = r->job.source.token;
    rest = buf_span(&text);
    while (x == R_OK && span_next_field(&rest, '\n', &line) == R_OK)
        x = import_row(r, line, f);
    buf_wipe(&text);
    return x;
}

// ---- the verb ----

static enum result
pull(struct pull_run *r, struct span url, struct fault *f)
{
    const struct verb_options *o = r->options;
    r->job.source.master = o->pull.master ? o->pull.master : "";
    r->job.source.password = r->job.source.token = "";
    r->job.folder = span_str(o->folder ? o->folder : "");
    r->job.uidl_format = span_str(o->pull.uidl_format ? o->pull.uidl_format : "");
    r->job.source.guids = uidl_format_has(r->job.uidl_format, 'g');
    r->job.sandbox_required = span_eq(span_str(r->config->sandbox), SPAN("required"));
    if (take_url(r, url, f) != R_OK || take_trust(r, f) != R_OK ||
        take_numbers(r, f) != R_OK)
        return R_FAIL;
    if (o->pull.users != NULL)
        return import_rows(r, f);
    if (r->job.source.user[0] == '\0')
        return fault_set(f, FAULT_BAD, "the URL names no user: imaps://USER@HOST");
    if (take_secrets(r, f) != R_OK)
        return R_FAIL;
    import_one(r, o->user);
    return R_OK;
}

static bool
is_url(const char *word)
{
    return span_istarts(span_str(word), SPAN("imap://")) ||
           span_istarts(span_str(word), SPAN("imaps://"));
}

// What asks another server, or is not done with files.
static bool
is_for_url(const struct verb_options *o)
{
    const struct pull_options *p = &o->pull;
    return o->dry_run || o->authorities || p->password_file || p->token_file || p->master ||
           p->users || p->timeout || p->rate || p->plaintext || p->tls_unverified;
}

static int
run_pull(struct pull_run *r, const char *url)
{
    struct fault f;
    r->arena = arena_new();
    if (pull(r, span_str(url), &f) != R_OK)
        r->code = output_fault(&f, 1);
    SSL_CTX_free(r->job.source.trust);
    arena_free(&r->arena);
    return r->code;
}

int
verb_import_local(const struct verb_options *o, const char *const *args, size_t n)
{
    struct config *c;
    struct fault f;
    int code;
    bool url = is_url(args[0]);
    const char *uidl = o->pull.uidl_format;
    if (n != (url ? 1 : 2) || (o->user != NULL) == (url && o->pull.users != NULL) ||
        (!url && o->user == NULL)) {
        fault_set(&f, FAULT_BAD,
                  "import takes maildir|mbox PATH, or imap[s]://USER@HOST, "
                  "and -u USER (or --users FILE); see `posthorn help import`");
        return output_fault(&f, 2);
    }
    if (!url && is_for_url(o)) {
        fault_set(&f, FAULT_BAD,
                  "import of files takes -u, --folder, --uidl-format and --report; the "
                  "other options, --dry-run too, are for imap[s]://");
        return output_fault(&f, 2);
    }
    if (uidl != NULL && uidl_format_check(span_str(uidl), url ? "uvg" : "uvfg", &f) != R_OK)
        return output_fault(&f, 2);
    if ((o->pull.report != NULL && output_report(o->pull.report, &f) != R_OK) ||
        verb_config(o, &c, &f) != R_OK)
        return output_fault(&f, 1);
    if (url) {
        struct pull_run r = {.options = o, .config = c, .verb = verb_find(SPAN("import"))};
        code = run_pull(&r, args[0]);
    } else {
        const char *all[] = {args[0], args[1], o->user, o->folder ? o->folder : "",
                             uidl ? uidl : UIDL_FORMAT_USUAL};
        code = call_run_on_store(c, verb_find(SPAN("import")), all, 5);
    }
    config_free(&c);
    return code;
}
