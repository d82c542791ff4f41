#include "mail/script.h"

#include "base/limits.h"
#include "mail/home.h"
#include "mail/name.h"
#include "mail/tree_record.h"

// A stored value begins with an octet that says how it is read.
enum { VALUE_FIRST = 1 };
static const struct span prefix = SPAN("sieve/"), active_key = SPAN("sieve-active");

struct script_call {
    struct account *account;
    struct span name, to, text;
    uint64_t size;
    struct buf *text_out, *name_out;
    struct arena *arena;
    struct script_info *infos;
    size_t n;
    change_fn *change;
    struct fault *fault;
    enum result result;
};

enum result
script_name(struct arena *arena, struct span given, struct span *name_out, struct fault *f)
{
    if (given.n == 0 || given.n > LIMIT_sieve_name)
        return fault_set(f, FAULT_CANNOT, "a script's name is empty or too long");
    if (!name_is_net_unicode(given))
        return fault_set(f, FAULT_CANNOT,
                         "a script's name has control characters or is not UTF-8");
    struct span name = name_compose(arena, given);
    if (name.n > LIMIT_sieve_name)
        return fault_set(f, FAULT_CANNOT, "a script's name is too long in NFC");
    *name_out = arena_dup(arena, name);
    return R_OK;
}

// ---- what is there; in the home ----

static struct span
key_of(char room[LIMIT_meta_key], struct span name)
{
    _Static_assert(sizeof "sieve/" + LIMIT_sieve_name <= LIMIT_meta_key, "a script's key");
    must(name.n <= LIMIT_sieve_name);
    memcpy(room, prefix.p, prefix.n);
    if (name.n > 0)
        memcpy(room + prefix.n, name.p, name.n);
    return span_of(room, prefix.n + name.n);
}

static enum result
value_find(struct account *a, struct span key, struct span *out)
{
    struct span stored;
    if (state_meta_find(account_state(a), 0, key, &stored) != R_OK || stored.n == 0 ||
        stored.p[0] != VALUE_FIRST)
        return R_NONE;
    *out = span_skip(stored, 1);
    return R_OK;
}

static enum result
text_find(struct account *a, struct span name, struct span *text_out)
{
    char room[LIMIT_meta_key];
    return value_find(a, key_of(room, name), text_out);
}

// The name of the active script; SPAN_NONE: there is none.
static struct span
active_of(struct account *a)
{
    struct span name, text;
    if (value_find(a, active_key, &name) != R_OK || name.n > LIMIT_sieve_name)
        return SPAN_NONE;
    return text_find(a, name, &text) == R_OK ? name : SPAN_NONE;
}

bool
script_is_active(struct account *a)
{
    return active_of(a).p != NULL;
}

struct script_sum {
    size_t n, octets;
};

static void
sum_each(uint64_t mailbox, struct span key, struct span value, void *arg)
{
    struct script_sum *s = arg;
    if (mailbox != 0 || value.n == 0 || !span_starts(key, prefix))
        return;
    s->n++;
    s->octets += value.n - 1;
}

static enum result
room_for(struct account *a, struct span name, uint64_t size, struct fault *f)
{
    struct script_sum s = {0};
    struct span old;
    if (size == 0)
        return fault_set(f, FAULT_CANNOT, "an empty script");
    if (size > LIMIT_sieve_script)
        return fault_set(f, FAULT_TOOBIG, "a script may have %d octets",
                         LIMIT_sieve_script);
    state_meta_each(account_state(a), sum_each, &s);
    bool there = text_find(a, name, &old) == R_OK;
    if (!there && s.n >= LIMIT_sieve_scripts)
        return fault_set(f, FAULT_TOOMANY, "there are %zu scripts", s.n);
    if (s.octets - (there ? old.n : 0) + size > LIMIT_sieve_stored)
        return fault_set(f, FAULT_OVERQUOTA, "all scripts may have %d octets together",
                         LIMIT_sieve_stored);
    return R_OK;
}

// ---- reading ----

static int
by_name(const void *a, const void *b)
{
    return span_cmp(((const struct script_info *)a)->name,
                    ((const struct script_info *)b)->name);
}

static void
info_each(uint64_t mailbox, struct span key, struct span value, void *arg)
{
    struct script_call *c = arg;
    if (mailbox != 0 || value.n == 0 || !span_starts(key, prefix))
        return;
    c->infos[c->n++] = (struct script_info){
        .name = arena_dup(c->arena, span_skip(key, prefix.n)), .size = value.n - 1};
}

static void
list_run(void *arg)
{
    struct script_call *c = arg;
    struct script_sum s = {0};
    struct span active = active_of(c->account);
    state_meta_each(account_state(c->account), sum_each, &s);
    c->infos = arena_array(c->arena, s.n + 1, sizeof *c->infos);
    state_meta_each(account_state(c->account), info_each, c);
    for (size_t i = 0; i < c->n; i++)
        c->infos[i].active = active.p && span_eq(c->infos[i].name, active);
    qsort(c->infos, c->n, sizeof *c->infos, by_name);
}

