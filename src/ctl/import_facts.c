#include "ctl/import.h"

#include "base/limits.h"
#include "ctl/user_settings.h"
#include "mail/acl.h"
#include "mail/metadata.h"
#include "mail/script.h"
#include "sieve/sieve.h"

// R_NONE: it is here already.
typedef enum result take_fn(struct import *im, const struct parcel_fact *fact,
                            struct arena *a, struct fault *f);

// ---- scripts ----

static enum result
take_script(struct import *im, const struct parcel_fact *fact, struct arena *a,
            struct fault *f)
{
    struct account *account = mail_user_account(im->user);
    struct sieve_program *program;
    struct sieve_error e;
    struct span name;
    struct buf there;
    if (script_name(a, fact->name, &name, f) != R_OK)
        return R_FAIL;
    buf_init(&there, LIMIT_sieve_script);
    enum result r = script_read(account, name, &there);
    bool same = r == R_OK && span_eq(buf_span(&there), fact->value);
    buf_done(&there);
    if (r == R_OK)
        return same ? R_NONE
                    : fault_set(f, FAULT_ALREADYEXISTS,
                                "another script of that name is here, and stays");
    if (sieve_compile(a, SIEVE_USER, fact->value, &program, &e) != R_OK)
        return fault_set(f, FAULT_BAD, "line %u: %.150s", e.line, e.text);
    return script_put(account, name, fact->value, f);
}

static enum result
take_active(struct import *im, const struct parcel_fact *fact, struct arena *a,
            struct fault *f)
{
    struct account *account = mail_user_account(im->user);
    struct span name;
    struct buf text, active;
    if (script_name(a, fact->name, &name, f) != R_OK)
        return R_FAIL;
    buf_init(&text, LIMIT_sieve_script);
    buf_init(&active, LIMIT_sieve_name);
    enum result r = script_active(account, &text, &active);
    bool same = r == R_OK && span_eq(buf_span(&active), name);
    buf_done(&active);
    buf_done(&text);
    if (r == R_NONE)
        return script_activate(account, name, f);
    return same ? R_NONE
                : fault_set(f, FAULT_ALREADYEXISTS, "another script is active here");
}

// ---- entries ----

// A special use is taken from the folder that has it only while that holds no mail.
static enum result
may_use(struct import *im, struct span name, struct span value, struct arena *a,
        struct fault *f)
{
    struct tree_entry *entries;
    size_t n;
    if (tree_list(im->user, a, &entries, &n, f) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < n; i++)
        if (entries[i].special_use != USE_NONE &&
            entries[i].special_use == special_use_from(value) &&
            !span_eq(entries[i].name, name) && entries[i].counts.exists > 0)
            return fault_set(f, FAULT_CANNOT, "%.*s is that here, and holds mail",
                             SPAN_ARG(span_slice(entries[i].name, 0, 100)));
    return R_OK;
}

static struct span
target_of(struct import *im, const struct parcel_fact *fact, struct arena *a)
{
    return fact->mailbox.n > 0 ? import_names_target(&im->names, fact->mailbox, a)
                               : fact->mailbox;
}

static enum result
take_entry(struct import *im, const struct parcel_fact *fact, struct arena *a,
           struct fault *f)
{
    struct metadata_place place;
    struct metadata_value value;
    struct metadata_entry entry = {.value = fact->value};
    struct metadata_change change = {.entries = &entry, .n = 1};
    struct span target = target_of(im, fact, a);
    if (metadata_place(im->user, target, &place, f) != R_OK)
        return R_FAIL;
    if (metadata_name(a, fact->name, false, &entry.name) != R_OK)
        return fault_set(f, FAULT_BAD, "no name of an entry");
    if (metadata_get(&place, entry.name, 0, a, &value) == R_OK)
        return R_NONE;
    if (span_eq(entry.name, SPAN("/private/specialuse")) &&
        may_use(im, target, fact->value, a, f) != R_OK)
        return R_FAIL;
    return metadata_set(&place, &change, a, f);
}

// ---- rights ----

// Restored with the folder, or they stay as they are: what was taken from somebody since the backup does not come back.
static enum result
take_acl(struct import *im, const struct parcel_fact *fact, struct arena *a,
         struct fault *f)
{
    struct mailbox_ref ref;
    struct acl_list list;
    struct acl_change change = {.op = ACL_SET};
    struct span target = target_of(im, fact, a);
    if (im->restore != NULL && !import_names_is_fresh(&im->names, target))
        return R_NONE;
    if (mail_access(im->user, target, 0, &ref, f) != R_OK ||
        acl_identifier(a, fact->name, &change.identifier, f) != R_OK ||
        acl_rights_parse(fact->value, &change.rights, f) != R_OK ||
        acl_get(&ref, a, &list, f) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < list.n; i++)
        if (span_eq(list.p[i].identifier, change.identifier))
            return R_NONE;
    return acl_change(&ref, &change, f);
}

// ---- settings ----

static enum result
take_setting(struct import *im, const struct parcel_fact *fact, struct arena *a,
             struct fault *f)
{
    const struct user_setting s = {fact->name, fact->value};
    return user_setting_add(im->call, mail_user_account(im->user), &s, a, f);
}

// ---- all ----

static const struct {
    struct span kind;
    take_fn *take;
} kinds[] = {{SPAN("script"), take_script},
             {SPAN("active"), take_active},
             {SPAN("metadata"), take_entry},
             {SPAN("acl"), take_acl},
             {SPAN("setting"), take_setting}};

static enum result
take(struct import *im, const struct parcel_fact *fact, struct arena *a, struct fault *f)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (span_eq(fact->kind, kinds[i].kind))
            return kinds[i].take(im, fact, a, f);
    return fault_set(f, FAULT_BAD, "not known here");
}

enum result
import_fact(struct import *im, struct span payload, struct fault *f)
{
    struct parcel_fact fact;
    struct fault why;
    char where[400];
    if (parcel_get_fact(payload, &fact) != R_OK)
        return fault_set(f, FAULT_BAD, "a fact is malformed");
    if (import_map(im, f) != R_OK)
        return R_FAIL;
    struct arena *a = arena_new_small();
    enum result r = take(im, &fact, a, &why);
    im->counts.facts += r == R_OK;
    if (r == R_FAIL) {
        snprintf(where, sizeof where, "%.*s %.*s %.*s",
                 SPAN_ARG(span_slice(fact.kind, 0, 20)),
                 SPAN_ARG(span_slice(fact.mailbox, 0, 150)),
                 SPAN_ARG(span_slice(fact.name, 0, 150)));
        import_leave_out(im, span_str(where), span_str(why.why));
    }
    arena_free(&a);
    return R_OK;
}
