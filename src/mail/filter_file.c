// Where a message goes: places from actions, forms of the message, and the commit.
#include "mail/filter_inside.h"

#include "base/log.h"
#include "mail/arrive.h"
#include "mail/change.h"
#include "mail/delivered.h"
#include "mail/mount.h"
#include "mail/name.h"
#include "mail/tree.h"
#include "mail/tree_record.h"

// The message with another header, or body.
struct filter_form {
    struct filter_form *next;
    struct span header, body;  // p NULL: as they came
    struct intake *intake;
};

struct filing {
    struct filter_run *run;
    struct filter_place *own, *foreign;
    size_t n_own;
    struct filter_result *out;
    bool stored;  // it is the stored message, not a copy of what was sent
};

// ---- forms ----

static enum result
put_piece(void *arg, struct span piece, struct fault *f)
{
    return intake_write(arg, piece, f);
}

static enum result
copy_body(const struct filter_run *r, struct intake *to, struct fault *f)
{
    const struct intake *from = r->in->intake;
    return intake_copy(from, intake_root(from)->header.size, put_piece, to, f);
}

static enum result
form_make(struct filter_run *r, const struct sieve_action *a, struct intake **out,
          struct fault *f)
{
    struct filter_form *form = ARENA_NEW(r->arena, struct filter_form);
    form->header = a->header;
    form->body = a->body;
    form->intake = intake_begin(r->account->mail);
    form->next = r->forms;
    r->forms = form;
    struct span header = a->header.p ? a->header : r->original;
    if (intake_write(form->intake, header, f) != R_OK)
        return R_FAIL;
    enum result body =
        a->body.p ? intake_write(form->intake, a->body, f) : copy_body(r, form->intake, f);
    if (body != R_OK || intake_finish(form->intake, f) != R_OK)
        return R_FAIL;
    *out = form->intake;
    return R_OK;
}

void
filter_forms_free(struct filter_run *r)
{
    for (struct filter_form *form = r->forms; form; form = form->next)
        intake_free(&form->intake);
    r->forms = NULL;
}

// Where it cannot be made - it would be too large - the message is filed as it came.
static struct intake *
form_of(struct filter_run *r, const struct sieve_action *a)
{
    struct intake *made = r->in->intake;
    struct fault f;
    if (!a->header.p && !a->body.p)
        return made;
    for (struct filter_form *form = r->forms; form; form = form->next)
        if (form->intake && form->header.p == a->header.p && form->body.p == a->body.p)
            return form->intake;
    if (form_make(r, a, &made, &f) == R_OK)
        return made;
    log_warning("sieve", "the message is filed unchanged", log_user(r->account->user),
                log_fault(&f));
    intake_free(&r->forms->intake);
    return r->in->intake;
}

// ---- flags ----

static bool
is_keyword(struct span s)
{
    if (s.n == 0 || s.n > LIMIT_keyword)
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] > '~' || strchr("(){%*\"\\]", s.p[i]))
            return false;
    return true;
}

// What is no flag is passed over (RFC 5232 section 2).
void
filter_take_flags(struct filter_run *r, struct span flags, struct intake_params *p)
{
    enum { MOST = 100 };
    struct span *words = arena_array(r->arena, MOST, sizeof *words), word;
    p->flags = 0;
    p->keyword_count = 0;
    p->keywords = words;
    while (span_next_field(&flags, ' ', &word) == R_OK) {
        p->flags |= change_flag_from(word);
        if (is_keyword(word) && p->keyword_count < MOST)
            words[p->keyword_count++] = word;
    }
}

// ---- places ----

static struct filter_place *
find_place(const struct filing *w, uint64_t mailbox)
{
    for (struct filter_place *p = w->own; p; p = p->next)
        if (p->mailbox == mailbox)
            return p;
    return NULL;
}

static struct filter_place *
place_new(struct filing *w, const struct sieve_action *a)
{
    struct filter_run *r = w->run;
    struct filter_place *p = ARENA_NEW(r->arena, struct filter_place);
    p->action = a;
    p->intake = r->in->intake;
    if (w->stored)
        p->params = r->stored->message.params;
    else
        p->params.quota = QUOTA_DELIVERY;
    if (a) {
        if (!w->stored || sieve_has_detail(a, "flags"))
            filter_take_flags(r, sieve_detail(a, "flags"), &p->params);
        p->intake = form_of(r, a);
    }
    return p;
}

