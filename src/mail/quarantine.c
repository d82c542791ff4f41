#include "mail/quarantine.h"

#include "base/clock.h"
#include "base/hex.h"
#include "base/log.h"
#include "mail/home.h"
#include "mail/message.h"
#include "mail/rows.h"
#include "mail/select.h"
#include "mail/system.h"
#include "mail/tree_record.h"

enum { PIECE = 65536, KEY_MAX = 32 };

static const struct span prefix = {"held/", 5};

// ---- keys and values ----

static struct span
key_of(uint64_t id, char text[KEY_MAX])
{
    int n =
        snprintf(text, KEY_MAX, "%.*s%016llx", SPAN_ARG(prefix), (unsigned long long)id);
    return span_of(text, (size_t)n);
}

static void
value_put(struct buf *b, const struct quarantine_entry *e)
{
    pack_u64(b, (uint64_t)e->since_s);
    pack_u64(b, e->octets);
    pack_u64(b, e->account);
    pack_span(b, e->user);
    pack_span(b, e->from);
    pack_span(b, e->to);
    pack_span(b, e->reason);
}

static enum result
entry_get(struct span key, struct span value, struct quarantine_entry *out)
{
    struct unpack u = unpack_of(value);
    if (!span_starts(key, prefix) || !hex_id(span_skip(key, prefix.n), &out->id))
        return R_FAIL;
    out->since_s = (int64_t)unpack_u64(&u);
    out->octets = unpack_u64(&u);
    out->account = unpack_u64(&u);
    out->user = unpack_span(&u);
    out->from = unpack_span(&u);
    out->to = unpack_span(&u);
    out->reason = unpack_span(&u);
    return unpack_end(&u);
}

// ---- in the account's home ----

struct call {
    struct account *account;
    struct arena *arena;
    uint64_t id;     // of one
    uint64_t whose;  // of all of a user; 0: of everybody
    struct quarantine_entry *entries;
    size_t n, max;
    struct message_row row;
    uint64_t mailbox;
    const struct delivered_key *key;  // of what is put
    struct fault *fault;
    enum result result;
};

static void
copy_entry(struct arena *a, struct quarantine_entry *e)
{
    e->user = arena_dup(a, e->user);
    e->from = arena_dup(a, e->from);
    e->to = arena_dup(a, e->to);
    e->reason = arena_dup(a, e->reason);
}

static void
take(uint64_t mailbox, struct span key, struct span value, void *arg)
{
    struct call *c = arg;
    struct quarantine_entry e;
    if (mailbox != 0 || entry_get(key, value, &e) != R_OK ||
        (c->whose != 0 && e.account != c->whose))
        return;
    if (c->n == c->max) {
        struct quarantine_entry *more =
            arena_array(c->arena, 2 * c->max + 64, sizeof *more);
        if (c->n > 0)
            memcpy(more, c->entries, c->n * sizeof *more);
        c->max = 2 * c->max + 64;
        c->entries = more;
    }
    copy_entry(c->arena, &e);
    c->entries[c->n++] = e;
}

static void
list_run(void *arg)
{
    struct call *c = arg;
    state_meta_each(account_state(c->account), take, c);
    c->result = R_OK;
}

static struct mailbox *
held(struct account *a)
{
    return account_state(a)->mailbox_count > 0
               ? mailbox_of(a, account_state(a)->mailboxes[0]->id)
               : NULL;
}

static enum result
find(struct call *c, struct quarantine_entry *e)
{
    char text[KEY_MAX];
    struct span key = key_of(c->id, text), value;
    if (state_meta_find(account_state(c->account), 0, key, &value) != R_OK ||
        entry_get(key, value, e) != R_OK)
        return fault_set(c->fault, FAULT_NONEXISTENT, "nothing in quarantine has that id");
    return R_OK;
}

static enum result
find_row(const struct mailbox *m, uint64_t emailid, uint32_t *at_out)
{
    for (uint32_t i = 0; i < m->state->counts.exists; i++)
        if (m->state->rows[i].emailid == emailid) {
            *at_out = i;
            return R_OK;
        }
    return R_NONE;
}

static void
find_run(void *arg)
{
    struct call *c = arg;
    struct mailbox *m = held(c->account);
    uint32_t at;
    c->entries = ARENA_NEW(c->arena, struct quarantine_entry);
    c->result = find(c, c->entries);
    if (c->result != R_OK)
        return;
    copy_entry(c->arena, c->entries);
    c->result = m ? mailbox_load(c->account, m, c->fault) : R_NONE;
    if (c->result == R_OK)
        c->result = find_row(m, c->id, &at);
    if (c->result == R_OK)
        c->row = m->state->rows[at];
    else if (c->result == R_NONE)
        c->result = fault_set(c->fault, FAULT_CORRUPTION, "the message is not there");
}

