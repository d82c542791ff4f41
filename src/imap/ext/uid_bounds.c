// RFC 9738 section 3.3: UIDAFTER and UIDBEFORE, the UIDs on one side of a number, without it. MESSAGELIMIT itself is not
// offered.
#include "imap/search.h"

static void
set_range(struct imap_search *s, struct query *q, uint32_t first, uint32_t last)
{
    struct seqset *set = ARENA_NEW(s->c->arena, struct seqset);
    seqset_init(set, s->c->arena);
    if (first <= last)
        seqset_add_range(set, first, last);
    q->set = set;
}

static void
parse_after(struct imap_search *s, struct parse *p, struct query *q)
{
    parse_sp(p);
    uint32_t uid = parse_nz_number(p);
    if (uid == UINT32_MAX)
        set_range(s, q, 1, 0);
    else
        set_range(s, q, uid + 1, UINT32_MAX);
}

static void
parse_before(struct imap_search *s, struct parse *p, struct query *q)
{
    parse_sp(p);
    uint32_t uid = parse_nz_number(p);
    set_range(s, q, 1, uid > 0 ? uid - 1 : 0);
}

static const struct imap_search_key after = {QUERY_UIDS, false, 0, parse_after},
                                    before = {QUERY_UIDS, false, 0, parse_before};

static const struct imap_word words[] = {
    {SLOT_SEARCH, "UIDAFTER", 0, {.search = &after}},
    {SLOT_SEARCH, "UIDBEFORE", 0, {.search = &before}},
    {0},
};

const struct imap_ext imap_ext_uid_bounds = {
    .name = "uid_bounds",
    .rfc = "RFC 9738",
    .words = words,
};
