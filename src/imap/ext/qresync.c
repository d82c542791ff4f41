// RFC 7162 section 3.2: QRESYNC. A client that was away names what it knows and is told what changed since.
#include "imap/fetch.h"
#include "imap/response.h"

// SELECT (QRESYNC (uidvalidity modseq [known UIDs] [(sequence numbers and their UIDs)])); c->own of SELECT.
struct qresync {
    uint32_t uidvalidity;
    uint64_t modseq;
    struct span known, match_seqs, match_uids;  // as text; SPAN_NONE: not given
    struct seqset uids, seqs, seq_uids;
};

// ---- parsing ----

static struct span
parse_set(struct parse *p)
{
    struct span text = parse_seqset(p);
    if (!p->bad && (text.p[0] == '$' || span_find_char(text, '*') < text.n))
        parse_fail(p, "only numbers are allowed here");
    return text;
}

static void
parse_match(struct parse *p, struct qresync *q)
{
    parse_char(p, '(');
    q->match_seqs = parse_set(p);
    parse_sp(p);
    q->match_uids = parse_set(p);
    parse_char(p, ')');
}

static void
select_parse(struct imap_command *c, struct parse *p)
{
    struct qresync *q = ARENA_NEW(c->arena, struct qresync);
    c->own = q;
    parse_sp(p);
    parse_char(p, '(');
    q->uidvalidity = parse_nz_number(p);
    parse_sp(p);
    q->modseq = parse_mod_sequence(p);
    bool more = parse_try(p, ' ');
    if (more && parse_peek(p) != '(') {
        q->known = parse_set(p);
        more = parse_try(p, ' ');
    }
    if (more)
        parse_match(p, q);
    parse_char(p, ')');
}

static enum result
need_enabled(const struct imap_session *s, struct fault *f)
{
    if (!imap_enabled(s, ENABLE_QRESYNC))
        return fault_set(f, FAULT_BAD, "QRESYNC is not enabled");
    return R_OK;
}

static enum result
select_begin(struct imap_command *c, struct fault *f)
{
    struct qresync *q = c->own;
    if (need_enabled(c->session, f) != R_OK)
        return R_FAIL;
    if (q->known.p && seqset_parse(q->known, 0, c->arena, &q->uids, f) != R_OK)
        return R_FAIL;
    if (!q->match_seqs.p)
        return R_OK;
    if (imap_enabled(c->session, ENABLE_UIDONLY))  // RFC 9586
        return fault_set(f, FAULT_UIDREQUIRED, "sequence match data");
    if (seqset_parse(q->match_seqs, 0, c->arena, &q->seqs, f) != R_OK ||
        seqset_parse(q->match_uids, 0, c->arena, &q->seq_uids, f) != R_OK)
        return R_FAIL;
    if (seqset_size(&q->seqs) != seqset_size(&q->seq_uids))
        return fault_set(f, FAULT_BAD, "as many UIDs as sequence numbers are needed");
    return R_OK;
}

// ---- what is told ----

// RFC 7162 section 3.2.5.2: the highest UID that has the sequence number the client says: it knows of all expunges up to
// there. 0: none.
static enum result
matching_uid(struct imap_session *s, const struct qresync *q, struct arena *a,
             uint32_t *uid_out, struct fault *f)
{
    enum { BATCH = 64 };
    struct view_message got[BATCH];
    struct view_cursor cursor;
    struct seqset_iter at = {0};
    struct seqset here;
    uint32_t exists = view_exists(s->view), uid;
    size_t n;
    enum result r;
    *uid_out = 0;
    seqset_init(&here, a);
    for (uint32_t i = 0; i < q->seqs.count && q->seqs.ranges[i].first <= exists; i++)
        seqset_add_range(&here, q->seqs.ranges[i].first,
                         q->seqs.ranges[i].last < exists ? q->seqs.ranges[i].last : exists);
    if (view_cursor_init(&cursor, s->view, &here, false, f) != R_OK)
        return R_FAIL;
    while ((r = view_next(&cursor, got, BATCH, &n, f)) == R_OK)
        for (size_t i = 0; i < n && seqset_next(&q->seq_uids, &at, &uid); i++)
            if (got[i].row.uid == uid)
                *uid_out = uid;
    return r == R_NONE ? R_OK : R_FAIL;
}

