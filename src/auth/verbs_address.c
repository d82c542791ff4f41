// address add, list, delete, test; and what of it `user delete` tells.
#include "auth/verbs_inside.h"
#include "auth/resolve.h"
#include "base/field.h"
#include "base/hash.h"
#include "base/pack.h"

static const char *
kind_of(struct span address, struct span target)
{
    if (!address_is_domain(address))
        return "alias";
    return address_is_domain(target) ? "domain alias" : "catch-all";
}

static void
put_row(struct buf *rows, const struct address_row *row)
{
    field_put_row(rows, SPAN("address"), SPAN_NONE,
                  FIELDS(field_text("address", "%", row->address),
                         field_text("target", "\t%", row->target),
                         field_str("kind", "\t%", kind_of(row->address, row->target)),
                         field_flag("send", "\tsend", row->send)));
}

// ---- add ----

struct adding {
    struct userdb *db;
    const struct verbs_call *call;
    struct name address;
    struct span words;  // targets, and perhaps send=
    bool send, said;
    struct buf targets, unknown;  // packed
    bool loops;
};

static enum result
read_send(struct adding *a, struct span word, struct fault *f)
{
    struct span value = span_skip(word, SPAN("send=").n);
    if (!span_ieq(value, SPAN("yes")) && !span_ieq(value, SPAN("no")))
        return fault_set(f, FAULT_BAD, "send= is yes or no");
    a->send = span_ieq(value, SPAN("yes"));
    a->said = true;
    return R_OK;
}

// Of one that is elsewhere the local part is kept as it was given.
static enum result
read_target(const struct adding *a, struct span word, struct name *out, struct fault *f)
{
    struct lookup_found found;
    if (address_of(word, out, f) != R_OK ||
        lookup_address(a->db, verbs_rules(a->call), name_span(out), &found, f) != R_OK)
        return R_FAIL;
    return found.kind == LOOKUP_REMOTE ? address_as_given(word, out, f) : R_OK;
}

static enum result
read_words(struct adding *a, struct fault *f)
{
    struct span rest = a->words, word;
    struct name target;
    bool catches = address_is_domain(name_span(&a->address));
    while (rest.n > 0 && span_next_field(&rest, ' ', &word) == R_OK) {
        if (span_istarts(word, SPAN("send="))) {
            if (read_send(a, word, f))
                return R_FAIL;
            continue;
        }
        if (read_target(a, word, &target, f))
            return R_FAIL;
        catches = catches && !address_is_domain(name_span(&target));
        pack_span(&a->targets, name_span(&target));
    }
    if (!a->said)
        a->send = !catches;
    return a->targets.n > 0 ? R_OK : fault_set(f, FAULT_BAD, "an address goes somewhere");
}

static void
note_step(void *arg, struct span address, enum resolve_step step, struct span to)
{
    struct adding *a = arg;
    (void)to;
    a->loops |= step == STEP_LOOP;
    if (step == STEP_UNKNOWN || step == STEP_DISABLED)
        pack_span(&a->unknown, address);
}

// Where does it go now? Of a domain some address that nobody is called.
static enum result
look(struct adding *a, struct arena *arena, struct fault *f)
{
    struct resolve how = {a->db, verbs_rules(a->call), arena, RESOLVE_ALL, note_step, a};
    struct resolve_target *targets;
    struct span address = name_span(&a->address);
    struct buf probe;
    size_t n;
    buf_init(&probe, SIZE_MAX);
    if (address_is_domain(address))
        buf_printf(&probe, "%016llx", (unsigned long long)random_u64());
    buf_put(&probe, address);
    enum result r = resolve_address(&how, buf_span(&probe), &targets, &n, f);
    buf_done(&probe);
    if (a->loops)
        return fault_set(f, FAULT_BAD, "'%.*s' would go round in a circle",
                         SPAN_ARG(span_slice(address, 0, 100)));
    return r == R_FAIL ? R_FAIL : R_OK;
}

static enum result
refuse_user(struct userdb *db, struct span address, struct fault *f)
{
    struct user user;
    enum result r = userdb_find(db, address, &user, f);
    if (r == R_OK)
        return fault_set(f, FAULT_ALREADYEXISTS,
                         "'%.*s' is a user: `user set` forwards their mail",
                         SPAN_ARG(span_slice(address, 0, 80)));
    return r == R_NONE ? R_OK : R_FAIL;
}

