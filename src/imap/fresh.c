// FETCH of new messages: what NOTIFY and UPDATE ask for (RFC 5465 sections 5.2 and 7), in one line for each message.
#include "imap/context.h"
#include "imap/fetch.h"
#include "imap/notify.h"

#include "base/limits.h"
#include "base/log.h"

// Who asks: NOTIFY for all of them, a context for those that came to it.
struct asker {
    struct span items;         // "(uid flags)"
    const struct seqset *who;  // NULL: all
};

struct fresh {
    struct imap_session *session;
    struct arena *arena;
    struct asker askers[LIMIT_contexts + 1];
    unsigned count;
};

static void
add_asker(struct fresh *fr, struct span items, const struct seqset *who)
{
    if (items.p)
        fr->askers[fr->count++] = (struct asker){items, who};
}

static uint64_t
asked_by(const struct fresh *fr, uint32_t uid)
{
    uint64_t mask = 0;
    for (unsigned i = 0; i < fr->count; i++)
        if (!fr->askers[i].who || seqset_contains(fr->askers[i].who, uid))
            mask |= (uint64_t)1 << i;
    return mask;
}

static bool
same_want(const struct imap_fetch_want *a, const struct imap_fetch_want *b)
{
    return a->item == b->item && a->value == b->value && a->peek == b->peek &&
           span_ieq(a->section.text, b->section.text) && a->has_partial == b->has_partial &&
           a->partial_at == b->partial_at && a->partial_count == b->partial_count;
}

// An item that several ask for is told once.
static void
drop_doubles(struct imap_fetch *fetch)
{
    size_t kept = 0;
    for (size_t i = 0; i < fetch->count; i++) {
        bool twice = false;
        for (size_t k = 0; k < kept && !twice; k++)
            twice = same_want(&fetch->wants[k], &fetch->wants[i]);
        if (!twice)
            fetch->wants[kept++] = fetch->wants[i];
    }
    fetch->count = kept;
}

// What cannot be read is left out, as by FETCH.
static void
fetch_some(const struct fresh *fr, uint64_t mask, const struct seqset *uids)
{
    struct imap_command c = {.session = fr->session, .arena = fr->arena};
    struct imap_fetch fetch = {.set = uids, .by_uid = true};
    struct fault f;
    for (unsigned i = 0; i < fr->count; i++)
        if (mask >> i & 1) {
            parse_init(&c.parse, arena_dup(fr->arena, fr->askers[i].items), fr->arena,
                       imap_utf8(fr->session));
            imap_fetch_items_parse(&c, &fetch);
        }
    drop_doubles(&fetch);
    if (imap_fetch(&c, &fetch, &f) != R_OK)
        log_line(fault_info(f.kind)->level, "imap", "FETCH of new messages",
                 log_session(fr->session->id), log_fault(&f));
}

// Neighbours that are asked for by the same go together.
static void
fetch_all(const struct fresh *fr, const struct seqset *uids)
{
    struct seqset_iter i = {0};
    struct seqset same;
    uint64_t mask = 0;
    uint32_t uid;
    seqset_init(&same, fr->arena);
    while (seqset_next(uids, &i, &uid)) {
        uint64_t asked = asked_by(fr, uid);
        if (asked != mask && same.count > 0) {
            fetch_some(fr, mask, &same);
            seqset_init(&same, fr->arena);
        }
        mask = asked;
        if (mask)
            seqset_add(&same, uid);
    }
    if (same.count > 0)
        fetch_some(fr, mask, &same);
}

// [first, last] without the session's own ones, which it knows.
static void
take_others(struct imap_session *s, uint32_t first, uint32_t last, struct seqset *out)
{
    uint32_t from = first;
    for (uint32_t i = 0; s->own.arena && i < s->own.uids.count; i++) {
        struct seqset_range r = s->own.uids.ranges[i];
        if (r.last < from || r.first > last)
            continue;
        if (r.first > from)
            seqset_add_range(out, from, r.first - 1);
        from = r.last + 1;
    }
    if (from <= last && from >= first)
        seqset_add_range(out, from, last);
    arena_free(&s->own.arena);
}

void
imap_fresh_fetch(struct imap_session *s, uint32_t first, uint32_t last, struct arena *a)
{
    struct fresh fr = {.session = s, .arena = a};
    struct seqset uids;
    if (s->notify)
        add_asker(&fr, s->notify->wish.fetch, NULL);
    for (struct imap_context *x = s->contexts ? s->contexts->first : NULL; x; x = x->next)
        if (x->added)
            add_asker(&fr, x->fetch, x->added);
    seqset_init(&uids, a);
    take_others(s, first, last, &uids);
    if (fr.count > 0)
        fetch_all(&fr, &uids);
}
