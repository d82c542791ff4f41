#include "mail/learn_inside.h"

#include "base/log.h"
#include "base/memory_file.h"
#include "base/metrics.h"
#include "mail/message.h"
#include "scan/link.h"

#include <unistd.h>
#include <utlist.h>

enum { PIECE = 65536, STEP_MS = 50, DONE_KEPT = 64 };

// A message of a batch that is not committed yet; in its arena.
struct learn_wish {
    struct learn_wish *next;
    struct message_row row;
    uint64_t mailbox;  // where its row will be; 0: `row` has its body
    bool spam;
    unsigned n;     // of the batch, with this one
    uint64_t left;  // of the last: how many more there was no room for
};

struct lesson {
    struct lesson *prev, *next;
    struct mail *mail;
    uint64_t account;
    struct span user;  // behind the struct
    struct message_row row;
    uint64_t mailbox;
    bool spam;
};

static bool is_on;
static _Thread_local struct {
    struct lesson *waiting;
    unsigned n;
    bool working, stopping, full;
    struct {
        uint64_t emailid;
        bool spam;
    } done
        [DONE_KEPT];  // of late: clients say the same thing twice, by a flag and by a move
    unsigned done_at;
} school;

void
learn_set(bool on)
{
    is_on = on;
}

// ---- in a change ----

static void
wish(struct account *a, const struct message_row *row, uint64_t mailbox, bool spam)
{
    struct learn_wish *last = a->learning;
    if (last && last->n >= LIMIT_learn_waiting) {
        last->left++;
        return;
    }
    struct learn_wish *w = ARENA_NEW(a->batch_arena, struct learn_wish);
    *w = (struct learn_wish){.next = last,
                             .row = *row,
                             .mailbox = mailbox,
                             .spam = spam,
                             .n = last ? last->n + 1 : 1};
    a->learning = w;
}

void
learn_copied(struct account *a, uint8_t from_use, const struct mailbox *to,
             const struct message_row *rows, size_t n)
{
    uint8_t use = to->state->special_use;
    bool spam = use == USE_JUNK;
    if (!is_on || spam == (from_use == USE_JUNK) || use == USE_TRASH)
        return;
    for (size_t i = 0; i < n; i++)
        wish(a, &rows[i], 0, spam);
}

void
learn_left(struct account *a, const struct mailbox *from, const struct message_row *row)
{
    if (is_on && from->state->special_use == USE_JUNK)
        wish(a, row, 0, false);
}

void
learn_added(struct account *a, const struct mailbox *to, const struct message_row *row)
{
    if (is_on && to->state->special_use == USE_JUNK)
        wish(a, row, to->id, true);
}

static bool
has(const struct mailbox *m, const struct row_flags *f, struct span keyword)
{
    for (size_t i = 0; i < f->keyword_count; i++)
        if (span_ieq(keyword_name(m, f->keywords[i]), keyword))
            return true;
    return false;
}

// Both at once says nothing.
void
learn_marked(struct account *a, const struct mailbox *m, const struct message_row *row,
             const struct row_flags *before, const struct row_flags *after)
{
    if (!is_on || after->keyword_count == 0)
        return;
    bool junk = has(m, after, SPAN("$Junk")), not_junk = has(m, after, SPAN("$NotJunk"));
    struct span word = junk ? SPAN("$Junk") : SPAN("$NotJunk");
    if (junk != not_junk && !has(m, before, word))
        wish(a, row, 0, junk);
}

// ---- the queue ----

// The last that was said of it is the same.
static bool
is_known(uint64_t emailid, bool spam)
{
    const struct lesson *l, *last = NULL;
    DL_FOREACH(school.waiting, l)
    if (l->row.emailid == emailid)
        last = l;
    if (last)
        return last->spam == spam;
    for (unsigned i = 1; i <= DONE_KEPT; i++) {
        unsigned at = (school.done_at + DONE_KEPT - i) % DONE_KEPT;
        if (school.done[at].emailid == emailid)
            return school.done[at].spam == spam;
    }
    return false;
}

static void
leave_out(const struct account *a, uint64_t n)
{
    if (!school.full)
        log_warning("mail", "not all messages are learnt: too many wait",
                    log_user(a->user));
    school.full = true;
    metric_add(METRIC_learnt_not, (int64_t)n);
}

static void
enqueue(const struct account *a, const struct learn_wish *w)
{
    if (is_known(w->row.emailid, w->spam) || school.stopping)
        return;
    if (school.n >= LIMIT_learn_waiting) {
        leave_out(a, 1);
        return;
    }
    struct lesson *l = calloc(1, sizeof *l + a->user.n);
    must(l != NULL);
    *l = (struct lesson){.mail = a->mail,
                         .account = a->id,
                         .user = span_of(l + 1, a->user.n),
                         .row = w->row,
                         .mailbox = w->mailbox,
                         .spam = w->spam};
    memcpy(l + 1, a->user.p, a->user.n);
    DL_APPEND(school.waiting, l);
    school.n++;
}

// ---- one lesson ----

