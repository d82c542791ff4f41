#include "submission/envelope.h"
#include "base/limits.h"
#include "base/quoted.h"
#include "relay/envelope.h"
#include "wire/date.h"

static enum result
refuse(struct submission_answer *why, int code, const char *enhanced, const char *text)
{
    *why = (struct submission_answer){code, enhanced, text};
    return R_FAIL;
}

static enum result
bad_value(struct submission_answer *why, const char *text)
{
    return refuse(why, 501, "5.5.4", text);
}

// One parameter of each name, and none that was not offered (RFC 5321 section 4.1.1.11).
static enum result
check_names(const struct smtp_envelope *e, const char *const *known,
            struct submission_answer *why)
{
    for (unsigned i = 0; i < e->param_count; i++) {
        const char *const *name = known;
        while (*name && !span_ieq(e->params[i].name, span_str(*name)))
            name++;
        if (!*name)
            return refuse(why, 555, "5.5.4", "Unknown parameter");
        if (smtp_param_find(e, *name) != &e->params[i])
            return bad_value(why, "A parameter is given twice");
    }
    return R_OK;
}

static struct span
value_of(const struct smtp_envelope *e, const char *name, bool *there)
{
    const struct smtp_param *p = smtp_param_find(e, name);
    *there = p != NULL;
    return p && p->value.p ? p->value : SPAN("");
}

// One of these words, by its number.
static bool
read_word(struct span value, const char *const *words, uint8_t *out)
{
    for (uint8_t i = 0; words[i]; i++)
        if (span_ieq(value, span_str(words[i]))) {
            *out = i;
            return true;
        }
    return false;
}

// As SMTP writes it: the local part quoted where it must be.
static struct span
put_address(struct arena *a, const struct smtp_path *path)
{
    struct buf b;
    buf_init(&b, 2 * path->address.n + path->domain.n + 8);
    quoted_put_local(&b, path->local);
    if (path->domain.n > 0) {
        buf_put_char(&b, '@');
        buf_put(&b, path->domain);
    }
    struct span s = arena_dup(a, buf_span(&b));
    buf_done(&b);
    return s;
}

// xtext with at most so many octets (RFC 3461 sections 4.2 and 4.4).
static enum result
read_xtext(struct span value, struct arena *a, struct span *out)
{
    struct buf b;
    buf_init(&b, LIMIT_relay_parameter);
    enum result r = value.n > 0 ? smtp_xtext_decode(value, &b) : R_FAIL;
    if (r == R_OK)
        *out = arena_dup(a, buf_span(&b));
    buf_done(&b);
    return r;
}

// ---- MAIL ----

static enum result
read_size(const struct smtp_envelope *e, const struct submission_limits *l,
          struct submission_answer *why)
{
    bool there;
    uint64_t size = 0;
    struct span value = value_of(e, "SIZE", &there);
    if (there && (value.n > 20 || span_to_u64(value, &size) != R_OK))
        return bad_value(why, "Bad SIZE");
    return size > l->size_max ? refuse(why, 552, "5.3.4", "Message too large") : R_OK;
}

static enum result
read_body(const struct smtp_envelope *e, struct relay_envelope *out,
          struct submission_answer *why)
{
    static const char *const words[] = {"7BIT", "8BITMIME", "BINARYMIME", NULL};
    bool there, ignored;
    struct span value = value_of(e, "BODY", &there);
    if (there && !read_word(value, words, &out->body))
        return bad_value(why, "Bad BODY");
    value = value_of(e, "SMTPUTF8", &out->smtputf8);
    // its value is for servers that believe it (RFC 4954 section 5)
    (void)value_of(e, "AUTH", &ignored);
    return value.n > 0 ? bad_value(why, "SMTPUTF8 takes no value") : R_OK;
}

static enum result
read_dsn(const struct smtp_envelope *e, struct arena *a, struct relay_envelope *out,
         struct submission_answer *why)
{
    bool ret, envid;
    struct span value = value_of(e, "RET", &ret);
    if (ret && relay_ret_read(value, &out->ret) != R_OK)
        return bad_value(why, "Bad RET");
    value = value_of(e, "ENVID", &envid);
    return envid && read_xtext(value, a, &out->envid) != R_OK ? bad_value(why, "Bad ENVID")
                                                              : R_OK;
}

// RFC 2852 section 4: "120;R", "-5;NT"
static enum result
read_by(const struct smtp_envelope *e, int64_t now_s, struct relay_envelope *out,
        struct submission_answer *why)
{
    enum { DIGITS = 9 };
    bool there;
    uint32_t seconds = 0;
    struct span rest = value_of(e, "BY", &there), time, mode = SPAN_NONE;
    if (!there)
        return R_OK;
    if (span_next_field(&rest, ';', &time) == R_OK && rest.p)
        mode = rest;
    bool minus = span_starts(time, SPAN("-"));
    if (minus || span_starts(time, SPAN("+")))
        time = span_skip(time, 1);
    out->by_trace = mode.n == 2 && ascii_upper(mode.p[1]) == 'T';
    bool notify = mode.n > 0 && ascii_upper(mode.p[0]) == 'N';
    bool good = time.n <= DIGITS && span_to_u32(time, &seconds) == R_OK &&
                (mode.n == 1 || out->by_trace) && (notify || ascii_upper(mode.p[0]) == 'R');
    if (!good || (!notify && (minus || seconds == 0)))
        return bad_value(why, "Bad BY");
    out->by_mode = notify ? RELAY_BY_NOTIFY : RELAY_BY_RETURN;
    out->by_s = now_s + (minus ? -(int64_t)seconds : (int64_t)seconds);
    return R_OK;
}