// ---- the account, from anywhere ----

// R_NONE: nothing was ever put there.
static enum result
open_it(struct mail *m, bool create, struct call *c, struct fault *f)
{
    c->fault = f;
    return account_open(m, ACCOUNT_QUARANTINE, SPAN("quarantine"), create, &c->account, f);
}

static enum result
run_in(struct mail *m, struct call *c, void (*run)(void *), struct fault *f)
{
    enum result r = open_it(m, false, c, f);
    if (r != R_OK)
        return r;
    account_run(c->account, run, c);
    account_close(&c->account);
    return c->result;
}

static int
by_id(const void *x, const void *y)
{
    const struct quarantine_entry *a = x, *b = y;
    return (a->id > b->id) - (a->id < b->id);
}

enum result
quarantine_list(struct mail *m, uint64_t account, struct arena *a,
                struct quarantine_entry **out, size_t *n_out, struct fault *f)
{
    struct call c = {.arena = a, .whose = account};
    if (run_in(m, &c, list_run, f) == R_FAIL)
        return R_FAIL;
    if (c.n > 1)
        qsort(c.entries, c.n, sizeof *c.entries, by_id);
    *out = c.entries;
    *n_out = c.n;
    return R_OK;
}

static enum result
find_one(struct mail *m, struct call *c, struct fault *f)
{
    enum result r = run_in(m, c, find_run, f);
    return r == R_NONE
               ? fault_set(f, FAULT_NONEXISTENT, "nothing in quarantine has that id")
               : r;
}

enum result
quarantine_show(struct mail *m, uint64_t id, struct arena *a, struct quarantine_entry *out,
                struct span *header_out, struct fault *f)
{
    struct call c = {.arena = a, .id = id};
    if (find_one(m, &c, f) != R_OK)
        return R_FAIL;
    size_t n = c.row.size < LIMIT_mime_header ? c.row.size : LIMIT_mime_header;
    char *text = arena_alloc(a, n + 1);
    if (message_read(m, &c.row, 0, n, text, f) != R_OK)
        return R_FAIL;
    struct span whole = span_of(text, n);
    *header_out = span_slice(whole, 0, span_find(whole, SPAN("\r\n\r\n")));
    *out = *c.entries;
    return R_OK;
}

// ---- put ----

static enum result
make_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    struct record_mailbox r = {.id = store_id_next(mail_store(a->mail)),
                               .modseq = change_modseq(a),
                               .name = SPAN("Quarantine"),
                               .uidvalidity = tree_uidvalidity(a, b)};
    (void)arg, (void)f;
    if (!held(a))
        tree_put_mailbox(b, &r);
    return R_OK;
}

static void
make_run(void *arg)
{
    struct call *c = arg;
    c->result = R_OK;
    if (!held(c->account))
        c->result =
            account_change(c->account, make_change, c, CHANGE_ALONE, NULL, c->fault);
    const struct mailbox *m = held(c->account);
    if (c->result != R_OK)
        return;
    if (c->key && delivered_find(c->account, c->key, &c->mailbox) == R_OK)
        c->result = R_NONE;  // it came before
    c->mailbox = m->id;
    if (c->result == R_OK && m->state->counts.exists >= LIMIT_quarantine)
        c->result = fault_set(c->fault, FAULT_LIMIT, "the quarantine is full");
}

static enum result
put_into(struct call *c, const struct quarantine_entry *e, struct intake *in,
         struct fault *f)
{
    struct mailbox_ref ref = {NULL, c->account, c->mailbox, RIGHTS_ALL};
    struct intake_item item = {
        in,
        {.emailid = store_id_next(mail_store(c->account->mail)), .quota = QUOTA_DELIVERY}};
    struct quarantine_entry now = *e;
    struct intake_result done;
    struct buf value, when;
    char key[KEY_MAX];
    now.since_s = clock_wall_s();
    now.octets = intake_size(in);
    buf_init(&value, LIMIT_quarantine_value);
    value_put(&value, &now);
    struct record_meta notes[2] = {
        {.key = key_of(item.params.emailid, key), .value = buf_span(&value)}};
    buf_init(&when, 64);
    if (c->key)
        notes[1] = delivered_note(c->key, c->mailbox, &when);
    const struct intake_batch batch = {
        .items = &item, .n = 1, .notes = notes, .note_n = c->key ? 2 : 1};
    enum result r = value.over ? fault_set(f, FAULT_TOOBIG, "its addresses are too long")
                               : intake_commit_all(&batch, &ref, &done, f);
    buf_done(&when);
    buf_done(&value);
    if (r == R_OK)
        log_info("mail", "quarantined", log_user(e->user),
                 field_id("quarantine", "id=%", item.params.emailid),
                 field_text("from", "from=<%>", e->from),
                 field_text("reason", ": %", e->reason));
    return r;
}

