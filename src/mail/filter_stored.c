#include "mail/filter_inside.h"

#include "auth/address.h"
#include "base/clock.h"
#include "base/log.h"
#include "mail/change.h"
#include "mail/filter_event.h"
#include "mail/message.h"
#include "mime/header.h"

// ---- opening ----

struct open_call {
    const struct mailbox_ref *ref;
    const struct filter_occasion *occasion;
    struct filter_stored **out;
    struct fault *fault;
    enum result result;
};

// As in the From of what is sent: a name without a domain gets ours.
static struct span
address_here(const struct filter_stored *s, struct span user)
{
    const struct filter_settings *is = &s->rules->is;
    struct span domain = is->domain.n ? is->domain : is->hostname;
    struct buf b;
    if (span_find_char(user, '@') < user.n || domain.n == 0)
        return arena_dup(s->arena, user);
    buf_init(&b, user.n + domain.n + 1);
    buf_printf(&b, "%.*s@%.*s", SPAN_ARG(user), SPAN_ARG(domain));
    struct span address = arena_dup(s->arena, buf_span(&b));
    buf_done(&b);
    return address;
}

static enum result
open_view(struct filter_stored *s, struct fault *f)
{
    struct account *a = s->account;
    if (mail_user_open(a->mail, a->id, a->user, &s->owner, f) != R_OK)
        return R_FAIL;
    const struct mailbox_ref ref = {s->owner, mail_user_account(s->owner), s->mailbox,
                                    RIGHTS_ALL};
    if (view_open(&ref, true, NULL, NULL, &s->view, f) != R_OK)
        return R_FAIL;
    s->view->read_only = false;  // it was opened so that \Recent stays with the clients
    return R_OK;
}

static void
close_parts(struct filter_stored *s)
{
    struct arena *a = s->arena;
    view_close(&s->view);
    mail_user_close(&s->owner);
    filter_rules_unref(&s->rules);
    arena_free(&a);
}

static struct filter_stored *
begin(const struct open_call *c)
{
    struct arena *arena = arena_new_small();
    struct filter_stored *s = ARENA_NEW(arena, struct filter_stored);
    *s = (struct filter_stored){.arena = arena,
                                .account = c->ref->account,
                                .mailbox = c->ref->mailbox,
                                .rules = filter_rules_now(),
                                .cause = c->occasion->cause,
                                .work = LIMIT_sieve_stored_work};
    return s;
}

static void
open_run(void *arg)
{
    struct open_call *c = arg;
    c->result = R_NONE;
    if (!filter_rules_there() ||
        !state_mailbox(account_state(c->ref->account), c->ref->mailbox))
        return;
    struct filter_stored *s = begin(c);
    c->result = filter_event_steps(s, c->occasion, c->fault);
    if (c->result == R_OK)
        c->result = open_view(s, c->fault);
    if (c->result != R_OK) {
        close_parts(s);
        return;
    }
    s->user = arena_dup(s->arena, c->occasion->user);
    s->email = address_here(s, s->user);
    *c->out = s;
}

enum result
filter_stored_open(const struct mailbox_ref *ref, const struct filter_occasion *o,
                   struct filter_stored **out, struct fault *f)
{
    struct open_call c = {ref, o, out, f, R_NONE};
    account_run(ref->account, open_run, &c);
    return c.result;
}

static void
close_run(void *arg)
{
    close_parts(arg);
}

void
filter_stored_close(struct filter_stored **s)
{
    struct filter_stored *was = *s;
    *s = NULL;
    if (was)
        account_run(was->account, close_run, was);
}

// ---- a message ----

struct run_call {
    struct filter_stored *stored;
    uint32_t uid;
    struct span changed;
    struct buf *problem;
    struct fault *fault;
    enum result result;
};

static enum result
find_message(struct filter_run *r, uint32_t uid, struct view_message *m, struct fault *f)
{
    struct seqset set;
    struct view_cursor cursor;
    size_t n = 0;
    seqset_init(&set, r->arena);
    seqset_add(&set, uid);
    if (view_cursor_init(&cursor, r->stored->view, &set, true, f) != R_OK ||
        view_next(&cursor, m, 1, &n, f) == R_FAIL)
        return R_FAIL;
    return n == 0 || m->expunged ? R_NONE : R_OK;
}

static enum result
describe(struct filter_run *r, const struct view_message *m, struct span changed,
         struct fault *f)
{
    struct filter_stored_message *now = &r->stored->message;
    struct span *names;
    size_t n;
    if (view_keywords(r->stored->view, m->row.keywords, r->arena, &names, &n, f) != R_OK)
        return R_FAIL;
    *now = (struct filter_stored_message){
        .uid = m->row.uid,
        .changed = changed,
        .flags = change_flag_names(r->arena, m->row.flags, names, n),
        .deleted = (m->row.flags & FLAG_DELETED) != 0,
        .params = {.flags = m->row.flags & (uint16_t)~FLAG_DELETED,
                   .keywords = names,
                   .keyword_count = n,
                   .has_internal_date = true,
                   .internal_date = m->row.internal_date,
                   .zone_min = m->row.zone_min,
                   .quota = QUOTA_USER}};
    return R_OK;
}

