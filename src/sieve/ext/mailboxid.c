// RFC 9042: mailboxidexists and :mailboxid.

#include "sieve/ext.h"

static enum result
find(struct sieve_run *r, struct span id, struct span *name)
{
    const struct sieve_world *w = sieve_world(r);
    if (sieve_work(r, 100) != R_OK)
        return R_FAIL;
    return w->mailbox_with_id ? w->mailbox_with_id(w->arg, id, name) : R_NONE;
}

static enum result
mailboxidexists(struct sieve_run *r, const struct sieve_call *call, bool *yes)
{
    struct span *ids, name;
    if (sieve_texts(r, &call->position[0], &ids) != R_OK)
        return R_FAIL;
    for (size_t i = 0; i < call->position[0].n; i++) {
        enum result there = find(r, ids[i], &name);
        if (there != R_OK)
            return there == R_NONE ? R_OK : R_FAIL;
    }
    *yes = true;
    return R_OK;
}

// The detail is the id; who files the message looks it up again, and takes the name where there is none.
static enum result
apply(struct sieve_run *r, const struct sieve_call *call, const struct sieve_value *value,
      struct sieve_action *action)
{
    struct span id;
    (void)call;
    if (sieve_one(r, value, &id) != R_OK)
        return R_FAIL;
    return sieve_detail_put(r, action, "mailboxid", id);
}

static const struct sieve_tag tags[] = {{"mailboxid", 's', "place",
                                         .command = "fileinto vacation notify",
                                         .check = sieve_filing_check, .apply = apply},
                                        {0}};
static const struct sieve_command commands[] = {
    {"mailboxidexists", SIEVE_TEST, "l", .test = mailboxidexists}, {0}};

const struct sieve_ext sieve_ext_mailboxid = {
    .capability = "mailboxid", .rfc = "RFC 9042", .commands = commands, .tags = tags};
