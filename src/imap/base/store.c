#include "imap/fetch.h"
#include "imap/flags.h"

#include "mail/change.h"

// RFC 9051 section 6.4.6: STORE and UID STORE.

struct store_args {
    struct flag_change change;
    bool silent;
};

static bool
parse_op(struct imap_command *c, struct store_args *s)
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
parse_store(struct imap_command *c, struct store_args *s, struct fault *f)
{
    struct imap_flags flags = {0};
    parse_sp(&c->parse);
    if (parse_op(c, s)) {
        parse_sp(&c->parse);
        imap_parse_flags(&c->parse, &flags);
    }
    s->change.flags = flags.flags;
    s->change.keywords = flags.keywords;
    s->change.keyword_count = flags.keyword_count;
    return parse_end(&c->parse, f);
}

static enum result
tell(struct imap_command *c, const struct flag_result *result, struct fault *f)
{
    for (size_t i = 0; i < result->count; i++)
        if (imap_fetch_flags_send(c->session, &result->messages[i], c->arena, f) != R_OK)
            return R_FAIL;
    return R_OK;
}

// RFC 2180 section 4.2: the others were changed and told, but not all that was asked was done.
static enum result
check_expunged(const struct imap_command *c, const struct flag_result *r, struct fault *f)
{
    if (!c->by_uid && r->count + r->modified_count < seqset_size(&c->set))
        return fault_set(f, FAULT_EXPUNGEISSUED, "expunged elsewhere");
    return R_OK;
}

static enum result
store_run(struct imap_command *c, struct fault *f)
{
    struct store_args s = {0};
    struct flag_result result;
    if (parse_store(c, &s, f) != R_OK)
        return R_FAIL;
    if (change_flags(&(struct selection){c->session->view, &c->set, c->by_uid}, &s.change,
                     c->arena, &result, f) != R_OK)
        return R_FAIL;
    if (result.keywords_changed && imap_flags_send(c->session, true, c->arena, f) != R_OK)
        return R_FAIL;
    if (s.silent)
        return R_OK;
    return tell(c, &result, f) == R_OK ? check_expunged(c, &result, f) : R_FAIL;
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
