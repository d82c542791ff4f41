#include "search/text_inside.h"

const char *
text_var_long(const char *p, const char *end, uint64_t *out)
{
    uint64_t v = 0;
    for (unsigned shift = 0; p < end && shift < 64; shift += 7) {
        unsigned char c = (unsigned char)*p++;
        v |= (uint64_t)(c & 0x7F) << shift;
        if (c < 0x80) {
            *out = v;
            return p;
        }
    }
    return NULL;
}

enum result
text_posting_next(struct text_coder *c, struct span *rest, struct text_posting *out)
{
    uint64_t v = 0, zones = c->zones;
    const char *p = rest->p, *end = p + rest->n;
    if (rest->n == 0)
        return R_NONE;
    p = text_var_pass(p, end, &v);
    if (p && (v & 1))
        p = text_var_pass(p, end, &zones);
    if (!p || (v >> 1) + c->next >= TEXT_GONE || zones > MIME_ZONES || zones == 0)
        return R_FAIL;
    *rest = span_of(p, (size_t)(end - p));
    *out = (struct text_posting){c->next + (uint32_t)(v >> 1), (uint16_t)zones};
    c->next = out->document + 1;
    c->zones = out->zones;
    return R_OK;
}

void
text_posting_mark(struct text_marks *m, struct text_posting p)
{
    unsigned zones = p.zones & m->wanted, had = m->zones[p.document];
    m->reached += zones && !had;
    m->zones[p.document] = (uint16_t)(had | zones);
}

enum { LONG = 16 };  // octets of a list that has many short postings, as a rule

// Most postings are one octet: no more than 63 documents left out, and zones as before. Eight of them, each such a one, in *documents_out.
static bool
are_short(const char *p, uint32_t *documents_out)
{
    const uint64_t bytes = 0x0101010101010101u, pairs = 0x00FF00FF00FF00FFu;
    uint64_t v;
    memcpy(&v, p, sizeof v);
    uint64_t left_out = v >> 1 & bytes * 0x3F;
    left_out = (left_out & pairs) + (left_out >> 8 & pairs);
    *documents_out = (uint32_t)(left_out * 0x0001000100010001u >> 48) + 8;
    return (v & bytes * 0x81) == 0;
}

enum result
text_postings_pass(struct text_coder *c, struct span rest, size_t documents, size_t *n_out)
{
    struct text_posting p;
    uint32_t passed;
    size_t n = 0;
    while (rest.n > 0 && c->next <= documents) {
        if (rest.n >= LONG && are_short(rest.p, &passed)) {
            c->next += passed;
            rest = span_skip(rest, 8);
            n += 8;
        } else {
            if (text_posting_next(c, &rest, &p) != R_OK)
                return R_FAIL;
            n++;
        }
    }
    *n_out = n;
    return c->next <= documents ? R_OK : R_FAIL;
}

enum result
text_postings_mark(struct text_marks *m, struct span list)
{
    struct text_coder c = text_coder_of();
    struct text_posting p;
    while (list.n > 0) {
        unsigned char v = (unsigned char)list.p[0];
        if (v & 0x81) {
            if (text_posting_next(&c, &list, &p) != R_OK)
                return R_FAIL;
        } else {
            p = (struct text_posting){c.next + (v >> 1), c.zones};
            c.next = p.document + 1;
            list = span_skip(list, 1);
        }
        if (p.document >= m->documents)
            return R_FAIL;
        text_posting_mark(m, p);
    }
    return R_OK;
}
