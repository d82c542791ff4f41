// RFC 5230 vacation and RFC 6131 vacation-seconds. Whom not to answer (RFC 5230 section 4.6) is decided here; who was answered
// before is not known here: the detail `handle` is the response's name for that.

#include "base/limits.h"
#include "base/utf8.h"
#include "sieve/ext.h"
#include "mime/address.h"

enum { DAY_S = 86400, DAYS = 7 };

static enum result
check_from(struct sieve_compiler *c, struct sieve_call *call,
           const struct sieve_value *value)
{
    (void)call;
    if (!sieve_is_constant(&value->strings[0]) ||
        sieve_is_mailbox_list(sieve_compiler_arena(c), value->strings[0].text))
        return R_OK;
    return sieve_wrong(c, value->line, value->column, "\"%.*s\" is no list of addresses",
                       SPAN_ARG(span_slice(value->strings[0].text, 0, 60)));
}

static bool
value_is(struct span value, const char *words)
{
    struct span rest = span_str(words), word;
    value = span_trim(span_slice(value, 0, span_find_char(value, ';')));
    while (span_next_field(&rest, ' ', &word) == R_OK)
        if (span_ieq(value, word))
            return true;
    return false;
}

static bool
is_list_mail(struct sieve_run *r)
{
    struct mime_header_iter it = mime_header_begin(sieve_header(r));
    struct mime_header h;
    while (mime_header_next(&it, &h) == R_OK)
        if (span_istarts(h.name, SPAN("List-")) ||
            (span_ieq(h.name, SPAN("Precedence")) && value_is(h.value, "bulk list junk")))
            return true;
    return false;
}

static bool
is_automatic(struct sieve_run *r)
{
    struct mime_header_iter it = mime_header_begin(sieve_header(r));
    struct mime_header h;
    while (mime_header_next(&it, &h) == R_OK)
        if (span_ieq(h.name, SPAN("Auto-Submitted")) && !value_is(h.value, "no"))
            return true;
    return false;
}

// Nobody reads there.
static bool
is_machine(struct span address)
{
    struct span local = span_slice(address, 0, span_find_char(address, '@'));
    return local.n == 0 || span_istarts(local, SPAN("owner-")) ||
           span_istarts(local, SPAN("MAILER-DAEMON")) ||
           span_istarts(local, SPAN("LISTSERV")) ||
           span_istarts(local, SPAN("majordomo")) ||
           (local.n >= 8 && span_ieq(span_skip(local, local.n - 8), SPAN("-request")));
}

// Addresses of the user: what the envelope has, what the script says; and, asked for, what the table of addresses says.
struct mine {
    struct span to;
    struct span *said;
    size_t n;
    bool asks;
};

static enum result
is_mine(struct sieve_run *r, const struct mine *m, struct span address)
{
    if (m->asks)
        return sieve_is_own(r, address);
    for (size_t i = 0; i < m->n; i++)
        if (span_ieq(address, m->said[i]))
            return R_OK;
    return span_ieq(address, m->to) ? R_OK : R_NONE;
}

static enum result
field_names_me(struct sieve_run *r, const struct mine *m, struct span value)
{
    const struct mime_address *a = mime_address_parse(sieve_scratch(r), value);
    enum result found = R_NONE;
    for (; a && found == R_NONE; a = a->next) {
        struct span address = sieve_address_text(r, a);
        found = address.n > 0 ? is_mine(r, m, address) : R_NONE;
    }
    return found;
}

