#include "main/auth_inside.h"
#include "auth/address.h"
#include "auth/nets.h"
#include "auth/password.h"
#include "auth/user_key.h"
#include "base/limits.h"
#include "base/log.h"

static enum result
own_find(struct auth_role *role, struct span name, struct user *out, struct fault *f)
{
    enum result r = userdb_find(role->db, name, out, f);
    return r == R_OK && out->source != USER_OWN ? R_NONE : r;
}

// The first database that knows the name. One that cannot say now ends it: the next ones might know somebody else.
enum result
who_find_name(struct auth_role *role, struct ask *a, struct span name, struct user *out,
              struct fault *f)
{
    enum result r = R_NONE;
    for (size_t i = 0; r == R_NONE && i < role->bases.n; i++)
        r = role->bases.order[i] == USER_OWN
                ? own_find(role, name, out, f)
                : outer_find(role, role->bases.order[i], a, name, out, f);
    return r;
}

// The local part of a name with a domain of ours; *first_out: the first of them.
static bool
is_ours(struct auth_role *role, const struct name *name, struct span *local_out,
        bool *first_out)
{
    struct lookup_rules rules = {.domains = buf_span(&role->domains)};
    struct span domain = address_domain(name_span(name));
    *local_out = address_local(name_span(name));
    return domain.n > 0 && lookup_is_listed(&rules, domain, first_out) &&
           span_find_char(*local_out, '@') == local_out->n;
}

// A login name's other form: with the first of our domains when it has none, and without its domain when that is ours, as mail
// to it is looked up (auth/lookup.h). R_NONE: there is no other.
static enum result
other_form(struct auth_role *role, const struct name *sent, struct name *out)
{
    struct span local, ours = buf_span(&role->domains), domain = SPAN_NONE;
    bool first;
    if (is_ours(role, sent, &local, &first))
        return lookup_join(local, SPAN_NONE, out);
    if (span_find_char(name_span(sent), '@') < sent->n ||
        span_next_field(&ours, ' ', &domain) != R_OK || domain.n == 0)
        return R_NONE;
    return lookup_join(name_span(sent), domain, out);
}

// The user of a login name: as sent, or in the other form.
enum result
who_find(struct auth_role *role, struct ask *a, struct span sent, struct user *out,
         struct fault *f)
{
    struct name name, other;
    if (name_of(sent, &name, f))
        return R_NONE;
    enum result r = who_find_name(role, a, name_span(&name), out, f);
    if (r != R_NONE || other_form(role, &name, &other) != R_OK)
        return r;
    return who_find_name(role, a, name_span(&other), out, f);
}

static enum result
check_place(struct login *l, struct fault *f)
{
    struct buf nets;
    struct span theirs, groups, remote = buf_span(&l->remote);
    buf_init(&nets, LIMIT_user_networks);
    enum result r = userdb_nets(l->role->db, l->user.account, &nets, f);
    outer_texts(l->role, &l->user, &theirs, &groups);
    l->is.elsewhere = (nets.n > 0 && !nets_have(buf_span(&nets), remote)) ||
                      (theirs.n > 0 && !nets_have(theirs, remote));
    buf_done(&nets);
    return r;
}

enum result
who_find_here(struct login *l, struct span sent, struct fault *f)
{
    enum result r = who_find(l->role, &l->outer.ask, sent, &l->user, f);
    if (r == R_OK)
        r = check_place(l, f);
    if (r == R_OK)
        l->outer.digest = outer_digest(l->role, &l->user);
    l->is.found = r == R_OK;
    l->is.known = r == R_OK && !l->user.disabled && !l->is.elsewhere;
    return r;
}

// Somebody to judge in place of a user who is not there or may not log in.
static enum result
find_decoy(struct auth_role *role, struct span sent, struct user *out, struct fault *f)
{
    enum result r = userdb_decoy(role->db, sent, out, f);
    if (r == R_FAIL || (r == R_OK && out->hash_n > 0))
        return r;
    memset(out, 0, sizeof *out);
    out->hash_n = role->decoy_hash.n;
    memcpy(out->hash, role->decoy_hash.p, role->decoy_hash.n);
    return R_OK;
}

enum result
who_find_judged(struct login *l, struct span sent, struct fault *f)
{
    struct user decoy;
    enum result r = who_find_here(l, sent, f);
    if (r == R_FAIL)
        return R_FAIL;
    l->is.hashless = r == R_OK && l->user.hash_n == 0 && !l->user.there;
    if (r == R_OK && l->user.hash_n > 0)
        return R_OK;
    if (find_decoy(l->role, sent, &decoy, f) != R_OK)
        return R_FAIL;
    if (r == R_NONE)
        l->user = decoy;
    l->user.hash_n = decoy.hash_n;
    memcpy(l->user.hash, decoy.hash, decoy.hash_n);
    return R_OK;
}

// A name as nobody's salt is made of it.
struct salted {
    struct name whole;
    struct name local;  // without the domain, where that is ours
    bool elsewhere;     // that is not the first of ours
};

static void
salted_of(struct auth_role *role, struct span sent, struct salted *out)
{
    struct fault f;
    struct span local;
    bool first = true;
    if (name_of(sent, &out->whole, &f)) {
        out->whole.n = sent.n < sizeof out->whole.text ? sent.n : sizeof out->whole.text;
        if (out->whole.n > 0)
            memcpy(out->whole.text, sent.p, out->whole.n);
    }
    out->local = out->whole;
    if (is_ours(role, &out->whole, &local, &first))
        out->local.n = local.n;
    out->elsewhere = !first;
}

