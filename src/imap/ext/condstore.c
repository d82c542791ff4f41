// RFC 7162 section 3.1: CONDSTORE. Mod-sequences belong to messages, so entry names of SEARCH MODSEQ are passed over.
#include "imap/fetch.h"
#include "imap/response.h"
#include "imap/search.h"
#include "imap/status.h"
#include "imap/store.h"

static enum result
tell_highest(struct imap_command *c, const struct view_info *v, struct fault *f)
{
    (void)f;
    imap_highest_send(c->session, v->modseq);
    return R_OK;
}

// ---- SELECT (CONDSTORE): the mailbox that is opened tells HIGHESTMODSEQ anyway ----

static enum result
select_begin(struct imap_command *c, struct fault *f)
{
    (void)f;
    c->session->enabled |= ENABLE_CONDSTORE;
    return R_OK;
}

// ---- FETCH ----

static enum result
put_modseq(struct imap_fetch_run *run, const struct imap_fetch_want *w, struct fault *f)
{
    (void)w;
    (void)f;
    imap_put_modseq(run->session, run->line, run->message->row.modseq);
    return R_OK;
}

// CHANGEDSINCE 0 is taken too: clients send it that have seen nothing yet.
static void
changedsince_parse(struct imap_command *c, struct parse *p)
{
    struct imap_fetch *fetch = c->own;
    parse_sp(p);
    fetch->since = parse_mod_sequence(p);
    fetch->has_since = c->aware = true;
}

static enum result
changedsince_begin(struct imap_command *c, struct fault *f)
{
    (void)f;
    imap_fetch_want_add(c, c->own, "MODSEQ");
    return R_OK;
}

// ---- STORE (UNCHANGEDSINCE n) ----

static void
unchangedsince_parse(struct imap_command *c, struct parse *p)
{
    struct imap_store *s = c->own;
    parse_sp(p);
    s->change.unchangedsince = parse_mod_sequence(p);
    s->change.has_unchangedsince = c->aware = true;
}

// ---- SEARCH MODSEQ ["/flags/\\seen" all] n ----

static void
search_parse(struct imap_search *s, struct parse *p, struct query *q)
{
    parse_sp(p);
    if (parse_peek(p) == '"') {
        parse_string(p);
        parse_sp(p);
        if (!parse_try_word(p, "PRIV") && !parse_try_word(p, "SHARED") &&
            !parse_try_word(p, "ALL"))
            parse_fail(p, "priv, shared or all expected");
        parse_sp(p);
    }
    q->number = parse_mod_sequence(p);
    s->has_modseq = s->c->aware = true;
}

static void
status_put(struct buf *b, const struct tree_entry *e)
{
    buf_put_u64(b, e->counts.modseq);
}

static const struct imap_fetch_item fetch_modseq = {FETCH_MODSEQ, NULL, put_modseq};
static const struct imap_param changedsince = {changedsince_parse, changedsince_begin},
                               unchangedsince = {unchangedsince_parse, NULL},
                               select_condstore = {NULL, select_begin};
static const struct imap_search_key search_modseq = {QUERY_MODSEQ, false, 0, search_parse};
static const struct imap_status_item highestmodseq = {.put = status_put, .find = tree_own};

static const struct imap_word words[] = {
    {SLOT_FETCH, "MODSEQ", 0, {.fetch = &fetch_modseq}},
    {SLOT_FETCH_MODIFIER, "CHANGEDSINCE", 0, {.param = &changedsince}},
    {SLOT_STORE, "UNCHANGEDSINCE", 0, {.param = &unchangedsince}},
    {SLOT_SEARCH, "MODSEQ", 0, {.search = &search_modseq}},
    {SLOT_SELECT, "CONDSTORE", 0, {.param = &select_condstore}},
    {SLOT_STATUS, "HIGHESTMODSEQ", STATUS_AWARE, {.status = &highestmodseq}},
    {0},
};

const struct imap_ext imap_ext_condstore = {
    .name = "condstore",
    .rfc = "RFC 7162 section 3.1",
    .capability = "CONDSTORE",
    .enable = "CONDSTORE",
    .enable_bits = ENABLE_CONDSTORE,
    .words = words,
    .on_select = tell_highest,
};