// Two ways to the same mailbox: once (RFC 5228 section 2.10.3).
static void
add_own(struct filing *w, const struct sieve_action *a, uint64_t mailbox)
{
    struct filter_run *r = w->run;
    if (find_place(w, mailbox))
        return;
    const struct mailbox_state *m = state_mailbox(account_state(r->account), mailbox);
    struct filter_place **last = &w->own, *p = place_new(w, a);
    p->mailbox = mailbox;
    p->name = m ? name_full(r->arena, account_state(r->account), m) : SPAN("");
    while (*last)
        last = &(*last)->next;
    *last = p;
    w->n_own++;
}

static enum result
add_default(struct filing *w, const struct sieve_action *a, struct span detail,
            struct fault *f)
{
    struct mailbox_ref inbox;
    if (intake_delivery_target(w->run->account, detail, &inbox, f) != R_OK)
        return R_FAIL;
    add_own(w, a, inbox.mailbox);
    return R_OK;
}

// Where no script said anything. Flags that one has set for all that is kept (RFC 5232 section 5) go with it.
static enum result
add_unsaid(struct filing *w, const struct sieve_action *a, struct fault *f)
{
    struct filter_run *r = w->run;
    const struct arrive_ask ask = {r->in->intake, r->in->detail,
                                   r->in->scan != NULL && r->in->scan->junk};
    struct arrive_place *place = ARENA_NEW(r->arena, struct arrive_place);
    if (arrive_place(r->account, &ask, place, f) != R_OK)
        return R_FAIL;
    add_own(w, a, place->ref.mailbox);
    struct filter_place *p = find_place(w, place->ref.mailbox);
    p->params.flags |= place->flags;
    if (place->keyword.p && p->params.keyword_count == 0) {
        p->params.keywords = &place->keyword;
        p->params.keyword_count = 1;
    }
    w->out->quiet = place->quiet;
    return R_OK;
}

static void
add_foreign(struct filing *w, const struct sieve_action *a, struct span name)
{
    struct filter_place *p = place_new(w, a);
    p->name = name;
    p->next = w->foreign;
    w->foreign = p;
}

// An existing one: by its id, by its use, by its name.
static uint64_t
find_mailbox(struct filter_run *r, const struct sieve_action *a)
{
    struct span id = sieve_detail(a, "mailboxid"), use = sieve_detail(a, "specialuse");
    uint64_t found = id.p ? filter_mailbox_with_id(r, id) : 0;
    if (found == 0 && use.p)
        found = filter_mailbox_with_use(r, a->target, use);
    if (found == 0 && use.p)
        found = filter_mailbox_with_use(r, SPAN_NONE, use);
    return found ? found : filter_mailbox(r, a->target);
}

// RFC 5490 section 3.2, RFC 8579 section 4.1. What is made is subscribed: else it would be hidden from most clients.
static enum result
make_mailbox(struct filter_run *r, const struct sieve_action *a, uint64_t *mailbox_out,
             struct fault *f)
{
    struct mail_user *u;
    struct mailbox_ref ref;
    struct fault ignored;
    enum special_use use = special_use_from(sieve_detail(a, "specialuse"));
    if (filter_user(r, &u, f) != R_OK)
        return R_FAIL;
    enum result made = tree_create(u, a->target, use, &ref, f);
    if (made != R_OK && f->kind == FAULT_USEATTR)
        made = tree_create(u, a->target, USE_NONE, &ref, f);
    if (made != R_OK)
        return R_FAIL;
    (void)!tree_subscribe(u, a->target, true, &ignored);
    *mailbox_out = ref.mailbox;
    return R_OK;
}

static void
tell_instead(const struct filter_run *r, const struct sieve_action *a, struct span name,
             const struct fault *f)
{
    log_warning("sieve", "not filed there, but in INBOX", log_user(r->account->user),
                field_text("mailbox", "mailbox=<%>", span_slice(name, 0, 200)),
                field_if(a && a->line > 0, field_number("line", "line=%", a ? a->line : 0)),
                log_fault(f));
}

