#include "ctl/account.h"
#include "ctl/export_facts.h"
#include "ctl/import.h"
#include "ctl/shipment.h"
#include "ctl/verbs.h"
#include "base/limits.h"
#include "mail/message.h"
#include "mail/tree.h"
#include "mime/summary.h"

// The verb `restore` of one folder or message, both halves. "read" runs on the store of a backup and sends what is
// wanted as parcels; "write" runs on the account's own store and takes them as import does.

struct reading {
    struct shipment out;
    struct mail_user *user;
    struct arena *arena;
    struct span folder;  // empty: all
    struct span to;      // empty: by their own names
    // which message; 0 and empty: all
    uint32_t uid;
    struct span message_id;
    uint64_t emailid;
    bool dry_run;
    uint64_t folders, found;
};

static bool
is_by_message(const struct reading *r)
{
    return r->uid > 0 || r->message_id.n > 0 || r->emailid > 0;
}

// ---- what is wanted ----

static struct span
bare(struct span id)
{
    id = span_trim(id);
    bool angled = id.n >= 2 && id.p[0] == '<' && id.p[id.n - 1] == '>';
    return angled ? span_slice(id, 1, id.n - 1) : id;
}

static enum result
read_wish(struct verb_call *c, struct reading *r, struct fault *f)
{
    struct span uid = verb_arg(c, RESTORE_UID), emailid = verb_arg(c, RESTORE_EMAILID);
    r->message_id = bare(verb_arg(c, RESTORE_MESSAGE_ID));
    r->to = verb_arg(c, RESTORE_TO);
    r->emailid = mail_id_from('E', emailid);
    if (uid.n > 0 && (span_to_u32(uid, &r->uid) != R_OK || r->uid == 0))
        return fault_set(f, FAULT_BAD, "--uid takes a number from 1 to 4294967295");
    if (emailid.n > 0 && r->emailid == 0)
        return fault_set(f, FAULT_BAD,
                         "--emailid takes an EMAILID as IMAP shows it: E and digits");
    if (verb_arg(c, RESTORE_MESSAGE_ID).n > 0 && r->message_id.n == 0)
        return fault_set(f, FAULT_BAD, "the Message-ID is empty");
    return account_folder(r->arena, verb_arg(c, RESTORE_FOLDER), &r->folder, f);
}

static bool
is_wanted(const struct reading *r, const struct tree_entry *e)
{
    if (e->mailbox == 0 || e->noselect)
        return false;
    return r->folder.n == 0 || span_eq(e->name, r->folder) ||
           (!is_by_message(r) && span_within(e->name, r->folder));
}

// The folder's own name, or --to in its place.
static struct span
target_of(const struct reading *r, struct span name)
{
    struct buf b;
    if (r->to.n == 0)
        return name;
    if (is_by_message(r) || span_eq(name, r->folder))
        return r->to;
    buf_init(&b, r->to.n + name.n + 1);
    buf_put(&b, r->to);
    buf_put(&b, span_skip(name, r->folder.n));
    struct span whole = arena_dup(r->arena, buf_span(&b));
    buf_done(&b);
    return whole;
}

// R_NONE: it is another one.
static enum result
is_message(const struct reading *r, const struct message_row *row, struct arena *a,
           struct fault *f)
{
    struct message_cache cache;
    struct mime_summary summary;
    bool same = (r->uid == 0 || row->uid == r->uid) &&
                (r->emailid == 0 || row->emailid == r->emailid);
    if (!same || r->message_id.n == 0)
        return same ? R_OK : R_NONE;
    if (message_cache_load(verb_host(r->out.call)->mail, row, a, &cache, f) != R_OK ||
        mime_summary_get(cache.summary, &summary, f) != R_OK)
        return f->kind == FAULT_CORRUPTION ? R_NONE : R_FAIL;
    return span_eq(summary.message_id, r->message_id) ? R_OK : R_NONE;
}

enum { BATCH = 64 };

static enum result
choose_batch(struct reading *r, const struct view_message *messages, size_t n,
             struct seqset *out, struct fault *f)
{
    struct arena *a = arena_new();
    enum result found = R_NONE;
    for (size_t i = 0; found != R_FAIL && i < n; i++) {
        found = is_message(r, &messages[i].row, a, f);
        if (found == R_OK) {
            seqset_add(out, messages[i].row.uid);
            r->found++;
        }
    }
    arena_free(&a);
    return found == R_FAIL ? R_FAIL : R_OK;
}

static enum result
choose(struct reading *r, struct view *v, struct seqset *out, struct fault *f)
{
    struct view_message messages[BATCH];
    struct view_cursor cursor;
    size_t n;
    enum result x = view_cursor_init(&cursor, v, NULL, false, f);
    while (x == R_OK && (x = view_next(&cursor, messages, BATCH, &n, f)) == R_OK)
        x = choose_batch(r, messages, n, out, f);
    return x == R_NONE ? R_OK : x;
}