void
script_list(struct account *a, struct arena *arena, struct script_info **out, size_t *n_out)
{
    struct script_call c = {.account = a, .arena = arena};
    account_run(a, list_run, &c);
    *out = c.infos;
    *n_out = c.n;
}

static void
read_run(void *arg)
{
    struct script_call *c = arg;
    struct span text;
    struct span name = c->name_out ? active_of(c->account) : c->name;
    c->result = name.p ? text_find(c->account, name, &text) : R_NONE;
    if (c->result != R_OK)
        return;
    buf_put(c->text_out, text);
    if (c->name_out)
        buf_put(c->name_out, name);
}

enum result
script_read(struct account *a, struct span name, struct buf *text)
{
    struct script_call c = {.account = a, .name = name, .text_out = text};
    account_run(a, read_run, &c);
    return c.result;
}

enum result
script_active(struct account *a, struct buf *text, struct buf *name)
{
    struct script_call c = {.account = a, .text_out = text, .name_out = name};
    account_run(a, read_run, &c);
    return c.result;
}

static void
room_run(void *arg)
{
    struct script_call *c = arg;
    c->result = room_for(c->account, c->name, c->size, c->fault);
}

enum result
script_room(struct account *a, struct span name, uint64_t size, struct fault *f)
{
    struct script_call c = {.account = a, .name = name, .size = size, .fault = f};
    account_run(a, room_run, &c);
    return c.result;
}

// ---- changes: each runs alone in its batch, so that the state is what it looks like ----

static void
put_value(struct account *a, struct store_batch *b, struct span key, struct span value)
{
    struct buf stored;
    buf_init(&stored, LIMIT_meta_value);
    if (value.p) {
        buf_put_char(&stored, VALUE_FIRST);
        buf_put(&stored, value);
    }
    must(!stored.over);
    struct record_meta r = {
        .mailbox = 0, .modseq = change_modseq(a), .key = key, .value = buf_span(&stored)};
    tree_put_meta(b, &r);
    buf_done(&stored);
}

static void
put_script(struct account *a, struct store_batch *b, struct span name, struct span text)
{
    char room[LIMIT_meta_key];
    put_value(a, b, key_of(room, name), text);
}

static enum result
put_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    const struct script_call *c = arg;
    struct span old;
    if (room_for(a, c->name, c->text.n, f) != R_OK)
        return R_FAIL;
    if (text_find(a, c->name, &old) != R_OK || !span_eq(old, c->text))
        put_script(a, b, c->name, c->text);
    return R_OK;
}

static enum result
must_exist(struct account *a, struct span name, struct span *text_out, struct fault *f)
{
    if (text_find(a, name, text_out) == R_OK)
        return R_OK;
    return fault_set(f, FAULT_NONEXISTENT, "there is no script of that name");
}

static enum result
delete_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    const struct script_call *c = arg;
    struct span text;
    if (must_exist(a, c->name, &text, f) != R_OK)
        return R_FAIL;
    if (span_eq(active_of(a), c->name))
        return fault_set(f, FAULT_INUSE, "the script is active");
    put_script(a, b, c->name, SPAN_NONE);
    return R_OK;
}

static enum result
rename_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    const struct script_call *c = arg;
    struct span text, other;
    if (must_exist(a, c->name, &text, f) != R_OK)
        return R_FAIL;
    if (text_find(a, c->to, &other) == R_OK)
        return fault_set(f, FAULT_ALREADYEXISTS, "there is a script of the new name");
    put_script(a, b, c->to, text);
    put_script(a, b, c->name, SPAN_NONE);
    if (span_eq(active_of(a), c->name))
        put_value(a, b, active_key, c->to);
    return R_OK;
}

static enum result
activate_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    const struct script_call *c = arg;
    struct span text, was = active_of(a);
    if (c->name.p && must_exist(a, c->name, &text, f) != R_OK)
        return R_FAIL;
    if ((was.p != NULL) != (c->name.p != NULL) || !span_eq(was, c->name))
        put_value(a, b, active_key, c->name);
    return R_OK;
}

static void
change_run(void *arg)
{
    struct script_call *c = arg;
    c->result = account_change(c->account, c->change, c, CHANGE_ALONE, NULL, c->fault);
}

static enum result
change(struct script_call *c)
{
    account_run(c->account, change_run, c);
    return c->result;
}

enum result
script_put(struct account *a, struct span name, struct span text, struct fault *f)
{
    return change(&(struct script_call){
        .account = a, .change = put_change, .name = name, .text = text, .fault = f});
}

enum result
script_delete(struct account *a, struct span name, struct fault *f)
{
    return change(&(struct script_call){
        .account = a, .change = delete_change, .name = name, .fault = f});
}

enum result
script_rename(struct account *a, struct span from, struct span to, struct fault *f)
{
    return change(&(struct script_call){
        .account = a, .change = rename_change, .name = from, .to = to, .fault = f});
}

enum result
script_activate(struct account *a, struct span name, struct fault *f)
{
    return change(&(struct script_call){
        .account = a, .change = activate_change, .name = name, .fault = f});
}
