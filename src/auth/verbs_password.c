#include "auth/verbs_inside.h"
#include "auth/app_password.h"
#include "base/clock.h"
#include "base/field.h"
#include "base/pack.h"
#include "base/utf8.h"

#include <sodium.h>
#include <time.h>

// A label is for people: anything but control characters.
static enum result
label_of(struct span s, struct name *out, struct fault *f)
{
    if (s.n == 0 || s.n > LIMIT_app_label || !utf8_valid(s))
        return fault_set(f, FAULT_BAD, "the name of an app password has 1 to %d octets",
                         LIMIT_app_label);
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
            return fault_set(f, FAULT_BAD, "control characters in a name");
    *out = (struct name){.n = s.n};
    memcpy(out->text, s.p, s.n);
    return R_OK;
}

enum result
verbs_user_of(struct userdb *db, struct span sent, struct user *out, struct fault *f)
{
    struct name name;
    if (name_of(sent, &name, f))
        return R_FAIL;
    enum result r = userdb_find(db, name_span(&name), out, f);
    return r == R_NONE ? fault_set(f, FAULT_NONEXISTENT, "no such user") : r;
}

static enum result
read_new(const struct verbs_call *c, struct app_password *out, struct fault *f)
{
    uint64_t expires = 0;
    if (label_of(c->args[1], &out->label, f) ||
        app_password_protocols(c->args[2], out->protocols, f))
        return R_FAIL;
    if (c->args[3].n > 0 && (span_to_u64(c->args[3], &expires) || expires > INT64_MAX))
        return fault_set(f, FAULT_BAD, "not a time");
    out->expires_s = (int64_t)expires;
    out->created_s = clock_wall_s();
    out->read_only = span_eq(c->args[4], SPAN("read-only"));
    if (c->args[4].n > 0 && !out->read_only)
        return fault_set(f, FAULT_BAD, "an app password is \"read-only\" or not");
    return R_OK;
}

enum result
verbs_password_add(struct userdb *db, struct verbs_call *c, struct buf *rows,
                   struct fault *f)
{
    struct app_password p = {0};
    struct user user;
    char text[APP_PASSWORD_TEXT];
    uint8_t digest[APP_PASSWORD_DIGEST];
    if (verbs_user_of(db, c->args[0], &user, f) || read_new(c, &p, f))
        return R_FAIL;
    p.account = user.account;
    app_password_new(text, digest);
    enum result r = app_password_add(db, &p, digest, f);
    if (r == R_OK)
        field_put_row(rows, SPAN("password"), SPAN_NONE,
                      FIELDS(field_text("user", "%", name_span(&user.name)),
                             field_text("label", " %", name_span(&p.label)),
                             field_str("password", ": %", text)));
    sodium_memzero(text, sizeof text);
    return r;
}

enum result
verbs_password_delete(struct userdb *db, struct verbs_call *c, struct buf *rows,
                      struct fault *f)
{
    struct user user;
    uint64_t id = 0;
    if (verbs_user_of(db, c->args[0], &user, f) ||
        app_password_delete(db, user.account, c->args[1], &id, f))
        return R_FAIL;
    c->ended_account = user.account;
    c->ended_password = id;
    field_put_row(rows, SPAN("password"), SPAN_NONE,
                  FIELDS(field_str("change", "%", "deleted"),
                         field_text("user", " %", name_span(&user.name)),
                         field_text("label", " %", c->args[1])));
    return R_OK;
}

static void
time_text(int64_t at_s, char out[32])
{
    struct tm tm;
    time_t at = (time_t)at_s;
    localtime_r(&at, &tm);
    strftime(out, 32, "%Y-%m-%d %H:%M", &tm);
}

static void
pack_words(struct span words, struct buf *out)
{
    struct span word;
    while (span_next_field(&words, ' ', &word) == R_OK)
        if (word.n > 0)
            pack_span(out, word);
}

static void
list_one(const struct app_password *p, const uint8_t digest[APP_PASSWORD_DIGEST], void *arg)
{
    char created[32], expires[32], used[32];
    struct buf *rows = arg, protocols;
    (void)digest;
    time_text(p->created_s, created);
    time_text(p->expires_s, expires);
    time_text(p->used_s, used);
    buf_init(&protocols, 2 * LIMIT_app_protocols);
    pack_words(span_str(p->protocols), &protocols);
    field_put_row(
        rows, SPAN("password"), SPAN_NONE,
        FIELDS(field_text("label", "%", name_span(&p->label)),
               field_str("created", "\tcreated %", created),
               field_list("protocols", p->protocols[0] ? "\t%" : "", buf_span(&protocols)),
               field_flag("read_only", "\tread_only", p->read_only),
               field_if(p->expires_s > 0, field_str("expires", "\texpires %", expires)),
               field_if(p->used_s > 0, field_str("used", "\tused %", used)),
               field_if(p->used_s > 0, field_str("address", " from %", p->used_from))));
    buf_done(&protocols);
}

enum result
verbs_password_list(struct userdb *db, struct verbs_call *c, struct buf *rows,
                    struct fault *f)
{
    struct user user;
    if (verbs_user_of(db, c->args[0], &user, f))
        return R_FAIL;
    return app_password_each(db, user.account, list_one, rows, f);
}
