#include "sieve/compile.h"

// Words of a list like "fileinto keep".
static bool
among(const char *words, const char *word)
{
    struct span rest = span_str(words), one;
    while (span_next_field(&rest, ' ', &one) == R_OK)
        if (span_eq(one, span_str(word)))
            return true;
    return false;
}

static bool
is_enabled(const struct sieve_compiler *c, size_t ext)
{
    return sieve_exts[ext]->capability == NULL || sieve_exts[ext]->always ||
           c->enabled[ext];
}

static enum result
wrong_at(struct sieve_compiler *c, const struct sieve_argument *a, const char *text,
         struct span what)
{
    return sieve_wrong(c, a->line, a->column, "%s :%.*s", text,
                       SPAN_ARG(span_slice(what, 0, 60)));
}

static enum result
needs(struct sieve_compiler *c, const struct sieve_argument *a, size_t ext)
{
    c->missing = true;
    return sieve_wrong(c, a->line, a->column, ":%.*s needs require \"%s\"",
                       SPAN_ARG(span_slice(a->tag, 0, 60)), sieve_exts[ext]->capability);
}

// Strings of an argument, as the required extensions read them.
static enum result
take_strings(struct sieve_compiler *c, const struct sieve_argument *a,
             struct sieve_value *v)
{
    size_t i = 0;
    v->strings = arena_array(c->arena, a->n, sizeof *v->strings);
    for (const struct sieve_text *t = a->texts; t; t = t->next, i++)
        if (sieve_compile_string(c, t->text, a->line, a->column, &v->strings[i]) != R_OK)
            return R_FAIL;
    v->n = a->n;
    return R_OK;
}

static const char *
kind_name(char kind)
{
    return kind == 's'   ? "a string"
           : kind == 'l' ? "a string or a list of strings"
                         : "a number";
}

static enum result
take_value(struct sieve_compiler *c, const struct sieve_call *call,
           const struct sieve_argument *a, char kind, struct sieve_value *v)
{
    bool fits = a && ((kind == 'n' && a->kind == ARGUMENT_NUMBER) ||
                      (kind != 'n' && a->kind == ARGUMENT_STRING) ||
                      (kind == 'l' && a->kind == ARGUMENT_LIST));
    if (!fits)
        return sieve_wrong(c, a ? a->line : call->line, a ? a->column : call->column,
                           "%s wants %s here", call->command->name, kind_name(kind));
    v->line = a->line;
    v->column = a->column;
    v->number = a->number;
    return kind == 'n' ? R_OK : take_strings(c, a, v);
}

static const struct sieve_tag *
tag_in(const struct sieve_tag *row, const struct sieve_command *command, struct span name)
{
    for (; row && row->name; row++)
        if (span_ieq(name, span_str(row->name)) &&
            (row->command == NULL || among(row->command, command->name)))
            return row;
    return NULL;
}

// An ordinary tag: of the command itself or of an extension for it. *ext is SIEVE_EXTS for its own.
static const struct sieve_tag *
find_tag(const struct sieve_compiler *c, const struct sieve_command *command,
         struct span name, size_t *ext)
{
    const struct sieve_tag *found = tag_in(command->tags, command, name);
    *ext = SIEVE_EXTS;
    for (size_t i = 0; i < SIEVE_EXTS && found == NULL; i++) {
        found = tag_in(sieve_exts[i]->tags, command, name);
        *ext = i;
        if (found && !is_enabled(c, i)) {  // another may have it, too
            for (size_t k = i + 1; k < SIEVE_EXTS; k++)
                if (is_enabled(c, k) && tag_in(sieve_exts[k]->tags, command, name)) {
                    *ext = k;
                    return tag_in(sieve_exts[k]->tags, command, name);
                }
        }
    }
    return found;
}

static bool
conflict(const struct sieve_call *call, const struct sieve_tag *tag)
{
    for (const struct sieve_tagged *t = call->tags; t; t = t->next)
        if (t->tag == tag || (tag->group && t->tag->group &&
                              span_eq(span_str(tag->group), span_str(t->tag->group))))
            return true;
    return false;
}

