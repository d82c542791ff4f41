#include "auth/app_password.h"
#include "auth/userdb_inside.h"
#include "base/hash.h"

#include <sodium.h>

enum { GROUPS = 4, GROUP = 6, LETTERS = GROUPS * GROUP };

// Base 32 of 5 bits each: none that looks like another.
static const char alphabet[] = "abcdefghijkmnpqrstuvwxyz23456789";

_Static_assert(sizeof alphabet == 33, "five bits to a letter");
_Static_assert(LETTERS * 5 >= 100, "an app password has a hundred random bits");

static void
digest(const char letters[LETTERS], uint8_t out[APP_PASSWORD_DIGEST])
{
    static const char use[] = "posthorn app password";
    crypto_generichash(out, APP_PASSWORD_DIGEST, (const uint8_t *)letters, LETTERS,
                       (const uint8_t *)use, sizeof use - 1);
}

enum result
app_password_digest(struct span sent, uint8_t out[APP_PASSWORD_DIGEST])
{
    char letters[LETTERS];
    size_t n = 0;
    for (size_t i = 0; i < sent.n; i++) {
        char c = ascii_lower(sent.p[i]);
        if (c == ' ' || c == '-')
            continue;
        if (n == LETTERS || c == '\0' || !strchr(alphabet, c))
            return R_FAIL;
        letters[n++] = c;
    }
    if (n < LETTERS)
        return R_FAIL;
    digest(letters, out);
    sodium_memzero(letters, sizeof letters);
    return R_OK;
}

void
app_password_new(char text_out[APP_PASSWORD_TEXT], uint8_t digest_out[APP_PASSWORD_DIGEST])
{
    uint8_t bytes[LETTERS];
    char *p = text_out;
    random_bytes(bytes, sizeof bytes);
    for (size_t i = 0; i < LETTERS; i++) {
        if (i > 0 && i % GROUP == 0)
            *p++ = '-';
        *p++ = alphabet[bytes[i] & 31];
    }
    *p = '\0';
    sodium_memzero(bytes, sizeof bytes);
    must(app_password_digest(span_str(text_out), digest_out) == R_OK);
}

static const char *const known[] = {"imap",       "lmtp", "pop3", "managesieve",
                                    "submission", "smtp", "jmap"};

static bool
is_known(struct span word)
{
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (span_eq(word, span_str(known[i])))
            return true;
    return false;
}

enum result
app_password_protocols(struct span list, char *out, struct fault *f)
{
    struct span word;
    struct buf b;
    buf_init(&b, LIMIT_app_protocols);
    while (list.n > 0 && span_next_field(&list, ',', &word) == R_OK) {
        if (!is_known(span_trim(word))) {
            buf_done(&b);
            return fault_set(f, FAULT_BAD, "'%.*s' is no protocol that passwords are for",
                             SPAN_ARG(span_slice(word, 0, 40)));
        }
        buf_printf(&b, "%s%.*s", b.n > 0 ? " " : "", SPAN_ARG(span_trim(word)));
    }
    enum result r = b.over ? fault_set(f, FAULT_BAD, "too many protocols") : R_OK;
    if (r == R_OK) {
        memcpy(out, b.n > 0 ? b.p : "", b.n);
        out[b.n] = '\0';
    }
    buf_done(&b);
    return r;
}

bool
app_password_is_for(const struct app_password *p, struct span protocol)
{
    return app_protocols_have(p->protocols, protocol);
}

bool
app_protocols_have(const char *list, struct span protocol)
{
    struct span rest = span_str(list), word;
    if (rest.n == 0)
        return true;
    while (span_next_field(&rest, ' ', &word) == R_OK)
        if (span_eq(word, protocol))
            return true;
    return false;
}

static void
bind_digest(struct userdb *db, enum sql which, int at,
            const uint8_t bytes[APP_PASSWORD_DIGEST])
{
    must(sqlite3_bind_blob(db->statements[which], at, bytes, APP_PASSWORD_DIGEST,
                           SQLITE_TRANSIENT) == SQLITE_OK);
}

static enum result
refuse_more(struct userdb *db, const struct app_password *p, struct fault *f)
{
    uint64_t n = 0, same = 0;
    userdb_bind_u64(db, SQL_APP_COUNT, 1, p->account);
    if (userdb_read_count(db, SQL_APP_COUNT, &n, f))
        return R_FAIL;
    if (n >= LIMIT_app_passwords)
        return fault_set(f, FAULT_LIMIT, "the user has %d app passwords already",
                         LIMIT_app_passwords);
    userdb_bind_u64(db, SQL_APP_LABEL, 1, p->account);
    userdb_bind_text(db, SQL_APP_LABEL, 2, name_span(&p->label));
    if (userdb_read_count(db, SQL_APP_LABEL, &same, f) == R_FAIL)
        return R_FAIL;
    return same == 0 ? R_OK
                     : fault_set(f, FAULT_ALREADYEXISTS,
                                 "the user has an app password of that name already");
}

