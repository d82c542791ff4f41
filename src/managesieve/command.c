// The commands after login (RFC 5804 section 2).
#include "managesieve/inside.h"

#include "base/audit.h"
#include "base/limits.h"
#include "mail/account.h"
#include "mail/script.h"
#include "managesieve/capability.h"
#include "sieve/sieve.h"

enum { VERB_CHANGES = 1, VERB_SECRET = 2 };

struct verb {
    const char *name;
    const char
        *args;  // s string, # number; '?' before one: it may be left out; '*' anything
    unsigned flags;
    enum result (*run)(struct managesieve_command *c, struct fault *f);
};

static struct account *
account_of(const struct managesieve_command *c)
{
    return mail_user_account(c->session->user);
}

// A NO that is no fault.
static enum result
refuse(struct managesieve_command *c, const char *code, const char *text)
{
    c->status = "NO";
    c->code = code;
    buf_reset(&c->words);
    buf_put_str(&c->words, text);
    return R_OK;
}

static enum result
done(struct managesieve_command *c, const char *text)
{
    buf_put_str(&c->words, text);
    return R_OK;
}

static enum result
name_of(struct managesieve_command *c, unsigned i, struct span *name_out, struct fault *f)
{
    if (script_name(c->arena, c->strings[i], name_out, f) == R_OK)
        return R_OK;
    refuse(c, "", "This cannot be a script's name.");
    return R_FAIL;
}

// What changes somebody's filter is to be known afterwards.
#define AUDIT_SCRIPT(c, event, ...)                                                        \
    log_audit(SCRIPT, "managesieve", event, log_user(mail_user_name((c)->session->user)),  \
              log_session((c)->session->id), __VA_ARGS__)

// ---- scripts ----

static void
warn(void *arg, unsigned line, const char *text)
{
    struct buf *b = arg;
    buf_printf(b, "%sline %u: %s", b->n > 0 ? "\r\n" : "", line, text);
}

// Says what is wrong with it, or what it may not mean.
static bool
compiles(struct managesieve_command *c, struct span text)
{
    struct sieve_program *p;
    struct sieve_error e;
    if (sieve_compile(c->arena, SIEVE_USER, text, &p, &e) != R_OK) {
        refuse(c, "", "");
        buf_printf(&c->words, "line %u, column %u: %s", e.line, e.column, e.text);
        return false;
    }
    sieve_warn(p, c->session->host.redirects, warn, &c->words);
    if (c->words.n > 0)
        c->code = "WARNINGS";
    return true;
}

static const char too_short[] = "A script has at least one octet.";

static enum result
run_putscript(struct managesieve_command *c, struct fault *f)
{
    struct span name, text = c->strings[1];
    if (name_of(c, 0, &name, f) != R_OK)
        return R_OK;
    if (text.n == 0)
        return refuse(c, "", too_short);
    if (script_room(account_of(c), name, text.n, f) != R_OK)
        return R_FAIL;
    if (!compiles(c, text))
        return R_OK;
    if (script_put(account_of(c), name, text, f) != R_OK)
        return R_FAIL;
    AUDIT_SCRIPT(c, "script stored", field_text("script", "script=<%>", name),
                 field_number("octets", "octets=%", text.n));
    return c->words.n > 0 ? R_OK : done(c, "Script stored.");
}

static enum result
run_checkscript(struct managesieve_command *c, struct fault *f)
{
    (void)f;
    if (c->strings[0].n > LIMIT_sieve_script)
        return refuse(c, "", "The script is too large.");
    if (!compiles(c, c->strings[0]) || c->words.n > 0)
        return R_OK;
    return done(c, "No mistakes found.");
}

static enum result
run_getscript(struct managesieve_command *c, struct fault *f)
{
    struct span name;
    struct buf text;
    if (name_of(c, 0, &name, f) != R_OK)
        return R_OK;
    buf_init(&text, LIMIT_sieve_script);
    enum result r = script_read(account_of(c), name, &text);
    if (r == R_OK) {
        conn_printf(c->session->conn, "{%zu}\r\n", text.n);
        conn_write(c->session->conn, buf_span(&text));
        conn_write_str(c->session->conn, "\r\n");
    }
    buf_done(&text);
    return r == R_OK ? done(c, "Getscript completed.")
                     : fault_set(f, FAULT_NONEXISTENT, "there is no such script");
}

