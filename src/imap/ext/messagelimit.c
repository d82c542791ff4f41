// RFC 9738: MESSAGELIMIT, or SAVELIMIT where there is none. Commands that can be taken up again take the newest messages and
// say where they stopped; COPY and APPEND are refused.
#include "imap/messagelimit.h"

#include "imap/response.h"
#include "imap/search.h"

#include <stdatomic.h>

enum { MESSAGES = 1000 };  // what the RFC advises at least; the setting's default too

static _Atomic uint32_t limit_messages = MESSAGES, limit_saved;
static atomic_bool enforced;

void
imap_message_limits_set(const struct imap_message_limits *l)
{
    limit_messages = l->messages;
    limit_saved = l->saved;
    enforced = l->enforced;
}

static uint32_t
work_max(void)
{
    uint32_t max = limit_messages;
    return enforced && max > 0 ? max : UINT32_MAX;
}

static uint32_t
save_max(void)
{
    uint32_t saved = limit_saved;
    return limit_messages > 0 || saved == 0 ? work_max() : saved;
}

static void
capability_put(const struct imap_session *s, struct buf *b)
{
    (void)s;
    uint32_t messages = limit_messages, saved = limit_saved;
    if (messages > 0)
        buf_printf(b, " MESSAGELIMIT=%u", messages);
    else if (saved > 0)
        buf_printf(b, " SAVELIMIT=%u", saved);
}

// ---- the newest messages of a set ----

static enum result
uid_of(struct view *v, uint32_t seq, struct arena *a, uint32_t *uid_out, struct fault *f)
{
    struct seqset one, uids;
    seqset_init(&one, a);
    seqset_add(&one, seq);
    if (imap_uids_of(v, &one, false, a, &uids, f) != R_OK)
        return R_FAIL;
    must(uids.count == 1);
    *uid_out = uids.ranges[0].first;
    return R_OK;
}

struct lowest {
    uint32_t number;  // as the set has them
    uint32_t uid;
};

// The lowest of the `max` newest messages. R_NONE: there are no more than these.
static enum result
find_lowest(struct imap_command *c, const struct seqset *set, bool by_uid, uint32_t max,
            struct lowest *out, struct fault *f)
{
    struct imap_partial newest = {.first = 1, .last = max, .backwards = true};
    struct seqset present = *set, kept;
    if (seqset_size(set) <= max)
        return R_NONE;
    if (by_uid && imap_uids_of(c->session->view, set, true, c->arena, &present, f) != R_OK)
        return R_FAIL;
    if (seqset_size(&present) <= max)
        return R_NONE;
    imap_partial_of(&newest, &present, c->arena, &kept);
    out->number = out->uid = kept.ranges[0].first;
    return by_uid ? R_OK : uid_of(c->session->view, out->number, c->arena, &out->uid, f);
}

static void
cut_below(struct seqset *set, uint32_t lowest, struct arena *a)
{
    struct seqset kept;
    seqset_init(&kept, a);
    for (uint32_t i = 0; i < set->count; i++) {
        const struct seqset_range *r = &set->ranges[i];
        if (r->last >= lowest)
            seqset_add_range(&kept, r->first > lowest ? r->first : lowest, r->last);
    }
    *set = kept;
}

enum result
imap_limit_newest(struct imap_command *c, struct seqset *set, bool by_uid, struct fault *f)
{
    struct lowest l;
    enum result r = find_lowest(c, set, by_uid, work_max(), &l, f);
    if (r != R_OK)
        return r == R_NONE ? R_OK : R_FAIL;
    cut_below(set, l.number, c->arena);
    c->limited_uid = l.uid;
    return R_OK;
}

bool
imap_limit_matters(const struct imap_command *c)
{
    return view_exists(c->session->view) > work_max();
}

// ---- refusals ----

static enum result
refuse(struct imap_command *c, uint32_t max, uint32_t uid, struct fault *f)
{
    if (uid > 0)
        return imap_answer_no(c, f, FAULT_TOOMANY,
                              "[MESSAGELIMIT %u %u] Too many messages for one command", max,
                              uid);
    return imap_answer_no(c, f, FAULT_TOOMANY,
                          "[MESSAGELIMIT %u] Too many messages for one command", max);
}

enum result
imap_limit_copy(struct imap_command *c, struct fault *f)
{
    uint32_t max = save_max();
    struct lowest l;
    enum result r = find_lowest(c, &c->set, c->by_uid, max, &l, f);
    if (r == R_OK)
        return refuse(c, max, l.uid, f);
    return r == R_NONE ? R_OK : R_FAIL;
}

enum result
imap_limit_append(struct imap_command *c, uint64_t messages, struct fault *f)
{
    uint32_t max = save_max();
    return messages > max ? refuse(c, max, 0, f) : R_OK;
}

enum result
imap_limit_page(struct imap_command *c, uint64_t messages, struct fault *f)
{
    uint32_t max = work_max();
    return messages > max ? refuse(c, max, 0, f) : R_OK;
}

// A line has one response code; another one of the tagged line is worth more there.
void
imap_limit_tell(struct imap_command *c, const struct fault *f)
{
    bool done = !f || f->kind == FAULT_EXPUNGEISSUED || f->kind == FAULT_CORRUPTION;
    uint32_t max = limit_messages;
    if (c->limited_uid == 0 || !done)
        return;
    if (!f && c->answer.n == 0)
        imap_answer(c, "[MESSAGELIMIT %u %u] %s of the newest messages completed", max,
                    c->limited_uid, c->verb->name);
    else
        imap_untagged(c->session, "NO [MESSAGELIMIT %u %u] Older messages were left out",
                      max, c->limited_uid);
}

// ---- UIDAFTER and UIDBEFORE (section 3.3): the UIDs on one side of a number, without it ----

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

const struct imap_ext imap_ext_messagelimit = {
    .name = "messagelimit",
    .rfc = "RFC 9738",
    .capability_put = capability_put,
    .words = words,
};