enum result
app_password_add(struct userdb *db, const struct app_password *p,
                 const uint8_t bytes[APP_PASSWORD_DIGEST], struct fault *f)
{
    const enum sql add = SQL_APP_ADD;
    if (refuse_more(db, p, f))
        return R_FAIL;
    userdb_bind_u64(db, add, 1, p->account);
    userdb_bind_text(db, add, 2, name_span(&p->label));
    bind_digest(db, add, 3, bytes);
    userdb_bind_text(db, add, 4, span_str(p->protocols));
    userdb_bind_u64(db, add, 5, p->read_only);
    userdb_bind_u64(db, add, 6, (uint64_t)p->expires_s);
    userdb_bind_u64(db, add, 7, (uint64_t)p->created_s);
    userdb_bind_u64(db, add, 8, (uint64_t)p->used_s);
    userdb_bind_text(db, add, 9, span_str(p->used_from));
    return userdb_change_one(db, add, f);
}

enum result
app_password_delete(struct userdb *db, uint64_t account, struct span label,
                    uint64_t *id_out, struct fault *f)
{
    uint64_t id = 0;
    userdb_bind_u64(db, SQL_APP_LABEL, 1, account);
    userdb_bind_text(db, SQL_APP_LABEL, 2, label);
    if (userdb_read_count(db, SQL_APP_LABEL, &id, f) == R_FAIL)
        return R_FAIL;
    if (id == 0)
        return fault_set(f, FAULT_NONEXISTENT, "the user has no app password of that name");
    userdb_bind_u64(db, SQL_APP_DELETE, 1, id);
    if (userdb_change_one(db, SQL_APP_DELETE, f))
        return R_FAIL;
    *id_out = id;
    return R_OK;
}

static void
copy_text(char *out, size_t max, struct span s)
{
    size_t n = s.n < max ? s.n : max - 1;
    memcpy(out, n > 0 ? s.p : "", n);
    out[n] = '\0';
}

static void
read_row(sqlite3_stmt *s, struct app_password *out)
{
    memset(out, 0, sizeof *out);
    out->id = (uint64_t)sqlite3_column_int64(s, 0);
    out->account = (uint64_t)sqlite3_column_int64(s, 1);
    copy_text(out->label.text, sizeof out->label.text, userdb_column_text(s, 2));
    out->label.n = strlen(out->label.text);
    copy_text(out->protocols, sizeof out->protocols, userdb_column_text(s, 3));
    out->read_only = sqlite3_column_int(s, 4) != 0;
    out->expires_s = sqlite3_column_int64(s, 5);
    out->created_s = sqlite3_column_int64(s, 6);
    out->used_s = sqlite3_column_int64(s, 7);
    copy_text(out->used_from, sizeof out->used_from, userdb_column_text(s, 8));
}

enum result
app_password_find(struct userdb *db, uint64_t account,
                  const uint8_t bytes[APP_PASSWORD_DIGEST], struct app_password *out,
                  struct fault *f)
{
    bind_digest(db, SQL_APP_FIND, 1, bytes);
    userdb_bind_u64(db, SQL_APP_FIND, 2, account);
    enum result r = userdb_step(db, SQL_APP_FIND, f);
    if (r == R_OK)
        read_row(db->statements[SQL_APP_FIND], out);
    userdb_settle(db, SQL_APP_FIND);
    return r;
}

enum result
app_password_used(struct userdb *db, uint64_t id, int64_t now_s, struct span address,
                  struct fault *f)
{
    userdb_bind_u64(db, SQL_APP_USED, 1, id);
    userdb_bind_u64(db, SQL_APP_USED, 2, (uint64_t)now_s);
    userdb_bind_text(db, SQL_APP_USED, 3, span_slice(address, 0, 63));
    return userdb_change_one(db, SQL_APP_USED, f);
}

static enum result
each(struct userdb *db, enum sql which, app_password_each_fn *fn, void *arg,
     struct fault *f)
{
    sqlite3_stmt *s = db->statements[which];
    enum result r;
    while ((r = userdb_step(db, which, f)) == R_OK) {
        struct app_password p;
        read_row(s, &p);
        if (sqlite3_column_bytes(s, 9) == APP_PASSWORD_DIGEST)
            fn(&p, sqlite3_column_blob(s, 9), arg);
    }
    userdb_settle(db, which);
    return r == R_FAIL ? R_FAIL : R_OK;
}

enum result
app_password_each(struct userdb *db, uint64_t account, app_password_each_fn *fn, void *arg,
                  struct fault *f)
{
    userdb_bind_u64(db, SQL_APP_EACH, 1, account);
    return each(db, SQL_APP_EACH, fn, arg, f);
}

enum result
app_password_expired(struct userdb *db, int64_t after_s, int64_t until_s,
                     app_password_each_fn *fn, void *arg, struct fault *f)
{
    userdb_bind_u64(db, SQL_APP_EXPIRED, 1, (uint64_t)after_s);
    userdb_bind_u64(db, SQL_APP_EXPIRED, 2, (uint64_t)until_s);
    return each(db, SQL_APP_EXPIRED, fn, arg, f);
}

enum result
app_password_some(struct userdb *db, bool *out, struct fault *f)
{
    uint64_t some = 0;
    if (userdb_read_count(db, SQL_APP_SOME, &some, f) == R_FAIL)
        return R_FAIL;
    *out = some > 0;
    return R_OK;
}
