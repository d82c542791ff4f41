#include "main/auth_inside.h"
#include "auth/nets.h"
#include "auth/verbs.h"
#include "base/field.h"
#include "base/hash.h"

// `auth test`: a login that an administrator tries. It is judged as any other, but opens no session, counts for nobody and
// leaves nothing: no penalty, no line that a fail2ban takes for a stranger's, no use of an app password.

enum { TRIAL_ARGS = 4 };  // USER SERVICE ADDRESS PASSWORD

// The login's exchange is the request.
struct trial {
    char why[200];  // as a fault's
};

void
trial_free(struct trial **t)
{
    free(*t);
    *t = NULL;
}

void
trial_note(struct login *l, const char *why)
{
    snprintf(l->service.trial->why, sizeof l->service.trial->why, "%s", why);
}

// ---- the answer ----

// What the log of a real login says of several cases together.
static const char *
precisely(const struct login *l)
{
    const char *why = l->service.trial->why;
    if (l->refusal == FAULT_AUTHFAILED && l->is.known && l->is.hashless)
        return "the user has no password";
    if (l->is.known || l->is.elsewhere || strcmp(why, login_unknown_why(l)) != 0)
        return why;
    return l->is.found ? "the user is disabled" : "no user database knows the name";
}

static void
put_verdict(const struct login *l, bool granted, const char *why, struct buf *rows)
{
    bool found = granted || l->is.found;
    struct buf groups;
    struct fault f;
    buf_init(&groups, LIMIT_channel_message);
    bool some =
        granted && lookup_groups(l->role, &l->user, &groups, &f) == R_OK && groups.n > 0;
    field_put_row(
        rows, SPAN("auth"), SPAN_NONE,
        FIELDS(field_text("user", "%",
                          found ? name_span(&l->user.name) : buf_span(&l->sent_user)),
               field_flag("granted", "\tgranted", granted),
               field_str(NULL, granted ? "" : "\trefused", ""),
               field_if(!granted, field_str("code", "\t%", fault_info(l->refusal)->name)),
               field_if(!granted, field_str("why", "\t%", why)),
               field_if(found, field_str("database", "\tdatabase=%",
                                         user_source_name(l->user.source))),
               field_if(found, field_number("account", "\taccount=%", l->user.account)),
               field_if(l->acting.master.n > 0,
                        field_text("master", "\tmaster=%", name_span(&l->acting.master))),
               field_if(l->app.id != 0,
                        field_text("device", "\tdevice=<%>", name_span(&l->app.label))),
               field_flag("read_only", "\tread_only", l->app.read_only),
               field_str("service", "\tservice=%", l->service.name),
               field_text("rip", "\trip=%", buf_span(&l->remote)),
               field_if(some, field_list("groups", "\tgroups=%", buf_span(&groups)))));
    buf_done(&groups);
}

// The rows of another verb about the user; what it cannot say is left out, and said by that verb.
static void
put_rows(struct login *l, const char *verb, struct buf *rows)
{
    struct fault f;
    struct span name = name_span(&l->user.name);
    struct lookup_rules rules = auth_rules(l->role);
    struct verbs_call c = {.verb = span_str(verb), .args = &name, .n = 1, .rules = &rules};
    struct buf more;
    buf_init(&more, SIZE_MAX);
    if (verbs_run(l->role->db, &c, &more, &f) == R_OK)
        buf_put(rows, buf_span(&more));
    buf_done(&more);
}

// u8 granted, u8 enum fault_kind, why, user, account; then rows.
static void
send_and_free(struct login *l, bool granted, const char *why)
{
    struct buf text;
    buf_init(&text, SIZE_MAX);
    pack_u8(&text, granted);
    pack_u8(&text, (uint8_t)(granted ? FAULT_BAD : l->refusal));
    pack_span(&text, span_str(granted ? "" : why));
    pack_span(&text, name_span(&l->user.name));
    pack_u64(&text, l->user.account);
    put_verdict(l, granted, why, &text);
    if (granted) {
        put_rows(l, "user show", &text);
        put_rows(l, "address list", &text);
    }
    auth_send_text(l->at, l->exchange, buf_span(&text), false);
    buf_done(&text);
    login_free(l);
}

void
trial_granted(struct login *l)
{
    send_and_free(l, true, "");
}

void
trial_refused(struct login *l)
{
    send_and_free(l, false, precisely(l));
}

// ---- the question ----

static enum result
check(struct span service, struct span address, struct fault *f)
{
    char protocols[LIMIT_app_protocols + 1];
    struct buf one;
    if (app_password_protocols(service, protocols, f) != R_OK)
        return R_FAIL;
    if (strchr(protocols, ' ') != NULL)
        return fault_set(f, FAULT_BAD, "one service at a time");
    buf_init(&one, LIMIT_user_networks);
    enum result r = nets_check(address, &one, f);
    buf_done(&one);
    if (r == R_OK && (span_find_char(address, '/') < address.n ||
                      span_find_char(address, ',') < address.n))
        return fault_set(f, FAULT_BAD, "an address is no network");
    return r;
}

static enum result
start(struct auth_channel *at, uint64_t request, const struct span args[TRIAL_ARGS],
      struct fault *f)
{
    struct span service = args[1].n > 0 ? args[1] : SPAN("imap");
    struct span address = args[2].n > 0 ? args[2] : SPAN("127.0.0.1");
    if (check(service, address, f) != R_OK)
        return R_FAIL;
    struct trial *t = calloc(1, sizeof *t);
    must(t != NULL);
    // as auth_service has it: no session of ours follows
    bool relayed = span_eq(service, SPAN("smtp"));
    struct auth_start s = {.exchange = request,
                           .service = service,
                           .user = args[0],
                           .password = args[3],
                           .remote = address,
                           .session = random_u64(),
                           .verdict_only = relayed};
    if (login_try(at, &s, t) == R_OK)
        return R_OK;
    trial_free(&t);
    return fault_set(f, FAULT_LIMIT, "too many logins are under way");
}

enum result
trial_start(struct auth_channel *at, const struct admin_request *m)
{
    struct span args[TRIAL_ARGS];
    struct fault f;
    struct unpack u = unpack_of(m->args);
    for (size_t i = 0; i < TRIAL_ARGS; i++)
        args[i] = unpack_span(&u);
    if (unpack_end(&u) != R_OK)
        return R_FAIL;
    if (start(at, m->request, args, &f) != R_OK)
        auth_send_fault(at, m->request, &f);
    return R_OK;
}
