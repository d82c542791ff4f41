#include "ctl/verbs.h"
#include "base/clock.h"
#include "base/limits.h"
#include "ctl/account.h"
#include "ctl/quota_words.h"
#include "ctl/setting.h"
#include "ctl/when.h"
#include "mail/retention.h"
#include "store/state.h"

// "ann" means ann@example.org too, where that is a domain of ours: so she may log in.
static enum result
find_in_domains(const struct verb_host *h, struct span name, uint64_t *account_out,
                struct buf *user_out, struct fault *f)
{
    const struct config_list *domains = &h->config->local_domains;
    enum result r = R_NONE;
    for (size_t i = 0; r == R_NONE && i < domains->n; i++) {
        struct buf full;
        buf_init(&full, LIMIT_user_name);
        buf_printf(&full, "%.*s@%s", SPAN_ARG(name), domains->items[i]);
        if (!full.over)
            r = h->find_user(h->arg, buf_span(&full), account_out, user_out, f);
        buf_done(&full);
    }
    return r;
}

enum result
verb_find_user(struct verb_call *c, struct span name, uint64_t *account_out,
               struct buf *user_out, struct fault *f)
{
    const struct verb_host *h = verb_host(c);
    enum result r = h->find_user(h->arg, name, account_out, user_out, f);
    if (r == R_NONE && span_find_char(name, '@') == name.n)
        r = find_in_domains(h, name, account_out, user_out, f);
    if (r == R_NONE)
        return fault_set(f, FAULT_NONEXISTENT, "there is no user '%.*s'",
                         SPAN_ARG(span_slice(name, 0, 100)));
    return r;
}

enum {
    LOAD_PIECE = 12000
};  // of a passwd-file, in one message to auth: below LIMIT_channel_message

// Tells the rows of the answer, and leaves them in *rows.
static enum result
ask_for(struct verb_call *c, struct span verb, const struct span *args, size_t n,
        struct buf *rows, struct fault *f)
{
    const struct verb_host *h = verb_host(c);
    if (h->users(h->arg, verb, args, n, rows, f) != R_OK)
        return R_FAIL;
    return verb_rows(c, buf_span(rows), f);
}

static enum result
ask(struct verb_call *c, struct span verb, const struct span *args, size_t n,
    struct fault *f)
{
    struct buf rows;
    buf_init(&rows, SIZE_MAX);
    enum result r = ask_for(c, verb, args, n, &rows, f);
    buf_done(&rows);
    return r;
}

// The row's words are the verb that auth knows; a password from the feed is the last argument.
enum result
verb_users(struct verb_call *c, struct fault *f)
{
    struct span args[8];
    size_t n = 0;
    struct buf password;
    buf_init(&password, LIMIT_password);
    while (n < verb_arg_count(c) && n < 7) {
        args[n] = verb_arg(c, n);
        n++;
    }
    enum result r = R_OK;
    if (verb_has_feed(c))
        r = verb_in_all(c, &password, f);
    if (verb_has_feed(c))
        args[n++] = buf_span(&password);
    if (r == R_OK)
        r = ask(c, verb_words(c), args, n, f);
    buf_wipe(&password);
    return r;
}

// The words behind the first, with spaces between: one argument of auth's verb, which has two.
static enum result
ask_joined(struct verb_call *c, struct span verb, struct span joined, struct fault *f)
{
    struct span args[] = {verb_arg(c, 0), joined};
    return ask(c, verb, args, 2, f);
}

enum result
verb_address(struct verb_call *c, struct fault *f)
{
    struct buf words;
    buf_init(&words, LIMIT_channel_message);
    for (size_t i = 1; i < verb_arg_count(c); i++)
        buf_printf(&words, "%s%.*s", i > 1 ? " " : "", SPAN_ARG(verb_arg(c, i)));
    enum result r = words.over ? fault_set(f, FAULT_TOOBIG, "too many targets at once")
                               : ask_joined(c, verb_words(c), buf_span(&words), f);
    buf_done(&words);
    return r;
}

enum result
verb_user_undelete(struct verb_call *c, struct fault *f)
{
    return ask_joined(c, verb_words(c), verb_arg_count(c) > 1 ? verb_arg(c, 1) : SPAN(""),
                      f);
}

enum result
verb_address_list(struct verb_call *c, struct fault *f)
{
    struct span filter = verb_arg_count(c) > 0 ? verb_arg(c, 0) : SPAN("");
    return ask(c, verb_words(c), &filter, 1, f);
}

