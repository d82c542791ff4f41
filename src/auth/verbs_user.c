// user set, user show; and what of them `user list` tells.
#include "auth/verbs_inside.h"
#include "auth/user_key.h"
#include "base/arena.h"
#include "base/field.h"

enum { KEYS_MAX = 16 };

struct showing {
    struct arena *arena;
    struct field *fields;
    size_t n, max;
};

static void
show_one(struct span name, struct span value, void *arg)
{
    struct showing *s = arg;
    uint64_t number;
    struct buf style;
    if (s->n == s->max)
        return;
    buf_init(&style, 64);
    buf_printf(&style, "\t%.*s=%%", SPAN_ARG(name));
    const char *key = arena_cstr(s->arena, name),
               *shown = arena_cstr(s->arena, buf_span(&style));
    s->fields[s->n++] = span_to_u64(value, &number) == R_OK
                            ? field_number(key, shown, number)
                            : field_text(key, shown, arena_dup(s->arena, value));
    buf_done(&style);
}

enum result
verbs_user_fields(struct userdb *db, uint64_t account, struct arena *a,
                  struct field *fields, size_t *n, struct fault *f)
{
    struct showing s = {a, fields, *n, *n + KEYS_MAX};
    if (user_key_each(db, account, show_one, &s, f))
        return R_FAIL;
    *n = s.n;
    return R_OK;
}

static enum result
show(struct userdb *db, const struct user *u, struct buf *rows, struct fault *f)
{
    struct arena *a = arena_new_small();
    struct field all[2 + KEYS_MAX];
    size_t n = 0;
    all[n++] = field_text("name", "%", name_span(&u->name));
    all[n++] = field_flag("disabled", "\tdisabled", u->disabled);
    enum result r = verbs_user_fields(db, u->account, a, all, &n, f);
    if (r == R_OK)
        field_put_row(rows, SPAN("user"), SPAN_NONE, all, n);
    arena_free(&a);
    return r;
}

enum result
verbs_user_show(struct userdb *db, struct verbs_call *c, struct buf *rows, struct fault *f)
{
    struct user u;
    if (verbs_user_of(db, c->args[0], &u, f))
        return R_FAIL;
    return show(db, &u, rows, f);
}

// "forward=ann@y.org,bob"
static enum result
set_one(struct userdb *db, struct user *u, struct span word, struct fault *f)
{
    struct buf value;
    size_t at = span_find_char(word, '=');
    if (at == word.n)
        return fault_set(f, FAULT_BAD, "'%.*s' is not understood; write NAME=VALUE",
                         SPAN_ARG(span_slice(word, 0, 60)));
    buf_init(&value, LIMIT_user_forward);
    enum result r =
        user_key_check(span_slice(word, 0, at), span_skip(word, at + 1), &value, f);
    if (r == R_OK)
        r = user_key_set(db, u->account, span_slice(word, 0, at), buf_span(&value), f);
    buf_done(&value);
    return r;
}

static enum result
set_all(struct userdb *db, struct user *u, struct span words, struct fault *f)
{
    struct span word;
    enum result r = R_OK;
    while (r == R_OK && words.n > 0 && span_next_field(&words, ' ', &word) == R_OK)
        if (word.n > 0)
            r = set_one(db, u, word, f);
    return r;
}

static enum result
check_forward(struct userdb *db, const struct verbs_call *c, uint64_t account,
              const struct user_keys *before, struct fault *f)
{
    struct user_keys now;
    enum result r = user_keys_get(db, account, &now, f);
    bool other = r == R_OK && strcmp(now.forward, before->forward) != 0;
    struct span rest = other ? span_str(now.forward) : SPAN_NONE, word;
    while (r == R_OK && rest.n > 0 && span_next_field(&rest, ' ', &word) == R_OK)
        if (word.n > 0)
            r = verbs_refuse_remote(db, c, word, f);
    return r;
}

static enum result
set_together(struct userdb *db, const struct verbs_call *c, struct user *u,
             const struct user_keys *before, struct fault *f)
{
    if (userdb_begin(db, f))
        return R_FAIL;
    if (set_all(db, u, c->args[1], f) || check_forward(db, c, u->account, before, f)) {
        userdb_abort(db);
        return R_FAIL;
    }
    return userdb_commit(db, f);
}

enum result
verbs_user_set(struct userdb *db, struct verbs_call *c, struct buf *rows, struct fault *f)
{
    struct user u;
    struct user_keys before, after;
    if (verbs_user_of(db, c->args[0], &u, f) || user_keys_get(db, u.account, &before, f) ||
        set_together(db, c, &u, &before, f) || user_keys_get(db, u.account, &after, f))
        return R_FAIL;
    // sessions that are still allowed may come again
    if (after.protocols[0] && strcmp(before.protocols, after.protocols) != 0)
        c->ended_account = u.account;
    c->touched_account = u.account;
    return show(db, &u, rows, f);
}