static enum result
take_tag(struct sieve_compiler *c, struct sieve_call *call, const struct sieve_argument **a)
{
    size_t ext;
    const struct sieve_argument *at = *a;
    const struct sieve_tag *tag = find_tag(c, call->command, at->tag, &ext);
    c->missing = tag == NULL;
    if (tag == NULL)
        return sieve_wrong(c, at->line, at->column, "%s knows no :%.*s",
                           call->command->name, SPAN_ARG(span_slice(at->tag, 0, 60)));
    if (ext < SIEVE_EXTS && !is_enabled(c, ext))
        return needs(c, at, ext);
    if (conflict(call, tag))
        return wrong_at(c, at, "there is already one like", at->tag);
    struct sieve_tagged *t = ARENA_NEW(c->arena, struct sieve_tagged);
    t->tag = tag;
    if (tag->value) {
        *a = at->next;
        if (take_value(c, call, at->next, tag->value, &t->value) != R_OK)
            return R_FAIL;
    }
    struct sieve_tagged **last = &call->tags;
    while (*last)
        last = &(*last)->next;
    *last = t;
    return R_OK;
}

// *ext: whose it is.
static const struct sieve_comparator *
find_comparator(struct span name, size_t *ext)
{
    for (size_t i = 0; i < SIEVE_EXTS; i++)
        for (const struct sieve_comparator *row = sieve_exts[i]->comparators;
             row && row->name; row++)
            if (span_eq(name, span_str(row->name))) {
                *ext = i;
                return row;
            }
    return NULL;
}

static enum result
take_comparator(struct sieve_compiler *c, struct sieve_call *call,
                const struct sieve_argument **a)
{
    const struct sieve_argument *at = *a;
    size_t ext = 0;
    struct sieve_value v;
    if (call->comparator)
        return wrong_at(c, at, "there is already one like", at->tag);
    if (take_value(c, call, at->next, 's', &v) != R_OK)
        return R_FAIL;
    call->comparator = find_comparator(v.strings[0].text, &ext);
    if (call->comparator == NULL || !sieve_is_constant(&v.strings[0]))
        return sieve_wrong(c, v.line, v.column, "there is no comparator \"%.*s\"",
                           SPAN_ARG(span_slice(v.strings[0].text, 0, 60)));
    if (!is_enabled(c, ext))
        return sieve_wrong(c, v.line, v.column, "%s needs require \"%s\"",
                           call->comparator->name, sieve_exts[ext]->capability);
    call->says_comparator = true;
    *a = at->next;
    return R_OK;
}

static const struct sieve_match *
match_in(size_t ext, struct span name)
{
    for (const struct sieve_match *m = sieve_exts[ext]->matches; m && m->name; m++)
        if (span_ieq(name, span_str(m->name)))
            return m;
    return NULL;
}

static const struct sieve_part *
part_in(size_t ext, struct span name)
{
    for (const struct sieve_part *p = sieve_exts[ext]->parts; p && p->name; p++)
        if (span_ieq(name, span_str(p->name)))
            return p;
    return NULL;
}

// R_NONE: it is no match type.
static enum result
take_match(struct sieve_compiler *c, struct sieve_call *call,
           const struct sieve_argument **a)
{
    const struct sieve_argument *at = *a;
    for (size_t i = 0; i < SIEVE_EXTS; i++) {
        const struct sieve_match *m = match_in(i, at->tag);
        if (m == NULL)
            continue;
        if (!is_enabled(c, i))
            return needs(c, at, i);
        if (call->match)
            return wrong_at(c, at, "there is already a match type before", at->tag);
        call->match = m;
        if (m->value == 0)
            return R_OK;
        *a = at->next;
        return take_value(c, call, at->next, m->value, &call->match_value);
    }
    return R_NONE;
}

