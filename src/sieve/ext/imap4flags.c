// RFC 5232: setflag, addflag, removeflag, hasflag, :flags.

#include "base/limits.h"
#include "sieve/compile.h"

// A set of flags is a text with single spaces between.
struct flags {
    struct buf text;
};

struct target {
    bool named;
    unsigned number;
};

static bool
is_system(struct span flag)
{
    static const char *const names[] = {"\\Answered", "\\Flagged", "\\Deleted", "\\Seen",
                                        "\\Draft"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (span_ieq(flag, span_str(names[i])))
            return true;
    return false;
}

// What IMAP can set (RFC 9051 section 9: flag, flag-keyword).
static bool
is_flag(struct span flag)
{
    if (flag.n == 0 || flag.n > LIMIT_keyword)
        return false;
    if (*flag.p == '\\')
        return is_system(flag);
    for (size_t i = 0; i < flag.n; i++)
        if (flag.p[i] <= ' ' || flag.p[i] > '~' || strchr("(){%*\"\\]", flag.p[i]))
            return false;
    return true;
}

static bool
has(struct span set, struct span flag)
{
    struct span one;
    while (span_next_field(&set, ' ', &one) == R_OK)
        if (span_ieq(one, flag))
            return true;
    return false;
}

static void
add(struct buf *set, struct span flags)
{
    struct span one;
    while (span_next_field(&flags, ' ', &one) == R_OK) {
        if (!is_flag(one) || has(buf_span(set), one))
            continue;
        if (set->n + one.n + 1 > LIMIT_sieve_variable)
            return;
        buf_put_str(set, set->n ? " " : "");
        buf_put(set, one);
    }
}

static void
take_away(struct buf *out, struct span set, struct span flags)
{
    struct span one;
    while (span_next_field(&set, ' ', &one) == R_OK)
        if (!has(flags, one))
            add(out, one);
}

// The flags of a list, each once.
static enum result
gather(struct sieve_run *r, const struct sieve_value *v, struct buf *out)
{
    struct span text;
    for (size_t i = 0; i < v->n; i++) {
        if (sieve_text(r, &v->strings[i], &text) != R_OK ||
            sieve_work(r, text.n * (1 + out->n / 32)) != R_OK)
            return R_FAIL;
        add(out, text);
    }
    return R_OK;
}

static void
free_flags(void *arg)
{
    buf_done(&((struct flags *)arg)->text);
}

// The internal variable.
static struct buf *
internal(struct sieve_run *r)
{
    void **state = sieve_state(r, SIEVE_EXT_imap4flags);
    if (*state == NULL) {
        struct flags *f = ARENA_NEW(sieve_kept(r), struct flags);
        buf_init(&f->text, LIMIT_sieve_variable);
        add(&f->text, sieve_world(r)->flags);
        arena_on_end(sieve_kept(r), free_flags, f);
        *state = f;
    }
    return &((struct flags *)*state)->text;
}

static enum result
check_named(struct sieve_compiler *c, struct sieve_call *call)
{
    struct target *t = ARENA_NEW(c->arena, struct target);
    const struct sieve_value *v = &call->position[0];
    call->own = t;
    if (v->n == 0)
        return R_OK;
    if (!c->enabled[SIEVE_EXT_variables])
        return sieve_wrong(c, v->line, v->column,
                           "a variable's name needs require \"variables\"");
    t->named = true;
    if (!sieve_is_constant(&v->strings[0]) || !sieve_is_variable_name(v->strings[0].text))
        return sieve_wrong(c, v->line, v->column, "\"%.*s\" is no name of a variable",
                           SPAN_ARG(span_slice(v->strings[0].text, 0, 60)));
    return sieve_variable_number(c, v->strings[0].text, &t->number);
}

static struct span
current(struct sieve_run *r, const struct target *t)
{
    return t->named ? sieve_variable(r, t->number) : buf_span(internal(r));
}

static enum result
change(struct sieve_run *r, const struct sieve_call *call, char how)
{
    const struct target *t = call->own;
    struct buf given, b;
    struct span result;
    buf_init(&given, LIMIT_sieve_variable);
    buf_init(&b, LIMIT_sieve_variable);
    enum result ok = gather(r, &call->position[1], &given);
    if (ok == R_OK)
        ok = sieve_work(r, given.n * (1 + current(r, t).n / 32));
    if (how == '-' && ok == R_OK)
        take_away(&b, current(r, t), buf_span(&given));
    if (how == '+' && ok == R_OK)
        add(&b, current(r, t));
    if (how != '-' && ok == R_OK)
        add(&b, buf_span(&given));
    buf_done(&given);
    if (ok != R_OK || sieve_take(r, &b, &result) != R_OK) {
        buf_done(&b);
        return R_FAIL;
    }
    if (t->named)
        return sieve_variable_set(r, t->number, result);
    buf_reset(internal(r));
    buf_put(internal(r), result);
    return R_OK;
}

static enum result
setflag(struct sieve_run *r, const struct sieve_call *call)
{
    return change(r, call, '=');
}

static enum result
addflag(struct sieve_run *r, const struct sieve_call *call)
{
    return change(r, call, '+');
}

static enum result
removeflag(struct sieve_run *r, const struct sieve_call *call)
{
    return change(r, call, '-');
}

static enum result
check_hasflag(struct sieve_compiler *c, struct sieve_call *call)
{
    const struct sieve_value *v = &call->position[0];
    unsigned *numbers = arena_array(c->arena, v->n + 1, sizeof *numbers);
    call->own = numbers;
    if (v->n > 0 && !c->enabled[SIEVE_EXT_variables])
        return sieve_wrong(c, v->line, v->column,
                           "a variable's name needs require \"variables\"");
    for (size_t i = 0; i < v->n; i++) {
        if (!sieve_is_variable_name(v->strings[i].text))
            return sieve_wrong(c, v->line, v->column, "\"%.*s\" is no name of a variable",
                               SPAN_ARG(span_slice(v->strings[i].text, 0, 60)));
        if (sieve_variable_number(c, v->strings[i].text, &numbers[i]) != R_OK)
            return R_FAIL;
    }
    return R_OK;
}

// The keys, one flag each.
static enum result
split_keys(struct sieve_run *r, const struct sieve_value *v, struct sieve_value *out)
{
    struct buf b;
    struct span text, one, packed;
    buf_init(&b, LIMIT_sieve_memory);
    for (size_t i = 0; i < v->n; i++) {
        if (sieve_text(r, &v->strings[i], &text) != R_OK) {
            buf_done(&b);
            return R_FAIL;
        }
        while (span_next_field(&text, ' ', &one) == R_OK) {
            struct sieve_string s = {.text = one};
            if (one.n > 0)
                buf_put(&b, span_of(&s, sizeof s));
        }
    }
    out->n = b.n / sizeof(struct sieve_string);
    if (sieve_take(r, &b, &packed) != R_OK)
        return R_FAIL;
    out->strings = (struct sieve_string *)(uintptr_t)packed.p;
    return R_OK;
}

// Section 4: the count is that of distinct flags; `set` may have put anything into a variable.
static enum result
count_flags(struct sieve_matching *m, struct span set)
{
    struct buf distinct;
    struct span one, rest;
    enum result result = sieve_work(m->run, set.n * (1 + set.n / 32));
    buf_init(&distinct, LIMIT_sieve_variable);
    if (result == R_OK)
        add(&distinct, set);
    rest = buf_span(&distinct);
    while (rest.n > 0 && result == R_OK && span_next_field(&rest, ' ', &one) == R_OK)
        result = sieve_match_feed(m, one);
    buf_done(&distinct);
    return result;
}

static enum result
feed_flags(struct sieve_matching *m, struct span set)
{
    struct span one;
    if (m->call->match->counts)
        return count_flags(m, set);
    while (!m->found && span_next_field(&set, ' ', &one) == R_OK)
        if (one.n > 0 && sieve_match_feed(m, one) != R_OK)
            return R_FAIL;
    return R_OK;
}

static enum result
hasflag(struct sieve_run *r, const struct sieve_call *call, bool *yes)
{
    struct sieve_matching m;
    struct sieve_value keys = {0};
    const unsigned *numbers = call->own;
    size_t n = call->position[0].n;
    if ((call->match->counts ? (keys = call->position[1], R_OK)
                             : split_keys(r, &call->position[1], &keys)) != R_OK ||
        sieve_match_begin(&m, r, call, &keys) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < n; i++)
        if (feed_flags(&m, sieve_variable(r, numbers[i])) != R_OK)
            return R_FAIL;
    if (n == 0 && feed_flags(&m, buf_span(internal(r))) != R_OK)
        return R_FAIL;
    return sieve_match_end(&m, yes);
}

static enum result
apply(struct sieve_run *r, const struct sieve_call *call, const struct sieve_value *value,
      struct sieve_action *action)
{
    struct buf b;
    (void)call;
    buf_init(&b, LIMIT_sieve_variable);
    enum result result = gather(r, value, &b);
    if (result == R_OK)
        result = sieve_detail_put(r, action, "flags", b.n ? buf_span(&b) : SPAN(""));
    buf_done(&b);
    return result;
}

// Without :flags the internal variable counts, for the implicit keep, too (section 3). Of a stored message all flags are told:
// one may have been taken away.
static enum result
finish(struct sieve_run *r, struct sieve_action *a)
{
    struct span set = buf_span(internal(r));
    if ((a->kind != SIEVE_KEEP && a->kind != SIEVE_FILEINTO) ||
        (set.n == 0 && !sieve_world(r)->flags.p) || sieve_has_detail(a, "flags"))
        return R_OK;
    return sieve_detail_put(r, a, "flags", set.n ? set : SPAN(""));
}

static const struct sieve_tag tags[] = {{"flags", 'l',
                                         .command = "keep fileinto vacation notify",
                                         .check = sieve_filing_check, .apply = apply},
                                        {0}};
static const struct sieve_command commands[] = {
    {"setflag", SIEVE_ACTION, "?sl", .check = check_named, .act = setflag},
    {"addflag", SIEVE_ACTION, "?sl", .check = check_named, .act = addflag},
    {"removeflag", SIEVE_ACTION, "?sl", .check = check_named, .act = removeflag},
    {"hasflag", SIEVE_TEST, "?ll", .matches = true, .keys = 1, .check = check_hasflag,
     .test = hasflag},
    {0},
};

const struct sieve_ext sieve_ext_imap4flags = {.capability = "imap4flags",
                                               .rfc = "RFC 5232",
                                               .commands = commands,
                                               .tags = tags,
                                               .finish = finish};
