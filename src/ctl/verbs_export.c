#include "ctl/account.h"
#include "ctl/export_facts.h"
#include "ctl/shipment.h"
#include "ctl/verbs.h"
#include "base/limits.h"
#include "mail/tree.h"

struct export_run {
    struct shipment out;
    struct mail_user *user;
    struct span folder;  // with its children; empty: all
    struct arena *arena;
    uint64_t mailboxes;
};

static bool
wanted(const struct export_run *x, const struct tree_entry *e)
{
    return x->folder.n == 0 || span_within(e->name, x->folder);
}

static enum result
put_mailbox(struct export_run *x, const struct tree_entry *e, struct fault *f)
{
    struct mailbox_ref ref;
    struct view *v;
    struct view_info info;
    if (mail_access(x->user, e->name, RIGHT_READ, &ref, f) != R_OK ||
        view_open(&ref, true, NULL, NULL, &v, f) != R_OK)
        return R_FAIL;
    view_info(v, &info);
    struct parcel_mailbox head = {.name = e->name,
                                  .uidvalidity = info.uidvalidity,
                                  .uidnext = info.uidnext,
                                  .messages = info.exists};
    shipment_mailbox(&x->out, &head);
    x->mailboxes++;
    enum result r = shipment_messages(&x->out, v, e->name, NULL, f);
    view_close(&v);
    return r;
}

static enum result
report(struct export_run *x, struct fault *f)
{
    verb_note(x->out.call, "exported",
              FIELDS(field_number("messages", "exported % messages", x->out.messages),
                     field_number("octets", " (% octets)", x->out.octets),
                     field_number("mailboxes", " of % mailboxes", x->mailboxes),
                     field_number("left_out", "; % left out", x->out.left_out)));
    if (x->out.left_out > 0)
        return fault_set(f, FAULT_CORRUPTION, "%llu messages cannot be read",
                         (unsigned long long)x->out.left_out);
    return R_OK;
}

static enum result
put_facts(struct export_run *x, const struct tree_entry *entries, size_t n, struct fault *f)
{
    enum result r = export_facts(&x->out, x->user, f);
    for (size_t i = 0; r == R_OK && i < n; i++)
        r = export_folder_facts(&x->out, x->user, &entries[i], entries[i].name, f);
    return r;
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
            shipment_put(&x->out, PARCEL_SUBSCRIBED, entries[i].name);
    for (size_t i = 0; i < n; i++)
        if (entries[i].mailbox != 0 && !entries[i].noselect && wanted(x, &entries[i]) &&
            put_mailbox(x, &entries[i], f) != R_OK)
            return R_FAIL;
    if (x->mailboxes == 0)
        return fault_set(f, FAULT_NONEXISTENT, "there is no such mailbox");
    if (x->folder.n == 0 && put_facts(x, entries, n, f) != R_OK)
        return R_FAIL;
    shipment_put(&x->out, PARCEL_DONE, SPAN_NONE);
    return report(x, f);
}

enum result
verb_export(struct verb_call *c, struct fault *f)
{
    struct export_run x = {.out = {.call = c}};
    if (account_of(c, verb_arg(c, ARG_USER), &x.user, f) != R_OK)
        return R_FAIL;
    x.arena = arena_new();
    enum result r = account_folder(x.arena, verb_arg(c, ARG_FOLDER), &x.folder, f);
    if (r == R_OK)
        r = put_all(&x, f);
    arena_free(&x.arena);
    mail_user_close(&x.user);
    return r;
}
