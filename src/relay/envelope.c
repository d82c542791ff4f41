#include "relay/envelope.h"
#include "base/limits.h"
#include "base/pack.h"
#include "base/utf8.h"
#include "wire/smtp.h"

enum { ENVELOPE_FORM = 1 };

// ---- what SMTP can carry ----

// The grammar that reads addresses judges them: whatever it takes for more than one path is none.
enum result
relay_address_check(struct span address, struct fault *f)
{
    struct smtp_envelope e;
    struct buf line;
    struct arena *a = arena_new();
    buf_init(&line, LIMIT_sieve_address + 8);
    buf_printf(&line, "TO:<%.*s>", SPAN_ARG(address));
    enum result r = R_FAIL;
    if (line.over || address.n == 0 || address.p[0] == '@')
        fault_set(f, FAULT_BAD, "no address, or too long a one");
    else
        r = smtp_envelope_parse(buf_span(&line), "TO", a, &e, f);
    if (r == R_OK && (e.param_count > 0 || e.path.null || e.path.domain.n == 0))
        r = fault_set(f, FAULT_BAD, "no address with a domain");
    arena_free(&a);
    buf_done(&line);
    return r;
}

static bool
is_plain(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
            return false;
    return utf8_valid(s);
}

// RFC 3461 sections 4.2 and 4.4: the type is an atom, and both are of at most so many octets.
enum result
relay_orcpt_check(struct span orcpt, struct fault *f)
{
    size_t semicolon = span_find_char(orcpt, ';');
    bool good = orcpt.n <= LIMIT_relay_parameter && semicolon > 0 && semicolon < orcpt.n &&
                is_plain(orcpt);
    for (size_t i = 0; good && i < semicolon; i++)
        good =
            ascii_is_alpha(orcpt.p[i]) || ascii_is_digit(orcpt.p[i]) || orcpt.p[i] == '-';
    return good || orcpt.n == 0 ? R_OK : fault_set(f, FAULT_BAD, "ORCPT is malformed");
}

enum result
relay_envid_check(struct span envid, struct fault *f)
{
    return envid.n <= LIMIT_relay_parameter && is_plain(envid)
               ? R_OK
               : fault_set(f, FAULT_BAD, "ENVID is malformed");
}

static enum result
check_recipient(const struct relay_recipient *r, struct fault *f)
{
    bool never = r->notify & RELAY_NOTIFY_NEVER;
    if (r->notify > RELAY_NOTIFY_ALL || (never && r->notify != RELAY_NOTIFY_NEVER))
        return fault_set(f, FAULT_BAD, "NOTIFY is malformed");
    return relay_orcpt_check(r->orcpt, f) == R_OK ? relay_address_check(r->address, f)
                                                  : R_FAIL;
}

static const int64_t time_most_s = 253402300799;  // the end of the year 9999

static enum result
check_words(const struct relay_envelope *e, struct fault *f)
{
    if (relay_envid_check(e->envid, f) != R_OK)
        return R_FAIL;
    if (e->ret > RELAY_RET_HDRS || e->body > RELAY_BODY_BINARYMIME ||
        e->by_mode > RELAY_BY_NOTIFY || e->hold_until_s < 0 || e->by_s < 0 ||
        e->hold_until_s > time_most_s || e->by_s > time_most_s)
        return fault_set(f, FAULT_BAD, "a parameter of the envelope is malformed");
    if (e->why.n > LIMIT_relay_parameter || e->owner.n > LIMIT_user_name ||
        !is_plain(e->why) || !is_plain(e->owner))
        return fault_set(f, FAULT_BAD, "the envelope tells badly whose it is");
    return R_OK;
}

enum result
relay_envelope_check(const struct relay_envelope *e, struct fault *f)
{
    if (e->to_count == 0 || check_words(e, f) != R_OK)
        return e->to_count == 0 ? fault_set(f, FAULT_BAD, "there is no recipient") : R_FAIL;
    if (e->to_count > LIMIT_relay_recipients)
        return fault_set(f, FAULT_TOOMANY, "%zu recipients, %d at most", e->to_count,
                         LIMIT_relay_recipients);
    if (e->from.n > 0 && relay_address_check(e->from, f) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < e->to_count; i++)
        if (check_recipient(&e->to[i], f) != R_OK)
            return R_FAIL;
    return R_OK;
}

// ---- words ----

