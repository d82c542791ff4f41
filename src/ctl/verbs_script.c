// Verbs about the Sieve scripts of a user.
#include "ctl/account.h"
#include "ctl/output.h"
#include "ctl/verbs.h"
#include "base/limits.h"
#include "mail/script.h"
#include "mail/system.h"
#include "sieve/sieve.h"

// Names as arguments, then the user.
struct owned {
    struct verb_call *call;
    struct arena *arena;
    struct account *account;
    struct span name, to;
};
typedef enum result owned_fn(struct owned *o, struct fault *f);

static enum result
take_names(struct owned *o, unsigned names, struct fault *f)
{
    if (names > 0 && script_name(o->arena, verb_arg(o->call, 0), &o->name, f) != R_OK)
        return R_FAIL;
    if (names > 1)
        return script_name(o->arena, verb_arg(o->call, 1), &o->to, f);
    return R_OK;
}

static enum result
with_owner(struct verb_call *c, unsigned names, owned_fn *fn, struct fault *f)
{
    struct owned o = {.call = c};
    struct mail_user *u;
    if (account_of(c, verb_arg(c, verb_arg_count(c) - 1), &u, f) != R_OK)
        return R_FAIL;
    o.account = mail_user_account(u);
    o.arena = arena_new();
    enum result r = account_id(o.account) == ACCOUNT_PUBLIC
                        ? fault_set(f, FAULT_NONEXISTENT, "nobody has no scripts")
                        : take_names(&o, names, f);
    if (r == R_OK)
        r = fn(&o, f);
    arena_free(&o.arena);
    mail_user_close(&u);
    return r;
}

static enum result
list(struct owned *o, struct fault *f)
{
    struct script_info *s;
    size_t n;
    (void)f;
    script_list(o->account, o->arena, &s, &n);
    for (size_t i = 0; i < n; i++)
        verb_row(o->call, "script",
                 FIELDS(field_text("name", "%", s[i].name),
                        field_number("octets", "\t%", s[i].size),
                        field_flag("active", "\tactive", s[i].active)));
    return R_OK;
}

static enum result
show(struct owned *o, struct fault *f)
{
    struct buf text;
    buf_init(&text, LIMIT_sieve_script);
    enum result r = script_read(o->account, o->name, &text);
    if (r == R_OK)
        verb_out(o->call, buf_span(&text));
    buf_done(&text);
    return r == R_OK ? R_OK
                     : fault_set(f, FAULT_NONEXISTENT, "there is no script of that name");
}

static enum result
check(struct owned *o, struct span text, struct fault *f)
{
    struct sieve_program *p;
    struct sieve_error e;
    if (sieve_compile(o->arena, SIEVE_USER, text, &p, &e) == R_OK)
        return R_OK;
    verb_note(o->call, "mistake",
              FIELDS(field_text("file", "%:", verb_arg(o->call, 1)),
                     field_number("line", "%:", e.line),
                     field_number("column", "%: ", e.column),
                     field_str("message", "%", e.text)));
    return fault_set(f, FAULT_BAD, "the script has a mistake; it was not stored");
}

static enum result
put(struct owned *o, struct fault *f)
{
    struct buf text;
    buf_init(&text, LIMIT_sieve_script);
    enum result r = verb_in_all(o->call, &text, f);
    if (r == R_OK)
        r = check(o, buf_span(&text), f);
    if (r == R_OK)
        r = script_put(o->account, o->name, buf_span(&text), f);
    buf_done(&text);
    return r;
}

static enum result delete (struct owned *o, struct fault *f) {
    return script_delete(o->account, o->name, f);
}

static enum result
rename_to(struct owned *o, struct fault *f)
{
    return script_rename(o->account, o->name, o->to, f);
}

// Without a name: none.
static enum result
activate(struct owned *o, struct fault *f)
{
    return script_activate(o->account, o->name, f);
}

enum result
verb_sieve_list(struct verb_call *c, struct fault *f)
{
    return with_owner(c, 0, list, f);
}

enum result
verb_sieve_show(struct verb_call *c, struct fault *f)
{
    return with_owner(c, 1, show, f);
}

enum result
verb_sieve_put(struct verb_call *c, struct fault *f)
{
    return with_owner(c, 1, put, f);
}

enum result
verb_sieve_delete(struct verb_call *c, struct fault *f)
{
    return with_owner(c, 1, delete, f);
}

enum result
verb_sieve_rename(struct verb_call *c, struct fault *f)
{
    return with_owner(c, 2, rename_to, f);
}

enum result
verb_sieve_activate(struct verb_call *c, struct fault *f)
{
    return with_owner(c, 1, activate, f);
}

enum result
verb_sieve_deactivate(struct verb_call *c, struct fault *f)
{
    return with_owner(c, 0, activate, f);
}

// ---- the command's side of `show`: the script's octets, or one object that has them ----

static enum result
write_all(struct span bytes, struct fault *f)
{
    if (fwrite(bytes.p, 1, bytes.n, stdout) == bytes.n)
        return R_OK;
    return fault_errno(f, FAULT_DISK, "standard output cannot be written");
}

enum result
sink_script(struct verb_client *c, struct span bytes, struct fault *f)
{
    struct buf **text = (struct buf **)verb_client_state(c);
    if (!output_is_json())
        return bytes.n > 0 ? write_all(bytes, f) : R_OK;
    if (*text == NULL) {
        *text = calloc(1, sizeof **text);
        must(*text != NULL);
        buf_init(*text, LIMIT_sieve_script);
    }
    buf_put(*text, bytes);
    if (bytes.p != NULL)
        return R_OK;
    output_row("script", FIELDS(field_text("name", "", verb_client_arg(c, 0)),
                                field_text("text", "", buf_span(*text))));
    buf_done(*text);
    free(*text);
    *text = NULL;
    return R_OK;
}