static enum result
add_fileinto(struct filing *w, const struct sieve_action *a, struct fault *f)
{
    struct filter_run *r = w->run;
    struct span clean;
    uint64_t mailbox = find_mailbox(r, a);
    enum result found = R_OK;
    if (mailbox == 0)
        found = mail_name_check(r->arena, a->target, &clean, f);
    if (mailbox == 0 && found == R_OK && mount_prefix(clean) > 0) {
        add_foreign(w, a, clean);
        return R_OK;
    }
    if (mailbox == 0 && found == R_OK)
        found = sieve_has_detail(a, "create")
                    ? make_mailbox(r, a, &mailbox, f)
                    : fault_set(f, FAULT_NONEXISTENT, "there is no such folder");
    if (found == R_OK && w->stored && mailbox == r->stored->mailbox) {
        r->keeps = true;  // there it is already
        r->keep = (struct sieve_action *)(uintptr_t)a;
        return R_OK;
    }
    if (found == R_OK) {
        add_own(w, a, mailbox);
        return R_OK;
    }
    if (w->stored) {
        filter_stored_keep(r, a, a->target, f);
        return R_OK;
    }
    tell_instead(r, a, a->target, f);
    return add_default(w, a, SPAN_NONE, f);
}

static enum result
add_all(struct filing *w, struct fault *f)
{
    struct filter_run *r = w->run;
    enum result result = R_OK;
    for (const struct sieve_action *a = r->actions; result == R_OK && a; a = a->next)
        if (a->kind == SIEVE_FILEINTO)
            result = add_fileinto(w, a, f);
    if (result == R_OK && r->keeps && !r->stored)
        result = r->keep && !r->keep->implicit ? add_default(w, r->keep, r->in->detail, f)
                                               : add_unsaid(w, r->keep, f);
    return result;
}

// Those that have the message by another recipient.
static void
leave_out_had(struct filing *w)
{
    const struct filter_arrival *in = w->run->in;
    for (struct filter_place **p = &w->own; *p;)
        if (in->had && in->had(in->arg, w->run->account->id, (*p)->mailbox)) {
            *p = (*p)->next;
            w->n_own--;
        } else {
            p = &(*p)->next;
        }
}

// ---- the commit ----

static void
tell_filed(const struct filing *w, const struct filter_place *p,
           const struct intake_result *done)
{
    const struct sieve_action *a = p->action;
    log_info("sieve", "filed", log_user(w->run->account->user),
             field_text("mailbox", "mailbox=<%>", p->name),
             field_number("uid", "uid=%", done->uid),
             field_if(a && a->line > 0, field_number("line", "line=%", a ? a->line : 0)),
             field_if(a && a->because.n > 0,
                      field_text("because", "because=%", a ? a->because : SPAN_NONE)));
}

static void
filed(struct filing *w, const struct filter_place *p, uint64_t account, uint64_t mailbox,
      const struct intake_result *done)
{
    const struct filter_arrival *in = w->run->in;
    if (w->out->filed++ == 0) {
        w->out->first = *done;
        w->out->mailbox = account == w->run->account->id ? mailbox : 0;
    }
    if (in->has)
        in->has(in->arg, account, mailbox);
    tell_filed(w, p, done);
}

// One mailbox and nothing to remember goes with other deliveries of the moment in one batch.
static enum result
commit_one(struct filing *w, struct fault *f)
{
    struct filter_place *p = w->own;
    struct filter_run *r = w->run;
    struct mailbox_ref ref = {NULL, r->account, p->mailbox, RIGHTS_ALL};
    struct intake_result done;
    if (intake_commit(p->intake, &ref, &p->params, &done, f) != R_OK)
        return R_FAIL;
    filed(w, p, r->account->id, p->mailbox, &done);
    return R_OK;
}

// What the commit puts beside the message.
struct along {
    struct filter_marks *marks;
    const struct delivered_key *delivered;
    uint64_t mailbox;
};

