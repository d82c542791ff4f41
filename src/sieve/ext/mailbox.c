// RFC 5490 section 3: mailboxexists and :create.

#include "sieve/ext.h"

static enum result
mailboxexists(struct sieve_run *r, const struct sieve_call *call, bool *yes)
{
    const struct sieve_world *w = sieve_world(r);
    struct span *names;
    if (sieve_texts(r, &call->position[0], &names) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < call->position[0].n; i++) {
        enum result there =
            w->mailbox_exists ? w->mailbox_exists(w->arg, names[i]) : R_NONE;
        if (there == R_FAIL || sieve_work(r, 100) != R_OK)
            return R_FAIL;
        if (there == R_NONE)
            return R_OK;
    }
    *yes = true;
    return R_OK;
}

static enum result
apply(struct sieve_run *r, const struct sieve_call *call, const struct sieve_value *value,
      struct sieve_action *action)
{
    (void)call, (void)value;
    return sieve_detail_put(r, action, "create", SPAN_NONE);
}

static const struct sieve_tag tags[] = {{"create", .command = "fileinto vacation notify",
                                         .check = sieve_filing_check, .apply = apply},
                                        {0}};
static const struct sieve_command commands[] = {
    {"mailboxexists", SIEVE_TEST, "l", .test = mailboxexists}, {0}};

const struct sieve_ext sieve_ext_mailbox = {
    .capability = "mailbox", .rfc = "RFC 5490", .commands = commands, .tags = tags};