enum result
quarantine_put(struct mail *m, const struct quarantine_entry *e, struct intake *in,
               const struct delivered_key *key, struct fault *f)
{
    struct call c = {.key = key};
    if (open_it(m, true, &c, f) != R_OK)
        return R_FAIL;
    account_run(c.account, make_run, &c);
    enum result r = c.result == R_OK ? put_into(&c, e, in, f) : c.result;
    account_close(&c.account);
    return r == R_FAIL ? R_FAIL : R_OK;
}

static void
end_run(void *arg)
{
    struct call *c = arg;
    delivered_end(c->account, c->key);
    c->result = R_OK;
}

void
quarantine_end(struct mail *m, const struct delivered_key *key)
{
    struct call c = {.key = key};
    struct fault f;
    if (run_in(m, &c, end_run, &f) == R_FAIL)
        log_warning("lmtp", "a note of a delivery stays", log_fault(&f));
}

// ---- out of it ----

static enum result
delete_change(struct account *a, struct store_batch *b, void *arg, struct fault *f)
{
    struct call *c = arg;
    struct mailbox *m = held(a);
    char key[KEY_MAX];
    uint32_t at;
    if (m && mailbox_load(a, m, f) != R_OK)
        return R_FAIL;
    if (m && select_ready(a, m) == R_NONE)
        return R_NONE;
    struct record_meta gone = {.modseq = change_modseq(a), .key = key_of(c->id, key)};
    tree_put_meta(b, &gone);
    if (m && find_row(m, c->id, &at) == R_OK)
        rows_put_away(a, b, m, RECORD_EXPUNGED, &at, 1);
    return R_OK;
}

static void
delete_run(void *arg)
{
    struct call *c = arg;
    struct quarantine_entry e;
    c->result = find(c, &e);
    if (c->result == R_OK)
        c->result = account_change(c->account, delete_change, c, 0, NULL, c->fault);
}

enum result
quarantine_delete(struct mail *m, uint64_t id, struct fault *f)
{
    struct call c = {.id = id};
    enum result r = run_in(m, &c, delete_run, f);
    return r == R_NONE
               ? fault_set(f, FAULT_NONEXISTENT, "nothing in quarantine has that id")
               : r;
}

static enum result
read_in(struct mail *m, const struct message_row *row, struct intake *in, struct fault *f)
{
    struct arena *a = arena_new();
    char *piece = arena_alloc(a, PIECE);
    enum result r = R_OK;
    for (uint64_t at = 0; r == R_OK && at < row->size;) {
        size_t n = row->size - at < PIECE ? (size_t)(row->size - at) : PIECE;
        r = message_read(m, row, at, n, piece, f);
        if (r == R_OK)
            r = intake_write(in, span_of(piece, n), f);
        at += n;
    }
    arena_free(&a);
    return r == R_OK ? intake_finish(in, f) : R_FAIL;
}

static enum result
put_into_inbox(struct mail *m, const struct quarantine_entry *e, struct intake *in,
               struct fault *f)
{
    struct intake_params p = {.quota = QUOTA_DELIVERY};
    struct mailbox_ref inbox;
    struct intake_result done;
    struct account *a;
    if (account_make(m, e->account, e->user, SPAN(""), &a, f) != R_OK)
        return R_FAIL;
    enum result r = intake_delivery_target(a, SPAN_NONE, &inbox, f);
    if (r == R_OK)
        r = intake_commit(in, &inbox, &p, &done, f);
    account_close(&a);
    return r;
}

enum result
quarantine_release(struct mail *m, uint64_t id, struct fault *f)
{
    struct arena *a = arena_new();
    struct call c = {.arena = a, .id = id};
    struct intake *in = intake_begin(m);
    enum result r = find_one(m, &c, f);
    if (r == R_OK)
        r = read_in(m, &c.row, in, f);
    if (r == R_OK)
        r = put_into_inbox(m, c.entries, in, f);
    if (r == R_OK)
        r = quarantine_delete(m, id, f);
    intake_free(&in);
    arena_free(&a);
    return r;
}

enum result
quarantine_expire(struct mail *m, int64_t before_s, uint64_t *count_out, struct fault *f)
{
    struct arena *a = arena_new();
    struct quarantine_entry *all;
    size_t n = 0;
    uint64_t count = 0;
    enum result r = quarantine_list(m, 0, a, &all, &n, f);
    for (size_t i = 0; r == R_OK && i < n; i++) {
        if (all[i].since_s >= before_s)
            continue;
        r = quarantine_delete(m, all[i].id, f);
        if (r != R_OK && f->kind == FAULT_NONEXISTENT)
            r = R_OK;  // an administrator was faster
        else
            count += r == R_OK;
    }
    arena_free(&a);
    *count_out = count;
    return r;
}