// A message that came a moment ago, by its UID.
static enum result
find_row(struct lesson *l, struct fault *f)
{
    struct account *a;
    enum result r = account_open(l->mail, l->account, l->user, false, &a, f);
    if (r != R_OK)
        return r;
    struct mailbox *m = mailbox_of(a, l->mailbox);
    r = m ? mailbox_load(a, m, f) : R_NONE;
    if (r == R_OK) {
        uint32_t at = state_row_at(m->state, l->row.uid);
        if (at < m->state->counts.exists && m->state->rows[at].uid == l->row.uid)
            l->row = m->state->rows[at];
        else
            r = R_NONE;
    }
    account_close(&a);
    return r;
}

static const char in_memory[] = "a message in memory";

static enum result
write_text(const struct lesson *l, int fd, struct fault *f)
{
    struct arena *a = arena_new();
    char *piece = arena_alloc(a, PIECE);
    enum result r = R_OK;
    for (uint64_t at = 0; r == R_OK && at < l->row.size;) {
        size_t n = l->row.size - at < PIECE ? (size_t)(l->row.size - at) : PIECE;
        r = message_read(l->mail, &l->row, at, n, piece, f);
        if (r == R_OK)
            r = memory_file_put(fd, span_of(piece, n), in_memory, f);
        at += n;
    }
    arena_free(&a);
    return r;
}

static enum result
ask(const struct lesson *l, int fd, enum scan_status *status, struct fault *f)
{
    const struct scan_envelope e = {.user = l->user};
    const struct scan_text text = {fd, l->row.size};
    struct buf about, answer;
    buf_init(&about, LIMIT_channel_message);
    buf_init(&answer, LIMIT_channel_message);
    scan_envelope_put(&about, &e);
    enum result r = scan_ask(l->spam ? SCAN_LEARN_SPAM : SCAN_LEARN_HAM, buf_span(&about),
                             &text, &answer, status, f);
    buf_done(&answer);
    buf_done(&about);
    return r;
}

static void
pause_before_try(unsigned tries)
{
    uint32_t ms = LIMIT_learn_retry_ms << (2 * tries);
    for (uint32_t waited = 0; waited < ms && !school.stopping; waited += STEP_MS)
        task_sleep(STEP_MS);
}

// A role that is away is like an rspamd that is: it may come back.
static enum result
tell(const struct lesson *l, int fd, struct fault *f)
{
    for (unsigned i = 0; i < LIMIT_learn_tries && !school.stopping; i++) {
        enum scan_status status = SCAN_LATER;
        if (i > 0)
            pause_before_try(i - 1);
        if (ask(l, fd, &status, f) == R_OK && status == SCAN_DONE)
            return R_OK;
        if (status == SCAN_REFUSED)
            return fault_set(f, FAULT_CANNOT, "rspamd refuses it");
    }
    return fault_set(f, FAULT_UNAVAILABLE, "rspamd does not answer");
}

static enum result
teach(struct lesson *l, struct fault *f)
{
    enum result r = l->mailbox != 0 ? find_row(l, f) : R_OK;
    if (r == R_NONE)
        return fault_set(f, FAULT_NONEXISTENT, "the message is gone");
    if (r == R_OK && l->row.size > LIMIT_scan_octets)
        return fault_set(f, FAULT_TOOBIG, "the message is too large");
    int fd = -1;
    if (r == R_OK)
        r = memory_file_new("posthorn-learn", in_memory, &fd, f);
    if (r == R_OK)
        r = write_text(l, fd, f);
    if (r == R_OK)
        r = tell(l, fd, f);
    if (fd >= 0)
        close(fd);
    return r;
}

static void
report(const struct lesson *l, enum result r, const struct fault *f)
{
    const char *what = l->spam ? "spam" : "ham";
    if (r == R_OK) {
        metric_add(l->spam ? METRIC_learnt_spam : METRIC_learnt_ham, 1);
        log_info("mail", "learnt", log_user(l->user), field_str("what", "as=%", what));
        school.done[school.done_at].emailid = l->row.emailid;
        school.done[school.done_at].spam = l->spam;
        school.done_at = (school.done_at + 1) % DONE_KEPT;
        return;
    }
    metric_add(METRIC_learnt_not, 1);
    log_warning("mail", "not learnt", log_user(l->user), field_str("what", "as=%", what),
                log_fault(f));
}

static void
work(void *arg)
{
    struct fault f;
    (void)arg;
    while (school.waiting) {
        struct lesson *l = school.waiting;
        enum result r = teach(l, &f);
        report(l, r, &f);
        DL_DELETE(school.waiting, l);
        school.n--;
        free(l);
    }
    school.working = school.full = false;
}

void
learn_settle(struct account *a, bool committed)
{
    struct learn_wish *w = a->learning;
    a->learning = NULL;
    if (committed && w && w->left > 0)
        leave_out(a, w->left);
    for (; committed && w; w = w->next)
        enqueue(a, w);
    if (!school.waiting || school.working)
        return;
    school.working = true;
    task_start_helper(0, work, NULL);
}

// The one at work ends by itself.
void
learn_stop(void)
{
    struct lesson *l, *next, *first = school.working ? school.waiting : NULL;
    school.stopping = true;
    DL_FOREACH_SAFE(school.waiting, l, next)
    {
        if (l == first)
            continue;
        DL_DELETE(school.waiting, l);
        school.n--;
        free(l);
    }
}
