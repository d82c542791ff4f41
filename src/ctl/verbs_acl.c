// Verbs about access control lists (RFC 4314), with the operator's rights.
#include "ctl/account.h"
#include "ctl/verbs.h"
#include "mail/acl.h"

enum { AT_USER, AT_FOLDER, AT_IDENTIFIER, AT_RIGHTS };

// A folder, and what is done with it.
struct folder {
    struct verb_call *call;
    struct mail_user *user;
    struct mailbox_ref ref;
    struct arena *arena;
};
typedef enum result folder_fn(struct folder *x, struct fault *f);

static enum result
with_folder(struct verb_call *c, folder_fn *fn, struct fault *f)
{
    struct folder x = {.call = c};
    if (account_of(c, verb_arg(c, AT_USER), &x.user, f) != R_OK)
        return R_FAIL;
    x.arena = arena_new();
    enum result r = mail_access(x.user, verb_arg(c, AT_FOLDER), RIGHT_LOOKUP, &x.ref, f);
    // not as the user, who may have fewer rights
    x.ref.user = NULL;
    x.ref.rights = RIGHTS_ALL;
    if (r == R_OK)
        r = fn(&x, f);
    arena_free(&x.arena);
    mail_user_close(&x.user);
    return r;
}

static void
put_entry(struct folder *x, struct span identifier, uint32_t rights)
{
    char text[12];
    rights_to_text(rights, text);
    verb_row(x->call, "acl",
             FIELDS(field_text("identifier", "%", identifier),
                    field_str("rights", "\t%", text)));
}

static enum result
change(struct folder *x, struct acl_change *change, struct fault *f)
{
    struct span identifier = verb_arg(x->call, AT_IDENTIFIER);
    if (acl_identifier(x->arena, identifier, &change->identifier, f) != R_OK ||
        acl_change(&x->ref, change, f) != R_OK)
        return R_FAIL;
    put_entry(x, change->identifier, change->is);
    return R_OK;
}

static enum result
set(struct folder *x, struct fault *f)
{
    struct acl_change c = {.op = ACL_SET};
    if (acl_change_parse(verb_arg(x->call, AT_RIGHTS), &c, f) != R_OK)
        return R_FAIL;
    return change(x, &c, f);
}

static enum result delete (struct folder *x, struct fault *f) {
    return change(x, &(struct acl_change){.op = ACL_DELETE}, f);
}

static enum result
list(struct folder *x, struct fault *f)
{
    struct acl_list l;
    if (acl_get(&x->ref, x->arena, &l, f) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < l.n; i++)
        put_entry(x, l.p[i].identifier, l.p[i].rights);
    return R_OK;
}

enum result
verb_acl_set(struct verb_call *c, struct fault *f)
{
    return with_folder(c, set, f);
}

enum result
verb_acl_delete(struct verb_call *c, struct fault *f)
{
    return with_folder(c, delete, f);
}

enum result
verb_acl_list(struct verb_call *c, struct fault *f)
{
    return with_folder(c, list, f);
}

// ---- names that mean nobody any more ----

// "$crew" is a group's identifier, and "-bob" is what bob may not: no user's name.
static bool
is_marked(struct span name)
{
    return span_starts(name, SPAN("$")) || span_starts(name, SPAN("-"));
}

// Also where nobody had the name: the verb may have ended too early before, and is said again.
static enum result
forget_behind(struct verb_call *c, const char *mark, struct fault *f)
{
    struct fault late;
    struct span name = verb_arg(c, 0), identifier;
    enum result r = verb_users(c, f);
    if ((r != R_OK && f->kind != FAULT_NONEXISTENT) || (!mark[0] && is_marked(name)))
        return r;
    struct arena *arena = arena_new();
    char *text = arena_alloc(arena, name.n + 2);
    int n = snprintf(text, name.n + 2, "%s%.*s", mark, SPAN_ARG(name));
    if (acl_identifier(arena, span_of(text, (size_t)n), &identifier, &late) == R_OK &&
        acl_forget(verb_host(c)->mail, identifier, r == R_OK ? f : &late) != R_OK)
        r = R_FAIL;
    arena_free(&arena);
    return r;
}

enum result
verb_user_delete(struct verb_call *c, struct fault *f)
{
    return forget_behind(c, "", f);
}

enum result
verb_group_delete(struct verb_call *c, struct fault *f)
{
    return forget_behind(c, "$", f);
}
