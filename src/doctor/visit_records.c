#include "doctor/visit.h"

#define DNS_HINT "`posthorn dns DOMAIN` on the server prints the records"

// MX first: without an answer here there is none elsewhere.
static enum result
look_mx(struct visit *v)
{
    struct name_records found = {0};
    struct fault f;
    enum result r = names_records(v->names, v->arena, NAME_MX, v->domain, &found, &f);
    if (r == R_FAIL) {
        visit_tell(v, "MX", FINDING_WRONG,
                   "look at /etc/resolv.conf, or name another resolver by --resolver", "%s",
                   f.why);
        return R_FAIL;
    }
    if (r == R_NONE)
        visit_tell(v, "MX", FINDING_WARNING,
                   "no mail comes from elsewhere: add an MX record",
                   "%.*s has no MX record", SPAN_ARG(v->domain));
    else if (found.list[0].text.n == 0)
        visit_tell(v, "MX", FINDING_WARNING, NULL, "%.*s takes no mail (RFC 7505)",
                   SPAN_ARG(v->domain));
    else
        visit_tell(v, "MX", FINDING_OK, NULL, "%.*s", SPAN_ARG(found.list[0].text));
    return R_OK;
}

// RFC 6186 section 3, RFC 8314 section 5.1, RFC 5804 section 1.8. The target "." says: not here.
static void
look_srv(struct visit *v, enum offer_kind kind)
{
    struct name_records found = {0};
    struct fault f;
    char step[32];
    struct buf name;
    buf_init(&name, 400);
    snprintf(step, sizeof step, "SRV _%s", offer_kind_name(kind));
    buf_printf(&name, "_%s._tcp.%.*s", offer_kind_name(kind), SPAN_ARG(v->domain));
    enum result r =
        names_records(v->names, v->arena, NAME_SRV, buf_span(&name), &found, &f);
    if (r == R_FAIL)
        visit_tell(v, step, FINDING_WRONG, "ask again", "%s", f.why);
    else if (r == R_NONE)
        visit_tell(v, step,
                   kind == OFFER_IMAPS || kind == OFFER_SUBMISSIONS ? FINDING_WARNING
                                                                    : FINDING_OK,
                   kind == OFFER_IMAPS || kind == OFFER_SUBMISSIONS ? DNS_HINT : NULL,
                   "no record");
    else if (found.list[0].text.n == 0)
        visit_tell(v, step, FINDING_OK, NULL, "not offered, says the record");
    for (size_t i = 0; r == R_OK && i < found.n; i++) {
        if (found.list[i].text.n == 0)
            continue;
        visit_tell(v, step, FINDING_OK, NULL, "%.*s:%u", SPAN_ARG(found.list[i].text),
                   found.list[i].port);
        found_put(&v->found, kind, found.list[i].text, (uint16_t)found.list[i].port);
    }
    buf_done(&name);
}

// The first text that begins so; R_NONE: there is none.
static enum result
find_text(struct visit *v, const char *label, const char *prefix, struct span *out)
{
    struct name_records found = {0};
    struct fault f;
    struct buf name;
    buf_init(&name, 400);
    buf_printf(&name, "%s%.*s", label, SPAN_ARG(v->domain));
    enum result r =
        names_records(v->names, v->arena, NAME_TXT, buf_span(&name), &found, &f);
    buf_done(&name);
    for (size_t i = 0; r == R_OK && i < found.n; i++)
        if (span_istarts(found.list[i].text, span_str(prefix))) {
            *out = found.list[i].text;
            return R_OK;
        }
    return R_NONE;
}

// draft-ietf-mailmaint-pacc: "v=UAAC1; a=sha256; d=DIGEST"; blanks may be left out.
static struct span
digest_of(struct span text)
{
    struct span one;
    while (span_next_field(&text, ';', &one) == R_OK)
        if (span_istarts(span_trim(one), SPAN("d=")))
            return span_trim(span_skip(span_trim(one), 2));
    return SPAN_NONE;
}

static void
look_texts(struct visit *v)
{
    struct span text;
    if (find_text(v, "", "mailconf=", &text) == R_OK)
        visit_tell(v, "TXT mailconf", FINDING_OK, NULL, "%.*s", SPAN_ARG(text));
    else
        visit_tell(v, "TXT mailconf", FINDING_OK, NULL,
                   "no record; few clients ask for it");
    if (find_text(v, "_ua-auto-config.", "v=UAAC1", &text) != R_OK) {
        visit_tell(v, "TXT _ua-auto-config", FINDING_WARNING, DNS_HINT,
                   "no record: clients of PACC take no document without it");
        return;
    }
    v->digest = digest_of(text);
    visit_tell(v, "TXT _ua-auto-config", v->digest.n > 0 ? FINDING_OK : FINDING_WRONG,
               v->digest.n > 0 ? NULL : DNS_HINT, "%.*s", SPAN_ARG(text));
}

// [MS-OXDISCO] section 3.1.5.5: where else Outlook looks.
static void
look_autodiscover(struct visit *v)
{
    struct name_records found = {0};
    struct fault f;
    struct buf name;
    buf_init(&name, 400);
    buf_printf(&name, "_autodiscover._tcp.%.*s", SPAN_ARG(v->domain));
    if (names_records(v->names, v->arena, NAME_SRV, buf_span(&name), &found, &f) == R_OK &&
        found.list[0].port == 443)
        v->autodiscover = found.list[0].text;
    buf_done(&name);
}

enum result
visit_records(struct visit *v)
{
    if (look_mx(v) != R_OK)
        return R_FAIL;
    for (unsigned k = 0; k < OFFER_KINDS; k++)
        look_srv(v, k);
    look_texts(v);
    look_autodiscover(v);
    return R_OK;
}