static enum result
take_in(struct filter_run *r, const struct view_message *m, struct intake *to,
        struct fault *f)
{
    enum { PIECE = 65536 };
    char *piece = arena_alloc(r->arena, PIECE);
    for (uint64_t at = 0; at < m->row.size; at += PIECE) {
        uint64_t left = m->row.size - at;
        size_t n = left < PIECE ? (size_t)left : PIECE;
        if (message_read(r->account->mail, &m->row, at, n, piece, f) != R_OK ||
            intake_write(to, span_of(piece, n), f) != R_OK)
            return R_FAIL;
    }
    return intake_finish(to, f);
}

// What is left of the envelope of a message that was delivered.
static struct span
return_path(struct filter_run *r, const struct intake *in)
{
    struct mime_header h;
    struct fault f;
    size_t n = (size_t)intake_root(in)->header.size;
    if (n > LIMIT_sieve_header)
        return SPAN("");
    char *header = arena_alloc(r->arena, n + 1);
    if (intake_read(in, 0, header, n, &f) != R_OK ||
        mime_header_find(span_of(header, n), SPAN("Return-Path"), &h) != R_OK)
        return SPAN("");
    struct span path = span_trim(h.value);
    if (path.n > 1 && path.p[0] == '<')
        path = span_slice(path, 1, path.n - 1);
    struct buf plain;
    buf_init(&plain, path.n + 1);
    if (address_unquote(path, &plain) == R_OK && plain.n > 0)
        path = arena_dup(r->arena, buf_span(&plain));
    buf_done(&plain);
    return path;
}

static void
put_problem(const struct filter_run *r, struct buf *b)
{
    const struct filter_failure *x = &r->failure;
    if (!x->there)
        return;
    if (x->error.line > 0)
        buf_printf(b, "line %u: ", x->error.line);
    buf_printf(b, "%s\r\n", x->error.text);
}

static enum result
carry_out(struct filter_run *r, struct intake *in, struct fault *f)
{
    struct filter_stored *s = r->stored;
    struct filter_result out = {0};
    bool asked = s->cause == FILTER_ASKED;
    struct span owner = address_here(s, s->account->user);
    const struct filter_arrival arrival = {.account = s->account,
                                           .intake = in,
                                           .from = asked ? return_path(r, in) : owner,
                                           .to = owner};
    r->in = &arrival;
    buf_init(&out.reason, LIMIT_sieve_text);
    enum result result = filter_carry_out(r, &out, f);
    filter_result_done(&out);
    r->in = NULL;
    return result;
}

static enum result
run_message(struct filter_run *r, const struct run_call *c, struct fault *f)
{
    struct filter_stored *s = r->stored;
    struct view_message m;
    enum result found = find_message(r, c->uid, &m, f);
    if (found != R_OK || describe(r, &m, c->changed, f) != R_OK)
        return found == R_NONE ? R_NONE : R_FAIL;
    struct intake *in = intake_begin(r->account->mail);
    enum result result = take_in(r, &m, in, f);
    if (result == R_OK)
        result = carry_out(r, in, f);
    intake_free(&in);
    r->work += 1000 + m.row.size / 16;
    s->work -= r->work < s->work ? r->work : s->work;
    put_problem(r, c->problem);
    return result;
}

static void
run_run(void *arg)
{
    struct run_call *c = arg;
    struct filter_stored *s = c->stored;
    struct filter_run r = {.account = s->account,
                           .stored = s,
                           .rules = s->rules,
                           .home = filter_home_now(),
                           .arena = arena_new(),
                           .user = s->owner,
                           .identified = s->identified,
                           .now_s = clock_wall_s()};
    c->result = run_message(&r, c, c->fault);
    s->identified = r.identified;
    arena_free(&r.arena);
}

enum result
filter_stored_run(struct filter_stored *s, uint32_t uid, struct span changed,
                  struct buf *problem, struct fault *f)
{
    struct run_call c = {s, uid, changed, problem, f, R_FAIL};
    if (s->onlooker)
        s->work = LIMIT_sieve_stored_work;
    if (s->work == 0)
        return fault_set(f, FAULT_LIMIT, "scripts for stored mail have no more work left");
    account_run(s->account, run_run, &c);
    return c.result;
}

// ---- somebody looks on ----

void
filter_stored_watch(struct filter_stored *s, const struct filter_onlooker *o)
{
    s->onlooker = o;
}

