#include "imap/fetch.h"
#include "imap/flags.h"
#include "imap/messagelimit.h"
#include "imap/store.h"

#include "mail/change.h"

// RFC 9051 section 6.4.6: STORE and UID STORE.

static bool
parse_op(struct imap_command *c, struct imap_store *s)
{
    static const struct {
        const char *name;
        enum flag_op op;
        bool silent;
    } rows[] = {
        {"FLAGS", FLAG_OP_SET, false},     {"FLAGS.SILENT", FLAG_OP_SET, true},
        {"+FLAGS", FLAG_OP_ADD, false},    {"+FLAGS.SILENT", FLAG_OP_ADD, true},
        {"-FLAGS", FLAG_OP_REMOVE, false}, {"-FLAGS.SILENT", FLAG_OP_REMOVE, true},
    };
    struct span word = parse_atom(&c->parse);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (span_ieq(word, span_str(rows[i].name))) {
            s->change.op = rows[i].op;
            s->silent = rows[i].silent;
            return true;
        }
    parse_fail(&c->parse, "FLAGS, +FLAGS or -FLAGS expected");
    return false;
}

static enum result
parse_store(struct imap_command *c, struct imap_store *s, struct fault *f)
{
    struct imap_flags flags = {0};
    parse_sp(&c->parse);
    if (parse_peek(&c->parse) == '(') {
        imap_params_parse(c, &c->parse, SLOT_STORE);
        parse_sp(&c->parse);
    }
    if (parse_op(c, s)) {
        parse_sp(&c->parse);
        imap_parse_flags(&c->parse, &flags);
    }
    s->change.flags = flags.flags;
    s->change.keywords = flags.keywords;
    s->change.keyword_count = flags.keyword_count;
    return parse_end(&c->parse, f);
}

// RFC 7162 section 3.1.3: a CONDSTORE-aware client learns the new mod-sequence even of a silent change.
static enum result
tell(struct imap_command *c, const struct imap_store *s, const struct flag_result *r,
     struct fault *f)
{
    for (size_t i = 0; i < r->count; i++) {
        const struct view_message *m = &r->messages[i];
        if (!s->silent) {
            if (imap_fetch_flags_send(c->session, m, c->arena, f) != R_OK)
                return R_FAIL;
        } else if (imap_enabled(c->session, ENABLE_CONDSTORE) &&
                   (m->row.modseq == r->modseq || s->change.has_unchangedsince)) {
            imap_fetch_modseq_send(c->session, m);
        }
    }
    return R_OK;
}

// RFC 2180 section 4.2: the others were changed and told, but not all that was asked was done.
static bool
lacks_expunged(const struct imap_command *c, const struct flag_result *r)
{
    return !c->by_uid && r->count + r->modified_count < seqset_size(&c->set);
}

// RFC 7162 section 3.1.3: "[MODIFIED 7,9]", also when the answer is NO.
static void
answer_modified(struct imap_command *c, const struct flag_result *r)
{
    struct seqset failed;
    seqset_init(&failed, c->arena);
    for (size_t i = 0; i < r->modified_count; i++)
        seqset_add(&failed, c->uid ? r->modified[i].row.uid : r->modified[i].seq);
    buf_put(&c->answer, SPAN("[MODIFIED "));
    seqset_print(&failed, &c->answer);
    buf_put(&c->answer, SPAN("] Conditional STORE failed"));
    c->refused = lacks_expunged(c, r);
}

static enum result
store_run(struct imap_command *c, struct fault *f)
{
    struct imap_store s = {0};
    struct flag_result result;
    c->own = &s;
    if (parse_store(c, &s, f) != R_OK || imap_params_begin(c, f) != R_OK ||
        imap_limit_newest(c, &c->set, c->by_uid, f) != R_OK)
        return R_FAIL;
    imap_condstore_aware(c);
    if (change_flags(&(struct selection){c->session->view, &c->set, c->by_uid}, &s.change,
                     c->arena, &result, f) != R_OK)
        return R_FAIL;
    if (result.keywords_changed && imap_flags_send(c->session, true, c->arena, f) != R_OK)
        return R_FAIL;
    if (tell(c, &s, &result, f) != R_OK)
        return R_FAIL;
    if (result.modified_count > 0)
        answer_modified(c, &result);
    else if (!s.silent && lacks_expunged(c, &result))
        return fault_set(f, FAULT_EXPUNGEISSUED, "expunged elsewhere");
    return R_OK;
}

static const struct imap_verb verbs[] = {
    {"STORE", ARGS_SET_MORE, IMAP_SELECTED, VERB_SEQ | VERB_UID | VERB_CHANGES, 0,
     store_run},
    {0},
};

const struct imap_ext imap_ext_store = {
    .name = "store",
    .rfc = "RFC 9051 section 6.4.6",
    .verbs = verbs,
};