enum result
verbs_refuse_remote(struct userdb *db, const struct verbs_call *c, struct span target,
                    struct fault *f)
{
    struct lookup_found found;
    if (!c->stays || verbs_rules(c)->domains.n == 0)
        return R_OK;
    if (lookup_address(db, verbs_rules(c), target, &found, f) != R_OK)
        return R_FAIL;
    return found.kind != LOOKUP_REMOTE
               ? R_OK
               : fault_set(f, FAULT_CANNOT,
                           "'%.*s' is elsewhere, and mail would never get there: set "
                           "relay_host, or have the mail server ask the setting maps "
                           "first (docs/mta.md)",
                           SPAN_ARG(span_slice(target, 0, 80)));
}

static enum result
put_one(struct adding *a, struct span target, struct fault *f)
{
    return verbs_refuse_remote(a->db, a->call, target, f) == R_OK
               ? address_add(a->db, name_span(&a->address), target, a->send, f)
               : R_FAIL;
}

static enum result
put_all(struct adding *a, struct fault *f)
{
    struct unpack u = unpack_of(buf_span(&a->targets));
    struct arena *arena = arena_new();
    enum result r = refuse_user(a->db, name_span(&a->address), f);
    while (r == R_OK && u.rest.n > 0)
        r = put_one(a, unpack_span(&u), f);
    if (r == R_OK)
        r = look(a, arena, f);
    arena_free(&arena);
    return r;
}

static enum result
add(struct adding *a, struct buf *rows, struct fault *f)
{
    if (read_words(a, f) || userdb_begin(a->db, f))
        return R_FAIL;
    if (put_all(a, f)) {
        userdb_abort(a->db);
        return R_FAIL;
    }
    if (userdb_commit(a->db, f))
        return R_FAIL;
    field_put_row(
        rows, SPAN("address"), SPAN_NONE,
        FIELDS(field_str("change", "%", "added"),
               field_text("address", " %", name_span(&a->address)),
               field_list("targets", " to %", buf_span(&a->targets)),
               field_flag("send", ", who may send as it", a->send),
               field_if(a->unknown.n > 0, field_list("unknown", "; nobody is called %",
                                                     buf_span(&a->unknown)))));
    return R_OK;
}

enum result
verbs_address_add(struct userdb *db, struct verbs_call *c, struct buf *rows,
                  struct fault *f)
{
    struct adding a = {.db = db, .call = c, .words = c->args[1]};
    if (address_of(c->args[0], &a.address, f))
        return R_FAIL;
    buf_init(&a.targets, LIMIT_channel_message);
    buf_init(&a.unknown, SIZE_MAX);
    enum result r = add(&a, rows, f);
    buf_done(&a.targets);
    buf_done(&a.unknown);
    return r;
}

// ---- delete ----

// The target that is written so; else the one that differs in case alone.
static enum result
delete_target(struct userdb *db, struct span address, struct span word, struct fault *f)
{
    struct address_row *rows = NULL;
    struct name given, form;
    size_t n = 0;
    if (address_as_given(word, &given, f) != R_OK || address_of(word, &form, f) != R_OK)
        return R_FAIL;
    struct arena *a = arena_new();
    struct span target = name_span(&form);
    enum result r = address_rows(db, address, a, &rows, &n, f);
    for (size_t i = 0; i < n; i++)
        if (address_is(rows[i].target, &form))
            target = rows[i].target;
    for (size_t i = 0; i < n; i++)
        if (span_eq(rows[i].target, name_span(&given)))
            target = rows[i].target;
    r = r == R_FAIL ? R_FAIL : address_delete(db, address, target, f);
    arena_free(&a);
    return r;
}

static enum result
delete_named(struct userdb *db, struct span address, struct span words, struct fault *f)
{
    struct span word;
    if (words.n == 0)
        return address_delete(db, address, SPAN(""), f);
    while (words.n > 0 && span_next_field(&words, ' ', &word) == R_OK)
        if (delete_target(db, address, word, f) != R_OK)
            return R_FAIL;
    return R_OK;
}

enum result
verbs_address_delete(struct userdb *db, struct verbs_call *c, struct buf *rows,
                     struct fault *f)
{
    struct name address;
    if (address_of(c->args[0], &address, f) || userdb_begin(db, f))
        return R_FAIL;
    if (delete_named(db, name_span(&address), c->args[1], f)) {
        userdb_abort(db);
        return R_FAIL;
    }
    if (userdb_commit(db, f))
        return R_FAIL;
    field_put_row(
        rows, SPAN("address"), SPAN_NONE,
        FIELDS(field_str("change", "%", "deleted"),
               field_text("address", " %", name_span(&address)),
               field_if(c->args[1].n > 0, field_text("targets", " to %", c->args[1]))));
    return R_OK;
}

