#include "mail/home.h"

#include "base/log.h"
#include "mail/notice.h"
#include "mail/tree_record.h"

// Warnings (the setting quota_warning): a message in INBOX when the account comes to so many per cent of a limit. What was
// told is a META record, set in the commit of the message, so that each crossing is told once, also over a restart; below
// the percentage it is taken back.

static const struct span warned_key = SPAN("quota/warned");

// The most per cent that a limit was come to, as the settings count them; 0: none of these.
static unsigned
level_of(const struct quota_now *now, uint64_t used, uint64_t limit)
{
    unsigned level = 0;
    for (int i = 0; limit <= QUOTA_MAX && i < QUOTA_WARNINGS; i++) {
        unsigned percent = now->warnings[i];
        uint64_t least = limit / 100 * percent + (limit % 100 * percent + 99) / 100;
        if (percent > 0 && used > 0 && used >= least)
            level = percent;
    }
    return level;
}

struct reached {
    unsigned level;
    int kind;
    uint64_t used, limit;
};

static struct reached
reached(struct account *a)
{
    static const int kinds[] = {USAGE_STORAGE, USAGE_MESSAGES};
    const struct quota_now *now = quotas_now(mail_quotas(a->mail));
    const struct usage *used = state_usage(account_state(a));
    struct usage limits = quota_limits(a);
    struct reached most = {.level = 0};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        int k = kinds[i];
        unsigned level = level_of(now, used->n[k], limits.n[k]);
        if (level > most.level)
            most = (struct reached){level, k, used->n[k], limits.n[k]};
    }
    return most;
}

unsigned
quota_warned(struct account *a)
{
    struct span stored;
    if (state_meta_find(account_state(a), 0, warned_key, &stored) != R_OK)
        return 0;
    struct unpack u = unpack_of(stored);
    uint64_t level = unpack_u64(&u);
    return u.bad || level > UINT8_MAX ? 0 : (unsigned)level;
}

// ---- the message ----

struct words {
    const char *from, *subject, *storage, *messages, *what;
};
static const struct words english = {
    "Mail server",
    "Your mailbox is %u %% full",
    "Your mailbox holds %llu MB of the %llu MB that it may hold.",
    "Your mailbox holds %llu of the %llu messages that it may hold.",
    "When it is full, no more mail can be delivered to you. Please delete what you no\r\n"
    "longer need, and empty the trash.",
};
static const struct words german = {
    "Mailserver",
    "Ihr Postfach ist zu %u %% voll",
    "Ihr Postfach enth\xc3\xa4lt %llu MB von %llu MB, die es enthalten darf.",
    "Ihr Postfach enth\xc3\xa4lt %llu von %llu Nachrichten, die es enthalten darf.",
    "Wenn es voll ist, kann Ihnen keine Post mehr zugestellt werden. Bitte l\xc3\xb6schen "
    "Sie,\r\nwas Sie nicht mehr brauchen, und leeren Sie den Papierkorb.",
};

// The format's arguments are those of the rows above.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static void
put_body(struct buf *b, struct buf *subject, const struct words *w, const struct reached *r)
{
    enum { MB = 1000000 };
    buf_printf(subject, w->subject, r->level);
    bool storage = r->kind == USAGE_STORAGE;
    uint64_t used = storage ? (r->used + MB - 1) / MB : r->used;
    uint64_t limit = storage ? (r->limit + MB - 1) / MB : r->limit;
    buf_printf(b, storage ? w->storage : w->messages, (unsigned long long)used,
               (unsigned long long)limit);
    buf_printf(b, "\r\n%s\r\n", w->what);
}
#pragma GCC diagnostic pop

static enum result
tell(struct account *a, const struct reached *r, const struct record_meta *note,
     struct fault *f)
{
    const struct words *w = notice_german(a) ? &german : &english;
    struct buf body, subject;
    buf_init(&body, 8192);
    buf_init(&subject, 256);
    put_body(&body, &subject, w, r);
    log_info("quota", "Warning", log_user(a->user),
             field_str("resource", "resource=%", quota_resource(r->kind)),
             field_number("percent", "percent=%", r->level),
             field_number("used", "used=%", r->used),
             field_number("limit", "limit=%", r->limit));
    const struct notice n = {w->from, "quota", buf_span(&subject), buf_span(&body)};
    enum result done = notice_commit(a, &n, note, f);
    buf_done(&subject);
    buf_done(&body);
    return done;
}

// ---- the task ----

static enum result
note_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    struct record_meta *note = arg;
    (void)f;
    note->modseq = change_modseq(a);
    tree_put_meta(b, note);
    return R_OK;
}

// What was told is brought to what is reached.
static enum result
warn(struct account *a, const struct reached *r, struct fault *f)
{
    struct buf value;
    buf_init(&value, sizeof(uint64_t));
    if (r->level > 0)
        pack_u64(&value, r->level);
    struct record_meta note = {.key = warned_key, .value = buf_span(&value)};
    enum result done = R_NONE;
    if (r->level > a->quota.warned)
        done = tell(a, r, &note, f);
    // the domain is full, or INBOX is not there: the line in the log is all
    if (done == R_NONE || (done == R_FAIL && f->kind != FAULT_DISK))
        done = account_change(a, note_change, &note, 0, NULL, f);
    buf_done(&value);
    return done;
}

static void
warn_run(void *arg)
{
    struct account *a = arg;
    struct fault f;
    enum result done = R_OK;
    while (done == R_OK) {
        struct reached r = reached(a);
        if (r.level == a->quota.warned)
            break;
        done = warn(a, &r, &f);
        quota_limits(a);  // and `warned`, as it is now
    }
    if (done != R_OK)
        log_warning("quota", "a warning was not stored", log_user(a->user), log_fault(&f));
    a->quota.warning = false;
    account_unref(a);
}

void
quota_warn(struct account *a)
{
    if (a->quota.warning || reached(a).level == a->quota.warned)
        return;
    a->quota.warning = true;
    account_ref(a);
    task_start_helper(a->id, warn_run, a);
}
