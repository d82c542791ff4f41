#include "auth/address.h"
#include "auth/userdb_inside.h"
#include "base/limits.h"
#include "base/quoted.h"

struct span
address_local(struct span address)
{
    size_t at = span_behind_last(address, '@');
    return at > 0 ? span_slice(address, 0, at - 1) : address;
}

struct span
address_domain(struct span address)
{
    size_t at = span_behind_last(address, '@');
    return at > 0 ? span_skip(address, at) : SPAN_NONE;
}

static bool
has_empty_domain(struct span address)
{
    struct span domain = address_domain(address);
    return domain.p && domain.n == 0;
}

bool
address_is_domain(struct span address)
{
    return address.n > 1 && address.p[0] == '@';
}

// `"a\b"` as ab; R_FAIL when the quotes do not close at the end.
static enum result
unquote(struct span local, struct buf *out)
{
    size_t i = 1;
    for (; i + 1 < local.n && local.p[i] != '"'; i++) {
        if (local.p[i] == '\\')
            i++;
        if (i + 1 < local.n)
            buf_put_char(out, local.p[i]);
    }
    return i + 1 == local.n && local.p[i] == '"' && i > 1 ? R_OK : R_FAIL;
}

enum result
address_unquote(struct span s, struct buf *out)
{
    struct span local = address_local(s), domain = address_domain(s);
    if (local.n > 0 && local.p[0] == '"') {
        if (unquote(local, out))
            return R_FAIL;
    } else {
        buf_put(out, local);
    }
    if (domain.p) {
        buf_put_char(out, '@');
        buf_put(out, domain);
    }
    return out->over || (domain.p && domain.n == 0) ? R_FAIL : R_OK;
}

enum result
address_of(struct span s, struct name *out, struct fault *f)
{
    struct buf whole;
    struct fault why;
    struct name name;
    buf_init(&whole, LIMIT_user_name);
    enum result r = address_unquote(s, &whole);
    if (r == R_OK)
        r = name_of(buf_span(&whole), &name, &why);
    buf_done(&whole);
    // a wide '@' (U+FF20) is one now
    if (r != R_OK || has_empty_domain(name_span(&name)))
        return fault_set(f, FAULT_BAD, "'%.*s' is no address",
                         SPAN_ARG(span_slice(s, 0, 100)));
    *out = name;
    return R_OK;
}

// The domain in its one form is moved behind the local part as it was given.
static enum result
put_local(struct span given, struct name *form, struct fault *f)
{
    struct span local = address_local(given), domain = address_domain(name_span(form));
    if (domain.p == NULL || local.n == 0)
        return R_OK;
    if (local.n + 1 + domain.n > LIMIT_user_name)
        return fault_set(f, FAULT_BAD, "the address is too long");
    size_t n = domain.n;
    memmove(form->text + local.n + 1, domain.p, n);
    memcpy(form->text, local.p, local.n);
    form->text[local.n] = '@';
    form->n = local.n + 1 + n;
    return R_OK;
}

enum result
address_as_given(struct span s, struct name *out, struct fault *f)
{
    struct name form;
    struct buf given;
    if (address_of(s, &form, f) != R_OK)
        return R_FAIL;
    buf_init(&given, LIMIT_user_name);
    enum result r = R_OK;
    if (address_unquote(s, &given) == R_OK)
        r = put_local(buf_span(&given), &form, f);
    buf_done(&given);
    if (r == R_OK)
        *out = form;
    return r;
}

bool
address_is(struct span address, const struct name *form)
{
    struct name own;
    struct fault f;
    return name_of(address, &own, &f) == R_OK && span_eq(name_span(&own), name_span(form));
}

void
address_print(struct span address, struct buf *out)
{
    struct span domain = address_domain(address);
    quoted_put_local(out, address_local(address));
    if (domain.p) {
        buf_put_char(out, '@');
        buf_put(out, domain);
    }
}

static enum result
check_pair(struct span address, struct span target, struct fault *f)
{
    if (address_is_domain(target) && !address_is_domain(address))
        return fault_set(
            f, FAULT_BAD,
            "'%.*s' is a domain: only a domain goes to one (@old.org @new.org)",
            SPAN_ARG(span_slice(target, 0, 100)));
    if (span_eq(address, target))
        return fault_set(f, FAULT_BAD, "'%.*s' goes to itself",
                         SPAN_ARG(span_slice(address, 0, 100)));
    return R_OK;
}

