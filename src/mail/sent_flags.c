// Flags that messages get beside their own.
#include "mail/sent_inside.h"

#include "mail/flag_groups.h"

static void
unite(struct account *a, const struct row_flags *had, const struct keyword_list *more,
      struct row_flags *now)
{
    size_t i = 0, k = 0, n = 0;
    uint32_t *all = arena_array(a->batch_arena, had->keyword_count + more->n, sizeof *all);
    while (i < had->keyword_count || k < more->n) {
        bool mine = k == more->n ||
                    (i < had->keyword_count && had->keywords[i] <= more->numbers[k]);
        uint32_t number = mine ? had->keywords[i] : more->numbers[k];
        k += k < more->n && more->numbers[k] == number;
        i += mine;
        all[n++] = number;
    }
    now->keywords = all;
    now->keyword_count = n;
}

static void
add_row(struct account *a, struct mailbox *m, struct flag_groups *groups, uint32_t index,
        const struct sent_flags *add, const struct keyword_list *numbers)
{
    const struct message_row *row = &m->state->rows[index];
    struct row_flags had, now;
    if (pending_get(a, m, row, &had) != R_OK)
        return;
    now.flags = had.flags | add->flags;
    unite(a, &had, numbers, &now);
    if (now.flags == had.flags && flag_same_keywords(now.keywords, now.keyword_count,
                                                     had.keywords, had.keyword_count))
        return;
    flag_groups_recount(mailbox_next(a, m), had.flags, now.flags);
    flag_groups_add(groups, index, row->uid, &now);
    pending_set(a, m, row->uid, &now);
}

enum result
sent_flags_add(struct account *a, struct store_batch *b, struct mailbox *m,
               const struct sent_flags *add, size_t *changed_out, struct fault *f)
{
    struct keyword_list numbers;
    struct keyword_names names = {add->keywords, add->keyword_count};
    struct flag_groups groups;
    if (mailbox_load(a, m, f) != R_OK ||
        keyword_numbers(a, m, b, &names, &numbers, f) != R_OK)
        return R_FAIL;
    flag_groups_init(&groups);
    for (size_t i = 0; i < add->n; i++) {
        uint32_t index = state_row_at(m->state, add->uids[i]);
        if (index < m->state->counts.exists && m->state->rows[index].uid == add->uids[i])
            add_row(a, m, &groups, index, add, &numbers);
    }
    *changed_out = groups.touched;
    enum result r = flag_groups_put(a, b, m, &groups, true, f);
    flag_groups_done(&groups);
    return r;
}
