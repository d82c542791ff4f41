#include "ctl/account.h"
#include "ctl/backup.h"
#include "ctl/call.h"
#include "ctl/verbs.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/limits.h"
#include "mail/tree.h"
#include "mail/user.h"
#include "store/store.h"

void
call_store_options(const struct config *c, struct store_options *o)
{
    *o = (struct store_options){
        .path = c->data,
        .engine = c->test_engine,
        .codec = c->test_codec,
        .compress = strcmp(c->mail_compress, "zstd") == 0,
        .segment_size = c->test_segment_size,
        .retention_s = (uint32_t)(c->retention < UINT32_MAX ? c->retention : UINT32_MAX),
    };
}

static void
report(const char *line, void *arg)
{
    verb_row(arg, "finding", FIELDS(field_str("message", "%", line)));
}

enum result
verb_verify(struct verb_call *c, struct fault *f)
{
    struct store_verify_result r;
    if (store_verify(mail_store(verb_host(c)->mail), report, c, &r, f) != R_OK)
        return R_FAIL;
    verb_row(c, "verified",
             FIELDS(field_number("records", "% records", r.records),
                    field_number("accounts", ", % accounts", r.accounts),
                    field_number("mailboxes", ", % mailboxes", r.mailboxes),
                    field_number("messages", ", % messages", r.messages),
                    field_number("bodies", ", % bodies", r.bodies),
                    field_number("errors", ": % errors", r.errors)));
    if (r.errors > 0)
        return fault_set(f, FAULT_CORRUPTION, "%lu errors were found",
                         (unsigned long)r.errors);
    return R_OK;
}

enum result
verb_compact(struct verb_call *c, struct fault *f)
{
    uint64_t freed = 0;
    if (mail_compact(verb_host(c)->mail, clock_wall_s(), &freed, f) != R_OK)
        return R_FAIL;
    verb_row(c, "compacted",
             FIELDS(field_number("octets", "% octets were given back", freed)));
    return R_OK;
}

static enum result
backup_piece(struct span bytes, void *arg, struct fault *f)
{
    (void)f;
    backup_put(arg, BACKUP_STORE, bytes);
    return R_OK;
}

static enum result
backup_users(struct verb_call *c, struct fault *f)
{
    const struct verb_host *h = verb_host(c);
    struct buf text, sum;
    buf_init(&text, BACKUP_USERS_MAX);
    enum result r = h->users(h->arg, SPAN("user dump"), NULL, 0, &text, f);
    if (r == R_OK) {
        backup_put(c, BACKUP_USERS, buf_span(&text));
        buf_init(&sum, 8);
        pack_u64(&sum, hash64(buf_span(&text)));
        backup_put(c, BACKUP_USERS_SUM, buf_span(&sum));
        buf_done(&sum);
    }
    buf_done(&text);
    return r;
}

enum result
verb_backup(struct verb_call *c, struct fault *f)
{
    verb_out(c, backup_magic);
    if (backup_users(c, f) != R_OK)
        return R_FAIL;
    if (store_backup(mail_store(verb_host(c)->mail), backup_piece, c, f) != R_OK)
        return R_FAIL;
    backup_put(c, BACKUP_END, SPAN_NONE);
    return R_OK;
}

static void
print_mailbox(struct verb_call *c, const struct tree_entry *e)
{
    const char *use = special_use_text(e->special_use);
    bool empty = e->noselect || e->nonexistent;
    verb_row(
        c, "mailbox",
        FIELDS(
            field_text("name", "%", e->name), field_flag("selectable", "", !empty),
            field_str(NULL, empty ? "\t-" : "", ""),
            field_if(!empty, field_number("exists", "\texists=%", e->counts.exists)),
            field_if(!empty, field_number("unseen", " unseen=%", e->counts.unseen)),
            field_if(!empty, field_number("uidnext", " uidnext=%", e->counts.uidnext)),
            field_if(!empty, field_number("uidvalidity", " uidvalidity=%", e->uidvalidity)),
            field_if(!empty && e->special_use, field_str("special_use", " %", use)),
            field_if(!empty, field_flag("subscribed", " subscribed", e->subscribed))));
}

static enum result
list_mailboxes(struct verb_call *c, struct mail_user *u, struct fault *f)
{
    struct arena *a = arena_new();
    struct tree_entry *entries;
    size_t n;
    enum result r = tree_list(u, a, &entries, &n, f);
    for (size_t i = 0; r == R_OK && i < n; i++)
        print_mailbox(c, &entries[i]);
    arena_free(&a);
    return r;
}

enum result
verb_mailbox_list(struct verb_call *c, struct fault *f)
{
    struct mail_user *u;
    if (account_of(c, verb_arg(c, 0), &u, f) != R_OK)
        return R_FAIL;
    enum result r = list_mailboxes(c, u, f);
    mail_user_close(&u);
    return r;
}

enum result
verb_reload(struct verb_call *c, struct fault *f)
{
    const struct verb_host *h = verb_host(c);
    struct buf text;
    buf_init(&text, LIMIT_channel_message);
    enum result r = h->reload(h->arg, &text, f);
    if (r == R_OK)
        r = verb_rows(c, buf_span(&text), f);
    buf_done(&text);
    return r;
}
