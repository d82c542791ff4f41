#include "imap/store.h"

#include "imap/event.h"
#include "imap/flags.h"
#include "imap/messagelimit.h"
#include "imap/response.h"

// RFC 9051 section 6.4.6: STORE and UID STORE.

// "+FLAGS.SILENT": the operation, the item's name, and whether to keep quiet.
static void
parse_item(struct imap_command *c, struct imap_store *s)
{
    static const struct span silent = {".SILENT", 7};
    struct span name = parse_atom(&c->parse);
    s->change.op = FLAG_OP_SET;
    if (name.n > 0 && (name.p[0] == '+' || name.p[0] == '-')) {
        s->change.op = name.p[0] == '+' ? FLAG_OP_ADD : FLAG_OP_REMOVE;
        name = span_skip(name, 1);
    }
    s->silent = name.n > silent.n && span_ieq(span_skip(name, name.n - silent.n), silent);
    if (s->silent)
        name.n -= silent.n;
    const struct imap_word *word = imap_word_find(SLOT_STORE_ITEM, name);
    if (word)
        s->item = word->as.store;
    else
        parse_fail(&c->parse, "FLAGS, +FLAGS or -FLAGS expected");
}

static enum result
parse_store(struct imap_command *c, struct imap_store *s, struct fault *f)
{
    parse_sp(&c->parse);
    if (parse_peek(&c->parse) == '(') {
        imap_params_parse(c, &c->parse, SLOT_STORE);
        parse_sp(&c->parse);
    }
    parse_item(c, s);
    parse_sp(&c->parse);
    if (s->item)
        s->item->parse(c, s);
    return parse_end(&c->parse, f);
}

// RFC 7162 section 3.1.3: a CONDSTORE-aware client learns the new mod-sequence even of a silent change.
void
imap_store_tell_modseq(struct imap_command *c, const struct imap_store *s,
                       const struct flag_result *r)
{
    for (size_t i = 0; i < r->count; i++)
        if (imap_enabled(c->session, ENABLE_CONDSTORE) &&
            (r->messages[i].row.modseq == r->modseq || s->change.has_unchangedsince))
            imap_fetch_modseq_send(c->session, &r->messages[i]);
}

// RFC 7162 section 3.1.3: "[MODIFIED 7,9]", also when the answer is NO.
static void
answer_modified(struct imap_command *c, const struct flag_result *r, bool lacks)
{
    struct seqset failed;
    seqset_init(&failed, c->arena);
    for (size_t i = 0; i < r->modified_count; i++)
        seqset_add(&failed, c->uid ? r->modified[i].row.uid : r->modified[i].seq);
    buf_put(&c->answer, SPAN("[MODIFIED "));
    seqset_print(&failed, &c->answer);
    buf_put(&c->answer, SPAN("] "));
    buf_put_str(&c->answer, imap_text(c->session->language, "Conditional STORE failed"));
    c->refused = lacks;
}

// RFC 2180 section 4.2: the others were changed and told, but not all that was asked was done.
enum result
imap_store_end(struct imap_command *c, const struct imap_store *s,
               const struct flag_result *r, size_t addressed, struct fault *f)
{
    bool lacks = !c->by_uid && addressed + r->modified_count < seqset_size(&c->set);
    if (r->modified_count > 0)
        answer_modified(c, r, lacks);
    else if (!s->silent && lacks)
        return fault_set(f, FAULT_EXPUNGEISSUED, "expunged elsewhere");
    return R_OK;
}

// ---- FLAGS ----

static void
flags_parse(struct imap_command *c, struct imap_store *s)
{
    struct imap_flags flags = {0};
    imap_parse_flags(&c->parse, &flags);
    s->change.flags = flags.flags;
    s->change.keywords = flags.keywords;
    s->change.keyword_count = flags.keyword_count;
}

static enum result
flags_run(struct imap_command *c, struct imap_store *s, struct fault *f)
{
    struct flag_result result;
    if (imap_event_flags(c, &(struct selection){c->session->view, &c->set, c->by_uid},
                         &s->change, &result, f) != R_OK)
        return R_FAIL;
    if (result.keywords_changed && imap_flags_send(c->session, true, c->arena, f) != R_OK)
        return R_FAIL;
    for (size_t i = 0; !s->silent && i < result.count; i++)
        if (imap_fetch_flags_send(c->session, &result.messages[i], c->arena, f) != R_OK)
            return R_FAIL;
    if (s->silent)
        imap_store_tell_modseq(c, s, &result);
    return imap_store_end(c, s, &result, result.count, f);
}

static const struct imap_store_item flags_item = {flags_parse, flags_run};

static enum result
store_run(struct imap_command *c, struct fault *f)
{
    struct imap_store s = {0};
    c->own = &s;
    if (parse_store(c, &s, f) != R_OK || imap_params_begin(c, f) != R_OK ||
        imap_limit_newest(c, &c->set, c->by_uid, f) != R_OK)
        return R_FAIL;
    imap_condstore_aware(c);
    return s.item->run(c, &s, f);
}

static const struct imap_verb verbs[] = {
    {"STORE", ARGS_SET_MORE, IMAP_SELECTED, VERB_SEQ | VERB_UID | VERB_CHANGES, 0,
     store_run},
    {0},
};

static const struct imap_word words[] = {
    {SLOT_STORE_ITEM, "FLAGS", 0, {.store = &flags_item}},
    {0},
};

const struct imap_ext imap_ext_store = {
    .name = "store",
    .rfc = "RFC 9051 section 6.4.6",
    .verbs = verbs,
    .words = words,
};
