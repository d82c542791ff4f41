#include "ctl/account_file.h"

#include "base/limits.h"
#include "wire/netstring.h"

static const struct span head = SPAN(ACCOUNT_FILE " 1\n");

void
account_file_head(struct buf *b)
{
    buf_put(b, head);
}

void
account_file_put(struct buf *b, const struct parcel_fact *fact)
{
    netstring_put(b, fact->kind);
    netstring_put(b, fact->mailbox);
    netstring_put(b, fact->name);
    netstring_put(b, fact->value);
    buf_put_char(b, '\n');
}

enum result
account_file_open(struct span *rest, struct fault *f)
{
    if (!span_starts(*rest, head))
        return fault_set(f, FAULT_BAD, "no " ACCOUNT_FILE " of version 1");
    *rest = span_skip(*rest, head.n);
    return R_OK;
}

enum result
account_file_next(struct span *rest, struct parcel_fact *out, struct fault *f)
{
    struct span fields[4];
    size_t used;
    if (rest->n == 0)
        return R_NONE;
    for (int i = 0; i < 4; i++) {
        if (netstring_parse(*rest, LIMIT_sieve_script, &fields[i], &used) !=
            NETSTRING_WHOLE)
            return fault_set(f, FAULT_BAD, "a line is no four netstrings");
        *rest = span_skip(*rest, used);
    }
    if (rest->n == 0 || rest->p[0] != '\n')
        return fault_set(f, FAULT_BAD, "a line does not end behind four netstrings");
    *rest = span_skip(*rest, 1);
    *out = (struct parcel_fact){fields[0], fields[1], fields[2], fields[3]};
    return R_OK;
}
