#include "search/text_inside.h"

static bool
take_var(struct span *rest, uint64_t *out)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 42 && rest->n > 0; shift += 7) {
        unsigned char c = (unsigned char)*rest->p++;
        rest->n--;
        v |= (uint64_t)(c & 0x7F) << shift;
        if (c < 0x80) {
            *out = v;
            return true;
        }
    }
    return false;
}

enum result
text_posting_next(struct text_coder *c, struct span *rest, struct text_posting *out)
{
    uint64_t v, zones = c->zones;
    if (rest->n == 0)
        return R_NONE;
    if (!take_var(rest, &v) || ((v & 1) && !take_var(rest, &zones)) ||
        (v >> 1) + c->next >= TEXT_GONE || zones > MIME_ZONES || zones == 0)
        return R_FAIL;
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

// Most postings are one octet: no more than 63 documents left out, and zones as before.
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