// The known UIDs above `floor`.
static void
ask_for(const struct qresync *q, uint32_t floor, struct arena *a, struct seqset *out)
{
    struct seqset_range all = {1, UINT32_MAX};
    const struct seqset_range *r = q->known.p ? q->uids.ranges : &all;
    uint32_t count = q->known.p ? q->uids.count : 1;
    seqset_init(out, a);
    for (uint32_t i = 0; i < count; i++)
        if (r[i].last > floor)
            seqset_add_range(out, r[i].first > floor ? r[i].first : floor + 1, r[i].last);
}

static enum result
tell_vanished(struct imap_command *c, uint64_t since, const struct seqset *uids,
              struct fault *f)
{
    struct seqset gone;
    if (view_vanished(c->session->view, since, uids, c->arena, &gone, f) != R_OK)
        return R_FAIL;
    imap_vanished_send(c->session, true, &gone);
    return R_OK;
}

static enum result
resynchronise(struct imap_command *c, const struct qresync *q, struct fault *f)
{
    struct seqset ask;
    uint32_t floor = 0;
    struct imap_fetch fetch = {
        .set = q->known.p ? &q->uids : NULL, .by_uid = true, .since = q->modseq};
    if (q->match_seqs.p && matching_uid(c->session, q, c->arena, &floor, f) != R_OK)
        return R_FAIL;
    ask_for(q, floor, c->arena, &ask);
    if (tell_vanished(c, q->modseq, &ask, f) != R_OK)
        return R_FAIL;
    if (!imap_enabled(c->session, ENABLE_UIDONLY))
        imap_fetch_want_add(c, &fetch, "UID");
    imap_fetch_want_add(c, &fetch, "FLAGS");
    imap_fetch_want_add(c, &fetch, "MODSEQ");
    return imap_fetch(c, &fetch, f);
}

static enum result
on_select(struct imap_command *c, const struct view_info *v, struct fault *f)
{
    const struct qresync *q = c->own;
    if (!q || q->uidvalidity != v->uidvalidity)
        return R_OK;
    return resynchronise(c, q, f);
}

// ---- UID FETCH (CHANGEDSINCE n VANISHED), section 3.2.6 ----

// Clients ask for 1:*, and the newest message may be among the expunged: '*' reaches up to UIDNEXT here.
static enum result
vanished_set(struct imap_command *c, struct seqset *out, struct fault *f)
{
    *out = c->set;
    if (span_find_char(c->set_text, '*') == c->set_text.n)
        return R_OK;
    return seqset_parse(c->set_text, UINT32_MAX, c->arena, out, f);
}

static enum result
vanished_begin(struct imap_command *c, struct fault *f)
{
    const struct imap_fetch *fetch = c->own;
    struct seqset uids;
    if (need_enabled(c->session, f) != R_OK)
        return R_FAIL;
    if (!c->uid || !fetch->has_since)
        return fault_set(f, FAULT_BAD, "VANISHED is for UID FETCH with CHANGEDSINCE");
    if (vanished_set(c, &uids, f) != R_OK)
        return R_FAIL;
    return tell_vanished(c, fetch->since, &uids, f);
}

static const struct imap_param select_qresync = {select_parse, select_begin},
                               fetch_vanished = {NULL, vanished_begin};

static const struct imap_word words[] = {
    {SLOT_SELECT, "QRESYNC", 0, {.param = &select_qresync}},
    {SLOT_FETCH_MODIFIER, "VANISHED", 0, {.param = &fetch_vanished}},
    {0},
};

const struct imap_ext imap_ext_qresync = {
    .name = "qresync",
    .rfc = "RFC 7162 section 3.2",
    .capability = "QRESYNC",
    .enable = "QRESYNC",
    .enable_bits = ENABLE_CONDSTORE | ENABLE_QRESYNC,
    .words = words,
    .on_select = on_select,
};
