#include "auth/nets.h"
#include "os/network.h"

static enum result
next(struct span *list, struct span *word_out)
{
    size_t skip = 0, n = 0;
    while (skip < list->n && (list->p[skip] == ' ' || list->p[skip] == ','))
        skip++;
    *list = span_skip(*list, skip);
    while (n < list->n && list->p[n] != ' ' && list->p[n] != ',')
        n++;
    *word_out = span_slice(*list, 0, n);
    *list = span_skip(*list, n);
    return n > 0 ? R_OK : R_NONE;
}

enum result
nets_check(struct span list, struct buf *out, struct fault *f)
{
    struct span word;
    struct network parsed;
    while (next(&list, &word) == R_OK) {
        if (!span_eq(word, SPAN("local")) && network_parse(word, &parsed, f) != R_OK)
            return R_FAIL;
        buf_put_str(out, out->n > 0 ? " " : "");
        buf_put(out, word);
    }
    return out->over ? fault_set(f, FAULT_BAD, "too many networks") : R_OK;
}

bool
nets_have(struct span list, struct span address)
{
    struct fault f;
    struct network from, one;
    struct span word;
    bool local = network_parse(address, &from, &f) != R_OK || from.bits != 128;
    while (next(&list, &word) == R_OK)
        if (local
                ? span_eq(word, SPAN("local"))
                : network_parse(word, &one, &f) == R_OK && network_has(&one, from.address))
            return true;
    return false;
}
