#include "mail/labels.h"

#include "mail/acl_fold.h"
#include "mail/label_index.h"
#include "mail/mount.h"
#include "mail/name.h"

enum { SLICE = 16384 };

struct known {
    UT_hash_handle hh;
    uint64_t mailbox;
    struct label *label;  // NULL: it is no label here
};

struct label_reader {
    struct view *view;
    const struct mount *mount;
    struct arena *arena;
    struct known *known;
};

// ---- the labels of messages ----

struct label_reader *
label_reader_new(struct mail_user *u, struct view *v, struct arena *a)
{
    struct label_reader *r = calloc(1, sizeof *r);
    must(r != NULL);
    r->view = v;
    r->arena = a;
    for (r->mount = &u->own; r->mount->next && r->mount->account != v->account;)
        r->mount = r->mount->next;
    return r;
}

void
label_reader_free(struct label_reader **rp)
{
    struct label_reader *r = *rp;
    struct known *k, *next;
    if (!r)
        return;
    HASH_ITER(hh, r->known, k, next)
    {
        HASH_DEL(r->known, k);
        free(k);
    }
    free(r);
    *rp = NULL;
}

static bool
may_know(const struct view *v, uint64_t mailbox)
{
    return !v->user.who || acl_rights(v->user.who, v->account, mailbox) != 0;
}

// Not the mailbox itself, not what only exists as a level, and not \All, which holds everything.
static struct label *
label_make(const struct label_reader *r, uint64_t mailbox)
{
    struct state *s = account_state(r->view->account);
    const struct mailbox_state *m = state_mailbox(s, mailbox);
    if (!m || !may_know(r->view, mailbox) || mailbox == r->view->mailbox_id ||
        (m->flags & MAILBOX_NOSELECT) || m->special_use == USE_ALL)
        return NULL;
    struct label *l = ARENA_NEW(r->arena, struct label);
    struct span name = name_full(r->arena, s, m);
    l->mailbox = mailbox;
    l->name = mount_name(r->arena, r->mount, name);
    l->use = m->special_use;
    l->inbox = m->parent == 0 && name_is_inbox(m->name);
    return l;
}

static struct label *
label_of(struct label_reader *r, uint64_t mailbox)
{
    struct known *k;
    HASH_FIND(hh, r->known, &mailbox, sizeof mailbox, k);
    if (!k) {
        k = calloc(1, sizeof *k);
        must(k != NULL);
        k->mailbox = mailbox;
        k->label = label_make(r, mailbox);
        HASH_ADD(hh, r->known, mailbox, sizeof k->mailbox, k);
    }
    return k->label;
}

struct read_call {
    struct label_reader *reader;
    const struct view_message *messages;
    size_t n;
    struct arena *arena;
    struct label_list *out;
};

static int
label_order(const void *a, const void *b)
{
    const struct label *const *x = a, *const *y = b;
    return (*x)->mailbox < (*y)->mailbox ? -1 : (*x)->mailbox > (*y)->mailbox;
}

static void
list_labels(struct read_call *c, uint64_t emailid, struct label_list *out)
{
    const struct account *a = c->reader->view->account;
    size_t n = 0;
    for (const struct label_place *p = label_places(a, emailid); p;
         p = label_places_next(a, p))
        n++;
    out->labels = arena_array(c->arena, n, sizeof *out->labels);
    for (const struct label_place *p = label_places(a, emailid); p;
         p = label_places_next(a, p)) {
        struct label *l = label_of(c->reader, label_slot_mailbox(a, p->slot));
        if (l)
            out->labels[out->n++] = l;
    }
    if (out->n > 1)
        qsort(out->labels, out->n, sizeof *out->labels, label_order);
}

// The mailbox's number of $Important; its count of keywords when it has none.
static uint32_t
important_number(const struct mailbox *m)
{
    uint32_t i = 0;
    while (i < m->state->keyword_count &&
           !span_ieq(m->state->keywords[i], SPAN("$Important")))
        i++;
    return i;
}

static bool
has_number(const struct mailbox *m, uint32_t set, uint32_t number)
{
    size_t n;
    const uint32_t *numbers = keyword_sets_get(m->state->sets, set, &n);
    for (size_t i = 0; i < n; i++)
        if (numbers[i] == number)
            return true;
    return false;
}

