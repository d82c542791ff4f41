#include "mail/attachment_inside.h"
#include "mail/index_inside.h"

#include "base/clock.h"
#include "base/load.h"
#include "base/pack.h"
#include "store/derived.h"

enum {
    LOOK_MS = 20000,   // after the account was opened, or something came
    REST_MS = 600000,  // after a fault
    TEST_MS = 20,      // instead, in tests
    AGAIN_MS = 30000,  // overloaded, or others are at work
    LOOKUPS = 256,     // after which segments are merged soon
    COVERED_VERSION = 1,
    COVERED_MAX = 1 << 21,
};

static const char covered_name[] = "covered";

bool
mail_index_on(const struct account *a)
{
    return mail_index_is_on(a->mail);
}

// ---- what was looked at ----

// The place of the mailbox, or where it would be.
static size_t
covered_at(const struct mail_index *x, uint64_t mailbox)
{
    size_t at = 0, end = x->covered_count;
    while (at < end) {
        size_t mid = at + (end - at) / 2;
        if (x->covered[mid].mailbox < mailbox)
            at = mid + 1;
        else
            end = mid;
    }
    return at;
}

// NULL: nothing of that mailbox is covered.
static struct index_covered *
covered_find(const struct mail_index *x, size_t at, uint64_t mailbox)
{
    struct index_covered *c = at < x->covered_count ? &x->covered[at] : NULL;
    return c != NULL && c->mailbox == mailbox ? c : NULL;
}

struct index_covered *
mail_index_covered_of(struct mail_index *x, uint64_t mailbox)
{
    size_t at = covered_at(x, mailbox);
    struct index_covered *found = covered_find(x, at, mailbox);
    if (found != NULL)
        return found;
    if (x->covered_count == x->covered_room) {
        size_t room = x->covered_room > 0 ? x->covered_room * 2 : 16;
        x->covered = keep_grow(x->covered, x->covered_room * sizeof *x->covered,
                               room * sizeof *x->covered);
        x->covered_room = room;
    }
    memmove(x->covered + at + 1, x->covered + at,
            (x->covered_count++ - at) * sizeof *x->covered);
    x->covered[at] = (struct index_covered){mailbox, 0};
    return &x->covered[at];
}

void
mail_index_covered_clear(struct mail_index *x)
{
    keep_free(x->covered, x->covered_room * sizeof *x->covered);
    x->covered = NULL;
    x->covered_count = x->covered_room = 0;
}

static uint32_t
covered_upto(const struct mail_index *x, uint64_t mailbox)
{
    const struct index_covered *found = covered_find(x, covered_at(x, mailbox), mailbox);
    return found != NULL ? found->upto : 0;
}

uint64_t
mail_index_fresh(const struct mail_index *x)
{
    const struct state *st = account_state(x->account);
    uint64_t fresh = 0;
    for (uint32_t i = 0; i < st->mailbox_count; i++) {
        const struct mailbox_state *m = st->mailboxes[i];
        uint32_t last = m->counts.uidnext - 1, upto = covered_upto(x, m->id);
        uint64_t behind = last > upto ? last - upto : 0;
        fresh += behind < m->counts.exists ? behind : m->counts.exists;
    }
    return fresh;
}

// Of mailboxes that are gone nothing is kept.
static void
covered_put(struct mail_index *x, struct buf *b)
{
    size_t to = 0;
    pack_u8(b, COVERED_VERSION);
    for (size_t i = 0; i < x->covered_count; i++) {
        if (!state_mailbox(account_state(x->account), x->covered[i].mailbox))
            continue;
        x->covered[to++] = x->covered[i];
        pack_u64(b, x->covered[i].mailbox);
        pack_u32(b, x->covered[i].upto);
    }
    x->covered_count = to;
}

enum result
mail_index_covered_save(struct mail_index *x, struct fault *f)
{
    struct store *s = mail_store(x->account->mail);
    struct derived_writer *w;
    struct buf b;
    buf_init(&b, COVERED_MAX);
    covered_put(x, &b);
    enum result r = derived_create(s, x->account->id, span_str(covered_name), &w, f);
    if (r == R_OK) {
        r = derived_append(w, buf_span(&b), f);
        if (r == R_OK)
            r = derived_commit(&w, f);
        else
            derived_abort(&w);
    }
    buf_done(&b);
    return r;
}