// ---- user set, user show ----

static const struct span retention_word = SPAN("retention");

static void
say_retention(struct verb_call *c, struct span name, struct account *a, bool own_only)
{
    uint64_t seconds;
    bool own = retention_get(a, &seconds);
    if (own || !own_only)
        verb_row(c, "retention",
                 FIELDS(field_text("name", "%", name),
                        field_number("retention", "\tretention=%", seconds),
                        field_flag("default", " (the setting's)", !own)));
}

enum result
verb_user_show(struct verb_call *c, struct fault *f)
{
    struct span name = verb_arg(c, 0);
    struct account *a;
    struct buf user;
    uint64_t id;
    if (ask(c, verb_words(c), &name, 1, f) != R_OK)
        return R_FAIL;
    buf_init(&user, LIMIT_user_name);
    enum result r = verb_find_user(c, name, &id, &user, f);
    if (r == R_OK)
        r = account_open(verb_host(c)->mail, id, buf_span(&user), false, &a, f);
    if (r == R_OK) {
        say_retention(c, buf_span(&user), a, true);
        account_close(&a);
    }
    buf_done(&user);
    return r == R_FAIL ? R_FAIL : R_OK;
}

// "90d", "default"
static enum result
read_retention(struct span text, uint64_t *seconds_out, struct fault *f)
{
    *seconds_out = RETENTION_DEFAULT;
    if (span_ieq(text, SPAN("default")))
        return R_OK;
    if (setting_time(text, seconds_out) == R_OK && *seconds_out <= RETENTION_MAX)
        return R_OK;
    return fault_set(f, FAULT_BAD, "'%.*s' is no time; write 12h, 90d or default",
                     SPAN_ARG(span_slice(text, 0, 60)));
}

static enum result
set_retention(struct verb_call *c, uint64_t seconds, struct fault *f)
{
    struct mail_user *u;
    if (account_of(c, verb_arg(c, 0), &u, f) != R_OK)
        return R_FAIL;
    struct account *a = mail_user_account(u);
    enum result r = retention_set(a, seconds, f);
    if (r == R_OK)
        say_retention(c, account_user(a), a, false);
    mail_user_close(&u);
    return r;
}

// "size_limit=50M" is octets to auth, and a language one that there is.
static enum result
put_word(struct buf *out, struct span word, struct fault *f)
{
    size_t at = span_find_char(word, '=');
    struct span name = span_slice(word, 0, at), value = span_skip(word, at + 1);
    bool plain = value.n == 0 || span_ieq(value, SPAN("default"));
    uint64_t octets = 0;
    if (at == word.n)
        return fault_set(f, FAULT_BAD, "'%.*s' is not understood; write NAME=VALUE",
                         SPAN_ARG(span_slice(word, 0, 60)));
    buf_printf(out, "%s%.*s=", out->n > 0 ? " " : "", SPAN_ARG(name));
    if (plain || !span_eq(name, SPAN("size_limit"))) {
        buf_put(out, value);
    } else if (setting_size(value, &octets) == R_OK && octets > 0) {
        buf_put_u64(out, octets);
    } else {
        return fault_set(f, FAULT_BAD, "'%.*s' is no size; write 50M",
                         SPAN_ARG(span_slice(value, 0, 60)));
    }
    return plain || !span_eq(name, SPAN("folder_language"))
               ? R_OK
               : setting_check_word(name, value, f);
}

struct words {
    struct buf others;  // auth's
    struct span limits[USAGE_KINDS];
    size_t limit_count;
    bool retains;
    uint64_t retention;
};

static enum result
sort_word(struct words *w, struct span word, struct fault *f)
{
    size_t at = span_find_char(word, '=');
    if (at < word.n && span_eq(span_slice(word, 0, at), retention_word)) {
        w->retains = true;
        return read_retention(span_skip(word, at + 1), &w->retention, f);
    }
    if (!quota_word_is(word))
        return put_word(&w->others, word, f);
    if (w->limit_count == USAGE_KINDS)
        return fault_set(f, FAULT_BAD, "too many limits");
    w->limits[w->limit_count++] = word;
    return R_OK;
}

