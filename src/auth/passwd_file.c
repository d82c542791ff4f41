#include "auth/passwd_file.h"
#include "auth/nets.h"
#include "auth/password.h"
#include "base/field.h"
#include "base/pack.h"

enum { EXTRA_FIELD = 7 };

static const char *const refused_fields[] = {"nopassword", "allow_real_nets", "proxy",
                                             "proxy_maybe"};

static enum result
extra_field(struct span word, struct passwd_line *out, struct fault *f)
{
    struct span name = span_slice(word, 0, span_find_char(word, '='));
    if (span_ieq(name, SPAN("nologin")))
        out->disabled = true;
    if (span_ieq(name, SPAN("allow_nets")))
        return nets_check(span_skip(word, name.n + 1 < word.n ? name.n + 1 : word.n),
                          &out->nets, f);
    const struct span userdb = SPAN("userdb_");
    if (name.n > userdb.n && span_ieq(span_slice(name, 0, userdb.n), userdb) &&
        user_quota_take(&out->quota, span_skip(name, userdb.n),
                        span_skip(word, name.n + (name.n < word.n)), f) == R_FAIL)
        return R_FAIL;
    for (size_t i = 0; i < sizeof refused_fields / sizeof refused_fields[0]; i++)
        if (span_ieq(name, span_str(refused_fields[i])))
            return fault_set(f, FAULT_BAD, "field %s is not supported", refused_fields[i]);
    return R_OK;
}

static enum result
extra_fields(struct span rest, struct passwd_line *out, struct fault *f)
{
    struct span field, word;
    for (int i = 2; i < EXTRA_FIELD; i++)
        if (span_next_field(&rest, ':', &field) != R_OK)
            return R_OK;
    while (span_next_field(&rest, ' ', &word) == R_OK)
        if (extra_field(word, out, f))
            return R_FAIL;
    return R_OK;
}

static bool
is_no_password(struct span s)
{
    return s.n == 0 || s.p[0] == '*' || s.p[0] == '!';
}

// {PLAIN} text may hold ':' no more than any other field; hashes never do.
enum result
passwd_line_parse(struct span line, struct passwd_line *out, struct fault *f)
{
    struct span rest = line, user, password;
    out->name.n = 0;
    if (rest.n > 0 && rest.p[rest.n - 1] == '\r')
        rest.n--;
    if (span_trim(rest).n == 0 || rest.p[0] == '#')
        return R_NONE;
    if (rest.n > LIMIT_passwd_file_line)
        return fault_set(f, FAULT_BAD, "line is longer than %d octets",
                         LIMIT_passwd_file_line);
    if (span_next_field(&rest, ':', &user) != R_OK ||
        span_next_field(&rest, ':', &password) != R_OK)
        return fault_set(f, FAULT_BAD, "no ':' after the user name");
    buf_reset(&out->hash);
    buf_reset(&out->nets);
    out->quota = USER_QUOTA_UNSAID;
    out->disabled = is_no_password(password);
    if (name_of(user, &out->name, f) || extra_fields(rest, out, f))
        return R_FAIL;
    return is_no_password(password) ? R_OK : password_check(password, &out->hash, f);
}

void
passwd_scram(struct span hash, struct scram_set *out)
{
    size_t end = span_find_char(hash, '}');
    for (int h = 0; h < SCRAM_HASHES; h++)
        if (span_starts(hash, SPAN("{")) &&
            span_ieq(span_slice(hash, 1, end), span_str(scram_name((enum scram_hash)h))) &&
            scram_parse((enum scram_hash)h, span_skip(hash, end + 1), &out->of[h]))
            memset(&out->of[h], 0, sizeof out->of[h]);
}

static enum result
store_limits(struct userdb *db, const struct passwd_line *l, bool fresh, struct fault *f)
{
    struct span name = name_span(&l->name);
    if (l->disabled && userdb_disable(db, name, true, f))
        return R_FAIL;
    return fresh || l->nets.n > 0 ? userdb_set_nets(db, name, buf_span(&l->nets), f) : R_OK;
}

static enum result
store(struct userdb *db, const struct passwd_line *l, struct passwd_counts *counts,
      struct fault *f)
{
    struct user known;
    uint64_t account;
    struct scram_set scram = {0};
    struct span name = name_span(&l->name), hash = buf_span(&l->hash);
    passwd_scram(hash, &scram);
    enum result r = userdb_find(db, name, &known, f);
    if (r == R_FAIL)
        return R_FAIL;
    if (r == R_OK && userdb_set(db, name, hash, &scram, f))
        return R_FAIL;
    if (r == R_NONE && userdb_add(db, name, hash, &scram, &account, f))
        return R_FAIL;
    counts->changed += r == R_OK;
    counts->added += r == R_NONE;
    if (r == R_OK && l->disabled && !known.disabled)
        pack_u64(counts->ended, known.account);
    return store_limits(db, l, r == R_NONE, f);
}

static void
report_line(struct buf *report, uint64_t number, const struct fault *f)
{
    field_put_row(report, SPAN("problem"), SPAN_NONE,
                  FIELDS(field_number("line", "line %", number),
                         field_str("message", ": %", f->why)));
}

struct load {
    struct userdb *db;
    struct buf *report;
    struct passwd_counts counts;
    struct passwd_line line;
};

static enum result
load_lines(struct load *l, struct span text, uint64_t number, struct fault *f)
{
    struct span line;
    for (; span_next_field(&text, '\n', &line) == R_OK; number++) {
        enum result r = passwd_line_parse(line, &l->line, f);
        if (r == R_FAIL) {
            l->counts.lines_bad++;
            report_line(l->report, number, f);
        } else if (r == R_OK && store(l->db, &l->line, &l->counts, f)) {
            return R_FAIL;
        }
    }
    return R_OK;
}

enum result
passwd_file_load(struct userdb *db, struct span text, uint64_t first_line,
                 struct buf *report, struct passwd_counts *out, struct fault *f)
{
    struct load l = {.db = db, .report = report, .counts.ended = out->ended};
    if (userdb_begin(db, f))
        return R_FAIL;
    buf_init(&l.line.hash, LIMIT_password_hash);
    buf_init(&l.line.nets, LIMIT_user_networks);
    enum result r = load_lines(&l, text, first_line, f);
    buf_done(&l.line.hash);
    buf_done(&l.line.nets);
    if (r != R_OK)
        userdb_abort(db);
    else
        r = userdb_commit(db, f);
    if (r == R_OK)
        *out = l.counts;
    return r;
}
