#include "ctl/account.h"
#include "ctl/parcel.h"
#include "ctl/verbs.h"
#include "base/limits.h"
#include "mail/message.h"
#include "mail/tree.h"
#include "mail/view.h"

struct export_run {
    struct verb_call *call;
    struct mail_user *user;
    struct span folder;  // with its children; empty: all
    struct arena *arena;
    uint64_t mailboxes, messages, octets, left_out;
};

static void
put(struct export_run *x, enum parcel_kind kind, struct span payload)
{
    struct buf b;
    buf_init(&b, PARCEL_MAX + PARCEL_HEAD);
    parcel_put(&b, kind, payload);
    verb_out(x->call, buf_span(&b));
    buf_done(&b);
}

static bool
wanted(const struct export_run *x, const struct tree_entry *e)
{
    struct span f = x->folder;
    return f.n == 0 || span_ieq(e->name, f) ||
           (span_starts(e->name, f) && e->name.n > f.n && e->name.p[f.n] == '/');
}

// ---- messages ----

static enum result
put_octets(struct export_run *x, const struct message_row *row, struct fault *f)
{
    char piece[16384];
    for (uint64_t at = 0; at < row->size; at += sizeof piece) {
        uint64_t left = row->size - at;
        size_t n = left < sizeof piece ? (size_t)left : sizeof piece;
        if (message_read(verb_host(x->call)->mail, row, at, n, piece, f) != R_OK)
            return R_FAIL;
        put(x, PARCEL_OCTETS, span_of(piece, n));
    }
    return R_OK;
}

static void
left_out(struct export_run *x, struct span mailbox, uint32_t uid, const struct fault *f)
{
    x->left_out++;
    verb_note(x->call, "problem",
              FIELDS(field_text("where", "%", mailbox), field_number("uid", ": UID %", uid),
                     field_str("message", ": %", f->why)));
}

static enum result
put_message(struct export_run *x, struct view *v, struct span mailbox,
            const struct view_message *m, struct fault *f)
{
    struct parcel_message head = {.uid = m->row.uid,
                                  .flags = m->row.flags,
                                  .has_date = true,
                                  .date = m->row.internal_date,
                                  .zone_min = m->row.zone_min,
                                  .where = mailbox};
    struct arena *a = arena_new();
    struct buf b;
    struct fault why;
    buf_init(&b, PARCEL_MAX + PARCEL_HEAD);
    enum result r =
        view_keywords(v, m->row.keywords, a, &head.keywords, &head.keyword_count, f);
    if (r == R_OK) {
        parcel_put_message(&b, &head);
        verb_out(x->call, buf_span(&b));
        if (put_octets(x, &m->row, &why) == R_OK) {
            put(x, PARCEL_END, SPAN_NONE);
            x->messages++;
            x->octets += m->row.size;
        } else {
            put(x, PARCEL_ABORT, span_str(why.why));
            left_out(x, mailbox, m->row.uid, &why);
        }
    }
    buf_done(&b);
    arena_free(&a);
    return r;
}

// ---- mailboxes ----

enum { BATCH = 16 };

static enum result
put_messages(struct export_run *x, struct view *v, struct span mailbox, struct fault *f)
{
    struct view_message messages[BATCH];
    struct view_cursor cursor;
    size_t n;
    enum result r = view_cursor_init(&cursor, v, NULL, false, f);
    while (r == R_OK && (r = view_next(&cursor, messages, BATCH, &n, f)) == R_OK)
        for (size_t i = 0; r == R_OK && i < n; i++)
            r = put_message(x, v, mailbox, &messages[i], f);
    return r == R_NONE ? R_OK : r;
}

static enum result
put_mailbox(struct export_run *x, const struct tree_entry *e, struct fault *f)
{
    struct mailbox_ref ref;
    struct view *v;
    struct view_info info;
    struct buf b;
    if (mail_access(x->user, e->name, RIGHT_READ, &ref, f) != R_OK ||
        view_open(&ref, true, NULL, NULL, &v, f) != R_OK)
        return R_FAIL;
    view_info(v, &info);
    struct parcel_mailbox head = {e->name, info.uidvalidity, info.uidnext, info.exists};
    buf_init(&b, PARCEL_MAX + PARCEL_HEAD);
    parcel_put_mailbox(&b, &head);
    verb_out(x->call, buf_span(&b));
    buf_done(&b);
    x->mailboxes++;
    enum result r = put_messages(x, v, e->name, f);
    view_close(&v);
    return r;
}

static enum result
report(struct export_run *x, struct fault *f)
{
    verb_note(x->call, "exported",
              FIELDS(field_number("messages", "exported % messages", x->messages),
                     field_number("octets", " (% octets)", x->octets),
                     field_number("mailboxes", " of % mailboxes", x->mailboxes),
                     field_number("left_out", "; % left out", x->left_out)));
    if (x->left_out > 0)
        return fault_set(f, FAULT_CORRUPTION, "%llu messages cannot be read",
                         (unsigned long long)x->left_out);
    return R_OK;
}

static enum result
put_all(struct export_run *x, struct fault *f)
{
    struct tree_entry *entries;
    size_t n;
    if (tree_list(x->user, x->arena, &entries, &n, f) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < n; i++)
        if (entries[i].subscribed && wanted(x, &entries[i]))
            put(x, PARCEL_SUBSCRIBED, entries[i].name);
    for (size_t i = 0; i < n; i++)
        if (entries[i].mailbox != 0 && !entries[i].noselect && wanted(x, &entries[i]) &&
            put_mailbox(x, &entries[i], f) != R_OK)
            return R_FAIL;
    if (x->mailboxes == 0)
        return fault_set(f, FAULT_NONEXISTENT, "there is no such mailbox");
    put(x, PARCEL_DONE, SPAN_NONE);
    return report(x, f);
}

enum result
verb_export(struct verb_call *c, struct fault *f)
{
    struct export_run x = {.call = c, .folder = verb_arg(c, ARG_FOLDER)};
    if (account_of(c, verb_arg(c, ARG_USER), &x.user, f) != R_OK)
        return R_FAIL;
    x.arena = arena_new();
    enum result r = put_all(&x, f);
    arena_free(&x.arena);
    mail_user_close(&x.user);
    return r;
}