static enum result
check_room(struct userdb *db, struct span address, struct fault *f)
{
    uint64_t n = 0;
    userdb_bind_text(db, SQL_ADDRESS_COUNT, 1, address);
    if (userdb_read_count(db, SQL_ADDRESS_COUNT, &n, f))
        return R_FAIL;
    return n < LIMIT_address_targets
               ? R_OK
               : fault_set(f, FAULT_LIMIT, "an address goes to %d at most",
                           LIMIT_address_targets);
}

enum result
address_add(struct userdb *db, struct span address, struct span target, bool send,
            struct fault *f)
{
    int changed = 0;
    if (check_pair(address, target, f) || check_room(db, address, f))
        return R_FAIL;
    userdb_bind_text(db, SQL_ADDRESS_PUT, 1, address);
    userdb_bind_text(db, SQL_ADDRESS_PUT, 2, target);
    userdb_bind_u64(db, SQL_ADDRESS_PUT, 3, send);
    if (userdb_change(db, SQL_ADDRESS_PUT, &changed, f))
        return R_FAIL;
    return changed > 0 ? R_OK
                       : fault_set(f, FAULT_ALREADYEXISTS, "%.*s goes to %.*s already",
                                   SPAN_ARG(span_slice(address, 0, 80)),
                                   SPAN_ARG(span_slice(target, 0, 80)));
}

enum result
address_delete(struct userdb *db, struct span address, struct span target, struct fault *f)
{
    int changed = 0;
    userdb_bind_text(db, SQL_ADDRESS_DELETE, 1, address);
    userdb_bind_text(db, SQL_ADDRESS_DELETE, 2, target);
    if (userdb_change(db, SQL_ADDRESS_DELETE, &changed, f))
        return R_FAIL;
    if (changed > 0)
        return R_OK;
    return fault_set(f, FAULT_NONEXISTENT, "there is no address '%.*s'%s%.*s",
                     SPAN_ARG(span_slice(address, 0, 80)), target.n > 0 ? " to " : "",
                     SPAN_ARG(span_slice(target, 0, 80)));
}

static enum result
read_row(sqlite3_stmt *s, int at, struct address_row *out, struct fault *f)
{
    out->target = userdb_column_text(s, at);
    out->send = sqlite3_column_int(s, at + 1) != 0;
    if (out->target.n == 0 || out->target.n > LIMIT_user_name)
        return fault_set(f, FAULT_CORRUPTION, "address table: row out of bounds");
    return R_OK;
}

enum result
address_rows(struct userdb *db, struct span address, struct arena *a,
             struct address_row **rows_out, size_t *n_out, struct fault *f)
{
    struct address_row *rows = NULL, row = {.address = address};
    size_t n = 0;
    enum result r;
    userdb_bind_text(db, SQL_ADDRESS_OF, 1, address);
    while ((r = userdb_step(db, SQL_ADDRESS_OF, f)) == R_OK && n < LIMIT_address_targets) {
        if ((r = read_row(db->statements[SQL_ADDRESS_OF], 0, &row, f)) != R_OK)
            break;
        if (rows == NULL)
            rows = arena_array(a, LIMIT_address_targets, sizeof *rows);
        row.target = arena_dup(a, row.target);
        rows[n++] = row;
    }
    userdb_settle(db, SQL_ADDRESS_OF);
    if (r == R_FAIL || n == 0)
        return r == R_FAIL ? R_FAIL : R_NONE;
    *rows_out = rows;
    *n_out = n;
    return R_OK;
}

enum result
address_each(struct userdb *db, address_each_fn *fn, void *arg, struct fault *f)
{
    sqlite3_stmt *s = db->statements[SQL_ADDRESS_EACH];
    struct address_row row;
    enum result r;
    while ((r = userdb_step(db, SQL_ADDRESS_EACH, f)) == R_OK) {
        row.address = userdb_column_text(s, 0);
        if ((r = read_row(s, 1, &row, f)) != R_OK)
            break;
        fn(&row, arg);
    }
    userdb_settle(db, SQL_ADDRESS_EACH);
    return r == R_FAIL ? R_FAIL : R_OK;
}
