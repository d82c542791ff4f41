#include "search/text_find.h"

#include "base/lane.h"

// Commoner octets first.
static unsigned
rarity(char c)
{
    static const char common[] = "ETAOINSRHLDCUMFPGWYBVKXJQZ";
    const char *at = c != '\0' ? strchr(common, c) : NULL;
    return c == (char)TEXT_DELIMITER ? 0 : at ? 1u + (unsigned)(at - common) : 15;
}

void
text_pattern_init(struct text_pattern *p, const struct text_condition *c)
{
    bool begins = c->how == TEXT_WHOLE || c->how == TEXT_PREFIX;
    bool ends = c->how == TEXT_WHOLE || c->how == TEXT_SUFFIX;
    *p = (struct text_pattern){.lead = begins};
    if (begins)
        p->octets[p->n++] = (char)TEXT_DELIMITER;
    memcpy(p->octets + p->n, c->octets, c->n);
    p->n = (uint8_t)(p->n + c->n);
    if (ends)
        p->octets[p->n++] = (char)TEXT_DELIMITER;
    for (uint8_t i = 0; i < p->n; i++)
        if (rarity(p->octets[i]) > rarity(p->octets[p->rarer]))
            p->rarer = i;
    p->rare = p->rarer == 0 ? (uint8_t)(p->n - 1) : 0;
    for (uint8_t i = 0; i < p->n; i++)
        if (i != p->rarer && rarity(p->octets[i]) > rarity(p->octets[p->rare]))
            p->rare = i;
}

// Where the pattern is, or text.n: sixteen places at a time are looked at for its two rarest octets.
static size_t
search(const struct text_pattern *p, struct span text, size_t from)
{
    lane16 rare = lane_of(p->octets[p->rare]);
    lane16 rarer = lane_of(p->octets[p->rarer]);
    size_t at = from;
    for (; at + p->n + 16 <= text.n; at += 16) {
        lane16 hit = (lane16)((lane_load(text.p + at + p->rare) == rare) &
                              (lane_load(text.p + at + p->rarer) == rarer));
        for (size_t i = lane_any(hit) ? lane_first(hit) : 16; i < 16; i++)
            if (hit[i] && memcmp(text.p + at + i, p->octets, p->n) == 0)
                return at + i;
    }
    struct span rest = span_of(text.p + at, text.n - at);
    size_t found = span_find(rest, span_of(p->octets, p->n));
    return found < rest.n ? at + found : text.n;
}

size_t
text_pattern_find(const struct text_pattern *p, struct span text, size_t from)
{
    size_t at = search(p, text, from);
    if (at == text.n || p->lead)
        return at;
    while (text.p[at] != (char)TEXT_DELIMITER)  // a page begins with one
        at--;
    return at;
}
