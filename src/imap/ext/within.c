// RFC 5032: OLDER and YOUNGER, in seconds before now.
#include "imap/search.h"

#include "base/clock.h"

static void
parse_interval(struct imap_search *s, struct parse *p, struct query *q)
{
    (void)s;
    parse_sp(p);
    q->age = parse_nz_number(p);
    q->number = (uint64_t)(clock_wall_s() - q->age);
}

static const struct imap_search_key older = {QUERY_OLDER, false, 0, parse_interval},
                                    younger = {QUERY_YOUNGER, false, 0, parse_interval};

static const struct imap_word words[] = {
    {SLOT_SEARCH, "OLDER", 0, {.search = &older}},
    {SLOT_SEARCH, "YOUNGER", 0, {.search = &younger}},
    {0},
};

const struct imap_ext imap_ext_within = {
    .name = "within",
    .rfc = "RFC 5032",
    .capability = "WITHIN",
    .words = words,
};
