#include "mail/home.h"

#include "base/limits.h"

struct span
keyword_name(const struct mailbox *m, uint32_t number)
{
    if (number < m->state->keyword_count)
        return m->state->keywords[number];
    must(m->new_keywords != NULL && number < m->next_keywords);
    return m->new_keywords[number - m->state->keyword_count];
}

// Number of the keyword in the mailbox as it will be; next_keywords when it is new.
static uint32_t
find(const struct mailbox *m, struct span name)
{
    uint32_t i = 0;
    while (i < m->next_keywords && !span_ieq(keyword_name(m, i), name))
        i++;
    return i;
}

void
keyword_put(struct store_batch *b, uint64_t mailbox, uint32_t index, struct span name)
{
    struct record_keyword r = {mailbox, index, name};
    struct buf meta;
    buf_init(&meta, LIMIT_record_meta);
    record_keyword_put(&meta, &r);
    store_batch_add(b, RECORD_KEYWORD, buf_span(&meta), NULL);
    buf_done(&meta);
}

static struct span
spelling(struct span name)
{
    static const struct span registered[] = {
#define KEYWORD(name) SPAN(name),
#include "mail/keywords.def"
#undef KEYWORD
    };
    for (size_t i = 0; i < sizeof registered / sizeof registered[0]; i++)
        if (span_ieq(name, registered[i]))
            return registered[i];
    return name;
}

static void
add(struct account *a, struct mailbox *m, struct store_batch *b, struct span name)
{
    uint32_t added = m->next_keywords - m->state->keyword_count;
    struct span *grown = arena_array(a->batch_arena, added + 1, sizeof *grown);
    if (added > 0)
        memcpy(grown, m->new_keywords, added * sizeof *grown);
    name = spelling(name);
    grown[added] = arena_dup(a->batch_arena, name);
    m->new_keywords = grown;
    keyword_put(b, m->id, m->next_keywords++, name);
}

static enum result
room_for(const struct mailbox *m, const struct keyword_names *names, struct fault *f)
{
    size_t unknown = 0;
    for (size_t i = 0; i < names->n; i++)
        unknown += find(m, names->names[i]) == m->next_keywords;
    if (m->next_keywords + unknown > LIMIT_keywords)
        return fault_set(f, FAULT_LIMIT, "too many keywords in the mailbox");
    return R_OK;
}

static void
insert_sorted(uint32_t *numbers, size_t *n, uint32_t number)
{
    size_t at = *n;
    while (at > 0 && numbers[at - 1] > number)
        at--;
    if (at > 0 && numbers[at - 1] == number)
        return;
    memmove(numbers + at + 1, numbers + at, (*n - at) * sizeof *numbers);
    numbers[at] = number;
    ++*n;
}

enum result
keyword_numbers(struct account *a, struct mailbox *m, struct store_batch *b,
                const struct keyword_names *names, struct keyword_list *out,
                struct fault *f)
{
    mailbox_next(a, m);
    struct keyword_list list = {arena_array(a->batch_arena, names->n, sizeof *list.numbers),
                                0};
    if (b && room_for(m, names, f) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < names->n; i++) {
        uint32_t number = find(m, names->names[i]);
        if (number == m->next_keywords && !b)
            continue;
        if (number == m->next_keywords)
            add(a, m, b, names->names[i]);
        insert_sorted(list.numbers, &list.n, number);
    }
    *out = list;
    return R_OK;
}
