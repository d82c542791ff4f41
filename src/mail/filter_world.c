// What scripts may ask of the world around a delivery.
#include "mail/filter_inside.h"

#include "io/task.h"
#include "base/log.h"
#include "mail/metadata.h"
#include "mail/mount.h"
#include "mail/name.h"
#include "mail/tree.h"
#include "mime/header.h"

#include <time.h>

enum result
filter_user(struct filter_run *r, struct mail_user **out, struct fault *f)
{
    struct account *a = r->account;
    if (!r->user && mail_user_open(a->mail, a->id, a->user, &r->user, f) != R_OK)
        return R_FAIL;
    *out = r->user;
    return R_OK;
}

// Names in others' trees need to know in which groups the user is.
enum result
filter_foreign(struct filter_run *r, struct span name, struct mailbox_ref *ref,
               struct fault *f)
{
    struct mail_user *u;
    if (filter_user(r, &u, f) != R_OK)
        return R_FAIL;
    if (!r->identified && r->home->identify &&
        r->home->identify(r->home->arg, u, f) != R_OK)
        return R_FAIL;
    r->identified = true;
    return mail_access(u, name, RIGHT_INSERT, ref, f);
}

// ---- mailboxes ----

uint64_t
filter_mailbox(struct filter_run *r, struct span name)
{
    struct fault f;
    struct span clean;
    if (mail_name_check(r->arena, name, &clean, &f) != R_OK || mount_prefix(clean) > 0)
        return 0;
    const struct mailbox_state *m =
        name_find(r->account, mail_name_canonical(r->arena, clean));
    return m && !(m->flags & MAILBOX_NOSELECT) ? m->id : 0;
}

uint64_t
filter_mailbox_with_id(struct filter_run *r, struct span id)
{
    uint64_t number = mail_id_from('M', id);
    const struct mailbox_state *m =
        number ? state_mailbox(account_state(r->account), number) : NULL;
    return m && !(m->flags & MAILBOX_NOSELECT) ? m->id : 0;
}

uint64_t
filter_mailbox_with_use(struct filter_run *r, struct span name, struct span attribute)
{
    const struct state *s = account_state(r->account);
    enum special_use use = special_use_from(attribute);
    uint64_t named = name.p ? filter_mailbox(r, name) : 0;
    if (use == USE_NONE || (name.p && named == 0))
        return 0;
    for (uint32_t i = 0; i < s->mailbox_count; i++) {
        const struct mailbox_state *m = s->mailboxes[i];
        if (m->special_use == (uint8_t)use && !(m->flags & MAILBOX_NOSELECT) &&
            (named == 0 || m->id == named))
            return m->id;
    }
    return 0;
}

static enum result
mailbox_exists(void *arg, struct span name)
{
    struct filter_run *r = arg;
    struct mailbox_ref ref;
    struct fault f;
    if (filter_mailbox(r, name) != 0)
        return R_OK;
    if (mount_prefix(name) == 0)
        return R_NONE;
    return filter_foreign(r, name, &ref, &f) == R_OK ? R_OK : R_NONE;
}

static enum result
mailbox_with_id(void *arg, struct span id, struct span *name_out)
{
    struct filter_run *r = arg;
    uint64_t number = filter_mailbox_with_id(r, id);
    const struct mailbox_state *m =
        number ? state_mailbox(account_state(r->account), number) : NULL;
    if (!m)
        return R_NONE;
    *name_out = name_full(r->arena, account_state(r->account), m);
    return R_OK;
}

static enum result
mailbox_with_use(void *arg, struct span mailbox, struct span use)
{
    return filter_mailbox_with_use(arg, mailbox, use) ? R_OK : R_NONE;
}

static enum result
place_of(struct filter_run *r, struct span mailbox, struct metadata_place *out)
{
    struct fault f;
    struct mail_user *u;
    struct mailbox_ref ref;
    uint64_t own = mailbox.p ? filter_mailbox(r, mailbox) : 0;
    if (!mailbox.p || own != 0) {
        *out = (struct metadata_place){.account = r->account,
                                       .mailbox = own,
                                       .user = r->account->id,
                                       .rights = RIGHTS_ALL};
        return R_OK;
    }
    if (mount_prefix(mailbox) == 0 || filter_foreign(r, mailbox, &ref, &f) != R_OK ||
        filter_user(r, &u, &f) != R_OK || metadata_place(u, mailbox, out, &f) != R_OK)
        return R_NONE;
    return R_OK;
}