static enum result
run_listscripts(struct managesieve_command *c, struct fault *f)
{
    struct script_info *s;
    size_t n;
    struct buf b;
    (void)f;
    script_list(account_of(c), c->arena, &s, &n);
    buf_init(&b, SIZE_MAX);
    for (size_t i = 0; i < n; i++) {
        managesieve_put_string(&b, s[i].name);
        buf_put_str(&b, s[i].active ? " ACTIVE\r\n" : "\r\n");
    }
    conn_write(c->session->conn, buf_span(&b));
    buf_done(&b);
    return done(c, "Listscripts completed.");
}

static enum result
run_setactive(struct managesieve_command *c, struct fault *f)
{
    struct span name = SPAN_NONE;
    bool none = c->strings[0].n == 0;
    if (!none && name_of(c, 0, &name, f) != R_OK)
        return R_OK;
    if (script_activate(account_of(c), name, f) != R_OK)
        return R_FAIL;
    AUDIT_SCRIPT(c, "script activated",
                 field_if(!none, field_text("script", "script=<%>", name)),
                 field_flag("none", "none", none));
    return done(c, none ? "No script is active." : "Script activated.");
}

static enum result
run_deletescript(struct managesieve_command *c, struct fault *f)
{
    struct span name;
    if (name_of(c, 0, &name, f) != R_OK)
        return R_OK;
    if (script_delete(account_of(c), name, f) != R_OK)
        return R_FAIL;
    AUDIT_SCRIPT(c, "script deleted", field_text("script", "script=<%>", name));
    return done(c, "Script deleted.");
}

static enum result
run_renamescript(struct managesieve_command *c, struct fault *f)
{
    struct span from, to;
    if (name_of(c, 0, &from, f) != R_OK || name_of(c, 1, &to, f) != R_OK)
        return R_OK;
    if (script_rename(account_of(c), from, to, f) != R_OK)
        return R_FAIL;
    AUDIT_SCRIPT(c, "script renamed", field_text("script", "script=<%>", from),
                 field_text("to", "to=<%>", to));
    return done(c, "Script renamed.");
}

static enum result
run_havespace(struct managesieve_command *c, struct fault *f)
{
    struct span name;
    if (name_of(c, 0, &name, f) != R_OK)
        return R_OK;
    if (c->number == 0)  // PUTSCRIPT would not take it
        return refuse(c, "", too_short);
    if (script_room(account_of(c), name, c->number, f) != R_OK)
        return R_FAIL;
    return done(c, "There is room.");
}

// ---- the session ----

static enum result
run_capability(struct managesieve_command *c, struct fault *f)
{
    struct managesieve_session *s = c->session;
    struct buf b;
    (void)f;
    bool known = s->mechanisms[0] != '\0';
    struct managesieve_offer o = {.mechanisms = known ? span_str(s->mechanisms) : SPAN_NONE,
                                  .owner = mail_user_name(s->user),
                                  .unauthenticate = s->host.give_back != NULL,
                                  .redirects = s->host.redirects};
    buf_init(&b, LIMIT_line);
    managesieve_put_capabilities(&b, &o);
    conn_write(s->conn, buf_span(&b));
    buf_done(&b);
    return done(c, "Capability completed.");
}

static enum result
run_noop(struct managesieve_command *c, struct fault *f)
{
    struct buf b;
    (void)f;
    buf_init(&b, SIZE_MAX);
    managesieve_put_noop(&b, c->strings[0]);
    conn_write(c->session->conn, buf_span(&b));
    buf_done(&b);
    c->status = NULL;
    return R_OK;
}

static enum result
run_logout(struct managesieve_command *c, struct fault *f)
{
    (void)f;
    c->session->bye = "Logged out";
    return done(c, "Logging out.");
}

// There is no NO (section 2.14.1): what cannot be done ends the connection by BYE.
static enum result
run_unauthenticate(struct managesieve_command *c, struct fault *f)
{
    struct managesieve_session *s = c->session;
    (void)f;
    if (s->host.give_back == NULL)
        return refuse(c, "", "This is not offered.");
    conn_read_pause(s->conn);  // what comes now is for the gate
    if (conn_held(s->conn) > LIMIT_line_preauth || !s->host.can_give_back(s->host.arg)) {
        managesieve_bye(s, "TRYLATER", "Please connect anew.");
        c->status = NULL;
        return R_OK;
    }
    s->leaving = true;
    return done(c, "You are nobody now.");
}