bool
filter_stored_tell(struct filter_run *r)
{
    static const struct sieve_action unsaid = {.kind = SIEVE_KEEP, .implicit = true};
    const struct filter_onlooker *o = r->stored->onlooker;
    if (!o)
        return false;
    for (const struct sieve_action *a = r->actions; a; a = a->next)
        o->action(o->arg, a);
    o->action(o->arg, !r->keeps ? NULL : r->keep ? r->keep : &unsaid);
    return o->dry;
}

struct next_call {
    struct filter_stored *stored;
    uint32_t *uid;
    struct fault *fault;
    enum result result;
};

static void
next_run(void *arg)
{
    struct next_call *c = arg;
    struct arena *a = arena_new_small();
    struct seqset set;
    struct view_cursor cursor;
    struct view_message m;
    size_t n = 0;
    seqset_init(&set, a);
    seqset_add_range(&set, *c->uid + 1, UINT32_MAX);
    c->result = view_cursor_init(&cursor, c->stored->view, &set, true, c->fault);
    if (c->result == R_OK)
        c->result = view_next(&cursor, &m, 1, &n, c->fault);
    if (c->result != R_FAIL)
        c->result = n > 0 ? R_OK : R_NONE;
    if (c->result == R_OK)
        *c->uid = m.row.uid;
    arena_free(&a);
}

enum result
filter_stored_next(struct filter_stored *s, uint32_t *uid, struct fault *f)
{
    struct next_call c = {s, uid, f, R_NONE};
    if (*uid < UINT32_MAX)
        account_run(s->account, next_run, &c);
    return c.result;
}

// ---- what becomes of it ----

static struct selection
only(struct filter_run *r, struct seqset *set)
{
    seqset_init(set, r->arena);
    seqset_add(set, r->stored->message.uid);
    return (struct selection){r->stored->view, set, true};
}

void
filter_stored_keep(struct filter_run *r, const struct sieve_action *a, struct span name,
                   const struct fault *f)
{
    log_warning("sieve", "not filed there, but left where it is",
                log_user(r->account->user),
                field_text("mailbox", "mailbox=<%>", span_slice(name, 0, 200)),
                field_number("line", "line=%", a->line), log_fault(f));
    filter_note_failure(r, a->line, "%.*s: %s", SPAN_ARG(span_slice(name, 0, 100)), f->why);
    r->keeps = true;
}

static bool
same_flags(const struct intake_params *x, const struct intake_params *y)
{
    bool same = x->flags == y->flags && x->keyword_count == y->keyword_count;
    for (size_t i = 0; same && i < x->keyword_count; i++) {
        bool there = false;
        for (size_t k = 0; k < y->keyword_count; k++)
            there |= span_ieq(x->keywords[i], y->keywords[k]);
        same = there;
    }
    return same;
}

enum result
filter_stored_copy(struct filter_run *r, const struct filter_place *p,
                   struct intake_result *out, struct fault *f)
{
    struct filter_stored *s = r->stored;
    struct copy_result done;
    struct seqset set;
    const struct mailbox_ref to = {s->owner, mail_user_account(s->owner), p->mailbox,
                                   RIGHTS_ALL};
    if (p->intake != r->in->intake || s->message.deleted ||
        !same_flags(&p->params, &s->message.params))
        return R_NONE;
    struct selection sel = only(r, &set);
    if (change_copy(&sel, &to, false, r->arena, &done, f) != R_OK) {
        filter_stored_keep(r, p->action, p->name, f);
        *out = (struct intake_result){0};
        return R_OK;
    }
    *out = (struct intake_result){.uidvalidity = done.uidvalidity,
                                  .uid = done.count ? done.target.ranges[0].first : 0};
    return R_OK;
}

// The message's own flags, as the keep has them (RFC 5232 section 4); changes of the message itself are transient.
static enum result
settle_flags(struct filter_run *r, struct fault *f)
{
    struct span flags = r->keep ? sieve_detail(r->keep, "flags") : SPAN_NONE;
    struct intake_params wanted = {0};
    struct flag_result done;
    struct seqset set;
    if (!flags.p || span_eq(flags, r->stored->message.flags))
        return R_OK;
    filter_take_flags(r, flags, &wanted);
    const struct flag_change change = {.op = FLAG_OP_SET,
                                       .flags = wanted.flags,
                                       .keywords = wanted.keywords,
                                       .keyword_count = wanted.keyword_count};
    struct selection sel = only(r, &set);
    return change_flags(&sel, &change, r->arena, &done, f);
}

enum result
filter_stored_settle(struct filter_run *r, struct fault *f)
{
    static const struct flag_change deleted = {.op = FLAG_OP_ADD, .flags = FLAG_DELETED};
    struct flag_result done;
    struct seqset set;
    uint64_t gone;
    if (r->keeps)
        return settle_flags(r, f);
    struct selection sel = only(r, &set);
    if (change_flags(&sel, &deleted, r->arena, &done, f) != R_OK)
        return R_FAIL;
    if (!r->rules->is.expunge)
        return R_OK;
    return change_expunge(r->stored->view, &set, &gone, f);
}
