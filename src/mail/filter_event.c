#include "mail/filter_event.h"
#include "mail/filter_inside.h"

#include "base/arena_grow.h"
#include "mail/metadata.h"
#include "mail/name.h"
#include "mail/script.h"
#include "mail/tree.h"

// ---- the administrator's rules ----

static const struct {
    const char *word;
    unsigned cause;
} causes[] = {{"APPEND", FILTER_APPEND}, {"COPY", FILTER_COPY}, {"FLAG", FILTER_FLAG}};

static enum result
read_causes(struct span words, struct filter_event_rule *out, struct fault *f)
{
    struct span word;
    while (span_next_field(&words, ',', &word) == R_OK) {
        unsigned cause = 0;
        for (size_t i = 0; i < sizeof causes / sizeof causes[0]; i++)
            if (span_ieq(word, span_str(causes[i].word)))
                cause = causes[i].cause;
        if (cause == 0)
            return fault_set(f, FAULT_BAD, "\"%.*s\" is not APPEND, COPY or FLAG",
                             SPAN_ARG(span_slice(word, 0, 60)));
        out->causes |= cause;
    }
    return R_OK;
}

// The last ": before " or ": after ", so that a mailbox may have such words in its name.
static size_t
find_when(struct span text, bool *after)
{
    for (size_t i = text.n; i-- > 0;) {
        struct span rest = span_skip(text, i);
        *after = span_starts(rest, SPAN(": after "));
        if (*after || span_starts(rest, SPAN(": before ")))
            return i;
    }
    return text.n;
}

enum result
filter_event_rule_read(struct span text, struct filter_event_rule *out, struct fault *f)
{
    struct filter_event_rule r = {.from = SPAN("*")};
    size_t when = find_when(text, &r.after), blank = span_find_char(text, ' ');
    if (when == text.n || blank >= when)
        return fault_set(f, FAULT_BAD,
                         "a rule is \"COPY MAILBOX: before FILE\" or \": after FILE\"");
    if (read_causes(span_slice(text, 0, blank), &r, f) != R_OK)
        return R_FAIL;
    r.file = span_trim(span_skip(text, when + (r.after ? 8 : 9)));
    r.mailbox = span_trim(span_slice(text, blank, when));
    size_t arrow = span_ifind(r.mailbox, SPAN(" -> "));
    if (arrow < r.mailbox.n) {
        r.from = span_trim(span_slice(r.mailbox, 0, arrow));
        r.mailbox = span_trim(span_skip(r.mailbox, arrow + 4));
    }
    if (r.mailbox.n == 0 || r.from.n == 0 || r.file.n == 0)
        return fault_set(f, FAULT_BAD, "a rule has an empty mailbox or file");
    *out = r;
    return R_OK;
}

// `m` NULL: of somebody else.
static bool
is_mailbox(struct span pattern, const struct mailbox_state *m, struct span name)
{
    if (span_eq(pattern, SPAN("*")))
        return true;
    if (!m)
        return false;
    if (span_starts(pattern, SPAN("\\")))
        return special_use_from(pattern) != USE_NONE &&
               m->special_use == (uint8_t)special_use_from(pattern);
    return span_eq(name, pattern) || (name_is_inbox(name) && name_is_inbox(pattern));
}

// ---- steps ----

static void
add_step(struct filter_stored *s, const struct filter_step *step)
{
    s->steps = arena_grow(s->arena, s->steps, s->n, &s->room, sizeof *s->steps);
    s->steps[s->n++] = *step;
}

static void
add_rules(struct filter_stored *s, const struct mailbox_state *to,
          const struct mailbox_state *from, bool after)
{
    const struct filter_scripts *list = &s->rules->is.imap;
    for (size_t i = 0; i < list->n; i++) {
        struct filter_event_rule rule;
        struct fault f;
        if (filter_event_rule_read(list->p[i].name, &rule, &f) == R_OK &&
            rule.after == after && (rule.causes & s->cause) &&
            is_mailbox(rule.mailbox, to, s->name) && is_mailbox(rule.from, from, s->from))
            add_step(s, &(struct filter_step){list->p[i].name, list->p[i].text, false});
    }
}

// R_NONE: there is no script of this name.
static enum result
read_own(struct filter_stored *s, struct span given, struct span *name, struct span *text)
{
    struct buf b;
    struct fault f;
    if (script_name(s->arena, given, name, &f) != R_OK)
        return R_NONE;
    buf_init(&b, LIMIT_sieve_script);
    enum result found = script_read(s->account, *name, &b);
    *text = b.n ? arena_dup(s->arena, buf_span(&b)) : SPAN("");
    buf_done(&b);
    return found;
}

