#include "mail/sent_inside.h"

#include "base/log.h"
#include "mail/intake_inside.h"
#include "mail/sent.h"
#include "mail/tree.h"

struct filing {
    struct account *account;
    const struct sent_message *message;
    struct sent_sought twin;  // who has its Message-ID in that mailbox already
    struct intake_spread spread;
    struct intake_place place;
    struct sent_mark {
        struct sent_found found;
        bool forwarded;
    } marks[SENT_ORIGINALS];
    size_t n_marks;
    struct arena *arena;
    struct sent_result out;
    struct fault *fault;
    enum result result;
};

// ---- where it goes ----

struct place_call {
    struct account *account;
    uint64_t mailbox;
};

static void
place_run(void *arg)
{
    struct place_call *c = arg;
    const struct state *s = account_state(c->account);
    for (uint32_t i = 0; i < s->mailbox_count && c->mailbox == 0; i++)
        if (s->mailboxes[i]->special_use == USE_SENT &&
            !(s->mailboxes[i]->flags & MAILBOX_NOSELECT))
            c->mailbox = s->mailboxes[i]->id;
}

// As the server names it; what has that name already is taken as it is. What is made is subscribed: else it would be hidden from
// most clients.
static enum result
place_make(struct mail_user *u, uint64_t *mailbox_out, struct fault *f)
{
    struct span language =
        span_str(mail_folder_language(account_mail(mail_user_account(u))));
    struct span name = tree_folder_name(language, USE_SENT);
    struct mailbox_ref ref;
    struct fault ignored;
    enum result r = tree_create(u, name, USE_SENT, &ref, f);
    if (r == R_OK)
        (void)!tree_subscribe(u, name, true, &ignored);
    else if (f->kind == FAULT_ALREADYEXISTS)
        r = mail_access(u, name, RIGHT_INSERT, &ref, f);
    if (r == R_OK)
        *mailbox_out = ref.mailbox;
    return r;
}

static enum result
place_of(struct mail_user *u, uint64_t *mailbox_out, struct fault *f)
{
    struct place_call c = {mail_user_account(u), 0};
    account_run(c.account, place_run, &c);
    if (c.mailbox == 0)
        return place_make(u, mailbox_out, f);
    *mailbox_out = c.mailbox;
    return R_OK;
}

// ---- the commit ----

// In the commit, so that no APPEND can come between.
static enum result
look_for_twin(struct account *a, void *arg, struct fault *f)
{
    struct filing *w = arg;
    struct sent_found found;
    enum result r = sent_find(a, &w->twin, a->batch_arena, &found, f);
    if (r == R_FAIL)
        return R_FAIL;
    w->out.how = r == R_OK ? SENT_THERE : SENT_FILED;
    w->spread.n = r == R_OK ? 0 : 1;
    return R_OK;
}

static void
put_mark(struct filing *w, struct store_batch *b, const struct sent_mark *mark)
{
    static const struct span forwarded[] = {SPAN("$Forwarded")};
    struct account *a = w->account;
    struct mailbox *m = mailbox_of(a, mark->found.mailbox);
    struct sent_flags add = {.uids = mark->found.uids,
                             .n = mark->found.n,
                             .flags = mark->forwarded ? 0 : FLAG_ANSWERED,
                             .keywords = forwarded,
                             .keyword_count = mark->forwarded ? 1 : 0};
    struct fault f;
    size_t changed = 0;
    if (m && sent_flags_add(a, b, m, &add, &changed, &f) != R_OK)
        log_warning("submission", "the message that was answered is not marked",
                    log_user(a->user), log_fault(&f));
    *(mark->forwarded ? &w->out.forwarded : &w->out.answered) += changed;
}

static void
put_more(struct account *a, struct store_batch *b, void *arg)
{
    struct filing *w = arg;
    const struct sent_message *m = w->message;
    struct span hash = intake_hash(m->intake);
    char key[REMEMBERED_KEY];
    if (w->out.how == SENT_FILED) {
        struct sent_copy copy = {w->place.mailbox, w->place.out.uid, hash, m->client_hash};
        struct span client = m->client_hash.n > 0 ? m->client_hash : hash;
        sent_key(key, m->id_added ? SPAN_NONE : w->twin.id, client);
        sent_ledger_put(a, b, key, &copy);
    }
    for (size_t i = 0; i < w->n_marks; i++)
        put_mark(w, b, &w->marks[i]);
}

static enum result
find_originals(struct filing *w, struct fault *f)
{
    struct sent_originals originals;
    if (sent_originals_of(w->message->intake, w->arena, &originals, f) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < originals.n; i++) {
        const struct sent_original *o = &originals.p[i];
        struct sent_sought sought = {.id = o->id, .base_subject = o->base_subject};
        struct sent_mark *mark = &w->marks[w->n_marks];
        enum result r = sent_find(w->account, &sought, w->arena, &mark->found, f);
        if (r == R_FAIL)
            return R_FAIL;
        mark->forwarded = o->forwarded;
        w->n_marks += r == R_OK;
    }
    return R_OK;
}

static void
file_run(void *arg)
{
    struct filing *w = arg;
    struct intake_along along = {look_for_twin, put_more, w};
    struct mime_summary s;
    if (find_originals(w, w->fault) != R_OK)
        return;
    w->twin = (struct sent_sought){.mailbox = w->place.mailbox, .in_change = true};
    if (sent_summary(w->message->intake, &s) == R_OK) {
        w->twin.id = s.message_id;
        w->twin.base_subject = s.base_subject;
    }
    w->place.item = (struct intake_item){w->message->intake,
                                         {.flags = FLAG_SEEN, .quota = QUOTA_DELIVERY}};
    w->spread = (struct intake_spread){.places = &w->place, .n = 1, .along = &along};
    w->result = intake_commit_spread(w->account, &w->spread, w->fault);
    w->out.copy = w->place.out;
}

// ---- the whole ----

static bool
is_off(const struct mail_user *u)
{
    enum sent_wish wish = mail_user_sent(u);
    return wish == SENT_WISH_NO ||
           (wish == SENT_WISH_DEFAULT &&
            !mail_sent(account_mail(mail_user_account((struct mail_user *)u))));
}

enum result
sent_file(struct mail_user *u, const struct sent_message *m, struct sent_result *out,
          struct fault *f)
{
    enum { TRIES = 3 };
    struct filing w;
    must(m->intake->finished);
    *out = (struct sent_result){.how = SENT_OFF};
    if (is_off(u))
        return R_OK;
    for (unsigned i = 0; i < TRIES; i++) {
        w = (struct filing){
            .account = mail_user_account(u), .message = m, .fault = f, .result = R_FAIL};
        if (place_of(u, &w.place.mailbox, f) != R_OK)
            return R_FAIL;
        w.arena = arena_new_small();
        account_run(w.account, file_run, &w);
        arena_free(&w.arena);
        if (w.result == R_OK || f->kind != FAULT_TRYCREATE)
            break;  // else the mailbox went meanwhile
    }
    if (w.result == R_OK)
        *out = w.out;
    return w.result;
}
