#include "mail/acl_fold.h"
#include "mail/mount.h"
#include "mail/private.h"
#include "mail/tree_record.h"

#include "base/limits.h"
#include "base/log.h"

struct open_call {
    struct account *account;
    const struct mailbox_ref *ref;
    struct view *view;
    struct fault *fault;
    enum result result;
};

static enum result
recent_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    struct record_recent *r = arg;
    struct buf meta;
    (void)f;
    if (!state_mailbox(account_state(a), r->mailbox))
        return R_OK;
    buf_init(&meta, LIMIT_record_meta);
    record_recent_put(&meta, r);
    store_batch_add(b, RECORD_RECENT, buf_span(&meta), NULL);
    buf_done(&meta);
    return R_OK;
}

struct recent_job {
    struct account *account;
    struct record_recent record;
};

// Nobody waits for this: after a crash a message may be recent once more.
static void
recent_task(void *arg)
{
    struct recent_job *job = arg;
    struct fault f;
    if (account_change(job->account, recent_change, &job->record, 0, NULL, &f) != R_OK)
        log_warning("mail", "recent mark not kept", log_user(job->account->user),
                    log_fault(&f));
    account_unref(job->account);
    free(job);
}

static void
recent_advance(struct account *a, struct mailbox *m, uint32_t mark)
{
    struct recent_job *job = calloc(1, sizeof *job);
    must(job != NULL);
    job->account = a;
    job->record = (struct record_recent){m->id, mark};
    m->recent_taken = mark;
    a->use.refs++;  // the task may have to wait for its turn
    task_start(recent_task, job);
}

static void
range_add(struct view *v, uint32_t first, uint32_t last)
{
    if (v->recent_ranges > 0 && v->recents[v->recent_ranges - 1].last + 1 == first) {
        v->recents[v->recent_ranges - 1].last = last;
        return;
    }
    size_t one = sizeof *v->recents;
    v->recents =
        keep_grow(v->recents, v->recent_ranges * one, (v->recent_ranges + 1) * one);
    v->recents[v->recent_ranges++] = (struct uid_range){first, last};
}

// How many messages of [first, last] exist now. Table loaded, or the range is empty.
static uint32_t
rows_between(const struct mailbox *m, uint32_t first, uint32_t last)
{
    uint32_t from = state_row_at(m->state, first);
    uint32_t to =
        last == UINT32_MAX ? m->state->counts.exists : state_row_at(m->state, last + 1);
    return to - from;
}

// From this UID on messages the view was not told of are \Recent in it.
static uint32_t
recent_from(const struct view *v)
{
    uint32_t mark = mailbox_recent_mark(v->mailbox);
    // A read-only view leaves the mark where it is.
    return mark > v->last_uid ? mark : v->last_uid + 1;
}

// The messages the view is about to be told of, from the mark on, are \Recent here, and nowhere else when this
// session may take them.
void
view_take_recent(struct view *v)
{
    struct mailbox *m = v->mailbox;
    uint32_t uidnext = m->state->counts.uidnext, first = recent_from(v);
    if (first >= uidnext)
        return;
    uint32_t n = first == 1 ? m->state->counts.exists : rows_between(m, first, uidnext - 1);
    if (n > 0)
        range_add(v, first, uidnext - 1);
    v->recent += n;
    if (!v->read_only)
        recent_advance(v->account, m, uidnext);
}

static uint32_t
unseen(const struct view *v)
{
    return private_unseen(v->account, v->mailbox, v->mine.set);
}

// Is it remembered? Of a foreign user with the set, of all others with the mailbox.
static bool
first_is_known(const struct view *v)
{
    return v->mine.mask & FLAG_SEEN ? v->mine.set->first_known : v->mailbox->first.known;
}

// Sequence number of the first unseen message, 0 when all are seen; remembered until flags change.
static void
first_unseen(struct view *v)
{
    struct mailbox *m = v->mailbox;
    if (unseen(v) == 0 || (!first_is_known(v) && !m->state->loaded))
        return;
    if (v->mine.mask & FLAG_SEEN) {
        v->first_unseen = private_first_unseen(m, v->mine.set);
        return;
    }
    if (!m->first.known) {
        uint32_t i = 0;
        while (i < m->state->counts.exists && (m->state->rows[i].flags & FLAG_SEEN))
            i++;
        m->first.seq = i < m->state->counts.exists ? i + 1 : 0;
        m->first.known = true;
    }
    v->first_unseen = m->first.seq;
}

static bool
opening_needs_table(const struct view *v)
{
    const struct mailbox *m = v->mailbox;
    uint32_t first = recent_from(v);
    bool look = unseen(v) > 0 && !first_is_known(v);
    return (look && m->state->counts.exists <= LIMIT_unseen_scan) ||
           (first > 1 && first < m->state->counts.uidnext);
}

static void
link_view(struct view *v, struct mailbox *m)
{
    v->mailbox = m;
    v->next = m->views;
    v->prev = &m->views;
    if (m->views)
        m->views->prev = &v->next;
    m->views = v;
}

static void
unlink_view(struct view *v)
{
    *v->prev = v->next;
    if (v->next)
        v->next->prev = v->prev;
}