// The mailbox's entry hides the server's, whatever is in it.
static void
add_own(struct filter_stored *s)
{
    struct metadata_place place = {.account = s->account,
                                   .mailbox = s->mailbox,
                                   .user = s->account->id,
                                   .rights = RIGHTS_ALL};
    struct span entry = SPAN("/shared/imapsieve/script"), name, text;
    struct metadata_value value = {0};
    enum result found = metadata_get(&place, entry, LIMIT_sieve_name, s->arena, &value);
    if (found == R_NONE) {
        place.mailbox = 0;
        found = metadata_get(&place, entry, LIMIT_sieve_name, s->arena, &value);
    }
    if (found == R_OK && value.octets.n > 0 &&
        read_own(s, value.octets, &name, &text) == R_OK)
        add_step(s, &(struct filter_step){name, text, true});
}

static enum result
event_steps(struct filter_stored *s, const struct filter_occasion *o)
{
    const struct mailbox_state *to = state_mailbox(account_state(s->account), s->mailbox);
    const struct mailbox_state *from =
        o->from && o->from->account == s->account
            ? state_mailbox(account_state(s->account), o->from->mailbox)
            : NULL;
    s->name = to ? name_full(s->arena, account_state(s->account), to) : SPAN("");
    s->from = from ? name_full(s->arena, account_state(s->account), from) : SPAN("");
    add_rules(s, to, from, false);
    add_own(s);
    add_rules(s, to, from, true);
    return s->n > 0 ? R_OK : R_NONE;
}

// ---- asked for ----

static enum result
check_step(const struct filter_step *step, struct fault *f)
{
    struct filter_program *p = filter_program_get(step->text, filter_author(step));
    const char *misplaced = p->program ? sieve_out_of_place(p->program, SIEVE_ASKED) : NULL;
    enum result r = R_OK;
    if (!p->program)
        r = fault_set(f, FAULT_CANNOT, "line %u: %s", p->error.line, p->error.text);
    else if (misplaced)
        r = fault_set(f, FAULT_CANNOT, "\"%s\" does not work when stored mail is filtered",
                      misplaced);
    filter_program_put(&p);
    return r;
}

static enum result
global_step(const struct filter_stored *s, struct span name, struct filter_step *out)
{
    const struct filter_scripts *list = &s->rules->is.global;
    for (size_t i = 0; i < list->n; i++)
        if (span_eq(list->p[i].name, name)) {
            *out = (struct filter_step){list->p[i].name, list->p[i].text, false};
            return R_OK;
        }
    return R_NONE;
}

static enum result
active_step(struct filter_stored *s, struct filter_step *out)
{
    struct buf text, name;
    buf_init(&text, LIMIT_sieve_script);
    buf_init(&name, LIMIT_sieve_name);
    enum result found = script_active(s->account, &text, &name);
    *out = (struct filter_step){arena_dup(s->arena, buf_span(&name)),
                                arena_dup(s->arena, buf_span(&text)), true};
    buf_done(&text);
    buf_done(&name);
    return found;
}

static enum result
asked_steps(struct filter_stored *s, const struct filter_occasion *o, struct fault *f)
{
    struct filter_step step = {.own = true};
    enum result found = R_OK;
    s->as_delivered = o->which == FILTER_DELIVERY;
    if (s->as_delivered)
        return active_step(s, &step) == R_OK ? check_step(&step, f) : R_OK;
    if (o->which == FILTER_SCRIPT)
        step = (struct filter_step){.text = arena_dup(s->arena, o->script),
                                    .own = !o->administrator};
    else if (o->which == FILTER_GLOBAL)
        found = global_step(s, o->script, &step);
    else
        found = read_own(s, o->script, &step.name, &step.text);
    if (found != R_OK)
        return fault_set(f, FAULT_NONEXISTENT, "there is no such script");
    if (check_step(&step, f) != R_OK)
        return R_FAIL;
    add_step(s, &step);
    return R_OK;
}

enum result
filter_event_steps(struct filter_stored *s, const struct filter_occasion *o,
                   struct fault *f)
{
    return s->cause == FILTER_ASKED ? asked_steps(s, o, f) : event_steps(s, o);
}
