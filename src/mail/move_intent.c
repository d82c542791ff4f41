#include "mail/move_intent.h"

#include "base/log.h"
#include "base/hash.h"
#include "base/limits.h"
#include "mail/select.h"
#include "mail/tree_record.h"

enum { FORM_MOVE = 1, FORM_REPLACE = 2, KEY_ROOM = 64, AGAIN_MS = 1000 };
#define MOVING "moving/"
#define MOVED "moved/"

// "moving/ACCOUNT/ID", "moved/ACCOUNT/ID": the other account and the intent, each in 16 hexadecimal digits.
static struct span
key_of(char room[KEY_ROOM], const char *kind, uint64_t other, uint64_t id)
{
    int n = snprintf(room, KEY_ROOM, "%s%016llx/%016llx", kind, (unsigned long long)other,
                     (unsigned long long)id);
    return span_of(room, (size_t)n);
}

static bool
key_parse(struct span key, const char *kind, uint64_t *other_out, uint64_t *id_out)
{
    char text[KEY_ROOM], *end;
    size_t n = strlen(kind);
    if (!span_starts(key, span_str(kind)) || key.n != n + 33)
        return false;
    memcpy(text, key.p, key.n);
    text[key.n] = '\0';
    *other_out = strtoull(text + n, &end, 16);
    if (end != text + n + 16 || *end != '/')
        return false;
    *id_out = strtoull(end + 1, &end, 16);
    return end == text + key.n;
}

static void
put_value(struct account *a, struct store_batch *b, struct span key, struct span value)
{
    struct record_meta r = {
        .mailbox = 0, .modseq = change_modseq(a), .key = key, .value = value};
    tree_put_meta(b, &r);
}

static bool
has(struct account *a, struct span key)
{
    struct span value;
    return state_meta_find(account_state(a), 0, key, &value) == R_OK;
}

// ---- while it goes well ----

struct begin_call {
    struct account *account;
    struct move_intent *intent;
    uint64_t mailbox;
    const struct seqset *uids;
    struct fault *fault;
    enum result result;
};

static enum result
begin_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    struct begin_call *c = arg;
    char room[KEY_ROOM];
    struct buf value;
    buf_init(&value, LIMIT_meta_value);
    pack_u8(&value, c->intent->replaces ? FORM_REPLACE : FORM_MOVE);
    pack_u64(&value, c->mailbox);
    for (uint32_t i = 0; i < c->uids->count; i++)
        record_ranges_add(&value, c->uids->ranges[i].first, c->uids->ranges[i].last);
    enum result r = value.over
                        ? fault_set(f, FAULT_LIMIT, "too many messages for one change")
                        : change_room(b, store_batch_count(b) == 0, value.n, f);
    if (r == R_OK)
        put_value(a, b, key_of(room, MOVING, c->intent->target, c->intent->id),
                  buf_span(&value));
    buf_done(&value);
    return r;
}

static void
begin_run(void *arg)
{
    struct begin_call *c = arg;
    c->result = account_change(c->account, begin_change, c, CHANGE_OF_MODE, NULL, c->fault);
}

enum result
move_begin(struct account *source, uint64_t mailbox, const struct seqset *uids,
           struct move_intent *i, struct fault *f)
{
    struct begin_call c = {source, i, mailbox, uids, f, R_FAIL};
    random_bytes(&i->id, sizeof i->id);
    account_run(source, begin_run, &c);
    return c.result;
}

void
move_put_arrived(struct account *target, struct store_batch *b, const struct move_intent *i)
{
    char room[KEY_ROOM];
    put_value(target, b, key_of(room, MOVED, i->source, i->id), SPAN("\1"));
}

void
move_put_left(struct account *source, struct store_batch *b, const struct move_intent *i)
{
    char room[KEY_ROOM];
    put_value(source, b, key_of(room, MOVING, i->target, i->id), SPAN_NONE);
}

struct drop_call {
    struct account *account;
    struct span key;
    struct fault *fault;
    enum result result;
};

static enum result
drop_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    const struct drop_call *c = arg;
    (void)f;
    put_value(a, b, c->key, SPAN_NONE);
    return R_OK;
}

