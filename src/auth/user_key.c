#include "auth/user_key.h"
#include "auth/address.h"
#include "auth/app_password.h"
#include "auth/userdb_inside.h"

// ---- values ----

typedef enum result check_fn(struct span value, struct buf *out, struct fault *f);

// Addresses with commas or spaces between; each as it is kept.
static enum result
check_forward(struct span value, struct buf *out, struct fault *f)
{
    size_t from = 0;
    for (size_t i = 0; i <= value.n; i++) {
        struct name name;
        if (i < value.n && value.p[i] != ',' && value.p[i] != ' ')
            continue;
        struct span word = span_slice(value, from, i);
        from = i + 1;
        if (word.n == 0)
            continue;
        if (address_as_given(word, &name, f))
            return R_FAIL;
        if (address_is_domain(name_span(&name)))
            return fault_set(f, FAULT_BAD, "mail is forwarded to addresses, not domains");
        buf_printf(out, "%s%.*s", out->n > 0 ? " " : "", SPAN_ARG(name_span(&name)));
    }
    return R_OK;
}

static enum result
check_yes_no(struct span value, struct buf *out, struct fault *f)
{
    if (!span_ieq(value, SPAN("yes")) && !span_ieq(value, SPAN("no")))
        return fault_set(f, FAULT_BAD, "'%.*s' is neither yes nor no",
                         SPAN_ARG(span_slice(value, 0, 40)));
    buf_put_str(out, span_ieq(value, SPAN("yes")) ? "yes" : "no");
    return R_OK;
}

// With commas or, as they are kept, spaces between.
static enum result
check_protocols(struct span value, struct buf *out, struct fault *f)
{
    char list[LIMIT_app_protocols + 1], commas[LIMIT_app_protocols + 1];
    if (value.n > LIMIT_app_protocols)
        return fault_set(f, FAULT_BAD, "too many protocols");
    for (size_t i = 0; i < value.n; i++)
        commas[i] = value.p[i] == ' ' ? ',' : value.p[i];
    bool none = span_ieq(value, SPAN("none"));
    if (!none && app_password_protocols(span_of(commas, value.n), list, f))
        return R_FAIL;
    buf_put_str(out, none ? "none" : list);
    return R_OK;
}

static enum result
check_number(struct span value, struct buf *out, struct fault *f)
{
    uint64_t n;
    if (span_to_u64(value, &n))
        return fault_set(f, FAULT_BAD, "'%.*s' is no number",
                         SPAN_ARG(span_slice(value, 0, 40)));
    buf_put_u64(out, n);
    return R_OK;
}

static enum result
check_word(struct span value, struct buf *out, struct fault *f)
{
    for (size_t i = 0; i < value.n; i++)
        if (!ascii_is_alpha(value.p[i]) || value.n > LIMIT_user_key)
            return fault_set(f, FAULT_BAD, "'%.*s' is no language",
                             SPAN_ARG(span_slice(value, 0, 40)));
    buf_put(out, value);
    return R_OK;
}

static enum result
check_pop3_delete(struct span value, struct buf *out, struct fault *f)
{
    if (!span_eq(value, SPAN("expunge")) && !span_eq(value, SPAN("hide")) &&
        !span_eq(value, SPAN("keep")))
        return fault_set(f, FAULT_BAD, "pop3_delete is expunge, hide or keep");
    buf_put(out, value);
    return R_OK;
}

static enum result
check_days(struct span value, struct buf *out, struct fault *f)
{
    uint32_t n;
    if (span_to_u32(value, &n) || n > 36500)
        return fault_set(f, FAULT_BAD, "'%.*s' is no number of days",
                         SPAN_ARG(span_slice(value, 0, 40)));
    buf_put_u64(out, n);
    return R_OK;
}

static const struct {
    const char *name;
    check_fn *check;
} keys[] = {
    {"forward", check_forward},        {"keep", check_yes_no},
    {"protocols", check_protocols},    {"size_limit", check_number},
    {"folder_language", check_word},   {"pop3_delete", check_pop3_delete},
    {"pop3_delete_after", check_days}, {"sent_copy", check_yes_no},
};

enum result
user_key_check(struct span name, struct span value, struct buf *out, struct fault *f)
{
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (!span_eq(name, span_str(keys[i].name)))
            continue;
        if (value.n == 0 || span_ieq(value, SPAN("default")))
            return R_OK;
        if (keys[i].check(value, out, f))
            return R_FAIL;
        return out->over ? fault_set(f, FAULT_TOOBIG, "%s is too long", keys[i].name)
                         : R_OK;
    }
    return fault_set(f, FAULT_BAD, "'%.*s' is no setting of a user",
                     SPAN_ARG(span_slice(name, 0, 40)));
}

enum result
user_key_set(struct userdb *db, uint64_t account, struct span name, struct span value,
             struct fault *f)
{
    int changed = 0;
    enum sql which = value.n > 0 ? SQL_KEY_PUT : SQL_KEY_DELETE;
    userdb_bind_u64(db, which, 1, account);
    userdb_bind_text(db, which, 2, name);
    if (value.n > 0)
        userdb_bind_text(db, which, 3, value);
    return userdb_change(db, which, &changed, f);
}

enum result
user_key_each(struct userdb *db, uint64_t account, user_key_fn *fn, void *arg,
              struct fault *f)
{
    sqlite3_stmt *s = db->statements[SQL_KEY_EACH];
    enum result r;
    userdb_bind_u64(db, SQL_KEY_EACH, 1, account);
    while ((r = userdb_step(db, SQL_KEY_EACH, f)) == R_OK)
        fn(userdb_column_text(s, 0), userdb_column_text(s, 1), arg);
    userdb_settle(db, SQL_KEY_EACH);
    return r == R_FAIL ? R_FAIL : R_OK;
}

// ---- all of a user ----

static void
copy(char *to, size_t max, struct span from)
{
    size_t n = from.n < max ? from.n : max;
    memcpy(to, n > 0 ? from.p : "", n);
    to[n] = '\0';
}

static void
take(struct span name, struct span value, void *arg)
{
    struct user_keys *k = arg;
    if (span_eq(name, SPAN("forward")))
        copy(k->forward, sizeof k->forward - 1, value);
    else if (span_eq(name, SPAN("keep")))
        k->keep = span_eq(value, SPAN("yes"));
    else if (span_eq(name, SPAN("sent_copy")))
        k->sent_copy = span_eq(value, SPAN("yes")) ? 1 : 2;
    else if (span_eq(name, SPAN("protocols")))
        copy(k->protocols, sizeof k->protocols - 1, value);
    else if (span_eq(name, SPAN("folder_language")))
        copy(k->folder_language, sizeof k->folder_language - 1, value);
    else if (span_eq(name, SPAN("pop3_delete")))
        copy(k->pop3_delete, sizeof k->pop3_delete - 1, value);
    else if (span_eq(name, SPAN("pop3_delete_after")))
        copy(k->pop3_delete_after, sizeof k->pop3_delete_after - 1, value);
    else if (span_eq(name, SPAN("size_limit")) && span_to_u64(value, &k->size_limit))
        k->size_limit = 0;
}

enum result
user_keys_get(struct userdb *db, uint64_t account, struct user_keys *out, struct fault *f)
{
    struct user_keys found;
    memset(&found, 0, sizeof found);
    if (user_key_each(db, account, take, &found, f))
        return R_FAIL;
    *out = found;
    return R_OK;
}

bool
user_keys_allow(const struct user_keys *k, struct span protocol)
{
    return app_protocols_have(k->protocols, protocol);
}