static enum result
covered_read(struct mail_index *x, struct derived *d, struct fault *f)
{
    size_t n = (size_t)derived_size(d);
    if (n > COVERED_MAX)
        return fault_set(f, FAULT_CORRUPTION, "search index: what it covers is too long");
    char *p = calloc(1, n + 1);
    must(p != NULL);
    enum result r = derived_read(d, 0, p, n, f);
    struct unpack u = unpack_of(span_of(p, n));
    if (r == R_OK && unpack_u8(&u) == COVERED_VERSION) {
        while (!u.bad && u.rest.n >= 12) {
            uint64_t mailbox = unpack_u64(&u);
            mail_index_covered_of(x, mailbox)->upto = unpack_u32(&u);
        }
    }
    free(p);
    return r;
}

static enum result
covered_load(struct mail_index *x, struct fault *f)
{
    struct derived *d;
    enum result r = derived_open(mail_store(x->account->mail), x->account->id,
                                 span_str(covered_name), &d, f);
    if (r == R_OK) {
        r = covered_read(x, d, f);
        derived_close(&d);
    }
    return r == R_FAIL ? R_FAIL : R_OK;
}

// ---- faults ----

// Texts of attachments (files-) stay: they have checksums of their own.
static enum result
drop_strings(struct account *a, struct fault *f)
{
    struct store *s = mail_store(a->mail);
    struct derived_list list = {.a = arena_new()};
    // First what says that rows are in the index: it must not outlive the segments.
    enum result r = derived_remove(s, a->id, span_str(covered_name), f);
    if (r == R_OK)
        r = derived_list(s, a->id, &list, f);
    for (size_t i = 0; i < list.n && r == R_OK; i++)
        if (!span_starts(list.entries[i].name, SPAN("files-")))
            r = derived_remove(s, a->id, list.entries[i].name, f);
    arena_free(&list.a);
    return r;
}

static void
drop_all(struct mail_index *x)
{
    struct account *a = x->account;
    struct fault f;
    text_index_close(&x->text);
    mail_index_covered_clear(x);
    x->covered_known = false;
    bool gone;
    enum result r;
    do {
        gone = x->gone;
        r = gone ? derived_clear(mail_store(a->mail), a->id, &f) : drop_strings(a, &f);
    } while (r == R_OK && gone != x->gone);  // the account may go meanwhile
    x->damaged = false;
    if (r != R_OK) {
        mail_index_tell(a, "search index cannot be dropped", &f);
        x->rest_until_ms = clock_mono_ms() + REST_MS;
    }
}

void
mail_index_failed(struct mail_index *x, const struct fault *f)
{
    if (f->kind == FAULT_CLOSED)  // it had to stop
        return;
    if (f->kind == FAULT_CORRUPTION) {
        if (!x->damaged)
            mail_index_tell(x->account, "search index is damaged and made anew", f);
        x->damaged = true;
        return;
    }
    if (clock_mono_ms() >= x->rest_until_ms)
        mail_index_tell(x->account, "search index rests", f);
    x->rest_until_ms = clock_mono_ms() + REST_MS;
}

// ---- its users ----

static enum result
open_text(struct mail_index *x)
{
    struct fault f;
    struct account *a = x->account;
    struct text_index *text = NULL;
    x->opening = true;
    enum result r = text_index_open(mail_store(a->mail), a->id, &text, &f);
    if (r == R_OK && !x->covered_known && (r = covered_load(x, &f)) == R_OK)
        x->covered_known = true;
    x->opening = false;
    if (r == R_OK) {
        x->text = text;
        return R_OK;
    }
    text_index_close(&text);
    mail_index_failed(x, &f);
    if (x->damaged && x->users == 1)
        drop_all(x);
    return R_NONE;
}

enum result
mail_index_enter(struct mail_index *x)
{
    if (!mail_index_on(x->account) || x->opening || x->damaged ||
        clock_mono_ms() < x->rest_until_ms)
        return R_NONE;
    x->used_ms = clock_mono_ms();
    x->users++;
    if (x->text || open_text(x) == R_OK)
        return R_OK;
    mail_index_leave(x);
    return R_NONE;
}

void
mail_index_leave(struct mail_index *x)
{
    x->used_ms = clock_mono_ms();
    if (x->users == 1 && x->damaged)
        drop_all(x);
    x->users--;
}

