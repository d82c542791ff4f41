#include "imap/labels.h"

#include "base/limits.h"
#include "imap/response.h"
#include "imap/search.h"
#include "wire/quote.h"

static const struct system_label {
    const char *text;  // the first of its kind is what is written
    enum imap_label_kind kind;
    enum special_use use;
} system_labels[] = {
    {"\\Inbox", LABEL_USE, USE_NONE},
    {"\\Sent", LABEL_USE, USE_SENT},
    {"\\Drafts", LABEL_USE, USE_DRAFTS},
    {"\\Draft", LABEL_USE, USE_DRAFTS},
    {"\\Trash", LABEL_USE, USE_TRASH},
    {"\\Deleted", LABEL_USE, USE_TRASH},
    {"\\Spam", LABEL_USE, USE_JUNK},
    {"\\Junk", LABEL_USE, USE_JUNK},
    {"\\Starred", LABEL_STARRED, USE_NONE},
    {"\\Flagged", LABEL_STARRED, USE_NONE},
    {"\\Important", LABEL_IMPORTANT, USE_NONE},
};
enum { SYSTEM_LABELS = sizeof system_labels / sizeof system_labels[0] };

// ---- reading ----

struct imap_label
imap_label_parse(struct parse *p)
{
    struct imap_label l = {.kind = LABEL_NAME};
    l.name = parse_peek(p) == '\\' ? parse_flag(p) : parse_mailbox(p);
    if (p->bad || l.name.n == 0 || l.name.p[0] != '\\')
        return l;
    for (size_t i = 0; i < SYSTEM_LABELS; i++)
        if (span_ieq(l.name, span_str(system_labels[i].text)))
            return (struct imap_label){system_labels[i].kind, system_labels[i].use, l.name};
    parse_fail_kind(p, FAULT_CANNOT, "no such system label");
    return l;
}

enum result
imap_label_find(struct imap_command *c, struct view *v, const struct imap_label *l,
                struct label_target *out, struct fault *f)
{
    struct mailbox_ref ref;
    out->rights = RIGHTS_ALL;  // less what acl_rights says, when it is used
    if (l->kind == LABEL_USE) {
        if (label_of_use(v, l->use, &out->mailbox, f) != R_OK)
            return R_FAIL;
        return out->mailbox != 0 ? R_OK : R_NONE;
    }
    if (mail_access(c->session->user, l->name, 0, &ref, f) != R_OK)
        return f->kind == FAULT_NONEXISTENT || f->kind == FAULT_CANNOT ? R_NONE : R_FAIL;
    if (ref.account != view_account(v))
        return fault_set(f, FAULT_CANNOT, "label of another account");
    *out = (struct label_target){ref.mailbox, ref.rights};
    return R_OK;
}

// The key becomes a set of UIDs. What cannot be a label of a message here, none has.
static enum result
bind_label(struct imap_search *s, struct view *v, const struct imap_search_bind *b,
           struct fault *f)
{
    struct label_target target = {0};
    struct seqset *set = ARENA_NEW(s->arena, struct seqset);
    seqset_init(set, s->arena);
    b->query->set = set;
    enum result r = imap_label_find(s->c, v, b->label, &target, f);
    if (r == R_OK)
        r = label_holders(v, target.mailbox, s->arena, set, f);
    return r == R_FAIL && f->kind != FAULT_CANNOT ? R_FAIL : R_OK;
}

void
imap_label_search(struct imap_search *s, const struct imap_label *l, struct query *q)
{
    if (l->kind == LABEL_STARRED) {
        *q = (struct query){.op = QUERY_FLAG, .number = FLAG_FLAGGED};
        return;
    }
    if (l->kind == LABEL_IMPORTANT) {
        *q = (struct query){.op = QUERY_KEYWORD, .text = SPAN("$Important")};
        return;
    }
    struct imap_label *label = ARENA_NEW(s->c->arena, struct imap_label);
    *label = *l;
    s->looked_up = true;
    *q = (struct query){.op = QUERY_UIDS};
    imap_search_bind_add(s,
                         &(struct imap_search_bind){q, bind_label, SPAN_NONE, label, NULL});
}

// ---- writing ----

struct imap_labels {
    struct imap_session *session;
    struct arena *names, *lists;  // of the command, of the batch
    struct label_reader *reader;
    const struct view_message *batch;
    struct label_list *found;
};

struct imap_labels *
imap_labels_new(struct imap_command *c)
{
    struct imap_labels *l = calloc(1, sizeof *l);
    must(l != NULL);
    l->session = c->session;
    l->names = arena_new();
    l->lists = arena_new();
    l->reader = label_reader_new(c->session->user, c->session->view, l->names);
    return l;
}

void
imap_labels_free(struct imap_labels **lp)
{
    struct imap_labels *l = *lp;
    if (!l)
        return;
    label_reader_free(&l->reader);
    arena_free(&l->lists);
    arena_free(&l->names);
    free(l);
    *lp = NULL;
}

enum result
imap_labels_next(struct imap_labels *l, const struct view_message *batch, size_t n,
                 struct fault *f)
{
    arena_reset(l->lists);
    l->batch = batch;
    l->found = arena_array(l->lists, n, sizeof *l->found);
    return label_reader_next(l->reader, batch, n, l->lists, l->found, f);
}

static const char *
system_text(const struct label *label)
{
    if (label->use == USE_NONE && !label->inbox)
        return NULL;
    for (size_t i = 0; i < SYSTEM_LABELS; i++)
        if (system_labels[i].kind == LABEL_USE && system_labels[i].use == label->use)
            return system_labels[i].text;
    return NULL;
}

// As it is sent, made once for each label of the command.
static struct span
text_of(struct imap_labels *l, struct label *label)
{
    struct span *text = label->own;
    struct buf b;
    if (text)
        return *text;
    const char *system = system_text(label);
    buf_init(&b, LIMIT_answer_line);
    if (system)
        quote_string(&b, span_str(system), false);
    else
        imap_put_mailbox(l->session, &b, label->name);
    label->own = text = ARENA_NEW(l->names, struct span);
    *text = arena_dup(l->names, buf_span(&b));
    buf_done(&b);
    return *text;
}

void
imap_labels_put(struct imap_labels *l, struct buf *b, const struct view_message *message)
{
    const struct label_list *list = &l->found[message - l->batch];
    buf_put_char(b, '(');
    for (size_t i = 0; i < list->n; i++)
        imap_put_word(b, text_of(l, list->labels[i]));
    if (message->row.flags & FLAG_FLAGGED)
        imap_put_word(b, SPAN("\"\\\\Starred\""));
    if (list->important)
        imap_put_word(b, SPAN("\"\\\\Important\""));
    buf_put_char(b, ')');
}
