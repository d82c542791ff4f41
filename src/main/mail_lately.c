#include "main/mail_role.h"
#include "base/table.h"

struct lately {
    uint64_t number, at_ms;
    UT_hash_handle hh;  // which keeps the order, too
};

bool
lately_has(const struct lately *all, uint64_t number)
{
    const struct lately *l;
    HASH_FIND(hh, all, &number, sizeof number, l);
    return l != NULL;
}

void
lately_add(struct lately **all, uint64_t number, uint64_t now_ms)
{
    struct lately *l = calloc(1, sizeof *l);
    must(l != NULL);
    l->number = number;
    l->at_ms = now_ms;
    HASH_ADD(hh, *all, number, sizeof l->number, l);
}

void
lately_forget(struct lately **all, uint64_t before_ms)
{
    while (*all != NULL && (*all)->at_ms < before_ms) {
        struct lately *l = *all;
        HASH_DELETE(hh, *all, l);
        free(l);
    }
}
