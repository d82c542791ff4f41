#include "imap/status.h"
#include "imap/list.h"
#include "imap/response.h"

static void
messages(struct buf *b, const struct tree_entry *e)
{
    buf_put_u64(b, e->counts.exists);
}

static void
recent(struct buf *b, const struct tree_entry *e)
{
    buf_put_u64(b, e->recent);
}

static void
uidnext(struct buf *b, const struct tree_entry *e)
{
    buf_put_u64(b, e->counts.uidnext);
}

static void
uidvalidity(struct buf *b, const struct tree_entry *e)
{
    buf_put_u64(b, e->uidvalidity);
}

static void
unseen(struct buf *b, const struct tree_entry *e)
{
    buf_put_u64(b, e->counts.unseen);
}

static void
deleted(struct buf *b, const struct tree_entry *e)
{
    buf_put_u64(b, e->counts.deleted);
}

static void
size(struct buf *b, const struct tree_entry *e)
{
    buf_put_u64(b, e->counts.size);
}

struct imap_status *
imap_status_parse(struct imap_command *c, struct parse *p)
{
    struct imap_status *st = ARENA_NEW(c->arena, struct imap_status);
    parse_list_open(p);
    while (parse_list_next(p)) {
        const struct imap_word *w = imap_word_find(SLOT_STATUS, parse_atom(p));
        bool again = false;
        for (unsigned i = 0; i < st->count; i++)
            again |= st->items[i] == w;
        if (!w || st->count == STATUS_ITEMS_MAX)
            parse_fail(p, "unknown STATUS item");
        else if (!again)
            st->items[st->count++] = w;
        c->aware |= w && (w->value & STATUS_AWARE);
    }
    if (st->count == 0)
        parse_fail(p, "no STATUS item");
    return st;
}

void
imap_status_send(struct imap_session *s, const struct imap_status *st,
                 const struct tree_entry *e)
{
    struct buf *b = imap_line(s);
    buf_put_str(b, "* STATUS ");
    imap_put_mailbox(s, b, e->name);
    for (unsigned i = 0; i < st->count; i++) {
        buf_put_str(b, i == 0 ? " (" : " ");
        buf_put_str(b, st->items[i]->name);
        buf_put_char(b, ' ');
        st->items[i]->as.status->put(b, e);
    }
    buf_put_char(b, ')');
    imap_line_send(s);
}

// What costs more than a look at the entry.
static enum result
find_values(struct imap_session *s, const struct imap_status *st, struct tree_entry *e,
            struct fault *f)
{
    for (unsigned i = 0; i < st->count; i++) {
        const struct imap_status_item *item = st->items[i]->as.status;
        enum result r = item->find ? item->find(s->user, e, f) : R_OK;
        if (r != R_OK)
            return r;
    }
    return R_OK;
}

static enum result
run_status(struct imap_command *c, struct fault *f)
{
    struct tree_entry e;
    parse_sp(&c->parse);
    struct imap_status *st = imap_status_parse(c, &c->parse);
    if (parse_end(&c->parse, f) != R_OK ||
        tree_status(c->session->user, c->arena, c->name, &e, f) != R_OK)
        return R_FAIL;
    if (e.noselect || e.nonexistent)
        return fault_set(f, FAULT_NONEXISTENT, "only a level of hierarchy");
    enum result r = find_values(c->session, st, &e, f);
    if (r != R_OK)
        return r == R_NONE ? fault_set(f, FAULT_NONEXISTENT, "went meanwhile") : R_FAIL;
    imap_condstore_aware(c);
    imap_status_send(c->session, st, &e);
    return R_OK;
}

// LIST RETURN (STATUS (...)), RFC 5819.
static void
return_parse(struct imap_command *c, struct parse *p)
{
    struct imap_list *l = c->own;
    parse_sp(p);
    l->status = imap_status_parse(c, p);
}

static enum result
return_put(struct imap_command *c, const struct tree_entry *e, struct fault *f)
{
    struct imap_list *l = c->own;
    struct tree_entry counted = *e;
    if (e->noselect || e->nonexistent || !(e->rights & RIGHT_READ))
        return R_OK;
    enum result r = find_values(c->session, l->status, &counted, f);
    if (r != R_OK)
        return r == R_NONE ? R_OK : R_FAIL;
    imap_condstore_aware(c);
    imap_status_send(c->session, l->status, &counted);
    return R_OK;
}

static const struct imap_verb verbs[] = {
    {"STATUS", ARGS_MAILBOX_MORE, IMAP_ANY, VERB_READS, RIGHT_READ, run_status},
    {.name = NULL},
};

static const struct imap_list_option list_return = {.parse = return_parse,
                                                    .put = return_put};

#define ITEM(name, ...)                                                                    \
    {                                                                                      \
        SLOT_STATUS, name, 0,                                                              \
        {                                                                                  \
            .status = &(const struct imap_status_item)                                     \
            {                                                                              \
                __VA_ARGS__                                                                \
            }                                                                              \
        }                                                                                  \
    }
static const struct imap_word words[] = {
    ITEM("MESSAGES", .put = messages),
    ITEM("RECENT", .put = recent, .find = tree_recent),
    ITEM("UIDNEXT", .put = uidnext),
    ITEM("UIDVALIDITY", .put = uidvalidity),
    ITEM("UNSEEN", .put = unseen, .find = tree_own),
    ITEM("DELETED", .put = deleted),
    ITEM("SIZE", .put = size),
    {SLOT_LIST_RETURN, "STATUS", LIST_NEEDS_READ, {.list = &list_return}},
    {.name = NULL},
};

const struct imap_ext imap_ext_status = {
    .name = "status",
    .rfc = "RFC 8438, RFC 5819",
    .capability = "STATUS=SIZE LIST-STATUS",
    .verbs = verbs,
    .words = words,
};