size_t
mail_index_rest(struct account *a, uint64_t now_ms, uint64_t unused_ms)
{
    struct mail_index *x = a->index;
    if (!x || x->users > 0 || x->working || now_ms - x->used_ms <= unused_ms)
        return 0;
    size_t octets = x->text ? text_index_memory(x->text) : 0;
    mail_index_covered_clear(x);
    x->covered_known = false;
    text_index_close(&x->text);
    return octets;
}

// ---- when there is work ----

bool
mail_index_is_fresh(const struct mail_index *x)
{
    unsigned test = mail_index_after(x->account->mail);
    return mail_index_fresh(x) >= (test > 0 ? test : LIMIT_index_fresh);
}

bool
mail_index_is_asked(const struct mail_index *x)
{
    return x->lookups >= LOOKUPS;
}

static bool
is_due(const struct mail_index *x)
{
    return mail_index_is_fresh(x) || mail_index_is_asked(x);
}

static void
look_later(struct mail_index *x, uint32_t ms)
{
    timer_set(&x->timer, mail_index_after(x->account->mail) > 0 ? TEST_MS : ms);
}

// Whether there is work, told by the one string that says what is covered: most accounts need no segment opened for that.
static bool
has_work(struct mail_index *x)
{
    struct fault f;
    if (x->covered_known || x->opening || x->damaged)
        return is_due(x);
    x->users++;
    x->opening = true;
    enum result r = covered_load(x, &f);
    x->opening = false;
    x->covered_known = r == R_OK;
    if (r != R_OK)
        mail_index_failed(x, &f);
    mail_index_leave(x);
    return is_due(x);
}

static void
work(void *arg)
{
    struct mail_index *x = arg;
    struct account *a = x->account;
    bool again = load_is_high() || !mail_index_begin(a);
    if (!again) {
        if (has_work(x) && mail_index_enter(x) == R_OK) {
            mail_index_work(x);
            mail_index_leave(x);
        }
        mail_index_end(a);
    }
    x->working = false;
    if (again)
        mail_index_pass(a);
    if (mail_index_on(a) && (again || is_due(x)))
        look_later(x, AGAIN_MS);
    account_unref(a);
}

// The account stays in memory for as long as the task is at work.
static void
start(struct mail_index *x)
{
    if (x->working || !mail_index_on(x->account))
        return;
    x->working = true;
    timer_clear(&x->timer);
    account_ref(x->account);
    task_start_for(x->account->id, work, x);
}

static void
on_timer(void *arg)
{
    struct mail_index *x = arg;
    if (mail_index_queue(x))
        return;
    if (x->account->kept_state && is_due(x))
        start(x);
    else
        mail_index_pass(x->account);
}

void
mail_index_opened(struct account *a)
{
    a->index = KEEP_NEW(struct mail_index);
    a->index->account = a;
    timer_init(&a->index->timer, on_timer, a->index);
    look_later(a->index, LOOK_MS);
}

void
mail_index_free(struct account *a)
{
    if (!a->index)
        return;
    timer_clear(&a->index->timer);
    mail_index_unqueue(a->index);
    mail_index_pass(a);
    if (a->index->users == 0)
        text_index_close(&a->index->text);
    mail_index_covered_clear(a->index);
    KEEP_FREE(a->index);
    a->index = NULL;
}

void
mail_index_applied(struct account *a, enum record_type type)
{
    struct mail_index *x = a->index;
    if (!x)
        return;
    if (type == RECORD_ACCOUNT_GONE) {
        attachments_gone(a->mail, a->id);
        x->users++;
        x->damaged = x->gone = true;
        mail_index_leave(x);
    }
    if ((type == RECORD_ADDED || type == RECORD_COPIED || type == RECORD_FILED) &&
        !x->working && !timer_is_set(&x->timer))
        look_later(x, LOOK_MS);
}

// ---- from outside ----

struct call {
    struct account *account;
    const struct text_lookup *lookups;
    size_t n;
    struct text_found *found;
    struct mail_index_state *state;
    enum result result;
};