// ---- what is no mail ----

// Only of whole folders.
static void
send_subscriptions(struct reading *r, const struct tree_entry *entries, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (entries[i].subscribed &&
            (r->folder.n == 0 || span_within(entries[i].name, r->folder)))
            shipment_put(&r->out, PARCEL_SUBSCRIBED, target_of(r, entries[i].name));
}

// That of the account, where all of it is wanted, and that of each folder.
static enum result
send_facts(struct reading *r, const struct tree_entry *entries, size_t n, struct fault *f)
{
    enum result x = r->folder.n == 0 ? export_facts(&r->out, r->user, f) : R_OK;
    for (size_t i = 0; x == R_OK && i < n; i++)
        if (is_wanted(r, &entries[i]))
            x = export_folder_facts(&r->out, r->user, &entries[i],
                                    target_of(r, entries[i].name), f);
    return x;
}

// ---- read ----

static enum result
send_view(struct reading *r, struct view *v, struct span name, struct fault *f)
{
    struct seqset chosen;
    uint64_t before = r->found;
    struct parcel_mailbox head = {.name = target_of(r, name), .messages = view_exists(v)};
    seqset_init(&chosen, r->arena);
    if (is_by_message(r)) {
        if (choose(r, v, &chosen, f) != R_OK)
            return R_FAIL;
        if (r->found == before)
            return R_OK;
    }
    shipment_mailbox(&r->out, &head);
    return shipment_messages(&r->out, v, name, is_by_message(r) ? &chosen : NULL, f);
}

static enum result
send_folder(struct reading *r, const struct tree_entry *e, struct fault *f)
{
    struct mailbox_ref ref;
    struct view *v;
    r->folders++;
    if (mail_access(r->user, e->name, RIGHT_READ, &ref, f) != R_OK ||
        view_open(&ref, true, NULL, NULL, &v, f) != R_OK)
        return R_FAIL;
    enum result x = send_view(r, v, e->name, f);
    view_close(&v);
    return x;
}

static enum result
send_all(struct reading *r, struct fault *f)
{
    struct tree_entry *entries;
    size_t n;
    if (tree_list(r->user, r->arena, &entries, &n, f) != R_OK)
        return R_FAIL;
    if (!is_by_message(r))
        send_subscriptions(r, entries, n);
    for (size_t i = 0; i < n; i++)
        if (is_wanted(r, &entries[i]) && send_folder(r, &entries[i], f) != R_OK)
            return R_FAIL;
    if (r->folders == 0)
        return fault_set(f, FAULT_NONEXISTENT, "the backup has no folder '%.*s'",
                         SPAN_ARG(span_slice(r->folder, 0, 100)));
    if (is_by_message(r) && r->found == 0)
        return fault_set(f, FAULT_NONEXISTENT, "the backup has no such message%s",
                         r->folder.n > 0 ? " in that folder" : "");
    return is_by_message(r) || r->dry_run ? R_OK : send_facts(r, entries, n, f);
}

static enum result
read_user(struct reading *r, struct span name, struct fault *f)
{
    uint8_t store[STORE_UUID] = {0};
    r->out.store = store;
    if (account_of(r->out.call, name, &r->user, f) != R_OK)
        return f->kind == FAULT_NONEXISTENT
                   ? fault_set(f, FAULT_NONEXISTENT, "the backup has no user '%.*s'",
                               SPAN_ARG(span_slice(name, 0, 100)))
                   : R_FAIL;
    enum result x = store_uuid(mail_store(verb_host(r->out.call)->mail), store);
    must(x == R_OK);  // what a backup was unpacked into has a journal
    x = send_all(r, f);
    mail_user_close(&r->user);
    return x;
}

static enum result
read_backup(struct verb_call *c, struct fault *f)
{
    struct reading r = {.out = {.call = c},
                        .arena = arena_new(),
                        .dry_run = verb_arg(c, RESTORE_DRY_RUN).n > 0};
    enum result x = read_wish(c, &r, f);
    if (x == R_OK)
        x = read_user(&r, verb_arg(c, RESTORE_USER), f);
    arena_free(&r.arena);
    return x;
}

enum result
verb_restore_part(struct verb_call *c, struct fault *f)
{
    struct span mode = verb_arg(c, RESTORE_MODE);
    struct import_restore r = {.dry_run = verb_arg(c, RESTORE_DRY_RUN).n > 0};
    if (verb_arg_count(c) != RESTORE_ARGS)
        return fault_set(f, FAULT_BAD, "wrong number of arguments");
    if (span_eq(mode, SPAN("read")))
        return read_backup(c, f);
    if (span_eq(mode, SPAN("write")))
        return import_run(c, verb_arg(c, RESTORE_USER), &r, f);
    return fault_set(f, FAULT_BAD, "restore has no mode '%.*s'",
                     SPAN_ARG(span_slice(mode, 0, 20)));
}