static void
drop_run(void *arg)
{
    struct drop_call *c = arg;
    c->result = account_change(c->account, drop_change, c, CHANGE_OF_MODE, NULL, c->fault);
}

static enum result
drop(struct account *a, struct span key, struct fault *f)
{
    struct drop_call c = {a, key, f, R_FAIL};
    account_run(a, drop_run, &c);
    return c.result;
}

static enum result
drop_intent(struct account *source, const struct move_intent *i, struct fault *f)
{
    char room[KEY_ROOM];
    return drop(source, key_of(room, MOVING, i->target, i->id), f);
}

static enum result
drop_mark(struct account *target, const struct move_intent *i, struct fault *f)
{
    char room[KEY_ROOM];
    return drop(target, key_of(room, MOVED, i->source, i->id), f);
}

static void
stays(const struct account *a, const struct fault *f)
{
    log_warning("mail", "an intent of MOVE stays for now", log_user(a->user), log_fault(f));
}

void
move_abandon(struct account *source, const struct move_intent *i)
{
    struct fault f;
    if (drop_intent(source, i, &f) != R_OK)
        stays(source, &f);
}

void
move_end(struct account *target, const struct move_intent *i)
{
    struct fault f;
    if (drop_mark(target, i, &f) != R_OK)
        stays(target, &f);
}

// ---- when the messages could not leave ----

struct undo {
    struct move_intent intent;
    struct account *source, *target;  // open: they are not loaded again, with the intent
};

// One of the two without the other says nothing any more.
static enum result
undo_once(const struct undo *u, struct fault *f)
{
    enum result mark = drop_mark(u->target, &u->intent, f),
                intent = drop_intent(u->source, &u->intent, f);
    return mark == R_OK ? R_OK : intent;
}

static void
undo_end(struct undo *u)
{
    account_close(&u->source);
    account_close(&u->target);
    free(u);
}

static void
undo_later(void *arg)
{
    struct undo *u = arg;
    struct fault f;
    do
        task_sleep(AGAIN_MS);
    while (undo_once(u, &f) != R_OK);
    log_info("mail", "a MOVE that failed is undone", log_user(u->source->user));
    undo_end(u);
}

void
move_undo(struct account *source, struct account *target, const struct move_intent *i)
{
    struct mail *m = account_mail(source);
    struct fault f;
    struct undo *u = calloc(1, sizeof *u);
    must(u != NULL);
    *u = (struct undo){*i, source, target};
    enum result r = undo_once(u, &f);
    u->source = u->target = NULL;
    if (r == R_OK) {
        free(u);
        return;
    }
    log_warning("mail", "a MOVE that failed is not undone yet", log_user(source->user),
                log_fault(&f));
    if (account_open(m, i->source, SPAN(""), false, &u->source, &f) == R_OK &&
        account_open(m, i->target, SPAN(""), false, &u->target, &f) == R_OK)
        task_start(undo_later, u);
    else
        undo_end(u);
}

// ---- after a crash ----

struct found {
    struct found *next;
    struct move_intent intent;
    bool source;  // the account is the source
};

struct recovery {
    struct account *account;
    struct arena *arena;
    struct found *first;
};

static void
find_each(uint64_t mailbox, struct span key, struct span value, void *arg)
{
    struct recovery *r = arg;
    uint64_t other, id;
    (void)value;
    if (mailbox != 0)
        return;
    bool source = key_parse(key, MOVING, &other, &id);
    if (!source && !key_parse(key, MOVED, &other, &id))
        return;
    if (!r->arena)
        r->arena = arena_new_small();
    struct found *f = ARENA_NEW(r->arena, struct found);
    f->source = source;
    f->intent = (struct move_intent){.source = source ? r->account->id : other,
                                     .target = source ? other : r->account->id,
                                     .id = id};
    f->next = r->first;
    r->first = f;
}