static enum result
run_too_late(struct managesieve_command *c, struct fault *f)
{
    (void)f;
    return refuse(c, "", "You are logged in already.");
}

static const struct verb verbs[] = {
    {"PUTSCRIPT", "ss", VERB_CHANGES, run_putscript},
    {"CHECKSCRIPT", "s", 0, run_checkscript},
    {"GETSCRIPT", "s", 0, run_getscript},
    {"LISTSCRIPTS", "", 0, run_listscripts},
    {"SETACTIVE", "s", VERB_CHANGES, run_setactive},
    {"DELETESCRIPT", "s", VERB_CHANGES, run_deletescript},
    {"RENAMESCRIPT", "ss", VERB_CHANGES, run_renamescript},
    {"HAVESPACE", "s#", 0, run_havespace},
    {"CAPABILITY", "", 0, run_capability},
    {"NOOP", "?s", 0, run_noop},
    {"LOGOUT", "", 0, run_logout},
    {"UNAUTHENTICATE", "", 0, run_unauthenticate},
    {"AUTHENTICATE", "*", VERB_SECRET, run_too_late},
    {"STARTTLS", "*", 0, run_too_late},
};

// ---- the dispatcher ----

static const struct verb *
verb_find(struct span name)
{
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (span_ieq(name, span_str(verbs[i].name)))
            return &verbs[i];
    return NULL;
}

bool
managesieve_is_known(struct span command)
{
    struct managesieve_parse p = managesieve_parse_of(command, NULL);
    const struct verb *v = verb_find(managesieve_parse_atom(&p));
    return v && !(v->flags & VERB_SECRET);
}

static enum result
read_args(struct managesieve_command *c, const struct verb *v, struct managesieve_parse *p,
          struct fault *f)
{
    unsigned strings = 0;
    for (const char *a = v->args; *a != '\0'; a++) {
        if (*a == '*')
            return R_OK;
        if (*a == '?' && !managesieve_parse_more(p))
            break;
        if (*a == 's')
            c->strings[strings++] = managesieve_parse_string(p);
        else if (*a == '#')
            c->number = managesieve_parse_number(p);
    }
    return managesieve_parse_end(p) ? R_OK : fault_set(f, FAULT_BAD, "invalid arguments");
}

// One user's commands cannot take all tasks of a thread.
static enum result
run_verb(struct managesieve_command *c, const struct verb *v, struct fault *f)
{
    struct account *a = account_of(c);
    if ((v->flags & VERB_CHANGES) && c->session->host.read_only)
        return fault_set(f, FAULT_NOPERM, "the password is for reading only");
    if (account_command_begin(a, f) != R_OK)
        return R_FAIL;
    enum result r = v->run(c, f);
    account_command_end(a);
    return r;
}

static void
say_bad(struct managesieve_session *s, const char *text)
{
    managesieve_say(s, "NO", "", text);
    if (++s->bad_commands >= LIMIT_bad_commands)
        managesieve_bye(s, "", "Too many bad commands.");
}

static void
answer(struct managesieve_command *c)
{
    struct buf b;
    if (c->status == NULL)
        return;
    buf_init(&b, (size_t)2 * LIMIT_line);
    managesieve_put_answer(&b, c->status, c->code, buf_span(&c->words));
    conn_write(c->session->conn, buf_span(&b));
    buf_done(&b);
}

static void
fault_log(const struct managesieve_command *c, const struct verb *v, const struct fault *f)
{
    log_line(fault_info(f->kind)->level, "managesieve", "command failed",
             field_str("command", "command=%", v->name),
             log_user(mail_user_name(c->session->user)), log_session(c->session->id),
             log_fault(f));
}

void
managesieve_run(struct managesieve_command *c)
{
    struct managesieve_session *s = c->session;
    struct fault f;
    struct managesieve_parse p = managesieve_parse_of(c->text, c->arena);
    struct span name = managesieve_parse_atom(&p);
    const struct verb *v = verb_find(name);
    c->status = "OK";
    c->code = "";
    if (!v || read_args(c, v, &p, &f) != R_OK) {
        say_bad(s, v ? "Invalid arguments." : "Unknown command.");
        return;
    }
    s->bad_commands = 0;
    if (run_verb(c, v, &f) == R_OK) {
        answer(c);
        return;
    }
    fault_log(c, v, &f);
    managesieve_say_fault(s, f.kind);
}