static void
find(void *arg)
{
    struct call *c = arg;
    struct mail_index *x = c->account->index;
    struct fault f;
    c->result = R_NONE;
    if (!x || mail_index_enter(x) != R_OK)
        return;
    struct text_stats stats;
    text_index_stats(x->text, &stats);
    if (stats.documents > 0) {
        c->result = text_index_find(x->text, c->lookups, c->n, &c->found, &f);
        x->lookups += c->n;
        if (c->result == R_FAIL)
            mail_index_failed(x, &f);
    }
    if (is_due(x))
        start(x);
    mail_index_leave(x);
}

enum result
mail_index_find(struct account *a, const struct text_lookup *lookups, size_t n,
                struct text_found **out)
{
    struct call c = {.account = a, .lookups = lookups, .n = n};
    account_run(a, find, &c);
    *out = c.found;
    return c.result == R_OK ? R_OK : R_NONE;
}

static void
found_free(void *arg)
{
    struct call *c = arg;
    text_found_free(&c->found);
}

void
mail_index_found_free(struct account *a, struct text_found **found)
{
    struct call c = {.account = a, .found = *found};
    if (*found)
        account_run(a, found_free, &c);
    *found = NULL;
}

static uint64_t
files_octets(struct account *a)
{
    struct derived_list list = {.a = arena_new()};
    struct fault f;
    uint64_t octets = 0;
    if (derived_list(mail_store(a->mail), a->id, &list, &f) == R_OK)
        for (size_t i = 0; i < list.n; i++)
            if (span_starts(list.entries[i].name, SPAN("files-")))
                octets += list.entries[i].size;
    arena_free(&list.a);
    return octets;
}

static void
state_get(void *arg)
{
    struct call *c = arg;
    struct mail_index *x = c->account->index;
    struct mail_index_state *out = c->state;
    *out =
        (struct mail_index_state){.on = mail_index_on(c->account), .working = x->working};
    if (mail_index_enter(x) == R_OK) {
        text_index_stats(x->text, &out->stats);
        out->memory = text_index_memory(x->text);
        mail_index_leave(x);
    }
    out->files = files_octets(c->account);
    out->resting = clock_mono_ms() < x->rest_until_ms;
    out->unindexed = mail_index_fresh(x);
}

enum result
mail_index_state(struct account *a, struct mail_index_state *out, struct fault *f)
{
    struct call c = {.account = a, .state = out};
    (void)f;
    account_run(a, state_get, &c);
    return R_OK;
}

static void
catch_up(void *arg)
{
    struct call *c = arg;
    struct mail_index *x = c->account->index;
    if (is_due(x))
        start(x);
    while (x->working && mail_index_on(c->account))
        task_sleep(50);
}

void
mail_index_catch_up(struct account *a)
{
    struct call c = {.account = a};
    account_run(a, catch_up, &c);
}

// Where the index is off nobody asks it, and nothing is kept.
static void
drop_unused(struct mail_index *x)
{
    x->users++;
    x->damaged = true;
    mail_index_leave(x);
}

static void
purge_now(struct mail_index *x)
{
    if (!mail_index_on(x->account)) {
        drop_unused(x);
        mail_index_purge_work(x);
    } else if (mail_index_enter(x) == R_OK) {
        mail_index_purge_work(x);
        mail_index_leave(x);
    }
}

static void
purge(void *arg)
{
    struct call *c = arg;
    struct mail_index *x = c->account->index;
    c->result = R_NONE;
    if (x->working || x->users > 0 || !mail_index_begin(c->account))
        return;
    x->working = true;
    timer_clear(&x->timer);
    purge_now(x);
    mail_index_end(c->account);
    x->working = false;
    c->result = R_OK;
    if (is_due(x))
        start(x);
}

enum result
mail_index_purge(struct account *a)
{
    struct call c = {.account = a};
    account_run(a, purge, &c);
    return c.result;
}

enum result
mail_index_sweep(struct mail *m, struct fault *f)
{
    struct arena *a = arena_new();
    struct store *s = mail_store(m);
    uint64_t *have, *live;
    size_t n = 0, live_n = 0, k = 0;
    enum result r = derived_accounts(s, a, &have, &n, f);
    if (r == R_OK && n > 0)
        r = store_accounts(s, a, &live, &live_n, f);
    for (size_t i = 0; i < n && r == R_OK; i++) {
        while (k < live_n && live[k] < have[i])
            k++;
        if (k == live_n || live[k] != have[i])
            r = derived_clear(s, have[i], f);
    }
    arena_free(&a);
    return r;
}
