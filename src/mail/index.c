#include "mail/attachment_inside.h"
#include "mail/index_inside.h"

#include "base/clock.h"
#include "base/load.h"
#include "store/derived.h"

enum {
    LOOK_MS = 20000,   // after the account was opened, or something came
    REST_MS = 600000,  // after a fault
    TEST_MS = 20,      // instead, in tests
    AGAIN_MS = 30000,  // overloaded, or others are at work
    LOOKUPS = 256,     // after which segments are merged soon
};

bool
mail_index_on(const struct account *a)
{
    return mail_index_is_on(a->mail);
}

// ---- faults ----

// Texts of attachments have checksums of their own.
static bool
stays(struct span name)
{
    return span_starts(name, SPAN("files-")) || !mail_index_is_of_mail(name);
}

static enum result
drop_strings(struct account *a, struct fault *f)
{
    struct store *s = mail_store(a->mail);
    struct derived_list list = {.a = arena_new()};
    // First what says that rows are in the index: it must not outlive the segments.
    enum result r = mail_index_covered_remove(a, f);
    if (r == R_OK)
        r = derived_list(s, a->id, &list, f);
    for (size_t i = 0; i < list.n && r == R_OK; i++)
        if (!stays(list.entries[i].name))
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
    if (r == R_OK && !x->covered_known && (r = mail_index_covered_load(x, &f)) == R_OK)
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

// Nothing is known of it that is not known of one that was just made.
static bool
is_blank(const struct mail_index *x, uint64_t now_ms)
{
    return !x->damaged && !x->gone && !x->owed && !timer_is_set(&x->timer) &&
           x->lookups == 0 && !x->asked.unsaved && x->rest_until_ms <= now_ms;
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
    if (is_blank(x, now_ms))
        mail_index_free(a);
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
mail_index_is_busy(const struct mail_index *x)
{
    return x->lookups >= LOOKUPS;
}

static bool
may_be_wanted(const struct mail_index *x)
{
    return mail_index_is_wanted(x) || mail_index_wants_to_know(x);
}

static bool
is_index_due(const struct mail_index *x)
{
    return may_be_wanted(x) && (mail_index_is_fresh(x) || mail_index_is_busy(x));
}

static bool
is_due(const struct mail_index *x)
{
    return x->asked.unsaved || is_index_due(x);
}

static void
look_later(struct mail_index *x, uint32_t ms)
{
    timer_set(&x->timer, mail_index_after(x->account->mail) > 0 ? TEST_MS : ms);
}

static void
look_soon(struct mail_index *x)
{
    if (!timer_is_set(&x->timer))
        look_later(x, LOOK_MS);
}

static enum result
load_strings(struct mail_index *x, struct fault *f)
{
    if (mail_index_wants_to_know(x) && mail_index_asked_load(x, f) != R_OK)
        return R_FAIL;
    if (x->covered_known || !mail_index_is_wanted(x))
        return R_OK;
    enum result r = mail_index_covered_load(x, f);
    x->covered_known = r == R_OK;
    return r;
}

// Whether there is work, told by two small strings: most accounts need no segment opened for that.
static bool
has_work(struct mail_index *x)
{
    struct fault f;
    bool known = x->covered_known && !mail_index_wants_to_know(x);
    if (known || x->opening || x->damaged)
        return is_index_due(x);
    x->users++;
    x->opening = true;
    enum result r = load_strings(x, &f);
    x->opening = false;
    if (r != R_OK)
        mail_index_failed(x, &f);
    mail_index_leave(x);
    return is_index_due(x);
}

// Also under load: a search is remembered.
static void
save_asked(struct mail_index *x)
{
    struct fault f;
    if (!x->asked.unsaved || clock_mono_ms() < x->rest_until_ms)
        return;
    x->users++;
    if (mail_index_asked_save(x, &f) != R_OK)
        mail_index_failed(x, &f);
    mail_index_leave(x);
}

// What is owed keeps the account in memory: mail that came for thousands at once is indexed in turn, also when their users are gone.
static void
owe(struct mail_index *x, bool owed)
{
    bool was = x->owed;
    x->owed = owed;
    if (owed && !was)
        account_ref(x->account);
    else if (was && !owed)
        account_unref(x->account);
}

static void
work_in_turn(struct mail_index *x)
{
    struct account *a = x->account;
    if (!mail_index_begin(a)) {
        mail_index_queue(x);
        return;
    }
    if (mail_index_enter(x) == R_OK) {
        mail_index_work(x);
        mail_index_leave(x);
    }
    mail_index_end(a);
    bool due = mail_index_on(a) && is_due(x);
    if (due)
        look_later(x, AGAIN_MS);
    owe(x, due && clock_mono_ms() >= x->rest_until_ms);
}

static void
work(void *arg)
{
    struct mail_index *x = arg;
    struct account *a = x->account;
    save_asked(x);
    bool due = has_work(x) && mail_index_on(a);
    owe(x, due);
    if (due && !load_is_high()) {
        work_in_turn(x);
    } else {
        mail_index_pass(a);
        if (mail_index_on(a) && is_due(x))
            look_later(x, AGAIN_MS);
    }
    x->working = false;
    account_unref(a);
}

// The account stays in memory for as long as the task is at work.
static void
start(struct mail_index *x)
{
    if (x->working)
        return;
    x->working = true;
    x->came = false;
    timer_clear(&x->timer);
    account_ref(x->account);
    task_start_for(x->account->id, work, x);
}

static void
on_timer(void *arg)
{
    struct mail_index *x = arg;
    x->came = false;
    if (x->account->kept_state && mail_index_on(x->account) && is_due(x)) {
        start(x);
        return;
    }
    owe(x, false);
    mail_index_pass(x->account);
}

static struct mail_index *
index_of(struct account *a)
{
    if (a->index)
        return a->index;
    struct mail_index *x = KEEP_NEW(struct mail_index);
    x->account = a;
    timer_init(&x->timer, on_timer, x);
    a->index = x;
    return x;
}

void
mail_index_opened(struct account *a)
{
    look_later(index_of(a), LOOK_MS);
}

void
mail_index_free(struct account *a)
{
    if (!a->index)
        return;
    timer_clear(&a->index->timer);
    mail_index_unqueue(a->index);
    if (a->index->users == 0)
        text_index_close(&a->index->text);
    mail_index_covered_clear(a->index);
    KEEP_FREE(a->index);
    a->index = NULL;
}

void
mail_index_applied(struct account *a, enum record_type type)
{
    bool comes = type == RECORD_ADDED || type == RECORD_COPIED || type == RECORD_FILED;
    if (a->opening || (!comes && type != RECORD_ACCOUNT_GONE))
        return;
    struct mail_index *x = index_of(a);
    if (type == RECORD_ACCOUNT_GONE) {
        attachments_gone(a->mail, a->id);
        x->users++;
        x->damaged = x->gone = true;
        mail_index_leave(x);
    } else if (!x->working && !x->came && may_be_wanted(x)) {
        x->came = true;
        look_soon(x);
    }
}

bool
mail_index_expects(const struct account *a)
{
    return a->index && a->index->came;
}

// ---- from outside ----

struct call {
    struct account *account;
    const struct text_lookup *lookups;
    size_t n;
    struct text_found *found;
    struct mail_index_state *state;
    bool wants;
    enum result result;
};

static void
find(void *arg)
{
    struct call *c = arg;
    struct mail_index *x = index_of(c->account);
    struct fault f;
    c->result = R_NONE;
    if (mail_index_enter(x) != R_OK)
        return;
    struct text_stats stats;
    text_index_stats(x->text, &stats);
    if (stats.documents > 0) {
        c->result = text_index_find(x->text, c->lookups, c->n, &c->found, &f);
        x->lookups += c->n;
        if (c->result == R_FAIL)
            mail_index_failed(x, &f);
    }
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

// What cannot be loaded is written anew.
static void
load_asked(struct mail_index *x)
{
    struct fault f;
    if (!mail_index_wants_to_know(x))
        return;
    x->users++;
    if (mail_index_asked_load(x, &f) != R_OK)
        mail_index_failed(x, &f);
    mail_index_leave(x);
}

static void
found_free(void *arg)
{
    struct call *c = arg;
    struct mail_index *x = index_of(c->account);
    text_found_free(&c->found);
    if (c->wants && mail_index_mode(c->account->mail) == MAIL_INDEX_ASKED) {
        load_asked(x);
        mail_index_asked_now(x);
    }
    if (mail_index_on(c->account) && is_due(x))
        start(x);
}

void
mail_index_found_free(struct account *a, struct text_found **found, bool wants)
{
    struct call c = {.account = a, .found = *found, .wants = wants};
    account_run(a, found_free, &c);
    *found = NULL;
}

void
mail_index_want(struct account *a)
{
    struct call c = {.account = a, .wants = true};
    account_run(a, found_free, &c);
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
    struct mail_index *x = index_of(c->account);
    struct mail_index_state *out = c->state;
    load_asked(x);
    *out = (struct mail_index_state){.mode = mail_index_mode(c->account->mail),
                                     .asked_s = x->asked.at_s,
                                     .on = mail_index_on(c->account),
                                     .wanted = mail_index_is_wanted(x),
                                     .working = x->working};
    if (mail_index_enter(x) == R_OK) {
        text_index_stats(x->text, &out->stats);
        out->memory = text_index_memory(x->text);
        mail_index_leave(x);
    }
    out->resting = clock_mono_ms() < x->rest_until_ms;
    out->unindexed = mail_index_fresh(x);
    out->files = files_octets(c->account);
    if (out->on && is_due(x))  // it was found to be damaged, and dropped
        look_soon(x);
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
    struct account *a = c->account;
    if (mail_index_on(a) && is_due(index_of(a)))
        start(a->index);
    while (a->index && (a->index->working || a->index->owed) && mail_index_on(a))
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
    if (mail_index_mode(x->account->mail) == MAIL_INDEX_OFF) {
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
    struct mail_index *x = index_of(c->account);
    c->result = R_NONE;
    if (mail_index_mode(c->account->mail) == MAIL_INDEX_ELSEWHERE || x->working ||
        x->users > 0 || !mail_index_begin(c->account))
        return;
    x->working = true;
    x->came = false;
    timer_clear(&x->timer);
    purge_now(x);
    mail_index_end(c->account);
    x->working = false;
    c->result = R_OK;
    if (mail_index_on(x->account) && is_due(x))
        start(x);
    else
        owe(x, false);
}

enum result
mail_index_purge(struct account *a)
{
    struct call c = {.account = a};
    account_run(a, purge, &c);
    return c.result;
}
