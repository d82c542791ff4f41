#include "ctl/export_facts.h"

#include "base/limits.h"
#include "ctl/import_state.h"
#include "ctl/user_settings.h"
#include "mail/acl.h"
#include "mail/metadata.h"
#include "mail/script.h"
#include "mail/system.h"

static void
put(struct shipment *out, const char *kind, struct span mailbox, struct span name,
    struct span value)
{
    const struct parcel_fact fact = {span_str(kind), mailbox, name, value};
    struct buf b;
    buf_init(&b, PARCEL_MAX + PARCEL_HEAD);
    parcel_put_fact(&b, &fact);
    must(!b.over);
    verb_out(out->call, buf_span(&b));
    buf_done(&b);
}

static enum result
put_scripts(struct shipment *out, struct account *account, struct arena *a, struct fault *f)
{
    struct script_info *scripts;
    struct buf text;
    size_t n;
    enum result r = R_OK;
    script_list(account, a, &scripts, &n);
    for (size_t i = 0; r == R_OK && i < n; i++) {
        buf_init(&text, LIMIT_sieve_script);
        r = script_read(account, scripts[i].name, &text);
        if (r == R_FAIL)
            fault_set(f, FAULT_CORRUPTION, "the script %.*s cannot be read",
                      SPAN_ARG(span_slice(scripts[i].name, 0, 100)));
        if (r == R_OK)
            put(out, "script", SPAN(""), scripts[i].name, buf_span(&text));
        if (r == R_OK && scripts[i].active)
            put(out, "active", SPAN(""), scripts[i].name, SPAN(""));
        buf_done(&text);
        r = r == R_NONE ? R_OK : r;  // just deleted
    }
    return r;
}

// Below "/private" or "/shared". How far an import came is of this account alone.
static void
put_entries(struct shipment *out, const struct metadata_place *place, struct span target,
            struct span root, struct arena *a)
{
    struct span *names;
    struct metadata_value value;
    size_t n;
    if (metadata_below(place, root, true, a, &names, &n) != R_OK)
        return;
    for (size_t i = 0; i < n; i++)
        if (!span_starts(names[i], SPAN(IMPORT_STATE_ENTRIES)) &&
            metadata_get(place, names[i], LIMIT_metadata_value, a, &value) == R_OK &&
            value.octets.p != NULL)
            put(out, "metadata", target, names[i], value.octets);
}

static enum result
put_metadata(struct shipment *out, struct mail_user *u, struct span mailbox,
             struct span target, struct arena *a, struct fault *f)
{
    struct metadata_place place;
    if (metadata_place(u, mailbox, &place, f) != R_OK)
        return R_FAIL;
    put_entries(out, &place, target, SPAN("/private"), a);
    if (mailbox.n > 0)
        put_entries(out, &place, target, SPAN("/shared"), a);
    return R_OK;
}

// All but the owner's own.
static enum result
put_acl(struct shipment *out, struct mail_user *u, struct span mailbox, struct span target,
        struct arena *a, struct fault *f)
{
    struct mailbox_ref ref;
    struct acl_list list;
    char rights[ACL_TEXT];
    if (mail_access(u, mailbox, 0, &ref, f) != R_OK || acl_get(&ref, a, &list, f) != R_OK)
        return R_FAIL;
    for (size_t i = 1; i < list.n; i++) {
        acl_rights_put(list.p[i].rights, rights);
        put(out, "acl", target, list.p[i].identifier, span_str(rights));
    }
    return R_OK;
}

static enum result
put_settings(struct shipment *out, struct account *account, struct arena *a,
             struct fault *f)
{
    struct user_settings s;
    if (user_settings_get(out->call, account, a, &s, f) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < s.n; i++)
        put(out, "setting", SPAN(""), s.list[i].name, s.list[i].value);
    return R_OK;
}

enum result
export_facts(struct shipment *out, struct mail_user *u, struct fault *f)
{
    struct arena *a = arena_new();
    struct account *account = mail_user_account(u);
    bool user = !account_is_system(account_id(account));  // not the tree of nobody
    enum result r = put_scripts(out, account, a, f);
    if (r == R_OK)
        r = put_metadata(out, u, SPAN(""), SPAN(""), a, f);
    if (r == R_OK && user)
        r = put_settings(out, account, a, f);
    arena_free(&a);
    return r;
}

enum result
export_folder_facts(struct shipment *out, struct mail_user *u, const struct tree_entry *e,
                    struct span target, struct fault *f)
{
    if (e->mailbox == 0 || e->noselect || e->foreign)
        return R_OK;
    struct arena *a = arena_new();
    enum result r = put_metadata(out, u, e->name, target, a, f);
    if (r == R_OK)
        r = put_acl(out, u, e->name, target, a, f);
    arena_free(&a);
    return r;
}
