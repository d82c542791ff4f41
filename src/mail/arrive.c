#include "mail/arrive.h"

#include "base/log.h"
#include "mail/intake_inside.h"
#include "mail/label_mode.h"
#include "mail/tree.h"

enum thread_mark { THREAD_MUTED = 1, THREAD_FOLLOWED = 2 };

// ---- what the reader said of the thread ----

// By keyword number; 0: the mailbox has no message with one of them.
struct numbers {
    bool any;
    uint32_t muted, followed;  // UINT32_MAX: none
};

static struct numbers
numbers_of(const struct mailbox_state *m)
{
    struct numbers n = {false, UINT32_MAX, UINT32_MAX};
    for (uint32_t i = 0; i < m->keyword_count; i++) {
        if (span_ieq(m->keywords[i], SPAN("$muted")))
            n.muted = i;
        else if (span_ieq(m->keywords[i], SPAN("$followed")))
            n.followed = i;
    }
    n.any = n.muted != UINT32_MAX || n.followed != UINT32_MAX;
    return n;
}

static unsigned
marks_of_row(const struct mailbox_state *m, const struct message_row *row,
             const struct numbers *n)
{
    size_t count;
    unsigned marks = 0;
    const uint32_t *set = keyword_sets_get(m->sets, row->keywords, &count);
    for (size_t i = 0; i < count; i++) {
        marks |= set[i] == n->muted ? THREAD_MUTED : 0;
        marks |= set[i] == n->followed ? THREAD_FOLLOWED : 0;
    }
    return marks;
}

static enum result
marks_in(struct account *a, struct mailbox *m, uint64_t threadid, unsigned *marks,
         struct fault *f)
{
    const struct numbers n = numbers_of(m->state);
    if (!n.any)
        return R_OK;
    if (mailbox_read_begin(a, m, f) != R_OK)
        return R_FAIL;
    for (uint32_t i = 0; i < m->state->counts.exists; i++) {
        yield_at(i);
        if (m->state->rows[i].threadid == threadid)
            *marks |= marks_of_row(m->state, &m->state->rows[i], &n);
    }
    mailbox_read_end(a, m);
    return R_OK;
}

static bool
anybody_marks(const struct state *s)
{
    for (uint32_t i = 0; i < s->mailbox_count; i++)
        if (numbers_of(s->mailboxes[i]).any)
            return true;
    return false;
}

// Mailboxes may come and go while one is read.
static enum result
marks_of(struct account *a, const struct intake *in, unsigned *marks_out, struct fault *f)
{
    uint64_t threadid;
    *marks_out = 0;
    if (!anybody_marks(account_state(a)))
        return R_OK;
    enum result r = R_NONE;
    for (size_t i = 0; r == R_NONE && i < in->key_count; i++)
        r = thread_find(a, in->keys[i], &threadid, f);
    if (r != R_OK)
        return r == R_NONE ? R_OK : R_FAIL;
    size_t n = account_state(a)->mailbox_count;
    struct arena *arena = arena_new_small();
    uint64_t *ids = arena_array(arena, n, sizeof *ids);
    for (size_t i = 0; i < n; i++)
        ids[i] = account_state(a)->mailboxes[i]->id;
    for (size_t i = 0; r == R_OK && i < n; i++) {
        struct mailbox *m = mailbox_of(a, ids[i]);
        if (m)
            r = marks_in(a, m, threadid, marks_out, f);
    }
    arena_free(&arena);
    return r;
}

// ---- places ----

static uint64_t
with_use(const struct state *s, enum special_use use)
{
    for (uint32_t i = 0; i < s->mailbox_count; i++)
        if (s->mailboxes[i]->special_use == (uint8_t)use &&
            !(s->mailboxes[i]->flags & MAILBOX_NOSELECT))
            return s->mailboxes[i]->id;
    return 0;
}

static struct mailbox_ref
ref_to(struct account *a, uint64_t mailbox)
{
    return (struct mailbox_ref){NULL, a, mailbox, RIGHTS_ALL};
}

static void
put_muted(struct account *a, struct arrive_place *p)
{
    uint64_t all = 0;
    bool labels = label_mode(a, &all);
    uint64_t archive = labels ? all : with_use(account_state(a), USE_ARCHIVE);
    p->flags = FLAG_SEEN;
    p->quiet = true;
    if (archive != 0)
        p->ref = ref_to(a, archive);
}

enum result
arrive_place(struct account *a, const struct arrive_ask *ask, struct arrive_place *out,
             struct fault *f)
{
    struct arrive_place p = {.keyword = SPAN_NONE};
    unsigned marks = 0;
    uint64_t junk = ask->junk ? with_use(account_state(a), USE_JUNK) : 0;
    if (junk != 0) {
        *out = (struct arrive_place){.ref = ref_to(a, junk), .quiet = true};
        return R_OK;
    }
    if (intake_delivery_target(a, ask->detail, &p.ref, f) != R_OK ||
        marks_of(a, ask->intake, &marks, f) != R_OK)
        return R_FAIL;
    if (marks & THREAD_FOLLOWED)
        p.keyword = SPAN("$notify");
    else if (marks & THREAD_MUTED)
        put_muted(a, &p);
    *out = p;
    return R_OK;
}

struct intake_params
arrive_params(const struct arrive_place *p)
{
    return (struct intake_params){.flags = p->flags,
                                  .keywords = &p->keyword,
                                  .keyword_count = p->keyword.p ? 1 : 0,
                                  .quota = QUOTA_DELIVERY};
}