static const char *const notify_words[] = {"NEVER", "SUCCESS", "FAILURE", "DELAY", NULL};

static enum result
word_read(struct span word, const char *const *words, uint8_t *out)
{
    for (uint8_t i = 0; words[i]; i++)
        if (span_ieq(word, span_str(words[i]))) {
            *out = i;
            return R_OK;
        }
    return R_FAIL;
}

enum result
relay_notify_read(struct span words, uint8_t *out)
{
    struct span rest = words, word;
    uint8_t bits = 0, i;
    while (rest.p && span_next_field(&rest, ',', &word) == R_OK) {
        if (word_read(word, notify_words, &i) != R_OK)
            return R_FAIL;
        bits |= (uint8_t)(1U << i);
    }
    if (bits == 0 || (bits & RELAY_NOTIFY_NEVER && bits != RELAY_NOTIFY_NEVER))
        return R_FAIL;
    *out = bits;
    return R_OK;
}

void
relay_notify_put(struct buf *b, uint8_t notify)
{
    const char *before = "";
    for (unsigned i = 0; notify_words[i]; i++)
        if (notify & 1U << i) {
            buf_printf(b, "%s%s", before, notify_words[i]);
            before = ",";
        }
}

enum result
relay_ret_read(struct span word, uint8_t *out)
{
    static const char *const words[] = {"FULL", "HDRS", NULL};
    uint8_t i;
    if (word_read(word, words, &i) != R_OK)
        return R_FAIL;
    *out = i == 0 ? RELAY_RET_FULL : RELAY_RET_HDRS;
    return R_OK;
}

// ---- octets ----

void
relay_envelope_put(struct buf *b, const struct relay_envelope *e)
{
    pack_u8(b, ENVELOPE_FORM);
    pack_span(b, e->from);
    pack_u8(b, e->ret);
    pack_span(b, e->envid);
    pack_u8(b, e->by_mode);
    pack_u8(b, e->by_trace);
    pack_u64(b, (uint64_t)e->by_s);
    pack_u64(b, (uint64_t)e->hold_until_s);
    pack_u8(b, e->body);
    pack_u8(b, e->smtputf8);
    pack_span(b, e->why);
    pack_span(b, e->owner);
    pack_u8(b, e->returning);
    pack_var(b, e->to_count);
    for (size_t i = 0; i < e->to_count; i++) {
        pack_span(b, e->to[i].address);
        pack_u8(b, e->to[i].notify);
        pack_span(b, e->to[i].orcpt);
    }
}

static bool
unpack_flag(struct unpack *u)
{
    uint8_t v = unpack_u8(u);
    u->bad |= v > 1;
    return v == 1;
}

static void
get_words(struct unpack *u, struct relay_envelope *e)
{
    u->bad |= unpack_u8(u) != ENVELOPE_FORM;
    e->from = unpack_span(u);
    e->ret = unpack_u8(u);
    e->envid = unpack_span(u);
    e->by_mode = unpack_u8(u);
    e->by_trace = unpack_flag(u);
    e->by_s = (int64_t)unpack_u64(u);
    e->hold_until_s = (int64_t)unpack_u64(u);
    e->body = unpack_u8(u);
    e->smtputf8 = unpack_flag(u);
    e->why = unpack_span(u);
    e->owner = unpack_span(u);
    e->returning = unpack_flag(u);
}

enum result
relay_envelope_get(struct span packed, struct arena *a, struct relay_envelope *out,
                   struct fault *f)
{
    struct relay_envelope e = {0};
    struct unpack u = unpack_of(packed);
    get_words(&u, &e);
    uint64_t n = unpack_var(&u);
    if (u.bad || n == 0 || n > LIMIT_relay_recipients)
        return fault_set(f, FAULT_BAD, "the envelope is malformed");
    struct relay_recipient *to = arena_array(a, (size_t)n, sizeof *to);
    for (size_t i = 0; i < n; i++) {
        to[i].address = unpack_span(&u);
        to[i].notify = unpack_u8(&u);
        to[i].orcpt = unpack_span(&u);
    }
    e.to = to;
    e.to_count = (size_t)n;
    if (unpack_end(&u) != R_OK)
        return fault_set(f, FAULT_BAD, "the envelope is malformed");
    if (relay_envelope_check(&e, f) != R_OK)
        return R_FAIL;
    *out = e;
    return R_OK;
}