static enum result
along_check(struct account *a, void *arg, struct fault *f)
{
    return filter_marks_check(a, ((struct along *)arg)->marks, f);
}

static void
along_put(struct account *a, struct store_batch *b, void *arg)
{
    const struct along *w = arg;
    struct buf value;
    filter_marks_put(a, b, w->marks);
    if (!w->delivered)
        return;
    buf_init(&value, 64);
    struct record_meta note = delivered_note(w->delivered, w->mailbox, &value);
    note.modseq = change_modseq(a);
    tree_put_meta(b, &note);
    buf_done(&value);
}

static bool
puts_more(const struct filing *w)
{
    return w->run->marks.n > 0 || (w->run->in->delivered && !w->out->refused);
}

static enum result
commit_spread(struct filing *w, struct fault *f)
{
    struct filter_run *r = w->run;
    struct along more = {&r->marks, w->out->refused ? NULL : r->in->delivered,
                         w->own ? w->own->mailbox : 0};
    struct intake_along along = {along_check, along_put, &more};
    struct intake_spread s = {.n = w->n_own, .along = &along};
    s.places = arena_array(r->arena, w->n_own, sizeof *s.places);
    size_t n = 0;
    for (struct filter_place *p = w->own; p; p = p->next)
        s.places[n++] = (struct intake_place){p->mailbox, {p->intake, p->params}, {0}};
    if (intake_commit_spread(r->account, &s, f) != R_OK)
        return R_FAIL;
    n = 0;
    for (struct filter_place *p = w->own; p; p = p->next, n++)
        filed(w, p, r->account->id, p->mailbox, &s.places[n].out);
    return R_OK;
}

// What goes into a folder as it is shares its body with the message; only the others stay to be filed.
static enum result
copy_stored(struct filing *w, struct fault *f)
{
    for (struct filter_place **p = &w->own; *p;) {
        struct intake_result done;
        enum result copied = filter_stored_copy(w->run, *p, &done, f);
        if (copied == R_FAIL)
            return R_FAIL;
        if (copied == R_NONE) {
            p = &(*p)->next;
            continue;
        }
        filed(w, *p, w->run->account->id, (*p)->mailbox, &done);
        *p = (*p)->next;
        w->n_own--;
    }
    return R_OK;
}

static enum result
commit_own(struct filing *w, struct fault *f)
{
    if (w->run->stored && copy_stored(w, f) != R_OK)
        return R_FAIL;
    if (w->n_own == 0 && !puts_more(w))
        return R_OK;
    return w->n_own == 1 && !puts_more(w) ? commit_one(w, f) : commit_spread(w, f);
}

// Not for what another try will solve.
static bool
inbox_may_help(const struct fault *f)
{
    return f->kind == FAULT_OVERQUOTA || f->kind == FAULT_TRYCREATE ||
           f->kind == FAULT_NONEXISTENT || f->kind == FAULT_LIMIT ||
           f->kind == FAULT_NOPERM || f->kind == FAULT_TOOBIG;
}

// Once more, into INBOX alone and as the message came.
static enum result
commit_instead(struct filing *w, struct fault *f)
{
    bool only_inbox = w->n_own == 1 && w->own->intake == w->run->in->intake &&
                      w->own->mailbox == filter_mailbox(w->run, SPAN("INBOX"));
    struct fault why = *f;
    if (w->run->stored && inbox_may_help(f)) {
        for (const struct filter_place *p = w->own; p; p = p->next)
            filter_stored_keep(w->run, p->action, p->name, f);
        return R_OK;
    }
    if (!inbox_may_help(f) || only_inbox || w->n_own == 0)
        return R_FAIL;
    for (const struct filter_place *p = w->own; p; p = p->next)
        tell_instead(w->run, p->action, p->name, &why);
    w->own = NULL;
    w->n_own = 0;
    return add_default(w, NULL, SPAN_NONE, f) == R_OK ? commit_own(w, f) : R_FAIL;
}