// Section 4.5: the mail must name the user.
static enum result
names_me(struct sieve_run *r, const struct mine *m)
{
    static const struct span names[] = {{"To", 2},        {"Cc", 2},
                                        {"Bcc", 3},       {"Resent-To", 9},
                                        {"Resent-Cc", 9}, {"Resent-Bcc", 10}};
    static const struct sieve_call plain = {
        0};  // the :mime of vacation is not that of fields
    struct sieve_fields it;
    struct span value;
    enum result found = R_NONE;
    if (sieve_fields_begin(&it, r, &plain, names, 6) != R_OK)
        return R_FAIL;
    while (found == R_NONE) {
        enum result more = sieve_fields_next(&it, &value);
        if (more != R_OK)
            return more;
        if (sieve_room(r, value.n * 8) != R_OK)
            return R_FAIL;
        found = field_names_me(r, m, value);
    }
    return found;
}

// What is known here is looked at first.
static enum result
personal(struct sieve_run *r, struct mine *m, const char **why)
{
    struct span from = sieve_world(r)->from;
    enum result own = is_mine(r, m, from), named = names_me(r, m);
    m->asks = true;
    if (own == R_NONE && named == R_NONE)
        named = names_me(r, m);
    if (own == R_NONE && named == R_OK)
        own = is_mine(r, m, from);
    if (own == R_OK)
        *why = "it came from the user";
    else if (named == R_NONE)
        *why = "it does not name the user";
    return own == R_FAIL || named == R_FAIL ? R_FAIL : R_OK;
}

// NULL: it may be answered; else why not.
static enum result
why_not(struct sieve_run *r, const struct sieve_call *call, const char **out)
{
    const struct sieve_world *w = sieve_world(r);
    const struct sieve_value *addresses = sieve_tag(call, "addresses");
    struct mine mine = {.to = w->to, .n = addresses ? addresses->n : 0};
    *out = NULL;
    if (!w->has_envelope)
        return R_OK;
    if (addresses && sieve_texts(r, addresses, &mine.said) != R_OK)
        return R_FAIL;
    if (w->from.n == 0 || is_machine(w->from))
        *out = "there is nobody to answer";
    else if (is_automatic(r))
        *out = "it was sent by a program";
    else if (is_list_mail(r))
        *out = "it came from a mailing list";
    else
        return personal(r, &mine, out);
    return R_OK;
}

static uint64_t
seconds_of(const struct sieve_call *call)
{
    const struct sieve_value *days = sieve_tag(call, "days"),
                             *seconds = sieve_tag(call, "seconds");
    uint64_t n = (uint64_t)DAYS * DAY_S;
    if (seconds)
        n = seconds->number;
    else if (days)
        n = days->number > LIMIT_sieve_vacation_days ? UINT64_MAX : days->number * DAY_S;
    if (days && n < DAY_S)
        n = DAY_S;
    uint64_t most = (uint64_t)LIMIT_sieve_vacation_days * DAY_S;
    return n < most ? n : most;
}

static void
put_counted(struct buf *b, const struct sieve_value *v)
{
    struct span s = v ? v->strings[0].text : SPAN("");
    buf_printf(b, "%zu:", s.n);
    buf_put(b, s);
    buf_put_char(b, ',');
}

// Section 4.2: the arguments as they are written name the response.
static enum result
put_handle(struct sieve_run *r, const struct sieve_call *call, struct sieve_action *a)
{
    const struct sieve_value *handle = sieve_tag(call, "handle");
    struct span text;
    struct buf b;
    if (handle)
        return sieve_one(r, handle, &text) == R_OK ? sieve_detail_put(r, a, "handle", text)
                                                   : R_FAIL;
    buf_init(&b, 4 * LIMIT_sieve_script);
    put_counted(&b, sieve_tag(call, "subject"));
    put_counted(&b, sieve_tag(call, "from"));
    buf_put_str(&b, sieve_tag(call, "mime") ? "mime," : ",");
    put_counted(&b, &call->position[0]);
    enum result result = sieve_detail_put(r, a, "handle", buf_span(&b));
    buf_done(&b);
    return result;
}

