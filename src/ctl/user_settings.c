#include "ctl/user_settings.h"

#include "base/limits.h"
#include "ctl/quota_words.h"
#include "ctl/setting.h"
#include "mail/quota.h"
#include "mail/retention.h"

enum { SETTINGS_MOST = FIELDS_MAX + USAGE_KINDS + 1 };

static void
add(struct user_settings *s, struct arena *a, struct span name, struct span value)
{
    must(s->n < SETTINGS_MOST);
    s->list[s->n++] = (struct user_setting){arena_dup(a, name), arena_dup(a, value)};
}

static void
add_number(struct user_settings *s, struct arena *a, struct span name, uint64_t number,
           const char *unit)
{
    char text[32];
    snprintf(text, sizeof text, "%llu%s", (unsigned long long)number, unit);
    add(s, a, name, span_str(text));
}

// A list is kept with spaces, which would be the next word.
static struct span
with_commas(struct arena *a, struct span value)
{
    char *p = arena_alloc(a, value.n + 1);
    for (size_t i = 0; i < value.n; i++)
        p[i] = value.p[i] == ' ' ? ',' : value.p[i];
    return span_of(p, value.n);
}

// ---- what is set ----

// The row of `user show`: the name, whether they are disabled, and what is set.
static void
take_row(struct user_settings *s, struct arena *a, const struct field_row *row)
{
    for (size_t i = 0; i < row->n; i++) {
        const struct field *field = &row->fields[i];
        if (span_eq(field->name, SPAN("name")))
            continue;
        if (field->kind == FIELD_NUMBER)
            add_number(s, a, field->name, field->number, "");
        if (field->kind == FIELD_TEXT)
            add(s, a, field->name, with_commas(a, field->text));
    }
}

static enum result
get_rows(struct verb_call *c, struct span user, struct arena *a, struct user_settings *s,
         struct fault *f)
{
    const struct verb_host *h = verb_host(c);
    struct field_row row;
    struct buf rows;
    buf_init(&rows, SIZE_MAX);
    enum result r = h->users(h->arg, SPAN("user show"), &user, 1, &rows, f);
    if (r == R_FAIL && f->kind == FAULT_NONEXISTENT) {
        buf_done(&rows);
        return R_OK;
    }
    struct span rest = buf_span(&rows);
    if (r == R_OK && field_get_row(&rest, &row) != R_OK)
        r = fault_set(f, FAULT_SERVERBUG, "what is set for a user is malformed");
    if (r == R_OK)
        take_row(s, a, &row);
    buf_done(&rows);
    return r;
}

enum result
user_settings_get(struct verb_call *c, struct account *account, struct arena *a,
                  struct user_settings *out, struct fault *f)
{
    struct user_settings s = {arena_array(a, SETTINGS_MOST, sizeof *s.list), 0};
    struct quota q;
    uint64_t seconds;
    if (get_rows(c, account_user(account), a, &s, f) != R_OK)
        return R_FAIL;
    quota_get(account, &q);
    for (int k = 0; k < USAGE_KINDS; k++) {
        if (q.own[k] && q.limits.n[k] == QUOTA_NONE)
            add(&s, a, span_str(quota_word(k)), SPAN("none"));
        else if (q.own[k])
            add_number(&s, a, span_str(quota_word(k)), q.limits.n[k], "");
    }
    if (retention_get(account, &seconds))
        add_number(&s, a, SPAN("retention"), seconds, "s");
    *out = s;
    return R_OK;
}

// ---- one more ----

static enum result
set_row(struct verb_call *c, struct account *account, struct span word, struct fault *f)
{
    const struct verb_host *h = verb_host(c);
    struct span args[] = {account_user(account), word};
    struct buf rows;
    buf_init(&rows, SIZE_MAX);
    enum result r = h->users(h->arg, SPAN("user set"), args, 2, &rows, f);
    buf_done(&rows);
    return r;
}

static enum result
set_limit(struct account *account, struct span word, struct fault *f)
{
    struct usage limits;
    return quota_word_read(word, &limits, f) == R_OK ? quota_set(account, &limits, f)
                                                     : R_FAIL;
}

static enum result
set(struct verb_call *c, struct account *account, const struct user_setting *s,
    struct arena *a, struct fault *f)
{
    struct buf b;
    uint64_t seconds;
    if (span_eq(s->name, SPAN("retention")))
        return setting_time(s->value, &seconds) == R_OK && seconds <= RETENTION_MAX
                   ? retention_set(account, seconds, f)
                   : fault_set(f, FAULT_BAD, "no time");
    buf_init(&b, LIMIT_channel_message / 2);
    buf_printf(&b, "%.*s=%.*s", SPAN_ARG(s->name),
               SPAN_ARG(span_slice(with_commas(a, s->value), 0, LIMIT_user_forward)));
    enum result r = quota_word_is(buf_span(&b)) ? set_limit(account, buf_span(&b), f)
                                                : set_row(c, account, buf_span(&b), f);
    buf_done(&b);
    return r;
}

enum result
user_setting_add(struct verb_call *c, struct account *account, const struct user_setting *s,
                 struct arena *a, struct fault *f)
{
    struct user_settings here;
    if (user_settings_get(c, account, a, &here, f) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < here.n; i++) {
        if (!span_ieq(here.list[i].name, s->name))
            continue;
        if (span_ieq(here.list[i].value, s->value))
            return R_NONE;
        return fault_set(f, FAULT_ALREADYEXISTS, "%.*s is set here, and stays",
                         SPAN_ARG(span_slice(here.list[i].value, 0, 100)));
    }
    return set(c, account, s, a, f);
}