static enum result
metadata(void *arg, struct span mailbox, struct span entry, struct span *out)
{
    struct filter_run *r = arg;
    struct metadata_place place;
    struct metadata_value value = {0};
    struct span name;
    if (metadata_name(r->arena, entry, false, &name) != R_OK ||
        place_of(r, mailbox, &place) != R_OK ||
        metadata_get(&place, name, LIMIT_metadata_value, r->arena, &value) != R_OK)
        return R_NONE;
    *out = value.octets.p ? value.octets : SPAN("");
    return R_OK;
}

// ---- the envelope and the server ----

static enum result
give(struct span s, struct span *out)
{
    if (!s.p)
        return R_NONE;
    *out = s;
    return R_OK;
}

static enum result
envelope(void *arg, struct span part, struct span *out)
{
    const struct filter_envelope *e = &((struct filter_run *)arg)->in->envelope;
    if (span_ieq(part, SPAN("auth")))
        return give(e->auth, out);
    if (span_ieq(part, SPAN("notify")))
        return give(e->notify, out);
    if (span_ieq(part, SPAN("orcpt")))
        return give(e->orcpt, out);
    if (span_ieq(part, SPAN("ret")))
        return give(e->ret, out);
    return span_ieq(part, SPAN("envid")) ? give(e->envid, out) : R_NONE;
}

// RFC 5183 section 4.1. The name that the transfer agent gave itself is not one that was verified.
static const char *
cause_of(const struct filter_run *r)
{
    static const char *const names[] = {[FILTER_APPEND] = "APPEND",
                                        [FILTER_COPY] = "COPY",
                                        [FILTER_FLAG] = "FLAG",
                                        [FILTER_ASKED] = NULL};
    return r->stored ? names[r->stored->cause] : NULL;
}

// What the administrator gives: rows of a name, a blank and the value.
static enum result
given_item(const struct filter_settings *s, struct span item, struct span *out)
{
    struct span prefix = SPAN("vnd.dovecot.config.");
    if (!span_istarts(item, prefix))
        return R_NONE;
    item = span_skip(item, prefix.n);
    for (size_t i = 0; i < s->environment.n; i++)
        if (span_ieq(s->environment.p[i].name, item)) {
            *out = s->environment.p[i].text;
            return R_OK;
        }
    return R_NONE;
}