static enum result
put_texts(struct sieve_run *r, const struct sieve_call *call, struct sieve_action *a)
{
    static const char *const names[] = {"subject", "from"};
    struct span text;
    for (size_t i = 0; i < 2; i++) {
        const struct sieve_value *v = sieve_tag(call, names[i]);
        if (v == NULL)
            continue;
        if (sieve_one(r, v, &text) != R_OK)
            return R_FAIL;
        if (i == 1 && !sieve_is_mailbox_list(sieve_scratch(r), text))
            return sieve_fail(r, call, "\"%.*s\" is no list of addresses",
                              SPAN_ARG(span_slice(text, 0, 60)));
        enum result may = i == 1 ? sieve_may_write_as(r, call, text) : R_OK;
        if (may == R_NONE)
            continue;
        if (may == R_FAIL || sieve_room(r, text.n) != R_OK ||
            sieve_detail_put(r, a, names[i], sieve_one_line(sieve_scratch(r), text)) !=
                R_OK)
            return R_FAIL;
    }
    return R_OK;
}

static enum result
put_details(struct sieve_run *r, const struct sieve_call *call, struct sieve_action *a)
{
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%llu", (unsigned long long)seconds_of(call));
    if (sieve_detail_put(r, a, "seconds", span_of(digits, (size_t)n)) != R_OK ||
        put_texts(r, call, a) != R_OK ||
        (sieve_tag(call, "mime") && sieve_detail_put(r, a, "mime", SPAN_NONE) != R_OK))
        return R_FAIL;
    return put_handle(r, call, a);
}

// RFC 5230 section 5: the fields of a MIME reason are ASCII.
static const char bad_fields[] = "the fields of a :mime reason are ASCII (RFC 2047)";

static bool
has_bad_fields(const struct sieve_call *call, struct span reason)
{
    size_t crlf = span_find(reason, SPAN("\r\n\r\n"));
    return sieve_tag(call, "mime") && !ascii_only(span_slice(reason, 0, crlf));
}

static enum result
vacation(struct sieve_run *r, const struct sieve_call *call)
{
    struct span reason;
    struct sieve_action *a;
    const char *why;
    if (sieve_has_action(r, SIEVE_VACATION))
        return sieve_fail(r, call, "vacation was there before");  // section 4.7
    if (why_not(r, call, &why) != R_OK || sieve_one(r, &call->position[0], &reason) != R_OK)
        return R_FAIL;
    if (has_bad_fields(call, reason))
        return sieve_fail(r, call, "%s", bad_fields);
    if (why) {
        sieve_note(r, call->line, "vacation: no answer, as %s", why);
        return R_OK;
    }
    if (sieve_action_new(r, call, SIEVE_VACATION, reason, &a) != R_OK)
        return R_FAIL;
    return put_details(r, call, a);
}

static enum result
check(struct sieve_compiler *c, struct sieve_call *call)
{
    const struct sieve_value *v = &call->position[0];
    if (!sieve_is_constant(&v->strings[0]) || !has_bad_fields(call, v->strings[0].text))
        return R_OK;
    return sieve_wrong(c, v->line, v->column, "%s", bad_fields);
}

static const struct sieve_command commands[] = {
    {"vacation", SIEVE_ACTION, "s", .check = check, .act = vacation,
     .tags = {{"days", 'n', "period"},
              {"subject", 's'},
              {"from", 's', .check = check_from},
              {"addresses", 'l'},
              {"mime", 0},
              {"handle", 's'}}},
    {0},
};
static const struct sieve_tag tags[] = {{"seconds", 'n', "period", .command = "vacation"},
                                        {0}};

const struct sieve_ext sieve_ext_vacation = {.capability = "vacation",
                                             .rfc = "RFC 5230",
                                             .commands = commands,
                                             .stages = SIEVE_OF_DELIVERY};
const struct sieve_ext sieve_ext_vacation_seconds = {.capability = "vacation-seconds",
                                                     .rfc = "RFC 6131",
                                                     .tags = tags,
                                                     .implies = "vacation",
                                                     .stages = SIEVE_OF_DELIVERY};
