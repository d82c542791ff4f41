#include "mail/columns_inside.h"

#include "base/budget.h"
#include "base/clock.h"

// More messages than this, that are not in the mailbox any more, and a column is made anew.
enum { GONE_MOST = 1000 };

struct mailbox_columns {
    struct column *kept[COLUMN_KINDS];
    uint32_t refused[COLUMN_KINDS];  // messages of one that was too large; 0: none was
    uint32_t uidvalidity;
    uint64_t used_ms;
};

static size_t
octets_of(const struct mailbox *m)
{
    size_t octets = 0;
    for (unsigned i = 0; m && m->columns && i < COLUMN_KINDS; i++)
        octets += column_memory(m->columns->kept[i]);
    return octets;
}

void
mail_columns_free(struct mailbox *m)
{
    if (!m->columns)
        return;
    for (unsigned i = 0; i < COLUMN_KINDS; i++)
        column_unref(&m->columns->kept[i]);
    free(m->columns);
    m->columns = NULL;
}

size_t
mail_columns_drop(struct account *a, uint64_t now_ms, uint64_t unused_ms)
{
    size_t dropped = 0;
    for (uint32_t i = 0; i < a->kept_state->mailbox_count; i++) {
        struct mailbox *m = a->kept_state->mailboxes[i]->mail;
        if (!m || !m->columns || now_ms - m->columns->used_ms < unused_ms)
            continue;
        dropped += octets_of(m);
        mail_columns_free(m);
    }
    return dropped;
}

struct call {
    unsigned kind;
    struct column *column;
    bool useless;
};

// With fewer messages than those that were too many it may be kept.
static bool
would_be_kept(const struct mailbox *m, unsigned kind)
{
    return !budget_over_soft() && (!m->columns || m->columns->refused[kind] == 0 ||
                                   m->state->counts.exists < m->columns->refused[kind]);
}

static void
look(struct mailbox *m, unsigned kind)
{
    struct column **kept = &m->columns->kept[kind];
    if (m->columns->uidvalidity != m->state->uidvalidity) {
        mail_columns_free(m);
        return;
    }
    if (*kept && (*kept)->count > (uint64_t)m->state->counts.exists * 2 + GONE_MOST)
        column_unref(kept);
    m->columns->used_ms = clock_mono_ms();
}

static enum result
get(struct view *v, void *arg, struct fault *f)
{
    struct call *c = arg;
    struct mailbox *m = v->mailbox;
    (void)f;
    c->useless = true;
    if (!m->state || v->uidvalidity != m->state->uidvalidity)
        return R_OK;
    if (m->columns)
        look(m, c->kind);
    c->column = m->columns ? column_ref(m->columns->kept[c->kind]) : NULL;
    c->useless = !c->column && !would_be_kept(m, c->kind);
    return R_OK;
}

enum result
mail_column_get(struct view *v, unsigned kind, struct column **out)
{
    struct call c = {.kind = kind};
    struct fault f;
    must(view_run(v, get, &c, &f) == R_OK);
    *out = c.column;
    return c.useless ? R_NONE : R_OK;
}

// Makes room in the account: first columns of other mailboxes go, then other ones of this.
static void
make_room(struct account *a, struct mailbox *m, const struct call *c)
{
    size_t all = column_memory(c->column);
    for (uint32_t i = 0; i < account_state(a)->mailbox_count; i++)
        all += octets_of(account_state(a)->mailboxes[i]->mail);
    for (uint32_t i = 0; i < account_state(a)->mailbox_count; i++) {
        struct mailbox *other = account_state(a)->mailboxes[i]->mail;
        if (all <= LIMIT_column_octets)
            return;
        if (!other || other == m)
            continue;
        all -= octets_of(other);
        mail_columns_free(other);
    }
    for (unsigned i = 0; i < COLUMN_KINDS && all > LIMIT_column_octets; i++)
        if (i != c->kind) {
            all -= column_memory(m->columns->kept[i]);
            column_unref(&m->columns->kept[i]);
        }
}

static void
columns_new(struct mailbox *m)
{
    if (m->columns && m->columns->uidvalidity != m->state->uidvalidity)
        mail_columns_free(m);
    if (m->columns)
        return;
    m->columns = calloc(1, sizeof *m->columns);
    must(m->columns != NULL);
    m->columns->uidvalidity = m->state->uidvalidity;
    m->columns->used_ms = clock_mono_ms();
}

static enum result
offer(struct view *v, void *arg, struct fault *f)
{
    struct call *c = arg;
    struct mailbox *m = v->mailbox;
    (void)f;
    if (!m->state || v->uidvalidity != m->state->uidvalidity || budget_over_soft())
        return R_OK;
    columns_new(m);
    struct column **kept = &m->columns->kept[c->kind];
    if (*kept && (*kept)->count >= c->column->count)
        return R_OK;
    column_unref(kept);
    if (column_memory(c->column) > LIMIT_column_octets) {
        m->columns->refused[c->kind] = c->column->count;
        return R_OK;
    }
    make_room(v->account, m, c);
    *kept = column_ref(c->column);
    return R_OK;
}

void
mail_column_offer(struct view *v, unsigned kind, struct column *column)
{
    struct call c = {.kind = kind, .column = column};
    struct fault f;
    must(view_run(v, offer, &c, &f) == R_OK);
}

struct search_ledger *
mail_search_ledger(struct account *a)
{
    return &a->use.searching;
}