static enum result
take_part(struct sieve_compiler *c, struct sieve_call *call, const struct sieve_argument *a)
{
    for (size_t i = 0; i < SIEVE_EXTS; i++) {
        const struct sieve_part *p = part_in(i, a->tag);
        if (p == NULL)
            continue;
        if (!is_enabled(c, i))
            return needs(c, a, i);
        if (call->part)
            return wrong_at(c, a, "there is already an address part before", a->tag);
        call->part = p;
        call->says_part = true;
        return R_OK;
    }
    return R_NONE;
}

static enum result
take_any_tag(struct sieve_compiler *c, struct sieve_call *call,
             const struct sieve_argument **a)
{
    enum result r = R_NONE;
    if (call->command->matches && span_ieq((*a)->tag, SPAN("comparator")))
        return take_comparator(c, call, a);
    if (call->command->matches)
        r = take_match(c, call, a);
    if (r == R_NONE && call->command->parts)
        r = take_part(c, call, *a);
    return r == R_NONE ? take_tag(c, call, a) : r;
}

static size_t
count(const struct sieve_argument *a)
{
    size_t n = 0;
    for (; a; a = a->next)
        n++;
    return n;
}

// The positional arguments; those that may be left out are, first to last, when there are too few.
static enum result
take_positions(struct sieve_compiler *c, struct sieve_call *call,
               const struct sieve_argument *a)
{
    const char *want = call->command->arguments ? call->command->arguments : "";
    size_t letters = 0, optional = 0, have = count(a), at = 0;
    for (const char *w = want; *w; w++)
        *w == '?' ? optional++ : letters++;
    size_t leave = have < letters ? letters - have : 0;
    if (leave > optional)
        leave = 0;
    for (const char *w = want; *w; w++, at++) {
        bool may = *w == '?';
        w += may;
        if (may && leave > 0) {
            leave--;
            continue;
        }
        if (a && a->kind == ARGUMENT_TAG)
            return wrong_at(c, a, "tags come before other arguments:", a->tag);
        if (take_value(c, call, a, *w, &call->position[at]) != R_OK)
            return R_FAIL;
        a = a ? a->next : NULL;
    }
    if (a)
        return sieve_wrong(c, a->line, a->column, "%s takes no such argument",
                           call->command->name);
    return R_OK;
}

static enum result
check_tags(struct sieve_compiler *c, struct sieve_call *call)
{
    for (const struct sieve_tagged *t = call->tags; t; t = t->next)
        if (t->tag->check && t->tag->check(c, call, &t->value) != R_OK)
            return R_FAIL;
    return R_OK;
}

static enum result
check_match(struct sieve_compiler *c, struct sieve_call *call)
{
    if (!call->command->matches)
        return R_OK;
    if (call->match == NULL)
        call->match = match_in(SIEVE_EXT_match, SPAN("is"));
    if (call->comparator == NULL)
        call->comparator = &sieve_ext_ascii_casemap.comparators[0];
    if (call->match->substring && !call->comparator->substring)
        return sieve_wrong(c, call->line, call->column, ":%s cannot be done with %s",
                           call->match->name, call->comparator->name);
    return call->match->check ? call->match->check(c, call) : R_OK;
}

enum result
sieve_check_call(struct sieve_compiler *c, const struct sieve_node *node,
                 struct sieve_call *call)
{
    const struct sieve_argument *a = node->arguments;
    for (; a && a->kind == ARGUMENT_TAG; a = a->next)
        if (take_any_tag(c, call, &a) != R_OK)
            return R_FAIL;
    if (take_positions(c, call, a) != R_OK)
        return R_FAIL;
    if (call->command->parts && call->part == NULL)
        call->part = part_in(SIEVE_EXT_match, SPAN("all"));
    if (check_match(c, call) != R_OK || check_tags(c, call) != R_OK)
        return R_FAIL;
    return call->command->check ? call->command->check(c, call) : R_OK;
}