static enum result
environment(void *arg, struct span item, struct span *out)
{
    const struct filter_run *r = arg;
    const struct filter_settings *s = &r->rules->is;
    const struct filter_stored *stored = r->stored;
    const char *cause = cause_of(r);
    const struct {
        const char *name;
        struct span value;
    } rows[] = {
        {"domain", s->domain.n ? s->domain : s->hostname},
        {"host", s->hostname},
        {"location", stored ? SPAN("MS") : SPAN("MDA")},
        {"phase", stored ? SPAN("post") : SPAN("during")},
        {"imap.user", stored ? stored->user : SPAN("")},
        {"imap.email", stored ? stored->email : SPAN("")},
        {"imap.changedflags", cause ? stored->message.changed : SPAN("")},
        {"imap.cause", cause ? span_str(cause) : SPAN_NONE},
        {"imap.mailbox", cause ? stored->name : SPAN_NONE},
        {"remote-host", SPAN("")},
        {"remote-ip", r->in->remote.n ? r->in->remote : SPAN("")},
        {"vnd.dovecot.username", r->account->user},
        {"vnd.dovecot.default-mailbox", SPAN("INBOX")},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (span_ieq(item, span_str(rows[i].name)))
            return give(rows[i].value, out);
    return given_item(s, item, out);
}

static enum result
duplicate(void *arg, struct span id, uint64_t seconds, bool last, bool *seen_out)
{
    struct filter_run *r = arg;
    struct fault f;
    const struct filter_ask ask = {SEEN_DUPLICATE, id, seconds, last};
    return filter_seen(r->account, &r->marks, &ask, seen_out, &f);
}

// ---- what scanners wrote (RFC 5235) ----

// A decimal number at the front, in thousandths; more than can be counted is the most.
static bool
read_number(struct span s, int64_t *out)
{
    bool minus = s.n > 0 && *s.p == '-';
    int64_t whole = 0, part = 0, unit = 100;
    size_t i = minus || (s.n > 0 && *s.p == '+') ? 1 : 0, from = i;
    for (; i < s.n && ascii_is_digit(s.p[i]); i++)
        whole = whole < INT64_MAX / 100000 ? whole * 10 + (s.p[i] - '0') : whole;
    if (i == from)
        return false;
    if (i < s.n && s.p[i] == '.')
        for (i++; i < s.n && ascii_is_digit(s.p[i]) && unit > 0; i++, unit /= 10)
            part += (s.p[i] - '0') * unit;
    *out = (minus ? -1 : 1) * (whole * 1000 + part);
    return true;
}

// "5.3", "Yes, score=5.3 required=...", "default: False [5.30 / 15.00]" (rspamd), or one character for each point.
static bool
read_score(struct span value, int64_t *out)
{
    size_t run = 0, at;
    if (read_number(value, out))
        return true;
    at = span_ifind(value, SPAN("score="));
    if (at < value.n)
        return read_number(span_skip(value, at + 6), out);
    at = span_find_char(value, '[');
    if (at < value.n)
        return read_number(span_skip(value, at + 1), out);
    while (run < value.n && value.p[run] == value.p[0] && !ascii_is_alpha(value.p[0]))
        run++;
    *out = (int64_t)run * 1000;
    return value.n == 0 || run > 0;
}

static bool
field_value(const struct filter_run *r, struct span name, struct span *out)
{
    struct mime_header h;
    if (name.n == 0 || mime_header_find(r->world.header, name, &h) != R_OK)
        return false;
    *out = span_trim(h.value);
    return true;
}

static bool
starts_with_one(struct span value, const char *words)
{
    struct span rest = span_str(words), word;
    while (span_next_field(&rest, ' ', &word) == R_OK)
        if (span_istarts(value, word))
            return true;
    return false;
}

// 1: clean, 5: surely one; a scanner that says neither is not believed.
static enum result
virus_verdict(struct span value, unsigned *out)
{
    if (value.n == 1 && *value.p >= '1' && *value.p <= '5')
        *out = (unsigned)(*value.p - '0');
    else if (starts_with_one(value, "clean no false ok"))
        *out = 1;
    else if (starts_with_one(value, "infected yes true found virus"))
        *out = 5;
    else
        return R_NONE;
    return R_OK;
}

static enum result
scanned_virus(const struct filter_scan *s, unsigned *out)
{
    if (s->virus == 0)
        return R_NONE;
    *out = s->virus;
    return R_OK;
}

static enum result
verdict(void *arg, bool virus, unsigned *value_out, unsigned *percent_out)
{
    const struct filter_run *r = arg;
    const struct filter_settings *s = &r->rules->is;
    const struct filter_scan *scan = r->in->scan;
    struct span value;
    int64_t score = scan ? scan->score : 0, most = (int64_t)s->spam_most;
    if (scan && virus)
        return scanned_virus(scan, value_out);
    if (scan && !scan->scored)
        return R_NONE;
    if (!scan && !field_value(r, virus ? s->virus_header : s->spam_header, &value))
        return R_NONE;
    if (virus)
        return virus_verdict(value, value_out);
    if (most <= 0 || (!scan && !read_score(value, &score)))
        return R_NONE;
    score = score < 0 ? 0 : score > most ? most : score;
    *percent_out = (unsigned)(score * 100 / most);
    *value_out = 1 + (unsigned)(score * 9 / most);
    return R_OK;
}

// ---- whose address (RFC 5230 section 4.5) ----

// Where it cannot be said now nobody is answered, this time: an answer to what is not the user's is worse (section 4.5: MUST NOT).
static enum result
is_own(void *arg, struct span address)
{
    struct filter_run *r = arg;
    struct fault f;
    if (!r->home->may_send)
        return R_NONE;
    enum result own = r->home->may_send(r->home->arg, r->account->user, address, &f);
    if (own == R_FAIL)
        log_warning("sieve", "it is not known whose address this is",
                    log_user(r->account->user),
                    field_text("address", "address=<%>", address), log_fault(&f));
    return own == R_OK ? R_OK : R_NONE;
}

// ---- scripts that are included ----

static enum result
script(void *arg, bool global, struct span name, struct span *out)
{
    struct filter_run *r = arg;
    const struct filter_scripts *s = &r->rules->is.global;
    if (!global)
        return filter_own_named(r, name, out);
    for (size_t i = 0; i < s->n; i++)
        if (span_eq(s->p[i].name, name)) {
            *out = s->p[i].text;
            return R_OK;
        }
    return R_NONE;
}

// ---- the whole ----

static void
rest(void *arg)
{
    (void)arg;
    task_yield();
}

static const struct filter_onlooker *
onlooker_of(const struct filter_run *r)
{
    const struct filter_onlooker *o = r->stored ? r->stored->onlooker : NULL;
    return o && o->trace ? o : NULL;
}

static void
trace(void *arg, unsigned line, struct span text)
{
    const struct filter_run *r = arg;
    const struct filter_onlooker *o = onlooker_of(r);
    if (o)
        o->trace(o->arg, line, text);
    log_debug("sieve", "trace", log_user(r->account->user),
              field_if(line > 0, field_number("line", "line=%", line)),
              field_text("text", ": %", text));
}

static enum result
read_message(void *arg, uint64_t at, char *dst, size_t n, struct fault *f)
{
    return intake_read(arg, at, dst, n, f);
}

// The one of the delimiters that the address has first.
static char
separator_of(const struct filter_settings *s, struct span to)
{
    for (size_t i = 0; i < span_find_char(to, '@'); i++)
        if (span_find_char(s->delimiters, to.p[i]) < s->delimiters.n)
            return to.p[i];
    return s->delimiters.n ? s->delimiters.p[0] : '\0';
}

static int
zone_at(time_t now)
{
    struct tm tm;
    localtime_r(&now, &tm);
    return (int)(tm.tm_gmtoff / 60);
}

enum result
filter_world(struct filter_run *r, struct fault *f)
{
    const struct mime_part *root = intake_root(r->in->intake);
    size_t n = (size_t)root->header.size;
    if (root->header.size > LIMIT_sieve_header)
        return fault_set(f, FAULT_TOOBIG, "the message's header is larger than %d octets",
                         LIMIT_sieve_header);
    char *header = arena_alloc(r->arena, n + 1);
    if (intake_read(r->in->intake, root->header.at, header, n, f) != R_OK)
        return R_FAIL;
    r->original = span_of(header, n);
    r->world = (struct sieve_world){
        .header = span_of(header, n),
        .size = intake_size(r->in->intake),
        .root = root,
        .read = read_message,
        .read_arg = r->in->intake,
        .stage = !r->stored                         ? SIEVE_DELIVERY
                 : r->stored->cause == FILTER_ASKED ? SIEVE_ASKED
                                                    : SIEVE_EVENT,
        .flags = r->stored ? r->stored->message.flags : SPAN_NONE,
        .work_max = r->stored ? r->stored->work : 0,
        .has_envelope = true,
        .from = r->in->from,
        .to = r->in->to,
        .separator = separator_of(&r->rules->is, r->in->to),
        .now_s = r->now_s,
        .zone_min = zone_at((time_t)r->now_s),
        .redirects_max = r->rules->is.redirects,
        .arg = r,
        .envelope = envelope,
        .environment = environment,
        .mailbox_exists = mailbox_exists,
        .mailbox_with_id = mailbox_with_id,
        .mailbox_with_use = mailbox_with_use,
        .metadata = metadata,
        .duplicate = duplicate,
        .verdict = verdict,
        .script = script,
        .is_own = is_own,
        .rest = rest,
        .trace = log_takes('d') || onlooker_of(r) ? trace : NULL,
    };
    return R_OK;
}