// ---- list ----

struct listing {
    struct buf *rows;
    bool all;
    struct name filter;
};

static bool
is_listed(const struct listing *l, const struct address_row *row)
{
    struct span filter = name_span(&l->filter);
    if (l->all || span_eq(row->address, filter) || address_is(row->target, &l->filter))
        return true;
    return address_is_domain(filter) && span_ends(row->address, filter);
}

static void
list_one(const struct address_row *row, void *arg)
{
    const struct listing *l = arg;
    if (is_listed(l, row))
        put_row(l->rows, row);
}

enum result
verbs_address_list(struct userdb *db, struct verbs_call *c, struct buf *rows,
                   struct fault *f)
{
    struct listing l = {.rows = rows, .all = c->args[0].n == 0};
    if (!l.all && address_of(c->args[0], &l.filter, f))
        return R_FAIL;
    return address_each(db, list_one, &l, f);
}

// ---- what led to a user who is gone ----

struct leftover {
    struct buf *rows;
    struct span user;
    const struct lookup_rules *rules;
};

static void
list_leftover(const struct address_row *row, void *arg)
{
    const struct leftover *l = arg;
    struct span target = row->target;
    bool bare = address_domain(l->user).n == 0;
    if (bare && address_domain(target).n > 0 &&
        lookup_is_ours(l->rules, address_domain(target)))
        target = address_local(target);
    if (span_eq(target, l->user))
        field_put_row(l->rows, SPAN("address"), SPAN_NONE,
                      FIELDS(field_text("address", "% still goes to them", row->address),
                             field_text("target", "", row->target)));
}

enum result
verbs_address_leftovers(struct userdb *db, const struct verbs_call *c, struct span user,
                        struct buf *rows, struct fault *f)
{
    struct leftover l = {rows, user, verbs_rules(c)};
    return address_each(db, list_leftover, &l, f);
}

// ---- test ----

static void
put_step(void *arg, struct span address, enum resolve_step step, struct span to)
{
    static const char *const words[] = {
        [STEP_USER] = "user",
        [STEP_FORWARD] = "forward",
        [STEP_DISABLED] = "disabled user",
        [STEP_ALIAS] = "alias",
        [STEP_DOMAIN] = "domain alias",
        [STEP_CATCH_ALL] = "catch-all",
        [STEP_REMOTE] = "elsewhere",
        [STEP_UNKNOWN] = "unknown",
        [STEP_AGAIN] = "again",
        [STEP_LOOP] = "loop",
    };
    field_put_row(arg, SPAN("step"), SPAN_NONE,
                  FIELDS(field_text("address", "%", address),
                         field_str("is", ": %", words[step]),
                         field_if(to.n > 0, field_text("to", " %", to))));
}

static void
put_target(struct buf *rows, const struct resolve_target *t)
{
    bool here = t->account != 0;
    field_put_row(rows, SPAN("target"), SPAN_NONE,
                  FIELDS(field_if(here, field_text("user", "to the user %", t->name)),
                         field_if(here && t->detail.n > 0,
                                  field_text("detail", ", folder %", t->detail)),
                         field_if(!here, field_text("address", "elsewhere: %", t->name))));
}

enum result
verbs_address_test(struct userdb *db, struct verbs_call *c, struct buf *rows,
                   struct fault *f)
{
    struct arena *a = arena_new();
    struct resolve how = {db, verbs_rules(c), a, RESOLVE_ALL, put_step, rows};
    struct resolve_target *targets;
    struct fault why;
    size_t n = 0;
    struct buf address;
    (void)f;
    buf_init(&address, SIZE_MAX);
    enum result r = address_unquote(c->args[0], &address) == R_OK
                        ? resolve_address(&how, buf_span(&address), &targets, &n, &why)
                        : R_NONE;
    buf_done(&address);
    for (size_t i = 0; r == R_OK && i < n; i++)
        put_target(rows, &targets[i]);
    if (r != R_OK)
        field_put_row(rows, SPAN("refused"), SPAN_NONE,
                      FIELDS(field_str("why", "refused: %",
                                       r == R_NONE ? "nobody gets it" : why.why)));
    arena_free(&a);
    return R_OK;
}
