#include "mail/label_mode.h"

#include "mail/tree_record.h"

bool
label_mode(struct account *a, uint64_t *all_out)
{
    struct span value;
    uint64_t all = 0;
    bool on = false;
    if (state_meta_find(account_state(a), 0, SPAN("labels"), &value) == R_OK) {
        struct unpack u = unpack_of(value);
        on = unpack_u8(&u) == 1;
        all = unpack_u64(&u);
    }
    if (all_out)
        *all_out = all;
    return on;
}

void
label_mode_put(struct account *a, struct store_batch *b, bool on, uint64_t all)
{
    struct buf value;
    buf_init(&value, 16);
    pack_u8(&value, on);
    pack_u64(&value, all);
    struct record_meta r = {0, change_modseq(a), SPAN("labels"), buf_span(&value)};
    tree_put_meta(b, &r);
    buf_done(&value);
}

enum result
label_keywords(struct account *a, struct store_batch *b, struct mailbox *from,
               struct mailbox *to, struct row_flags *now, struct fault *f)
{
    struct keyword_list list;
    if (now->keyword_count == 0)
        return R_OK;
    struct span *names = arena_array(a->batch_arena, now->keyword_count, sizeof *names);
    mailbox_next(a, from);
    for (size_t i = 0; i < now->keyword_count; i++)
        names[i] = keyword_name(from, now->keywords[i]);
    struct keyword_names all = {names, now->keyword_count};
    if (keyword_numbers(a, to, b, &all, &list, f) != R_OK)
        return R_FAIL;
    now->keywords = list.numbers;
    now->keyword_count = list.n;
    return R_OK;
}