// The keys of nobody, as a user of the database has them. Who is there without a domain has one salt with each of ours and
// without; who has one there, with that and, if it is the first, without. And as many rounds.
static enum result
decoy_keys(struct auth_role *role, enum scram_hash hash, struct span sent,
           struct scram_keys *out, struct fault *f)
{
    struct scram_keys like = {.iterations = SCRAM_ITERATIONS, .salt_n = 16};
    struct user decoy;
    struct salted name;
    salted_of(role, sent, &name);
    if (find_decoy(role, name_span(&name.local), &decoy, f) == R_FAIL)
        return R_FAIL;
    if (scram_has(&decoy.scram, hash))
        like = decoy.scram.of[hash];
    bool with_domain = span_find_char(name_span(&decoy.name), '@') < decoy.name.n;
    const struct name *of = with_domain && name.elsewhere ? &name.whole : &name.local;
    scram_decoy(hash, userdb_secret(role->db), name_span(of), &like, out);
    return R_OK;
}

static bool
is_master(const struct auth_role *role, const struct user *u)
{
    struct span rest = buf_span(&role->settings.masters), word;
    struct name name;
    struct fault f;
    while (span_next_field(&rest, ' ', &word) == R_OK)
        if (name_of(word, &name, &f) == R_OK &&
            span_eq(name_span(&name), name_span(&u->name)))
            return true;
    return false;
}

struct span
who_split(struct login *l, struct span sent, struct span authzid)
{
    const char separator = l->role->settings.separator;
    size_t at = separator ? span_find_char(sent, separator) : sent.n;
    buf_reset(&l->acting.target);
    if (authzid.n > 0) {
        buf_put(&l->acting.target, authzid);
    } else if (at > 0 && at + 1 < sent.n) {
        buf_put(&l->acting.target, span_slice(sent, 0, at));
        return span_skip(sent, at + 1);
    }
    return sent;
}

enum result
who_become(struct login *l, struct fault *f)
{
    struct user target;
    if (l->acting.target.n == 0)
        return R_OK;
    // a password of one device, and of that, is no key to others' mail
    if (l->app.id != 0 || !is_master(l->role, &l->user))
        return fault_set(f, FAULT_AUTHZFAILED, "authorization as another user");
    enum result r =
        who_find(l->role, &l->outer.ask, buf_span(&l->acting.target), &target, f);
    if (r == R_FAIL)
        return fault_set(f, FAULT_UNAVAILABLE, "the user database cannot be read");
    if (r == R_NONE || target.disabled)
        return fault_set(f, FAULT_AUTHZFAILED, "no such user to act for");
    l->outer.ended_others = recheck_granted(l->role, &l->user);
    l->acting.master = l->user.name;
    l->acting.account = l->user.account;
    l->user = target;
    return R_OK;
}

enum result
who_by_certificate(struct login *l, struct fault *f)
{
    if (who_find_here(l, buf_span(&l->sent_user), f) == R_FAIL)
        return fault_set(f, FAULT_UNAVAILABLE, "the user database cannot be read");
    return l->is.known ? R_OK
                       : fault_set(f, FAULT_AUTHFAILED,
                                   "the certificate's user is unknown or may not log in");
}

enum result
who_may_use(struct login *l, struct fault *f)
{
    struct user_keys keys;
    if (user_keys_get(l->role->db, l->user.account, &keys, f) != R_OK)
        return fault_set(f, FAULT_UNAVAILABLE, "the user database cannot be read");
    snprintf(l->acting.language, sizeof l->acting.language, "%s", keys.folder_language);
    snprintf(l->acting.pop3, sizeof l->acting.pop3, "%s %s",
             keys.pop3_delete[0] != '\0' ? keys.pop3_delete : "-", keys.pop3_delete_after);
    l->is.imap = user_keys_allow(&keys, SPAN("imap"));
    return user_keys_allow(&keys, span_str(l->service.name))
               ? R_OK
               : fault_set(f, FAULT_NOPERM, "the user may not use %s", l->service.name);
}

bool
who_may_come(const struct auth_role *role, struct span remote)
{
    struct span allow = buf_span(&role->settings.allow),
                deny = buf_span(&role->settings.deny);
    return !nets_have(deny, remote) && (allow.n == 0 || nets_have(allow, remote));
}

// A {PLAIN} user gets SCRAM keys when they are first asked for.
static bool
make_keys(struct auth_role *role, enum scram_hash hash, struct user *u)
{
    struct span plain;
    struct fault f;
    if (scram_has(&u->scram, hash))
        return true;
    if (!password_is_plain(user_hash(u), &plain) || scram_new(plain, &u->scram, &f))
        return false;
    if (u->source == USER_OWN &&
        userdb_set(role->db, name_span(&u->name), user_hash(u), &u->scram, &f))
        log_error("auth", "SCRAM keys could not be stored", log_user(name_span(&u->name)),
                  log_fault(&f));
    return true;
}

// The decoy's are made for known users too, so that the answer takes as long.
void
who_give_keys(void *arg, enum scram_hash hash, struct span user, struct scram_keys *out)
{
    struct login *l = arg;
    struct fault f;
    struct span who = who_split(l, user, SPAN_NONE);
    enum result decoy = decoy_keys(l->role, hash, who, out, &f);
    enum result r = decoy == R_OK ? who_find_here(l, who, &f) : R_FAIL;
    l->is.broken = r == R_FAIL;
    if (l->is.broken) {
        log_error("auth", "the user database failed", log_session(l->session),
                  log_fault(&f));
        memset(out, 0, sizeof *out);
        out->iterations = SCRAM_ITERATIONS;
        out->salt_n = 16;
    }
    l->is.known = r == R_OK && l->is.known && make_keys(l->role, hash, &l->user);
    if (r == R_OK && scram_has(&l->user.scram, hash))
        *out = l->user.scram.of[hash];
}