// Limits of quota and the retention are the account's, all else is auth's: all are read before any is changed.
static enum result
set_words(struct verb_call *c, struct words *w, struct fault *f)
{
    for (size_t i = 1; i < verb_arg_count(c); i++)
        if (sort_word(w, verb_arg(c, i), f) != R_OK)
            return R_FAIL;
    if (quota_words_check(w->limits, w->limit_count, f) != R_OK)
        return R_FAIL;
    if (w->others.n > 0 && ask_joined(c, verb_words(c), buf_span(&w->others), f) != R_OK)
        return R_FAIL;
    if (w->limit_count > 0 &&
        quota_words_set(c, verb_arg(c, 0), w->limits, w->limit_count, f) != R_OK)
        return R_FAIL;
    return w->retains ? set_retention(c, w->retention, f) : R_OK;
}

enum result
verb_user_set(struct verb_call *c, struct fault *f)
{
    struct words w = {.retains = false};
    buf_init(&w.others, LIMIT_channel_message / 2);
    enum result r = set_words(c, &w, f);
    buf_done(&w.others);
    return r;
}

// USER LABEL PROTOCOLS EXPIRES read-only: the time becomes seconds since 1970.
enum result
verb_user_password_add(struct verb_call *c, struct fault *f)
{
    int64_t expires_s = 0;
    char number[24] = "";
    if (verb_arg(c, 3).n > 0 &&
        when_read_ahead(verb_arg(c, 3), clock_wall_s(), &expires_s, f) != R_OK)
        return R_FAIL;
    if (expires_s > 0)
        snprintf(number, sizeof number, "%lld", (long long)expires_s);
    struct span args[] = {verb_arg(c, 0), verb_arg(c, 1), verb_arg(c, 2), span_str(number),
                          verb_arg(c, 4)};
    return ask(c, verb_words(c), args, 5, f);
}

static uint64_t
lines_of(struct span s)
{
    uint64_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += s.p[i] == '\n';
    return n;
}

// The whole lines at the front of b, at most a piece; a last line without its end counts when `over`.
static struct span
whole_lines(const struct buf *b, bool over)
{
    struct span s = span_slice(buf_span(b), 0, LOAD_PIECE);
    if (over && s.n == b->n)
        return s;
    while (s.n > 0 && s.p[s.n - 1] != '\n')
        s.n--;
    return s;
}

struct load {
    struct buf text;
    uint64_t line;  // the first of the text
    uint64_t unused;
};

// Of the row "loaded".
static uint64_t
unused_of(struct span rows)
{
    struct field_row row;
    uint64_t n = 0;
    while (field_get_row(&rows, &row) == R_OK)
        for (size_t i = 0; i < row.n; i++)
            if (span_eq(row.fields[i].name, SPAN("unused")))
                n += row.fields[i].number;
    return n;
}

static enum result
load_piece(struct verb_call *c, struct load *l, bool over, struct fault *f)
{
    struct span s = whole_lines(&l->text, over);
    char number[24];
    struct buf rows;
    if (s.n == 0)
        return fault_set(f, FAULT_TOOBIG, "line %lu is too long", (unsigned long)l->line);
    snprintf(number, sizeof number, "%lu", (unsigned long)l->line);
    struct span args[] = {span_str(number), s};
    buf_init(&rows, SIZE_MAX);
    enum result r = ask_for(c, SPAN("user load"), args, 2, &rows, f);
    l->unused += unused_of(buf_span(&rows));
    buf_done(&rows);
    l->line += lines_of(s);
    buf_consume(&l->text, s.n);
    return r;
}

// Sends all of the text that makes whole pieces; the last piece too when there is no more input.
static enum result
load_pieces(struct verb_call *c, struct load *l, bool over, struct fault *f)
{
    while (over ? l->text.n > 0 : l->text.n >= LOAD_PIECE)
        if (load_piece(c, l, over, f) != R_OK)
            return R_FAIL;
    return R_OK;
}

enum result
verb_user_load(struct verb_call *c, struct fault *f)
{
    struct load l = {.line = 1};
    size_t n = 1;
    enum result r = R_OK;
    buf_init(&l.text, (size_t)LOAD_PIECE * 2);
    while (r == R_OK && n > 0) {
        char *room = buf_reserve(&l.text, 4096);
        must(room != NULL);
        r = verb_in(c, room, 4096, &n, f);
        if (r != R_OK)
            break;
        l.text.n += n;
        r = load_pieces(c, &l, n == 0, f);
    }
    buf_done(&l.text);
    if (r == R_OK && l.unused > 0)
        r = fault_set(f, FAULT_CANNOT, "%llu lines were not used",
                      (unsigned long long)l.unused);
    return r;
}