static enum result
commit_foreign(struct filing *w, struct filter_place *p, struct fault *f)
{
    struct mailbox_ref ref;
    struct intake_result done;
    const struct filter_arrival *in = w->run->in;
    if (filter_foreign(w->run, p->name, &ref, f) != R_OK)
        return R_FAIL;
    uint64_t account = account_id(ref.account);
    if (in->had && in->had(in->arg, account, ref.mailbox))
        return R_OK;
    if (intake_commit(p->intake, &ref, &p->params, &done, f) != R_OK)
        return R_FAIL;
    filed(w, p, account, ref.mailbox, &done);
    return R_OK;
}

// A folder of somebody else that does not take it: then INBOX has it, unless it has it already.
static enum result
commit_all_foreign(struct filing *w, bool own_done, struct fault *f)
{
    uint64_t inbox = filter_mailbox(w->run, SPAN("INBOX"));
    bool there = find_place(w, inbox) != NULL;
    for (struct filter_place *p = w->foreign; p; p = p->next) {
        if (commit_foreign(w, p, f) == R_OK)
            continue;
        if (w->run->stored) {
            filter_stored_keep(w->run, p->action, p->name, f);
            continue;
        }
        tell_instead(w->run, p->action, p->name, f);
        if (there)
            continue;
        if (own_done) {
            w->own = NULL;
            w->n_own = 0;
            w->run->marks.n = 0;  // they are put already
        }
        if (add_default(w, NULL, SPAN_NONE, f) != R_OK ||
            (own_done && commit_own(w, f) != R_OK))
            return R_FAIL;
        there = true;
    }
    return R_OK;
}

static void
tell_discarded(const struct filter_run *r)
{
    const struct sieve_action *a = r->actions;
    while (a && a->kind != SIEVE_DISCARD)
        a = a->next;
    log_info("sieve", "not kept", log_user(r->account->user),
             field_if(a && a->line > 0, field_number("line", "line=%", a ? a->line : 0)),
             field_if(a && a->because.n > 0,
                      field_text("because", "because=%", a ? a->because : SPAN_NONE)));
}

enum result
filter_file(struct filter_run *r, struct filter_result *out, struct fault *f)
{
    struct filing w = {.run = r, .out = out, .stored = r->stored != NULL};
    if (add_all(&w, f) != R_OK)
        return R_FAIL;
    if (w.n_own == 0 && !w.foreign && !out->refused && !(r->stored && r->keeps))
        tell_discarded(r);
    leave_out_had(&w);
    // What is remembered is not on disk before the message is: another try would take it for delivered.
    bool foreign_first = w.n_own == 0 && w.foreign != NULL;
    if (foreign_first && commit_all_foreign(&w, false, f) != R_OK)
        return R_FAIL;
    if (commit_own(&w, f) != R_OK && commit_instead(&w, f) != R_OK)
        return R_FAIL;
    return foreign_first ? R_OK : commit_all_foreign(&w, true, f);
}

// ---- copies of what was sent (RFC 8580) ----

static enum result
copy_commit(struct filing *w, struct intake *in, struct fault *f)
{
    struct mailbox_ref ref = {NULL, w->run->account, w->own->mailbox, RIGHTS_ALL};
    struct intake_result done;
    return intake_commit(in, &ref, &w->own->params, &done, f);
}

void
filter_file_copy(struct filter_run *r, const struct sieve_action *a, struct span text)
{
    struct fault f;
    struct filter_result none = {0};
    struct filing w = {.run = r, .out = &none};
    struct sieve_action copy = *a;
    copy.kind = SIEVE_FILEINTO;
    copy.target = sieve_detail(a, "fcc");
    copy.header = copy.body = SPAN_NONE;
    struct intake *in = intake_begin(r->account->mail);
    enum result result = intake_write(in, text, &f);
    if (result == R_OK)
        result = intake_finish(in, &f);
    if (result == R_OK)
        result = add_fileinto(&w, &copy, &f);
    if (result == R_OK && !w.own)
        result = fault_set(&f, FAULT_CANNOT, "a copy goes into folders of the user only");
    if (result == R_OK)
        result = copy_commit(&w, in, &f);
    if (result != R_OK)
        log_warning("sieve", "a copy is not filed", log_user(r->account->user),
                    field_text("mailbox", "mailbox=<%>", span_slice(copy.target, 0, 200)),
                    log_fault(&f));
    intake_free(&in);
}
