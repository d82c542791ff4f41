#include "base/budget.h"
#include "base/limits.h"
#include "search/text_inside.h"

void
text_index_add(struct text_index *ti, struct text_segment *s)
{
    if (ti->count == ti->room) {
        ti->room = ti->room > 0 ? ti->room * 2 : 8;
        ti->segments = realloc(ti->segments, ti->room * sizeof(struct text_segment *));
        must(ti->segments != NULL);
    }
    budget_force(BUDGET_TABLES, s->document_count * sizeof *s->documents);
    ti->segments[ti->count++] = s;
}

static size_t
place_of(const struct text_index *ti, const struct text_segment *s)
{
    size_t i = 0;
    while (i < ti->count && ti->segments[i] != s)
        i++;
    return i;
}

void
text_index_remove(struct text_index *ti, struct text_segment *s)
{
    size_t i = place_of(ti, s);
    must(i < ti->count);
    memmove(ti->segments + i, ti->segments + i + 1,
            (ti->count - i - 1) * sizeof(struct text_segment *));
    ti->count--;
    budget_give(BUDGET_TABLES, s->document_count * sizeof *s->documents);
    text_segment_release(s);
}

enum result
text_segment_drop(struct text_index *ti, uint32_t number, struct fault *f)
{
    char name[TEXT_NAME];
    // the terms first: lists alone are left over, terms alone would be damage
    text_segment_name(name, number, false);
    if (derived_remove(ti->store, ti->account, span_str(name), f) != R_OK)
        return R_FAIL;
    text_segment_name(name, number, true);
    return derived_remove(ti->store, ti->account, span_str(name), f);
}

// ---- opening ----

// "%08x-t" or "%08x-l"
static bool
read_name(struct span name, uint32_t *number_out, bool *lists_out)
{
    uint32_t number = 0;
    if (name.n != 10 || name.p[8] != '-' || (name.p[9] != 't' && name.p[9] != 'l'))
        return false;
    for (size_t i = 0; i < 8; i++) {
        char c = name.p[i];
        if (!ascii_is_digit(c) && !(c >= 'a' && c <= 'f'))
            return false;
        number = number << 4 | (uint32_t)(ascii_is_digit(c) ? c - '0' : c - 'a' + 10);
    }
    *number_out = number;
    *lists_out = name.p[9] == 'l';
    return true;
}

static bool
has_terms(const struct derived_list *list, uint32_t number)
{
    char name[TEXT_NAME];
    text_segment_name(name, number, false);
    for (size_t i = 0; i < list->n; i++)
        if (span_eq(list->entries[i].name, span_str(name)))
            return true;
    return false;
}

static enum result
open_listed(struct text_index *ti, const struct derived_list *list, struct fault *f)
{
    for (size_t i = 0; i < list->n; i++) {
        struct text_segment *s;
        uint32_t number;
        bool lists;
        if (!read_name(list->entries[i].name, &number, &lists))
            continue;
        if (number >= ti->next_number)
            ti->next_number = number + 1;
        if (lists && !has_terms(list, number) &&
            derived_remove(ti->store, ti->account, list->entries[i].name, f) != R_OK)
            return R_FAIL;
        if (lists)
            continue;
        enum result r = text_segment_open(ti->store, ti->account, number, &s, f);
        if (r == R_FAIL)
            return R_FAIL;
        if (r == R_OK)
            text_index_add(ti, s);
    }
    return R_OK;
}

static struct text_segment *
segment_of(const struct text_index *ti, uint32_t number)
{
    for (size_t i = 0; i < ti->count; i++)
        if (ti->segments[i]->number == number)
            return ti->segments[i];
    return NULL;
}

// A crash came between a merged segment and the end of those it replaces.
static enum result
drop_replaced(struct text_index *ti, struct fault *f)
{
    for (size_t i = 0; i < ti->count; i++) {
        struct text_segment *by = ti->segments[i];
        for (size_t k = 0; k < by->replaced_count; k++) {
            uint32_t number = by->replaced[k];
            struct text_segment *s = segment_of(ti, number);
            if (!s || s == by)
                continue;
            text_index_remove(ti, s);
            if (text_segment_drop(ti, number, f) != R_OK)
                return R_FAIL;
            i = SIZE_MAX;  // places have moved: from the beginning
            break;
        }
        if (i == SIZE_MAX)
            continue;
    }
    return R_OK;
}

enum result
text_index_open(struct store *s, uint64_t account, struct text_index **out, struct fault *f)
{
    struct text_index *ti = calloc(1, sizeof *ti);
    struct derived_list list = {.a = arena_new()};
    must(ti != NULL);
    ti->store = s;
    ti->account = account;
    ti->next_number = 1;
    ti->octets_max = LIMIT_derived_string;
    enum result r = derived_list(s, account, &list, f);
    if (r == R_OK && (r = open_listed(ti, &list, f)) == R_OK)
        r = drop_replaced(ti, f);
    arena_free(&list.a);
    if (r != R_OK)
        text_index_close(&ti);
    else
        *out = ti;
    return r;
}

void
text_index_close(struct text_index **ti)
{
    if (!*ti)
        return;
    must(!(*ti)->busy);
    while ((*ti)->count > 0)
        text_index_remove(*ti, (*ti)->segments[(*ti)->count - 1]);
    free((*ti)->segments);
    free(*ti);
    *ti = NULL;
}

bool
text_index_has(const struct text_index *ti, uint64_t emailid)
{
    for (size_t i = ti->count; i > 0; i--) {
        size_t hint = ti->segments[i - 1]->document_count;
        if (text_segment_has(ti->segments[i - 1], emailid, &hint))
            return true;
    }
    return false;
}

size_t
text_index_memory(const struct text_index *ti)
{
    size_t n = sizeof *ti + ti->room * sizeof(struct text_segment *);
    for (size_t i = 0; i < ti->count; i++)
        n += sizeof *ti->segments[i] +
             ti->segments[i]->document_count * sizeof(struct text_document) +
             (text_segment_pages(ti->segments[i]) + ti->segments[i]->pages[TEXT_TURNED] +
              ti->segments[i]->pair_pages) *
                 sizeof *ti->segments[i]->heads;
    return n;
}

void
text_index_stats(const struct text_index *ti, struct text_stats *out)
{
    *out = (struct text_stats){.segments = (uint32_t)ti->count};
    for (size_t i = 0; i < ti->count; i++) {
        out->documents += ti->segments[i]->document_count;
        out->octets += ti->segments[i]->octets;
        out->text_octets += ti->segments[i]->text_octets;
        out->terms += ti->segments[i]->term_count;
    }
}