// RFC 4865 section 4.2: one of both, and not beyond what EHLO told.
static enum result
read_hold(const struct smtp_envelope *e, int64_t now_s, struct relay_envelope *out,
          struct submission_answer *why)
{
    enum { DIGITS = 9 };
    bool has_for, has_until;
    uint32_t seconds = 0;
    int64_t until = 0;
    struct span interval = value_of(e, "HOLDFOR", &has_for);
    struct span time = value_of(e, "HOLDUNTIL", &has_until);
    if (!has_for && !has_until)
        return R_OK;
    if (has_for && has_until)
        return bad_value(why, "HOLDFOR or HOLDUNTIL, not both");
    if (has_for && (interval.n > DIGITS || span_to_u32(interval, &seconds) != R_OK))
        return bad_value(why, "Bad HOLDFOR");
    if (has_until && date_time_parse_internet(time, &until) != R_OK)
        return bad_value(why, "Bad HOLDUNTIL");
    if (has_for)
        until = now_s + seconds;
    if (until > now_s + LIMIT_submission_hold_s)
        return bad_value(why, "Held for longer than this server holds mail");
    // section 5.2.2: it would be late before it went
    if (out->by_mode != RELAY_BY_UNSAID && until > out->by_s)
        return bad_value(why, "Held for longer than BY allows");
    out->hold_until_s = until > now_s ? until : 0;
    return R_OK;
}

enum result
submission_mail_read(struct span args, const struct submission_limits *l, struct arena *a,
                     struct relay_envelope *out, struct submission_answer *why)
{
    static const char *const known[] = {"SIZE", "BODY", "SMTPUTF8", "RET",       "ENVID",
                                        "AUTH", "BY",   "HOLDFOR",  "HOLDUNTIL", NULL};
    struct relay_envelope made = {.from = SPAN(""), .envid = SPAN("")};
    struct smtp_envelope e;
    struct fault f;
    if (smtp_envelope_parse(args, "FROM", a, &e, &f) != R_OK)
        return bad_value(why, "Syntax: MAIL FROM:<address>");
    if (check_names(&e, known, why) != R_OK || read_body(&e, &made, why) != R_OK ||
        read_size(&e, l, why) != R_OK || read_dsn(&e, a, &made, why) != R_OK ||
        read_by(&e, l->now_s, &made, why) != R_OK ||
        read_hold(&e, l->now_s, &made, why) != R_OK)
        return R_FAIL;
    if (e.path.utf8 && !made.smtputf8)
        return refuse(why, 553, "5.6.7", "Address needs SMTPUTF8");
    if (!e.path.null) {
        made.from = put_address(a, &e.path);
        if (relay_address_check(made.from, &f) != R_OK)
            return refuse(why, 553, "5.1.7", "Sender address is not one with a domain");
    }
    *out = made;
    return R_OK;
}

// ---- RCPT ----

// What the relay would not take is said while the client can be told.
static enum result
check_recipient(const struct relay_recipient *r, struct submission_answer *why)
{
    struct fault f;
    const struct relay_envelope e = {.from = SPAN(""), .to = r, .to_count = 1};
    if (relay_address_check(r->address, &f) != R_OK)
        return refuse(why, 553, "5.1.3", "Recipient address is not one with a domain");
    return relay_envelope_check(&e, &f) == R_OK ? R_OK : bad_value(why, "Bad ORCPT");
}

// RFC 5321 section 4.5.1: it needs no domain, anywhere.
static void
complete(const struct submission_limits *l, struct smtp_path *path)
{
    if (path->domain.n == 0 && span_ieq(path->local, SPAN("postmaster")))
        path->domain = l->domain;
}

enum result
submission_rcpt_read(struct span args, const struct submission_limits *l, bool smtputf8,
                     struct arena *a, struct submission_rcpt *out,
                     struct submission_answer *why)
{
    static const char *const known[] = {"NOTIFY", "ORCPT", NULL};
    struct relay_recipient made = {.orcpt = SPAN("")};
    struct smtp_envelope e;
    struct fault f;
    bool there;
    if (smtp_envelope_parse(args, "TO", a, &e, &f) != R_OK || e.path.null)
        return bad_value(why, "Syntax: RCPT TO:<address>");
    if (check_names(&e, known, why) != R_OK)
        return R_FAIL;
    if (e.path.utf8 && !smtputf8)
        return refuse(why, 553, "5.6.7", "Address needs SMTPUTF8");
    struct span notify = value_of(&e, "NOTIFY", &there);
    if (there && relay_notify_read(notify, &made.notify) != R_OK)
        return bad_value(why, "Bad NOTIFY");
    struct span orcpt = value_of(&e, "ORCPT", &there);
    if (there && read_xtext(orcpt, a, &made.orcpt) != R_OK)
        return bad_value(why, "Bad ORCPT");
    complete(l, &e.path);
    made.address = put_address(a, &e.path);
    if (check_recipient(&made, why) != R_OK)
        return R_FAIL;
    *out = (struct submission_rcpt){made, e.path};
    return R_OK;
}
