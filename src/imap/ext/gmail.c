// X-GM-EXT-1, Gmail's extensions as Google's page "IMAP extensions" has them: X-GM-MSGID and X-GM-THRID are EMAILID and
// THREADID as decimal numbers, X-GM-LABELS the other mailboxes that hold the message. docs/decisions/0009-labels.md.
#include "imap/event.h"
#include "imap/fetch.h"
#include "imap/labels.h"
#include "imap/search.h"
#include "imap/store.h"

#include "base/limits.h"

// ---- FETCH ----

static enum result
put_msgid(struct imap_fetch_run *run, const struct imap_fetch_want *w, struct fault *f)
{
    (void)w;
    (void)f;
    buf_put(run->line, SPAN("X-GM-MSGID "));
    buf_put_u64(run->line, run->message->row.emailid);
    return R_OK;
}

static enum result
put_thrid(struct imap_fetch_run *run, const struct imap_fetch_want *w, struct fault *f)
{
    (void)w;
    (void)f;
    buf_put(run->line, SPAN("X-GM-THRID "));
    buf_put_u64(run->line, run->message->row.threadid);
    return R_OK;
}

static enum result
put_labels(struct imap_fetch_run *run, const struct imap_fetch_want *w, struct fault *f)
{
    (void)w;
    (void)f;
    buf_put(run->line, SPAN("X-GM-LABELS "));
    imap_labels_put(run->labels, run->line, run->message);
    return R_OK;
}

// ---- SEARCH ----

static void
parse_id(struct imap_search *s, struct parse *p, struct query *q)
{
    (void)s;
    parse_sp(p);
    q->number = parse_number64(p);
}

static void
parse_label(struct imap_search *s, struct parse *p, struct query *q)
{
    parse_sp(p);
    struct imap_label l = imap_label_parse(p);
    if (!p->bad)
        imap_label_search(s, &l, q);
}

// ---- STORE ----

struct named {
    struct imap_label *labels;
    size_t n;
};

static void
label_add(struct parse *p, struct named *named)
{
    size_t n = named->n;
    if (n >= LIMIT_list_items) {
        parse_fail_kind(p, FAULT_LIMIT, "too many labels");
        return;
    }
    if ((n & (n - 1)) == 0) {  // room for twice as many, at 0, 1, 2, 4, ...
        struct imap_label *more = arena_array(p->arena, n > 0 ? n * 2 : 1, sizeof *more);
        if (n > 0)
            memcpy(more, named->labels, n * sizeof *more);
        named->labels = more;
    }
    named->labels[named->n++] = imap_label_parse(p);
}

// "(\Inbox foo)", or the labels without parentheses.
static void
store_parse(struct imap_command *c, struct imap_store *s)
{
    struct parse *p = &c->parse;
    struct named *named = ARENA_NEW(c->arena, struct named);
    s->own = named;
    if (parse_peek(p) == '(') {
        parse_list_open(p);
        while (parse_list_next(p))
            label_add(p, named);
        return;
    }
    label_add(p, named);
    while (parse_try(p, ' '))
        label_add(p, named);
}

// A label that is not there is none of any message; to add it, it must be made first, as for COPY.
static enum result
resolve(struct imap_command *c, const struct named *named, struct label_change *change,
        struct fault *f)
{
    struct label_target *targets = arena_array(c->arena, named->n, sizeof *targets);
    change->targets = targets;
    for (size_t i = 0; i < named->n; i++) {
        const struct imap_label *l = &named->labels[i];
        change->starred |= l->kind == LABEL_STARRED;
        change->important |= l->kind == LABEL_IMPORTANT;
        if (l->kind == LABEL_STARRED || l->kind == LABEL_IMPORTANT)
            continue;
        enum result r =
            imap_label_find(c, c->session->view, l, &targets[change->target_count], f);
        if (r == R_FAIL)
            return R_FAIL;
        if (r == R_NONE && change->op != FLAG_OP_REMOVE)
            return fault_set(f, l->kind == LABEL_NAME ? FAULT_TRYCREATE : FAULT_NONEXISTENT,
                             "no such label");
        change->target_count += r == R_OK;
    }
    return R_OK;
}