// The messages of the intent that are still in its mailbox.
static enum result
put_gone(struct account *a, struct store_batch *b, struct span value, struct fault *f)
{
    struct unpack u = unpack_of(value);
    uint32_t first = 0, last = 0;
    uint8_t form = unpack_u8(&u);
    if (form != FORM_MOVE && form != FORM_REPLACE)
        return fault_set(f, FAULT_CORRUPTION, "an intent of MOVE cannot be read");
    struct mailbox *m = mailbox_of(a, unpack_u64(&u));
    if (!m)
        return R_OK;
    if (mailbox_load(a, m, f) != R_OK)
        return R_FAIL;
    if (select_ready(a, m) == R_NONE)
        return R_NONE;
    const struct mailbox_state *s = m->state;
    uint32_t *rows = arena_array(a->batch_arena, s->counts.exists, sizeof *rows);
    size_t n = 0;
    struct row_flags now;
    while (record_ranges_next(&u, &first, &last) == R_OK)
        for (uint32_t i = state_row_at(s, first);
             i < s->counts.exists && s->rows[i].uid <= last; i++)
            if (pending_get(a, m, &s->rows[i], &now) == R_OK)
                rows[n++] = i;
    if (n > 0)
        rows_put_away(a, b, m, form == FORM_MOVE ? RECORD_MOVED : RECORD_EXPUNGED, rows, n);
    return R_OK;
}

static enum result
finish_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    const struct move_intent *i = arg;
    char room[KEY_ROOM];
    struct span value;
    if (state_meta_find(account_state(a), 0, key_of(room, MOVING, i->target, i->id),
                        &value) != R_OK)
        return R_OK;
    value = arena_dup(a->batch_arena, value);
    enum result r = put_gone(a, b, value, f);
    if (r == R_OK)
        move_put_left(a, b, i);
    return r;
}

struct mark_call {
    struct account *account;
    const struct move_intent *intent;
    bool of_source;  // look there
    bool there;
};

static void
mark_run(void *arg)
{
    struct mark_call *c = arg;
    char room[KEY_ROOM];
    const struct move_intent *i = c->intent;
    c->there = c->of_source ? has(c->account, key_of(room, MOVING, i->target, i->id))
                            : has(c->account, key_of(room, MOVED, i->source, i->id));
}

// The other account says whether the messages came: then they go from here.
static enum result
recover_source(struct account *a, const struct move_intent *i, struct fault *f)
{
    struct mark_call c = {.intent = i};
    enum result r =
        account_open(account_mail(a), i->target, SPAN(""), false, &c.account, f);
    if (r == R_FAIL)
        return R_FAIL;
    if (r == R_OK)
        account_run(c.account, mark_run, &c);
    r = R_OK;
    if (!c.there)
        move_abandon(a, i);
    else if ((r = account_change(a, finish_change, (void *)(uintptr_t)i, 0, NULL, f)) ==
             R_OK)
        move_end(c.account, i);
    account_close(&c.account);
    return r;
}

// A mark without its intent says nothing any more.
static enum result
recover_target(struct account *a, const struct move_intent *i, struct fault *f)
{
    struct mark_call c = {.intent = i, .of_source = true};
    enum result r =
        account_open(account_mail(a), i->source, SPAN(""), false, &c.account, f);
    if (r == R_FAIL)
        return R_FAIL;
    if (r == R_OK)
        account_run(c.account, mark_run, &c);
    if (!c.there)
        move_end(a, i);
    account_close(&c.account);
    return R_OK;
}

static void
recover(void *arg)
{
    struct recovery *r = arg;
    struct account *a = r->account;
    struct fault f;
    for (const struct found *i = r->first; i; i = i->next)
        if ((i->source ? recover_source(a, &i->intent, &f)
                       : recover_target(a, &i->intent, &f)) != R_OK)
            log_warning("mail", "a MOVE is not finished yet", log_user(a->user),
                        log_fault(&f));
    arena_free(&r->arena);
    free(r);
    account_unref(a);
}

void
move_recover(struct account *a)
{
    struct recovery found = {.account = a};
    state_meta_each(account_state(a), find_each, &found);
    if (!found.first)
        return;
    struct recovery *r = calloc(1, sizeof *r);
    must(r != NULL);
    *r = found;
    account_ref(a);
    task_start(recover, r);
}