static void
begin_here(struct view *v)
{
    struct mailbox *m = v->mailbox;
    v->mailbox_id = m->id;
    v->uidvalidity = m->state->uidvalidity;
    v->uidnext = m->state->counts.uidnext;
    v->exists = m->state->counts.exists;
    v->last_uid = v->uidnext - 1;
    v->modseq = private_position(m);
    v->mine.highest = v->told = private_highest(m, v->mine.set);
    v->version = v->ghosts.version = m->version;
    v->user.keywords = m->state->keyword_count;
}

static enum result
open_view(struct open_call *c)
{
    struct view *v = c->view;
    struct mailbox *m = mailbox_of(c->account, c->ref->mailbox);
    if (!m)
        return fault_set(c->fault, FAULT_NONEXISTENT, "no such mailbox");
    link_view(v, m);
    c->account->use.refs++;
    if (private_open(c->account, m, v->mine.user, &v->mine.set, c->fault) != R_OK)
        return R_FAIL;
    // Waiting and loading suspend: what is read afterwards is read in one go.
    mailbox_settle(c->account, m);
    while (!v->gone && !m->state->loaded && opening_needs_table(v))
        if (mailbox_load(c->account, m, c->fault) != R_OK)
            return R_FAIL;
    if (v->gone)
        return fault_set(c->fault, FAULT_NONEXISTENT, "mailbox was deleted");
    v->rights = ref_rights(c->ref);
    uint32_t had = c->ref->rights & (RIGHT_LOOKUP | RIGHT_READ);
    if ((had & RIGHT_LOOKUP) && acl_check(v->rights, had, c->fault) != R_OK)
        return R_FAIL;
    first_unseen(v);
    view_take_recent(v);
    begin_here(v);
    return R_OK;
}

static void
open_run(void *arg)
{
    struct open_call *c = arg;
    c->result = open_view(c);
}

static void
user_link(struct view *v, const struct mail_user *user)
{
    struct mail_user *u = (struct mail_user *)(uintptr_t)user;
    if (!u)
        return;
    // the user may have become another while the view was opened
    if (v->user.who != mail_user_who(u))
        view_become(v, (struct acl_who *)(uintptr_t)mail_user_who(u));
    v->user.next = u->views;
    v->user.at = &u->views;
    if (u->views)
        u->views->user.at = &v->user.next;
    u->views = v;
}

static void
user_unlink(struct view *v)
{
    if (!v->user.at)
        return;
    *v->user.at = v->user.next;
    if (v->user.next)
        v->user.next->user.at = v->user.at;
}

struct become_job {
    struct view *view;
    struct acl_who *who;
};

static void
become_run(void *arg)
{
    struct become_job *job = arg;
    acl_who_unref(&job->view->user.who);
    job->view->user.who = job->who;
    view_rights_settle(job->view);
    free(job);
}

// The view lives until its close, which is posted behind this.
void
view_become(struct view *v, struct acl_who *who)
{
    struct become_job *job = calloc(1, sizeof *job);
    must(job != NULL);
    *job = (struct become_job){v, acl_who_ref(who)};
    loop_post(mail_home(v->account->mail, v->account->id), become_run, job);
}

enum result
view_open(const struct mailbox_ref *ref, bool read_only, view_poke_fn *poke, void *arg,
          struct view **v_out, struct fault *f)
{
    struct view *v = KEEP_NEW(struct view);
    v->account = ref->account;
    v->read_only = read_only;
    v->rights = ref->rights;
    v->user.told = true;
    v->user.who =
        ref->user ? acl_who_ref((struct acl_who *)mail_user_who(ref->user)) : NULL;
    v->by = (struct change_by){v, ref->user, SPAN_NONE};
    v->mine.user = private_user(ref->account, ref->user);
    v->mine.mask = private_mask(ref->account, v->mine.user);
    v->poke = poke_new(poke, arg);
    struct open_call c = {ref->account, ref, v, f, R_FAIL};
    account_run(ref->account, open_run, &c);
    if (c.result == R_OK) {
        user_link(v, ref->user);
        *v_out = v;
    } else if (v->prev) {
        view_close(&v);
    } else {
        acl_who_unref(&v->user.who);
        KEEP_FREE(v->poke);
        KEEP_FREE(v);
    }
    return c.result;
}

static void
close_run(void *arg)
{
    struct view *v = arg;
    struct mailbox *m = v->mailbox;
    struct account *a = v->account;
    unlink_view(v);
    for (size_t i = 0; i < m->event_count; i++) {
        struct flag_event *e = &m->events[(m->event_at + i) % m->event_cap];
        if (e->origin == v)
            e->origin = NULL;
    }
    private_close(v->mine.set);
    mailbox_trim(m);
    if (!m->views)
        mailbox_forget_events(m);
    if (!m->views && m->state)
        state_sets_drop(m->state);
    mailbox_release(a, m);
    poke_unref(v->poke);
    acl_who_unref(&v->user.who);
    keep_free(v->recents, v->recent_ranges * sizeof *v->recents);
    free(v->ghosts.rows);
    free(v->ghosts.seqs);
    KEEP_FREE(v);
    account_close(&a);
}

void
view_close(struct view **v)
{
    if (!*v)
        return;
    (*v)->poke->fn = NULL;
    user_unlink(*v);
    loop_post(mail_home((*v)->account->mail, (*v)->account->id), close_run, *v);
    *v = NULL;
}