static enum result
read_labels(struct view *v, void *arg, struct fault *f)
{
    struct read_call *c = arg;
    if (label_index_ready(v->account, f) != R_OK)
        return R_FAIL;
    if (v->gone)
        return fault_set(f, FAULT_NONEXISTENT, "mailbox was deleted");
    uint32_t important = important_number(v->mailbox);
    bool named = important < v->mailbox->state->keyword_count;
    for (size_t i = 0; i < c->n; i++) {
        c->out[i] = (struct label_list){0};
        list_labels(c, c->messages[i].row.emailid, &c->out[i]);
        uint32_t set = c->messages[i].row.keywords;
        c->out[i].important = named && set != 0 && has_number(v->mailbox, set, important);
    }
    return R_OK;
}

enum result
label_reader_next(struct label_reader *r, const struct view_message *messages, size_t n,
                  struct arena *a, struct label_list *out, struct fault *f)
{
    struct read_call c = {r, messages, n, a, out};
    return view_run(r->view, read_labels, &c, f);
}

// ---- a label by its use ----

struct use_call {
    enum special_use use;
    uint64_t *out;
};

static enum result
find_use(struct view *v, void *arg, struct fault *f)
{
    const struct use_call *c = arg;
    struct account *a = v->account;
    (void)f;
    *c->out = 0;
    if (c->use == USE_NONE) {
        const struct mailbox_state *inbox = name_find(a, SPAN("INBOX"));
        *c->out = inbox && may_know(v, inbox->id) ? inbox->id : 0;
        return R_OK;
    }
    for (uint32_t i = 0; i < account_state(a)->mailbox_count; i++)
        if (account_state(a)->mailboxes[i]->special_use == c->use &&
            may_know(v, account_state(a)->mailboxes[i]->id))
            *c->out = account_state(a)->mailboxes[i]->id;
    return R_OK;
}

enum result
label_of_use(struct view *v, enum special_use use, uint64_t *mailbox_out, struct fault *f)
{
    struct use_call c = {use, mailbox_out};
    return view_run(v, find_use, &c, f);
}

// ---- messages of a label ----

struct holders_call {
    uint64_t mailbox;
    uint32_t uid;  // up to here they were looked at
    struct seqset *out;
};

// What was expunged and is not told yet is in the view too.
static void
hold_ghosts(struct view *v, struct holders_call *c, uint32_t last)
{
    for (size_t i = 0; i < v->ghosts.count; i++) {
        const struct message_row *row = &v->ghosts.rows[i];
        if (row->uid > c->uid && row->uid <= last &&
            label_held(v->account, row->emailid, c->mailbox))
            seqset_add(c->out, row->uid);
    }
}

// Loading the one may take so long that the other is dropped.
static enum result
index_and_table(struct view *v, struct fault *f)
{
    do {
        if (label_index_ready(v->account, f) != R_OK || view_table(v, f) != R_OK)
            return R_FAIL;
    } while (!label_index_whole(v->account));
    return R_OK;
}

static enum result
hold_slice(struct view *v, void *arg, struct fault *f)
{
    struct holders_call *c = arg;
    if (index_and_table(v, f) != R_OK)
        return R_FAIL;
    const struct mailbox_state *s = v->mailbox->state;
    uint32_t from = state_row_at(s, c->uid + 1), end = s->counts.exists;
    if (end - from > SLICE)
        end = from + SLICE;
    uint32_t last = end < s->counts.exists ? s->rows[end - 1].uid : v->last_uid;
    hold_ghosts(v, c, last);
    for (uint32_t i = from; i < end && s->rows[i].uid <= v->last_uid; i++)
        if (label_held(v->account, s->rows[i].emailid, c->mailbox))
            seqset_add(c->out, s->rows[i].uid);
    c->uid = last;
    return R_OK;
}

enum result
label_holders(struct view *v, uint64_t mailbox, struct arena *a, struct seqset *out,
              struct fault *f)
{
    struct holders_call c = {mailbox, 0, out};
    seqset_init(out, a);
    if (mailbox == v->mailbox_id) {
        seqset_add_range(out, 1, UINT32_MAX);
        return R_OK;
    }
    while (c.uid < v->last_uid) {
        if (view_run(v, hold_slice, &c, f) != R_OK)
            return R_FAIL;
        task_yield();
    }
    return R_OK;
}