// "* 3 FETCH (X-GM-LABELS (...))" of all, with the flags when a label was one.
static enum result
tell(struct imap_command *c, const struct label_change *change,
     const struct label_result *result, struct fault *f)
{
    struct seqset uids;
    struct imap_fetch fetch = {.set = &uids, .by_uid = true};
    bool modseq = imap_enabled(c->session, ENABLE_CONDSTORE);
    seqset_init(&uids, c->arena);
    for (size_t i = 0; i < result->flags.count; i++)
        seqset_add(&uids, result->flags.messages[i].row.uid);
    if (uids.count == 0)
        return R_OK;
    if ((modseq || c->uid) && !imap_enabled(c->session, ENABLE_UIDONLY))
        imap_fetch_want_add(c, &fetch, "UID");
    imap_fetch_want_add(c, &fetch, "X-GM-LABELS");
    if (change->starred || change->important || change->op == FLAG_OP_SET)
        imap_fetch_want_add(c, &fetch, "FLAGS");
    if (modseq)
        imap_fetch_want_add(c, &fetch, "MODSEQ");
    return imap_fetch(c, &fetch, f);
}

// A label that is added is a copy, and \Starred a flag: the scripts of RFC 6785 run as for these.
static void
run_scripts(struct imap_command *c, const struct label_result *result)
{
    for (size_t i = 0; i < result->gain_count; i++) {
        const struct label_gain *gain = &result->gains[i];
        const struct mailbox_ref target = {c->session->user, view_account(c->session->view),
                                           gain->target->mailbox, gain->target->rights};
        imap_event_copied(c, &target, &gain->uids);
    }
    if (!result->left)
        imap_event_changed(c, result->flags.changed, result->flags.changed_count);
}

static enum result
store_run(struct imap_command *c, struct imap_store *s, struct fault *f)
{
    struct label_result result;
    struct label_change change = {.op = s->change.op,
                                  .has_unchangedsince = s->change.has_unchangedsince,
                                  .unchangedsince = s->change.unchangedsince};
    if (resolve(c, s->own, &change, f) != R_OK ||
        change_labels(&(struct selection){c->session->view, &c->set, c->by_uid}, &change,
                      c->arena, &result, f) != R_OK)
        return R_FAIL;
    run_scripts(c, &result);
    if (result.flags.keywords_changed &&
        imap_flags_send(c->session, true, c->arena, f) != R_OK)
        return R_FAIL;
    if (s->silent)
        imap_store_tell_modseq(c, s, &result.flags);
    else if (tell(c, &change, &result, f) != R_OK)
        return R_FAIL;
    if (imap_store_end(c, s, &result.flags, result.addressed, f) != R_OK)
        return R_FAIL;
    // RFC 9051 section 7.5.1: with numbers, the next command tells what left
    return result.left && c->uid && c->answer.n == 0 ? imap_sync_expunged(c, f) : R_OK;
}

static const struct imap_fetch_item msgid = {0, NULL, put_msgid},
                                    thrid = {0, NULL, put_thrid},
                                    labels = {FETCH_LABELS, NULL, put_labels};
static const struct imap_search_key by_msgid = {QUERY_EMAILID, false, 0, parse_id},
                                    by_thrid = {QUERY_THREADID, false, 0, parse_id},
                                    by_label = {QUERY_UIDS, false, 0, parse_label};
static const struct imap_store_item store_labels = {store_parse, store_run};

static const struct imap_word words[] = {
    {SLOT_FETCH, "X-GM-MSGID", 0, {.fetch = &msgid}},
    {SLOT_FETCH, "X-GM-THRID", 0, {.fetch = &thrid}},
    {SLOT_FETCH, "X-GM-LABELS", 0, {.fetch = &labels}},
    {SLOT_SEARCH, "X-GM-MSGID", 0, {.search = &by_msgid}},
    {SLOT_SEARCH, "X-GM-THRID", 0, {.search = &by_thrid}},
    {SLOT_SEARCH, "X-GM-LABELS", 0, {.search = &by_label}},
    {SLOT_STORE_ITEM, "X-GM-LABELS", 0, {.store = &store_labels}},
    {0},
};

const struct imap_ext imap_ext_gmail = {
    .name = "gmail",
    .rfc = "RFC 8474 section 5, as Google's IMAP extensions",
    .capability = "X-GM-EXT-1",
    .words = words,
};
